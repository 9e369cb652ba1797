"""Loader processes: the order is a function of seed and number, resuming is exact, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from test_data import documents, write_corpus

from stlm.loader import Loader, Recipe, ahead
from stlm.patch import PatchRule

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("data")
    write_corpus(folder, {"a": documents(60), "b": documents(60, 1)})
    return Recipe((folder,), PatchRule.load(), 16, 3, {})


@pytest.fixture(scope="module")
def first(recipe: Recipe) -> list[tuple[np.ndarray, dict[str, object]]]:
    with closing(Loader(recipe, 4, 2).batches()) as batches:
        return list(islice(batches, 7))


def test_processes_take_turns(first: list[tuple[np.ndarray, dict[str, object]]], recipe: Recipe) -> None:
    streams = [recipe(worker, 2) for worker in range(2)]
    for number, (rows, _) in enumerate(first):
        np.testing.assert_array_equal(rows, streams[number % 2].rows(4))


def test_workers_share_the_documents_out(recipe: Recipe) -> None:
    shares = [{tuple(source.documents[i]) for i in source.order} for source in (recipe(worker, 2).sources[0] for worker in range(2))]
    assert shares[0].isdisjoint(shares[1])
    assert len(shares[0] | shares[1]) == 60


@pytest.mark.parametrize("after", [1, 4])
def test_a_loader_goes_on_from_any_batch(first: list[tuple[np.ndarray, dict[str, object]]], recipe: Recipe, after: int) -> None:
    again = Loader(recipe, 4, 2)
    again.restore(first[after - 1][1])
    with closing(again.batches()) as batches:
        for rows, _ in first[after:]:
            np.testing.assert_array_equal(next(batches)[0], rows)


def test_another_number_of_loaders_cannot_go_on(first: list[tuple[np.ndarray, dict[str, object]]], recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="came from 2 loaders"):
        Loader(recipe, 4, 1).restore(first[0][1])


def test_what_a_process_cannot_read_is_told(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a": documents(20)})
    loader = Loader(Recipe((tmp_path,), PatchRule.load(), 16, 3, {}), 4, 2)
    (tmp_path / "a-0000.bin").write_bytes(b"")
    with closing(loader.batches()) as batches, pytest.raises(ValueError, match=r"a-0000\.bin|mmap an empty file"):
        next(batches)


def test_what_is_made_ahead_is_the_same_and_leaves_no_thread_behind() -> None:
    closed = []

    def numbers() -> Generator[int, None, None]:
        try:
            yield from range(10)
            raise ValueError("no eleventh")
        finally:
            closed.append(True)

    before = threading.active_count()
    made = ahead(numbers())
    assert list(islice(made, 3)) == [0, 1, 2]
    assert threading.active_count() == before + 1
    made.close()
    assert threading.active_count() == before and closed == [True]
    made = ahead(numbers())
    assert list(islice(made, 10)) == list(range(10))
    with pytest.raises(ValueError, match="no eleventh"):
        next(made)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_kill_9_of_the_trainer_leaves_no_loader_behind(recipe: Recipe) -> None:
    script = (
        "import multiprocessing, pathlib, sys, time\n"
        "from stlm.loader import Loader, Recipe\n"
        "from stlm.patch import PatchRule\n"
        "if __name__ == '__main__':\n"
        "    batches = Loader(Recipe((pathlib.Path(sys.argv[1]),), PatchRule.load(), 16, 3, {}), 4, 2).batches()\n"
        "    next(batches)\n"
        "    print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(recipe.folders[0])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    children = [int(pid) for pid in process.stdout.readline().split()]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(children) == 2
    assert not wait_while(children)


def wait_while(pids: list[int]) -> list[int]:
    """Those still alive after ten seconds."""

    def remaining() -> Iterator[int]:
        return (pid for pid in pids if alive(pid))

    deadline = time.monotonic() + 10
    while any(remaining()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return list(remaining())
