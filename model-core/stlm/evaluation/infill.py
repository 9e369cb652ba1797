"""Infilling: what a suffix is worth, and whether the model comes to its end before it.

Middles are cut out of held-out text at random characters, as many from each domain; their lengths are even by the logarithm within a
class. Measured of the same middles: bits per byte between prefix and suffix (stlm/infill.py), and after the prefix alone, as text. Short
ones are also written, greedily: is it the middle itself, and does the model end by itself within three times its length?
"""

from __future__ import annotations

import math
import sys
from typing import Protocol, runtime_checkable

import numpy as np

from stlm.evaluation.runner import Run
from stlm.evaluation.statistics import Measure, measure, proportion, ratio
from stlm.infill import Gap, character_start
from stlm.shards import ShardIndex, iterate_documents

PIECE_BYTES = 1500
CLASSES = {"up to 16 bytes": (2, 16), "17 to 64": (17, 64), "65 to 256": (65, 256)}
SHORT = "up to 16 bytes"
GAPS_PER_DOMAIN = 30
"""Of each class."""
_AT_ONCE = 16


@runtime_checkable
class Infiller(Protocol):
    """What a scorer must offer besides."""

    infills: bool
    """Whether the model was trained to."""

    def gap_nats(self, gaps: list[Gap]) -> list[float]:
        """log p(middle | prefix, suffix) of each gap."""
        ...

    def fill(self, gaps: list[Gap], max_bytes: list[int]) -> list[tuple[bytes, bool]]:
        """What is written into each gap, greedily, and whether the model ended it before `max_bytes`."""
        ...


def cut_gap(text: bytes, low: int, high: int, random: np.random.Generator) -> Gap:
    """A gap of `low` to `high` bytes, or a character more, with text on both sides."""
    length = round(np.exp(random.uniform(np.log(low), np.log(high))))
    start = int(random.integers(len(text) // 8, len(text) - length - len(text) // 8))
    first, last = character_start(text, start), character_start(text, start + length)
    while last == first:
        last = character_start(text, last + 4)
    return Gap(text[:first], text[first:last], text[last:])


def held_out_gaps(run: Run, name: str) -> list[Gap]:
    """Gaps of a class from every domain, each from a piece of its own."""
    assert run.heldout is not None
    gaps, index = [], ShardIndex.load(run.heldout)
    for source in index.sources:
        documents = [d for d in iterate_documents(run.heldout, index.shards_of(source.name)) if len(d) > PIECE_BYTES]
        random = run.random("infill", name, source.name)
        for _ in range(GAPS_PER_DOMAIN if documents else 0):
            document = documents[random.integers(len(documents))]
            start = int(random.integers(len(document) - PIECE_BYTES))
            text = document[start : start + PIECE_BYTES].tobytes()
            # From a word's start on.
            gaps.append(cut_gap(text.partition(b" ")[2] or text, *CLASSES[name], random))
    return gaps


def run_infill(run: Run) -> list[Measure]:
    scorer = run.scorer
    if not isinstance(scorer, Infiller) or not scorer.infills:
        print(f"infill: {scorer.name} is no exported tier that was trained to infill", file=sys.stderr)
        return []
    by_class = {name: run.sample(held_out_gaps(run, name), name=name) for name in CLASSES}
    every = [gap for gaps in by_class.values() for gap in gaps]
    nats = run.chunked("between", every, _AT_ONCE, lambda _, gaps: scorer.gap_nats(list(gaps)))
    between = -np.array(nats) / math.log(2)
    after = -run.log_probabilities("after", [(gap.prefix, gap.middle) for gap in every]) / math.log(2)
    lengths = np.array([len(gap.middle) for gap in every])
    measures, start = [], 0
    of = GAPS_PER_DOMAIN * len(ShardIndex.load(run.heldout or run.data).sources)
    for name, gaps in {"": every, **by_class}.items():
        taken = slice(0, len(every)) if not name else slice(start, start + len(gaps))
        start += len(gaps) if name else 0
        suffix = f", {name}" if name else ""
        size, whole = len(gaps), of * (1 if name else len(CLASSES))
        figures = {
            ("bits_per_byte", "between"): between[taken],
            ("bits_per_byte", "after the prefix"): after[taken],
            ("bits_saved_per_byte", "by the suffix"): after[taken] - between[taken],
        }
        for (metric, part), bits in figures.items():
            estimate = ratio(bits, lengths[taken])
            measures.append(measure("infill", metric, estimate, size, whole, part=part + suffix, headline=not name))
    short = by_class[SHORT]
    limits = [3 * len(gap.middle) + 8 for gap in short]
    written = run.chunked("fill", list(zip(short, limits, strict=True)), _AT_ONCE, lambda _, items: [
        (text.decode("latin-1"), ended) for text, ended in scorer.fill([gap for gap, _ in items], [limit for _, limit in items])
    ])  # fmt: skip
    same = [text.encode("latin-1") == gap.middle and ended for (text, ended), gap in zip(written, short, strict=True)]
    for metric, hits in (("exact_match", same), ("ended", [ended for _, ended in written])):
        measures.append(measure("infill", metric, proportion(hits), len(short), of, part=SHORT, headline=True))
    return measures
