"""The inside of `sandbox.py`, run by path in a process of its own: takes rights away, then runs the program from standard input.

The first line of the input is the word to print when the program has run to its end. Nothing of `stlm` is imported here.
"""

import builtins
import contextlib
import ctypes
import importlib
import os
import resource
import shutil
import subprocess
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
NOBODY = 65534
MODULES = (
    "__future__ _strptime abc array ast base64 bisect calendar cmath collections collections.abc contextlib copy csv dataclasses "
    "datetime decimal enum fractions functools hashlib heapq io itertools json keyword math numbers operator pprint queue random re "
    "statistics string struct sys textwrap time traceback types typing unicodedata uuid warnings zlib"
)
"""What a program may import. A standard library in a private home is out of reach for `NOBODY`, so they are loaded before."""


def load_modules() -> None:
    for name in MODULES.split():
        importlib.import_module(name)


def give_up_rights(memory_bytes: int, cpu_seconds: int) -> None:
    """No network where the kernel allows a namespace, not root, no bytes into files, no more memory or time than given."""
    root = os.geteuid() == 0
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).unshare(CLONE_NEWNET if root else CLONE_NEWUSER | CLONE_NEWNET)
    if root:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))


def take_tools_away() -> None:
    """What a wrong program might do by accident (HumanEval's reliability guard, Chen et al. 2021)."""
    destructive = (
        "system popen fork forkpty kill killpg remove unlink rmdir removedirs rename renames replace truncate chmod chown "
        "lchown chdir fchdir chroot putenv execv execve execvp spawnv posix_spawn symlink link setuid mkdir makedirs"
    )
    for name in destructive.split():
        if hasattr(os, name):
            setattr(os, name, None)
    for name in ("rmtree", "move", "chown", "copytree"):
        setattr(shutil, name, None)
    for name in ("Popen", "run", "call", "check_output", "check_call", "getoutput", "getstatusoutput"):
        setattr(subprocess, name, None)
    for name in ("ctypes", "socket", "_socket", "multiprocessing", "resource", "signal"):
        sys.modules[name] = None  # type: ignore[assignment]
    builtins.input = builtins.exit = builtins.quit = builtins.breakpoint = None  # type: ignore[assignment]


if __name__ == "__main__":
    word, _, program = sys.stdin.read().partition("\n")
    report = os.dup(1)
    load_modules()
    give_up_rights(int(sys.argv[1]), int(sys.argv[2]))
    take_tools_away()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        exec(compile(program, "program", "exec"), {"__name__": "program"})
    os.write(report, word.encode())
