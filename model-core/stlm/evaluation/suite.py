"""Every task by name, and which of them are measured where none is named."""

from __future__ import annotations

from functools import partial

from stlm.evaluation import arithmetic, blimp, code, few_shot, infill, reading, robustness, samples, stories, word_problems
from stlm.evaluation.choices import CHOICE_SETS, run_choices
from stlm.evaluation.runner import Task

HELDOUT = "heldout"
"""Bits per byte by domain (`documents.py`); its figures stand in a place of their own in the report and the manifest."""

_ABOUT = {
    "hellaswag": "how a description goes on, 4 endings",
    "piqa": "which of two ways does it",
    "arc_easy": "science questions of school, easy",
    "arc_challenge": "science questions of school, hard",
    "winogrande": "what a sentence speaks of: the text after the blank",
    "winogrande_full": "what a sentence speaks of: the whole sentence",
    "openbookqa": "elementary science, 4 options",
    "commonsenseqa": "common sense, 5 options",
    "mmlu": "exam questions in 57 subjects (development part), zero-shot",
}

TASKS = {
    task.name: task
    for task in (
        Task("infill", "middles of held-out text between prefix and suffix", (), infill.run_infill, heldout=True),
        Task("blimp", "acceptable sentence over unacceptable one, 67 paradigms", (blimp.FILE,), blimp.run_blimp),
        *(Task(name, _ABOUT[name], (found.file,), partial(run_choices, found)) for name, found in CHOICE_SETS.items()),
        Task("tinystories", "bits per byte of children's stories", (stories.FILE,), stories.run_tinystories),
        Task("fairytaleqa", "questions about a fairy tale", (reading.FAIRYTALEQA,), reading.run_fairytaleqa),
        Task("qmsum", "questions about a meeting", (reading.QMSUM,), reading.run_qmsum),
        Task("svamp", "word problems of one step", (word_problems.SVAMP,), word_problems.run_svamp),
        Task("gsm8k", "word problems of several steps", (word_problems.GSM8K,), word_problems.run_gsm8k),
        Task("humaneval", "Python functions from their description", (code.FILE,), code.run_humaneval),
        Task("arithmetic", "sums, differences and products, generated", (), arithmetic.run_arithmetic),
        Task("strings", "letters of a word, generated", (), arithmetic.run_strings),
        Task("patterns", "generated patterns after 0 to 8 examples", (), few_shot.run_patterns),
        Task("few_shot", "ARC easy and CommonsenseQA after 0 to 8 examples", few_shot.FILES, few_shot.run_few_shot),
        Task("robustness", "accuracy kept under noise", robustness.FILES, robustness.run_robustness),
        Task("samples", "repetition in sampled text", (), samples.run_samples),
    )
}

STANDARD = (
    HELDOUT, "infill", "blimp", "hellaswag", "piqa", "arc_easy", "arc_challenge", "winogrande", "openbookqa", "commonsenseqa",
    "tinystories", "svamp", "arithmetic", "strings", "patterns", "humaneval", "samples",
)  # fmt: skip


def choose(names: str) -> list[str]:
    """Task names from "standard", "all" or a list with commas, in the suite's order. Raises ValueError naming an unknown one."""
    every = [HELDOUT, *TASKS]
    wanted = {"standard": list(STANDARD), "all": every}.get(names) or [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in every]:
        raise ValueError(f"--tasks: no task {unknown[0]!r} (there are {', '.join(every)}; standard; all)")
    if not wanted:
        raise ValueError("--tasks: names no task")
    return [name for name in every if name in wanted]
