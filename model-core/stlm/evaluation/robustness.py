"""How much of its accuracy a model keeps when what it reads is noisy.

What BLiMP's two sentences begin with and what they end with gets the noise once, the same in both; the words between, where
they differ, stay clean, so that the sentences differ in nothing but the grammar. Of the multiple-choice sets the question gets
it and the options stay clean. `kept` is (noisy - chance) / (clean - chance) over the same items, left out where the clean accuracy is not
above chance. Fifteen kinds and rates over every set would take fifteen times the suite, so a seeded sample is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stlm.evaluation import blimp
from stlm.evaluation.choices import CHOICE_SETS, ChoiceSet, answer
from stlm.evaluation.noise import KINDS, RATES, add_noise
from stlm.evaluation.runner import Run
from stlm.evaluation.statistics import Measure, kept_accuracy, mean_of_groups, measure, proportion

PAIRS, PROBLEMS = 1340, 300
"""Of BLiMP (20 a paradigm), and of each multiple-choice set."""

SETS = ("arc_easy", "piqa", "hellaswag", "winogrande", "openbookqa", "commonsenseqa")
FILES = (blimp.FILE, *(CHOICE_SETS[name].file for name in SETS))


def run_robustness(run: Run) -> list[Measure]:
    measures = _of_blimp(run)
    for name in SETS:
        measures += _of_choices(run, CHOICE_SETS[name])
    return measures


def _of_blimp(run: Run) -> list[Measure]:
    every = blimp.read_pairs(run.data / blimp.FILE)
    pairs = blimp.sample_pairs(run, every, PAIRS)

    def right(part: str, kind: str, rate: float) -> np.ndarray:
        def noisy(item: int, pair: blimp.MinimalPair) -> tuple[bytes, bytes]:
            # One generator: its draws go to the beginning, then to the end.
            random = run.random("noise", "blimp", kind, item)
            return with_noise_around(pair.good, pair.bad, lambda text: add_noise(text, kind, rate, random))

        return blimp.judge(run, part, [noisy(i, pair) for i, pair in enumerate(pairs)])

    clean = right("blimp", "case", 0.0)
    measures = [_accuracy("blimp", mean_of_groups(list(blimp.group(pairs, clean, "paradigm").values())), len(pairs), len(every), 0.5)]
    for kind in KINDS:
        for rate in RATES:
            part = _part("blimp", kind, rate)
            outcome = right(part, kind, rate)
            estimate = mean_of_groups(list(blimp.group(pairs, outcome, "paradigm").values()))
            measures.append(_accuracy(part, estimate, len(pairs), len(every), 0.5))
            measures += _kept(run, part, clean, outcome, 0.5, len(every))
    return measures


def with_noise_around(good: str, bad: str, noise: Callable[[str], bytes]) -> tuple[bytes, bytes]:
    """Both sentences with noise, drawn once, in the beginning and the end that they share; where they differ they stay clean."""
    start = _alike(good, bad)
    shared_end = _alike(good[start:][::-1], bad[start:][::-1])
    before, after = noise(good[:start]), noise(good[len(good) - shared_end :])
    between = [text[start : len(text) - shared_end].encode() for text in (good, bad)]
    return before + between[0] + after, before + between[1] + after


def _alike(a: str, b: str) -> int:
    """How many characters two texts begin with in common."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _of_choices(run: Run, choice_set: ChoiceSet) -> list[Measure]:
    name = choice_set.name
    every = choice_set.read(run.data / choice_set.file)
    problems = run.sample(every, PROBLEMS, name)
    chance = choice_set.chance(problems)

    def right(part: str, kind: str, rate: float) -> np.ndarray:
        asked = [
            problem.pairs(lambda text, i=i: add_noise(text, kind, rate, run.random("noise", name, kind, i)))
            for i, problem in enumerate(problems)
        ]
        return answer(run, part, problems, asked)[0]

    clean = right(name, "case", 0.0)
    measures = [_accuracy(name, proportion(clean), len(problems), len(every), chance)]
    for kind in KINDS:
        for rate in RATES:
            part = _part(name, kind, rate)
            outcome = right(part, kind, rate)
            measures.append(_accuracy(part, proportion(outcome), len(problems), len(every), chance))
            measures += _kept(run, part, clean, outcome, chance, len(every))
    return measures


def _part(name: str, kind: str, rate: float) -> str:
    return f"{name}, {kind} {rate:.0%}"


def _accuracy(part: str, estimate: tuple[float, float, float, str], items: int, of: int, chance: float) -> Measure:
    return measure("robustness", "accuracy", estimate, items, of, part=part, chance=chance)


def _kept(run: Run, part: str, clean: np.ndarray, noisy: np.ndarray, chance: float, of: int) -> list[Measure]:
    kept = kept_accuracy(clean, noisy, chance, run.seed)
    # BLiMP at 5 % speaks for the whole in short tables.
    headline = part.startswith("blimp") and part.endswith(" 5%")
    return [measure("robustness", "kept", kept, len(clean), of, part=part, headline=headline)] if kept else []
