"""BLiMP (Warstadt et al. 2020): 67 paradigms of 1000 pairs; the acceptable sentence should be the more probable one.

A tie is wrong: a model that cannot tell the two apart has not chosen. The mean is over paradigms, so that each phenomenon
counts the same. What both sentences begin with has the same probability in both and is only read, not scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stlm.evaluation.runner import Run
from stlm.evaluation.scoring import Pair
from stlm.evaluation.sets import read_lines
from stlm.evaluation.statistics import Measure, mean_of_groups, measure, proportion

FILE = "blimp.jsonl.xz"


@dataclass(frozen=True)
class MinimalPair:
    good: str
    bad: str
    paradigm: str
    field: str


def read_pairs(path: Path) -> list[MinimalPair]:
    """Raises DamagedSetError."""
    # One paradigm writes "syntax/semantics" where the others write "syntax_semantics".
    return [
        MinimalPair(r.text("sentence_good"), r.text("sentence_bad"), r.text("UID"), r.text("field").replace("/", "_"))
        for r in read_lines(path)
    ]


def sample_pairs(run: Run, pairs: list[MinimalPair], most: int = 0) -> list[MinimalPair]:
    """`--limit`, and `most`, spread evenly over the paradigms, at least one of each."""
    paradigms: dict[str, list[MinimalPair]] = {}
    for pair in pairs:
        paradigms.setdefault(pair.paradigm, []).append(pair)
    limit = min((n for n in (run.limit, most) if n), default=0)
    share = -(-limit // len(paradigms)) if limit else 0
    chosen = []
    for name, group in paradigms.items():
        order = run.random("sample", name).permutation(len(group))[: share or None]
        chosen += [group[i] for i in sorted(order)]
    return chosen


def difference(good: bytes, bad: bytes) -> list[Pair]:
    """Both sentences as (what they share, how they go on); neither goes on with nothing."""
    most = max(0, min(len(good), len(bad)) - 1)
    shared = next((i for i in range(most) if good[i] != bad[i]), most)
    return [(good[:shared], good[shared:]), (bad[:shared], bad[shared:])]


def judge(run: Run, part: str, sentences: list[tuple[bytes, bytes]]) -> np.ndarray:
    """bool [pairs]: the first sentence of a pair is more probable than the second. Equal bytes are a tie."""
    values = run.log_probabilities(part, [pair for good, bad in sentences for pair in difference(good, bad)])
    return values[0::2] > values[1::2]


def group(pairs: list[MinimalPair], right: np.ndarray, attribute: str) -> dict[str, np.ndarray]:
    names = np.array([getattr(pair, attribute) for pair in pairs])
    return {str(name): right[names == name] for name in sorted(set(names))}


def run_blimp(run: Run) -> list[Measure]:
    every = read_pairs(run.data / FILE)
    pairs = sample_pairs(run, every)
    right = judge(run, "", [(pair.good.encode(), pair.bad.encode()) for pair in pairs])
    paradigms = group(pairs, right, "paradigm")
    overall = mean_of_groups(list(paradigms.values()))
    measures = [measure("blimp", "accuracy", overall, len(pairs), len(every), chance=0.5, headline=True)]
    for field in sorted({pair.field for pair in pairs}):
        inside = [paradigms[name] for name in sorted({pair.paradigm for pair in pairs if pair.field == field})]
        counts = sum(map(len, inside)), sum(pair.field == field for pair in every)
        measures.append(measure("blimp", "accuracy", mean_of_groups(inside), *counts, part=f"field {field}", chance=0.5))
    for name, outcome in paradigms.items():
        of = sum(pair.paradigm == name for pair in every)
        measures.append(measure("blimp", "accuracy", proportion(outcome), len(outcome), of, part=f"paradigm {name}", chance=0.5))
    return measures
