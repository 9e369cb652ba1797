"""What a model's program cannot do: run on, eat the memory, write, reach the network, or claim to have passed."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from stlm.evaluation.sandbox import USUAL_IMPORTS, check_sandbox, runs_to_its_end


def test_a_right_program_passes_and_a_wrong_one_fails() -> None:
    check_sandbox("assert 1 + 1 == 2")
    with pytest.raises(RuntimeError, match="leave humaneval out"):
        check_sandbox("assert 1 + 1 == 3")
    assert runs_to_its_end("import math, collections\nprint('x' * 100000)\nassert math.sqrt(4) == 2")
    assert not runs_to_its_end("assert 1 == 2")
    assert not runs_to_its_end("def broken(:")


def test_the_library_is_there_for_a_program_that_may_not_read_it() -> None:
    # With no path to import from, as for nobody where Python lies in a private home.
    assert runs_to_its_end(f"import sys\nsys.path.clear()\n{USUAL_IMPORTS}")
    assert runs_to_its_end(USUAL_IMPORTS)


def test_an_endless_loop_is_stopped() -> None:
    started = time.monotonic()
    assert not runs_to_its_end("while True: pass", seconds=1)
    assert not runs_to_its_end("import time\ntime.sleep(60)", seconds=1)
    assert time.monotonic() - started < 10


def test_a_memory_hog_fails_alone() -> None:
    assert not runs_to_its_end("x = bytearray(2**30)", memory_bytes=256 * 2**20)
    assert runs_to_its_end("x = bytearray(2**20)", memory_bytes=256 * 2**20)


@pytest.mark.parametrize("ending", ["import sys; sys.exit(0)", "raise SystemExit", "import os; os._exit(0)", "print('passed'); 1 / 0"])
def test_leaving_early_is_not_passing(ending: str) -> None:
    assert not runs_to_its_end(ending)


def test_files_are_not_written_and_processes_not_started(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert not runs_to_its_end(f"with open({str(tmp_path / 'out')!r}, 'w') as f: f.write('x' * 10000)")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0
    assert not runs_to_its_end("import os; os.system('true')")
    assert not runs_to_its_end("import subprocess; subprocess.run(['true'])")


def test_the_network_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not runs_to_its_end(f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)")
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
