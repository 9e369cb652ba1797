"""Runs of a spec: every arm with every seed, a few at a time, each finished one a JSON file that a restart skips."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stlm import checkpoint
from stlm.ablation.spec import Arm, Spec
from stlm.trainer import CHECKPOINT, METRICS

RESULT = "result.json"
_ROOT = Path(__file__).parents[2]


Call = Callable[[list[str], Path, int], str]
"""Does `python -m …` with a log file and a number of threads; returns its stdout. Raises RunError when it fails."""


class RunError(RuntimeError):
    """A run failed; the message is the last thing it said."""


@dataclass(frozen=True)
class Run:
    """One arm with one seed, in its own folder."""

    arm: Arm
    seed: int
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def metrics(self) -> Path:
        return self.folder / METRICS

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def result(self) -> dict[str, Any] | None:
        """What the finished run was judged to be; None before that."""
        path = self.folder / RESULT
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def runs_of(spec: Spec, out: Path) -> Iterator[Run]:
    """Seeds one after the other, every second one with the arms backwards: the drift of the machine spreads over all arms."""
    for number, seed in enumerate(spec.seeds):
        for arm in spec.arms[:: -1 if number % 2 else 1]:
            yield Run(arm, seed, out / arm.name / f"seed-{seed}")


def run_all(spec: Spec, out: Path, call: Call) -> dict[str, str]:
    """Trains and judges what is not finished. Returns the failures: what went wrong, by 'arm seed'."""
    todo = list(runs_of(spec, out))
    failures: dict[str, str] = {}
    with ThreadPoolExecutor(spec.jobs) as pool, tqdm(total=len(todo), unit="run", disable=None) as bar:
        waiting = {pool.submit(finish, spec, run, call): run for run in todo}
        try:
            for done in as_completed(waiting):
                run, name = waiting[done], f"{waiting[done].arm.name} seed {waiting[done].seed}"
                try:
                    result = done.result()
                    bar.write(f"{name}: {result['bits_per_byte']:.4f} bits/byte, {result['bytes_seen'] / 1e6:.2f} MB", file=sys.stderr)
                except (RunError, OSError, ValueError) as error:
                    failures[name] = str(error)
                    bar.write(f"{name} FAILED: {error} ({run.log})", file=sys.stderr)
                bar.update()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


def finish(spec: Spec, run: Run, call: Call) -> dict[str, Any]:
    """Trains and judges one run unless that is done. Raises RunError when a step fails, or when the folder holds another run."""
    command = ["train", *spec.train_arguments(run.arm, run.seed, run.folder)]
    if (result := run.result()) is not None:
        if result["command"] != command:
            raise RunError("finished with other settings: choose another --out or delete its folder")
        return result
    run.folder.mkdir(parents=True, exist_ok=True)
    call(["stlm", *command], run.log, spec.threads)
    evaluation = spec.evaluation
    # Positions that an arm never trained on would be judged beside it, in some arms more than in others.
    judge = [str(run.checkpoint), "--heldout", str(spec.heldout), "--bytes-per-domain", str(evaluation.bytes_per_domain)]
    if "--row-patches" in command:
        judge += ["--window", command[command.index("--row-patches") + 1]]
    if evaluation.blimp:
        judge += ["--blimp", str(evaluation.blimp), "--blimp-pairs", str(evaluation.blimp_pairs)]
    judged = json.loads(call(["stlm.ablation.judge", *judge], run.log, spec.threads))
    content = checkpoint.load(run.checkpoint)
    kept = {key: content[key] for key in ("bytes_seen", "seconds", "step", "flops", "commit")}
    result = {"arm": run.arm.name, "seed": run.seed, "command": command, **kept, **judged}
    part = run.folder / f"{RESULT}.part"
    part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    part.replace(run.folder / RESULT)
    return result


def in_a_process(module: list[str], log: Path, threads: int) -> str:
    """A `Call` in a process of its own; the RunError is the last line that it wrote to stderr."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    with log.open("a", encoding="utf-8") as file:
        command = [sys.executable, "-m", *module]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=file, env=environment, text=True, check=False)
    if done.returncode:
        said = log.read_text(encoding="utf-8").strip().splitlines()
        raise RunError(said[-1] if said else f"ended with status {done.returncode}")
    return done.stdout
