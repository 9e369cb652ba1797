"""SVAMP and GSM8K, zero-shot: the number in the greedy answer is the right one."""

from __future__ import annotations

import re

from stlm.evaluation.arithmetic import first_number
from stlm.evaluation.runner import Run
from stlm.evaluation.sets import DamagedSetError, read_lines, read_list
from stlm.evaluation.statistics import Measure, measure, proportion

SVAMP, GSM8K = "svamp.json.xz", "gsm8k_test.jsonl.xz"


def run_svamp(run: Run) -> list[Measure]:
    every = []
    for record in read_list(run.data / SVAMP):
        body = record.text("Body").strip()
        body += "" if body.endswith((".", "?", "!")) else "."
        every.append((f"Question: {body} {record.text('Question').strip()}\nAnswer:", float(record["Answer"])))
    problems = run.sample(every)
    texts = run.continuations("", [prompt.encode() for prompt, _ in problems], 48, [b"\n"])
    right = [first_number(text) == expected for text, (_, expected) in zip(texts, problems, strict=True)]
    return [measure("svamp", "exact_match", proportion(right), len(problems), len(every), headline=True)]


def run_gsm8k(run: Run) -> list[Measure]:
    """The number after "####", or else the last one (lm-evaluation-harness, flexible-extract), in at most 256 bytes."""
    every = []
    for record in read_lines(run.data / GSM8K):
        expected = final_number(record.text("answer").encode())
        if expected is None:
            raise DamagedSetError(f"{record.place}: field 'answer' holds no number")
        every.append((f"Question: {record.text('question').strip()}\nAnswer:", expected))
    problems = run.sample(every)
    texts = run.continuations("", [prompt.encode() for prompt, _ in problems], 256, [b"\n\n", b"Question:"])
    right = [final_number(text) == expected for text, (_, expected) in zip(texts, problems, strict=True)]
    return [measure("gsm8k", "exact_match", proportion(right), len(problems), len(every), headline=True)]


def final_number(text: bytes) -> float | None:
    if (marked := text.rpartition(b"####"))[1]:
        return first_number(marked[2])
    numbers = re.findall(rb"-?\d[\d,]*(?:\.\d+)?", text)
    return first_number(numbers[-1]) if numbers else None
