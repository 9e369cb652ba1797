"""A byte n-gram model with interpolated, modified Kneser-Ney smoothing: the baseline every tier has to beat.

Chen & Goodman 1998 (TR-10-98, §4.1.6), with the fallback discounts of KenLM (Heafield et al. 2013) where the text is
too small to estimate them. An n-gram is one integer of 9 bits a symbol, oldest symbol first, so counting is sorting and
the shorter n-gram is a bit mask. Symbol 256 fills the context before a document's first byte; it is never predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

MAX_ORDER = 7
_SYMBOL_BITS = 9
_BOUNDARY = 256
_FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
# Positions counted between two merges: bounds the memory of counting at about 0.5 GB.
_BLOCK_POSITIONS = 16 * 2**20


@dataclass(frozen=True)
class _Level:
    """One order. `grams` and `contexts` are sorted; `share` is the discounted probability of a gram, `backoff` the
    probability that a context leaves to the next shorter order."""

    grams: np.ndarray
    share: np.ndarray
    contexts: np.ndarray
    backoff: np.ndarray


def _mask(symbols: int) -> np.uint64:
    return np.uint64((1 << (_SYMBOL_BITS * symbols)) - 1)


def _grams(document: np.ndarray, order: int) -> np.ndarray:
    """uint64 [bytes]: for each byte of a document the n-gram that ends in it."""
    padded = np.full(len(document) + order - 1, _BOUNDARY, dtype=np.uint64)
    padded[order - 1 :] = document
    grams = np.zeros(len(document), dtype=np.uint64)
    for place in range(order):
        grams = (grams << np.uint64(_SYMBOL_BITS)) | padded[place : place + len(document)]
    return grams


def _blocks(documents: Iterable[np.ndarray], order: int) -> Iterator[np.ndarray]:
    """The n-grams of all documents, in pieces of about `_BLOCK_POSITIONS`."""
    pieces: list[np.ndarray] = []
    size = 0
    for document in documents:
        pieces.append(_grams(document, order))
        size += len(document)
        if size >= _BLOCK_POSITIONS:
            yield np.concatenate(pieces)
            pieces, size = [], 0
    if pieces:
        yield np.concatenate(pieces)


def _tally(keys: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys, sorted, with the sum of their counts (1 each by default)."""
    if counts is None:
        keys = np.sort(keys)
    else:
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    if counts is None:
        return keys[starts], np.diff(np.append(starts, len(keys)))
    return keys[starts], np.add.reduceat(counts, starts)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """float64 [4]: what is taken off a count of 0, 1, 2, and 3 or more."""
    n1, n2, n3, n4 = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    if n1 and n2 and n3 and n4:
        y = n1 / (n1 + 2 * n2)
        estimated = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 < d <= k for k, d in enumerate(estimated, start=1)):
            return np.array([0.0, *estimated])
    return np.array([0.0, *_FALLBACK_DISCOUNTS])


def _level(grams: np.ndarray, counts: np.ndarray) -> _Level:
    taken = _discounts(counts)[np.minimum(counts, 3)]
    contexts = grams >> np.uint64(_SYMBOL_BITS)
    starts = np.flatnonzero(np.concatenate([[True], contexts[1:] != contexts[:-1]]))
    totals = np.add.reduceat(counts, starts).astype(np.float64)
    repeats = np.diff(np.append(starts, len(grams)))
    return _Level(
        grams=grams,
        share=(counts - taken) / np.repeat(totals, repeats),
        contexts=contexts[starts],
        backoff=np.add.reduceat(taken, starts) / totals,
    )


def _find(sorted_keys: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each key is (any place if absent), and whether it is there."""
    place = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return place, sorted_keys[place] == keys


class KneserNey:
    """Probability of a byte after the `order - 1` bytes before it, learnt from documents."""

    def __init__(self, documents: Iterable[np.ndarray], order: int = 5) -> None:
        """`documents` are uint8 [bytes] each. Raises ValueError for an order we cannot pack or a text without bytes."""
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"order {order}: must be 1 to {MAX_ORDER}")
        grams, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        for block in _blocks(documents, order):
            block_grams, block_counts = _tally(block)
            grams, counts = _tally(np.concatenate([grams, block_grams]), np.concatenate([counts, block_counts]))
        if len(grams) == 0:
            raise ValueError("no training text")
        self.order = order
        self.training_bytes = int(counts.sum())
        levels = [_level(grams, counts)]
        for shorter in range(order - 1, 0, -1):
            # A shorter n-gram counts in how many distinct contexts it was seen, not how often.
            grams, counts = _tally(grams & _mask(shorter))
            levels.append(_level(grams, counts))
        self._levels = levels[::-1]

    def probabilities(self, document: np.ndarray) -> np.ndarray:
        """float64 [bytes]: the probability of each byte of a uint8 [bytes] document after those before it."""
        grams = _grams(document, self.order)
        probability = np.full(len(document), 1 / 256)
        for symbols, level in enumerate(self._levels, start=1):
            keys = grams & _mask(symbols)
            place, known = _find(level.grams, keys)
            context_place, context_known = _find(level.contexts, keys >> np.uint64(_SYMBOL_BITS))
            share = np.where(known, level.share[place], 0.0)
            probability = np.where(context_known, share + level.backoff[context_place] * probability, probability)
        return probability

    def bits(self, document: np.ndarray) -> float:
        """Code length of a document in bits."""
        return float(-np.log2(self.probabilities(document)).sum())
