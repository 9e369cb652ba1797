"""In-context learning: does the model do better when the text before shows how it is done?

Patterns are generated and need no knowledge. They are answered by greedy text compared exactly (`exact_match`), and by
choosing between the right answer and what three other patterns would make of the same words (`accuracy_norm`, per byte),
which shows a little learning before a model can write the answer. ARC easy and CommonsenseQA are
asked as in `choices.py`, with solved items of the same set before, drawn anew for each item. What does not fit the context
is lost from the front, first shots first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stlm.evaluation.choices import CHOICE_SETS, ChoiceSet, Problem, answer
from stlm.evaluation.runner import Run
from stlm.evaluation.statistics import Measure, mean_of_groups, measure, proportion

SHOTS = (0, 1, 4, 8)
SETS = ("arc_easy", "commonsenseqa")
FILES = tuple(CHOICE_SETS[name].file for name in SETS)
PATTERN_ITEMS, SET_ITEMS = 100, 500
"""Of each pattern, and of each set."""

_WORDS = """
apple river stone cloud chair bread horse green light water house table paper music tiger lemon garden window winter summer
silver yellow orange castle bridge market doctor farmer kitten rabbit forest island candle basket button pencil mirror
blanket hammer ladder needle pocket ribbon saddle tunnel velvet wagon anchor barrel copper desert engine feather guitar
harbor jacket kettle marble napkin oyster parrot quilt rocket spider turtle valley walnut zebra badge camel daisy eagle
flute grape honey ivory jewel koala lilac mango novel olive piano queen robin sugar train uncle violin whale
"""
WORDS = tuple(_WORDS.split())

PATTERNS: dict[str, Callable[[list[str]], tuple[str, str]]] = {
    "copy": lambda w: (w[0], w[0]),
    "copy two": lambda w: (f"{w[0]} {w[1]}", f"{w[0]} {w[1]}"),
    "capitals": lambda w: (w[0], w[0].upper()),
    "first letter": lambda w: (w[0], w[0][0]),
    "last word": lambda w: (" ".join(w[:3]), w[2]),
    "first word": lambda w: (" ".join(w[:3]), w[0]),
    "twice": lambda w: (w[0], f"{w[0]} {w[0]}"),
    "swap": lambda w: (f"{w[0]} {w[1]}", f"{w[1]} {w[0]}"),
}


def pattern_prompt(pattern: str, shots: int, random: np.random.Generator) -> tuple[str, list[str]]:
    """A prompt with `shots` solved examples, and the answer with three wrong ones behind it; no word comes twice in it."""
    words = [WORDS[i] for i in random.permutation(len(WORDS))[: 3 * (shots + 1)]]
    examples = [PATTERNS[pattern](words[3 * i : 3 * i + 3]) for i in range(shots + 1)]
    *shown, (asked, expected) = examples
    others = sorted({make(words[-3:])[1] for make in PATTERNS.values()} - {expected})
    wrong = [others[i] for i in random.permutation(len(others))[:3]]
    return "".join(f"Input: {a}\nOutput: {b}\n\n" for a, b in shown) + f"Input: {asked}\nOutput:", [expected, *wrong]


def run_patterns(run: Run) -> list[Measure]:
    items = min(n for n in (run.limit, PATTERN_ITEMS) if n)
    total = items * len(PATTERNS)
    measures = []
    for shots in SHOTS:
        written, chosen = [], []
        for pattern in PATTERNS:
            problems = [pattern_prompt(pattern, shots, run.random("pattern", pattern, shots, i)) for i in range(items)]
            part = f"{pattern}, {shots} shots"
            texts = run.continuations(part, [prompt.encode() for prompt, _ in problems], 24, [b"\n"])
            written.append(np.array([text.strip() == options[0].encode() for text, (_, options) in zip(texts, problems, strict=True)]))
            asked = [Problem(prompt, tuple(f" {option}" for option in options), 0) for prompt, options in problems]
            chosen.append(answer(run, f"{part}, options", asked, [problem.pairs() for problem in asked])[1])
            measures.append(measure("patterns", "exact_match", proportion(written[-1]), items, items, part=part))
            measures.append(measure("patterns", "accuracy_norm", proportion(chosen[-1]), items, items, part=part, chance=0.25))
        part = f"all, {shots} shots"
        measures.append(measure("patterns", "exact_match", mean_of_groups(written), total, total, part=part, headline=True))
        measures.append(measure("patterns", "accuracy_norm", mean_of_groups(chosen), total, total, part=part, headline=True, chance=0.25))
    return measures


def run_few_shot(run: Run) -> list[Measure]:
    return [m for name in SETS for m in _of_set(run, CHOICE_SETS[name])]


def _of_set(run: Run, choice_set: ChoiceSet) -> list[Measure]:
    every = choice_set.read(run.data / choice_set.file)
    numbers = run.sample(range(len(every)), SET_ITEMS, choice_set.name)
    problems = [every[i] for i in numbers]
    chance = choice_set.chance(problems)
    measures = []
    for shots in SHOTS:
        asked = []
        for i in numbers:
            others = run.random("shots", choice_set.name, i).permutation(len(every))
            shown = [every[j] for j in others if j != i][:shots]
            solved = "".join(f"{p.lead}{p.text}{p.tails[0]}{p.options[p.label]}\n\n" for p in shown)
            asked.append(every[i].pairs(before=solved.encode()))
        part = f"{choice_set.name}, {shots} shots"
        for metric, right in zip(("accuracy", "accuracy_norm"), answer(run, part, problems, asked), strict=True):
            shared = {"part": part, "chance": chance, "headline": metric == "accuracy_norm"}
            measures.append(measure("few_shot", metric, proportion(right), len(problems), len(every), **shared))
    return measures
