"""Texts cut into windows that fit the context: what one run of a patch model can score.

A text is [bod] bytes [eod], cut into patches. [eod] is never scored; it closes the last patch, so that a text may end
inside a word. A document is scored in windows of `context` patches with an empty past; the first begins at [bod], each
later one half a window further on and scores its second half only, so every byte has at least half a window of context,
or its document's whole past. A continuation is scored in one window that ends with it and keeps the last part of what
stands before; one longer than a window is scored as a document is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stlm.patch import PatchRule, document_ids


@dataclass(frozen=True)
class Window:
    """`rows` uint16 [n + 1, cap]: patches 1..n are predicted from those before them; `before` [cap] stands in front of
    row 0; `scored` bool [n + 1, cap]: the ids whose probability is asked for, none of them in row 0."""

    rows: np.ndarray
    before: np.ndarray
    scored: np.ndarray


def slide(rows: np.ndarray, scored: np.ndarray, context: int, no_patch: np.ndarray, start: int = 0) -> Iterator[Window]:
    """Cuts patches [n, cap] from row `start` on into windows; each scored id falls into exactly one of them."""
    done = start
    while done < len(rows) - 1:
        end = min(start + context, len(rows) - 1)
        mask = scored[start : end + 1].copy()
        mask[: done - start + 1] = False
        yield Window(rows[start : end + 1], rows[start - 1] if start else no_patch, mask)
        done = end
        start = end - context // 2


def document_windows(document: bytes, rule: PatchRule, context: int) -> list[Window]:
    """Windows that score every byte of a document once."""
    rows = rule.rows(document_ids(document, rule))
    return list(slide(rows, rows < 256, context, empty_patch(rule)))


def pair_windows(pairs: Sequence[tuple[bytes, bytes]], rule: PatchRule, context: int) -> list[list[Window]]:
    """For each (context, continuation) the windows that score the continuation: one, unless it is longer than a window.

    Raises ValueError for an empty continuation.
    """
    if not pairs:
        return []
    # One cut for all: [bod] ends its patch and [eod] the one before, so texts side by side do not touch.
    ids = np.concatenate([document_ids(before + after, rule) for before, after in pairs])
    rows = rule.rows(ids)
    lengths = [len(before) + len(after) + 2 for before, after in pairs]
    asked = np.zeros(len(ids), bool)
    for start, length, (before, after) in zip(np.cumsum([0, *lengths[:-1]]), lengths, pairs, strict=True):
        if not after:
            raise ValueError("a continuation of no bytes cannot be scored")
        asked[start + 1 + len(before) : start + length - 1] = True
    scored = np.zeros(rows.shape, bool)
    scored[rows != rule.specials["pad"]] = asked
    firsts = np.flatnonzero(rows[:, 0] == rule.specials["bod"])
    none = empty_patch(rule)
    return [_windows(rows[a:b], scored[a:b], context, none) for a, b in zip(firsts, [*firsts[1:], len(rows)], strict=True)]


def _windows(rows: np.ndarray, scored: np.ndarray, context: int, no_patch: np.ndarray) -> list[Window]:
    used = np.flatnonzero(scored.any(axis=1))
    first, last = used[0], used[-1]
    rows, scored = rows[: last + 1], scored[: last + 1]
    start = max(0, last - context)
    if start < first:
        return [Window(rows[start:], rows[start - 1] if start else no_patch, scored[start:])]
    return list(slide(rows, scored, context, no_patch, max(0, first - 1 - context // 2)))


def empty_patch(rule: PatchRule) -> np.ndarray:
    """[cap] of padding: what stands before a text."""
    return np.full(rule.cap, rule.specials["pad"], np.uint16)


def batches_of(windows: Sequence[Window], patches: int) -> Iterator[list[int]]:
    """Indices of windows of similar length together, longest first, at most `patches` padded patches a batch."""
    batch: list[int] = []
    for i in sorted(range(len(windows)), key=lambda i: -len(windows[i].rows)):
        if batch and (len(batch) + 1) * (len(windows[batch[0]].rows) - 1) > patches:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
