"""Sums, differences and products by number of digits, and what can be done with the letters of a word.

Generated from the seed, asked without examples, answered by greedy text up to the end of the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from stlm.evaluation.few_shot import WORDS
from stlm.evaluation.runner import Run
from stlm.evaluation.statistics import Measure, mean_of_groups, measure, proportion

ITEMS = 100
"""Of each kind and number of digits."""

OPERATIONS: dict[str, tuple[Callable[[int, int], int], tuple[int, ...]]] = {
    "+": (lambda a, b: a + b, (1, 2, 3, 4)),
    "-": (lambda a, b: a - b, (1, 2, 3, 4)),
    "*": (lambda a, b: a * b, (1, 2, 3)),
}
"""What is computed, and for which numbers of digits."""

STRINGS: dict[str, Callable[[str, str], tuple[str, str]]] = {
    "spell": lambda word, letter: (f"Spell {word}.", "-".join(word.upper())),
    "reverse": lambda word, letter: (f"Write the word {word} backwards.", word[::-1]),
    "count letters": lambda word, letter: (f"How many letters are in the word {word}?", str(len(word))),
    "count a letter": lambda word, letter: (f"How many times does {letter} appear in {word}?", str(word.count(letter))),
}


def run_arithmetic(run: Run) -> list[Measure]:
    items = min(n for n in (run.limit, ITEMS) if n)
    measures = []
    for sign, (compute, digits) in OPERATIONS.items():
        outcomes = []
        for count in digits:
            random = run.random("arithmetic", sign, count)
            low = 0 if count == 1 else 10 ** (count - 1)
            numbers = random.integers(low, 10**count, (items, 2)).tolist()
            prompts = [f"Question: What is {a} {sign} {b}?\nAnswer:".encode() for a, b in numbers]
            texts = run.continuations(f"{sign} {count}", prompts, 24, [b"\n"])
            right = np.array([first_number(text) == compute(a, b) for text, (a, b) in zip(texts, numbers, strict=True)])
            outcomes.append(right)
            part = f"a {sign} b, {count} digit{'s' if count > 1 else ''}"
            measures.append(measure("arithmetic", "exact_match", proportion(right), items, items, part=part))
        total = items * len(digits)
        overall = mean_of_groups(outcomes)
        measures.append(measure("arithmetic", "exact_match", overall, total, total, part=f"a {sign} b", headline=True))
    return measures


def run_strings(run: Run) -> list[Measure]:
    items = min(n for n in (run.limit, ITEMS) if n)
    measures = []
    for kind, make in STRINGS.items():
        problems = []
        for i in range(items):
            random = run.random("strings", kind, i)
            word = WORDS[int(random.integers(len(WORDS)))]
            problems.append(make(word, word[int(random.integers(len(word)))]))
        texts = run.continuations(kind, [f"Question: {asked}\nAnswer:".encode() for asked, _ in problems], 32, [b"\n"])
        right = [same_answer(text, expected) for text, (_, expected) in zip(texts, problems, strict=True)]
        measures.append(measure("strings", "exact_match", proportion(right), items, items, part=kind, headline=True))
    return measures


def same_answer(text: bytes, expected: str) -> bool:
    """A number: the first in the text. Else the text itself, without a full stop and in any case."""
    if expected.isdigit():
        return first_number(text) == int(expected)
    return text.strip().rstrip(b".").lower() == expected.lower().encode()


def first_number(text: bytes) -> float | None:
    """The first number of a text, thousands separated by commas or not."""
    found = re.search(rb"-?\d[\d,]*(\.\d+)?", text)
    return float(found.group().replace(b",", b"")) if found else None
