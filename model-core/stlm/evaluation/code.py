"""HumanEval (Chen et al. 2021): bits per byte of the written solution, and pass@1 of the greedy one, run in a sandbox."""

from __future__ import annotations

import math

import numpy as np
from tqdm import tqdm

from stlm.evaluation.runner import Run
from stlm.evaluation.sandbox import check_sandbox, runs_to_its_end
from stlm.evaluation.sets import Record, read_lines
from stlm.evaluation.statistics import Measure, measure, proportion, ratio

FILE = "humaneval.jsonl.xz"
MAX_BYTES = 512
_STOPS = (b"\nclass", b"\ndef", b"\n#", b"\nif", b"\nprint", b"\n@", b"\nimport", b"\nfrom")
"""Where a function's body ends: the paper's stops, and what else can begin a line."""


def program(task: Record, body: str) -> str:
    """The function with its body, then its tests."""
    return f"{task.text('prompt')}{body}\n\n{task.text('test')}\n\ncheck({task.text('entry_point')})\n"


def run_humaneval(run: Run) -> list[Measure]:
    every = read_lines(run.data / FILE)
    check_sandbox(program(every[0], every[0].text("canonical_solution")))
    tasks = run.sample(every)
    prompts = [task.text("prompt").encode() for task in tasks]
    solutions = [task.text("canonical_solution").encode() for task in tasks]
    bits = -run.log_probabilities("solution", list(zip(prompts, solutions, strict=True))) / math.log(2)
    texts = run.continuations("program", prompts, MAX_BYTES, _STOPS)
    programs = [program(task, text.decode("utf-8", "replace")) for task, text in zip(tasks, texts, strict=True)]
    passed = np.array([runs_to_its_end(text) for text in tqdm(programs, desc="humaneval tests", leave=False, disable=None)])
    counts = len(tasks), len(every)
    return [
        measure("humaneval", "bits_per_byte", ratio(bits, [len(solution) for solution in solutions]), *counts, headline=True),
        measure("humaneval", "pass@1", proportion(passed), *counts, headline=True),
    ]
