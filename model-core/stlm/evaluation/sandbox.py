"""Runs a model's program: in a process of its own, with bounds on time, memory and files, and without network where it can.

Enough for the accidents of a small model's text, not for a program written to get out. Linux and macOS: it needs
`resource`. On Linux the process gets an empty network namespace; where the kernel refuses one, `socket` is still taken away.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS, MEMORY_BYTES = 5, 512 * 2**20
USUAL_IMPORTS = (
    "import bisect, collections, copy, datetime, decimal, fractions, functools, hashlib, heapq, itertools, math, operator, random, re\n"
    "import statistics, string\nfrom typing import List\nhashlib.md5(b'').hexdigest()\ndatetime.datetime.strptime('2020', '%Y')"
)
"""What the solutions of HumanEval and the programs of models ask for; they fail silently where it is out of reach."""
_CHILD = Path(__file__).with_name("sandbox_child.py")


def runs_to_its_end(program: str, seconds: int = SECONDS, memory_bytes: int = MEMORY_BYTES) -> bool:
    """Whether the program ends by itself, without an error, within the bounds. `sys.exit` is not its end."""
    # A word that the program cannot know: neither an exit code nor something printed can stand for it.
    word = secrets.token_hex(16)
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_CHILD), str(memory_bytes), str(seconds)]
    with tempfile.TemporaryDirectory(prefix="stlm-sandbox-") as folder:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(f"{word}\n{program}".encode("utf-8", "replace"), timeout=seconds + 2)
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
    return output == word.encode()


def check_sandbox(program: str) -> None:
    """Raises RuntimeError where `program`, a right answer, does not pass: every answer would count as wrong then."""
    if not runs_to_its_end(f"{USUAL_IMPORTS}\n{program}"):
        raise RuntimeError("the sandbox for programs fails a right one on this machine (it needs Linux): leave humaneval out of --tasks")
