"""Sums, differences and products by number of digits, and what can be done with the letters of a word.

Generated from the seed, asked without examples, answered by greedy text up to the end of the line. Lengths of words and counts
of letters are spread evenly, so that always giving one answer is worth little; `chance` is what the commonest one scores.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np

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

_WORDS = """
cat sun map cup hat fox key jar frog lamp ship rain desk moon bird salt apple river stone chair bread horse tiger lemon
garden window castle basket pencil needle ribbon turtle blanket feather lantern kitchen pumpkin village chimney thunder
mountain elephant sandwich umbrella notebook dinosaur hospital airplane crocodile breakfast butterfly chocolate pineapple
newspaper adventure telephone strawberry motorcycle television basketball friendship blackboard lighthouse watermelon
puppy daddy mummy error banana pepper tattoo eleven cheese cocoon bubble fluffy sleeve papaya mammal mirror goggles bandana
pajamas freezer between success session minimum maximum barrier tomorrow nineteen cinnamon
"""
WORDS = tuple(_WORDS.split())
"""Of 3 to 10 letters; the last two lines hold words with a letter three times."""
LENGTHS = tuple(sorted({len(word) for word in WORDS}))
COUNTS = (0, 1, 2, 3)

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


def word_and_letter(kind: str, item: int, random: np.random.Generator) -> tuple[str, str]:
    """A word of the item's length, or one that holds the letter the item's number of times."""
    if kind != "count a letter":
        words = [word for word in WORDS if len(word) == LENGTHS[item % len(LENGTHS)]]
        return words[int(random.integers(len(words)))], ""
    count = COUNTS[item % len(COUNTS)]
    # An absent letter is as often each letter as the words have it, or a rare one would give the answer away.
    letters = "".join(WORDS)
    if count == 0:
        word = WORDS[int(random.integers(len(WORDS)))]
        absent = [letter for letter in letters if letter not in word]
        return word, absent[int(random.integers(len(absent)))]
    pairs = [(word, letter) for word in WORDS for letter in sorted(set(word)) if word.count(letter) == count]
    return pairs[int(random.integers(len(pairs)))]


def run_strings(run: Run) -> list[Measure]:
    items = min(n for n in (run.limit, ITEMS) if n)
    measures = []
    for kind, make in STRINGS.items():
        problems = [make(*word_and_letter(kind, i, run.random("strings", kind, i))) for i in range(items)]
        texts = run.continuations(kind, [f"Question: {asked}\nAnswer:".encode() for asked, _ in problems], 32, [b"\n"])
        right = [same_answer(text, expected) for text, (_, expected) in zip(texts, problems, strict=True)]
        chance = max(Counter(expected for _, expected in problems).values()) / items
        measures.append(measure("strings", "exact_match", proportion(right), items, items, part=kind, headline=True, chance=chance))
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
