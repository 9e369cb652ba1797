"""Texts cut into windows that fit the context: what one run of a model can score.

A text is [bod] ids [eod], cut into rows as the model cuts it: patches of bytes, or the control's tokens. [eod] is never
scored; it closes the last patch, so that a text may end inside a word. A document is scored in windows of `context` rows
with an empty past; the first begins at [bod], each later one half a window further on and scores its second half only, so
every byte has at least half a window of context, or its document's whole past. A continuation is scored in one window that
ends with it and keeps the last part of what stands before; one longer than a window is scored as a document is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stlm.patch import document_ids

if TYPE_CHECKING:
    # For its type alone: it loads the tokenizers package.
    from stlm.bpe import TextRule


@dataclass(frozen=True)
class Window:
    """`rows` uint16 [n + 1, cap]: rows 1..n are predicted from those before them; `before` [cap] stands in front of
    row 0; `scored` bool [n + 1, cap]: the ids whose probability is asked for, none of them in row 0."""

    rows: np.ndarray
    before: np.ndarray
    scored: np.ndarray


def slide(rows: np.ndarray, scored: np.ndarray, context: int, no_patch: np.ndarray, start: int = 0) -> Iterator[Window]:
    """Cuts rows [n, cap] from row `start` on into windows; each scored id falls into exactly one of them."""
    done = start
    while done < len(rows) - 1:
        end = min(start + context, len(rows) - 1)
        mask = scored[start : end + 1].copy()
        mask[: done - start + 1] = False
        # The last row may be [eod] alone.
        if mask.any():
            yield Window(rows[start : end + 1], rows[start - 1] if start else no_patch, mask)
        done = end
        start = end - context // 2


def cut(pairs: Sequence[tuple[bytes, bytes]], rule: TextRule) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each (context, continuation) the rows of both as one text, and bool of the same shape: the ids that end after the context."""
    # One cut for all: [bod] ends its patch and [eod] the one before, so texts side by side do not touch.
    rows = rule.rows(np.concatenate([document_ids(before + after, rule) for before, after in pairs]))
    firsts = np.flatnonzero(rows[:, 0] == rule.specials["bod"])
    ends_of_texts = np.cumsum([len(before) + len(after) for before, after in pairs])
    skipped = np.repeat(ends_of_texts - [len(after) for _, after in pairs], np.diff(firsts, append=len(rows)))
    lengths = rule.byte_lengths[rows]
    scored = (lengths > 0) & (lengths.cumsum().reshape(rows.shape) > skipped[:, None])
    return list(zip(np.split(rows, firsts[1:]), np.split(scored, firsts[1:]), strict=True))


def document_windows(document: bytes, rule: TextRule, context: int) -> list[Window]:
    """Windows that score every byte of a document once."""
    [(rows, scored)] = cut([(b"", document)], rule)
    return list(slide(rows, scored, context, empty_row(rule)))


def pair_windows(pairs: Sequence[tuple[bytes, bytes]], rule: TextRule, context: int) -> list[list[Window]]:
    """For each (context, continuation) the windows that score the continuation: one, unless it is longer than a window.

    A token that reaches beyond the context counts to the continuation. Raises ValueError for an empty continuation.
    """
    if not all(after for _, after in pairs):
        raise ValueError("a continuation of no bytes cannot be scored")
    none = empty_row(rule)
    return [_windows(rows, scored, context, none) for rows, scored in cut(pairs, rule)] if pairs else []


def _windows(rows: np.ndarray, scored: np.ndarray, context: int, no_patch: np.ndarray) -> list[Window]:
    used = np.flatnonzero(scored.any(axis=1))
    first, last = used[0], used[-1]
    rows, scored = rows[: last + 1], scored[: last + 1]
    start = max(0, last - context)
    if start < first:
        return [Window(rows[start:], rows[start - 1] if start else no_patch, scored[start:])]
    return list(slide(rows, scored, context, no_patch, max(0, first - 1 - context // 2)))


def empty_row(rule: TextRule) -> np.ndarray:
    """[cap] of padding: what stands before a text."""
    return np.full(rule.cap, rule.specials["pad"], np.uint16)


def batches_of(windows: Sequence[Window], rows: int) -> Iterator[list[int]]:
    """Indices of windows of similar length together, longest first, at most `rows` padded rows a batch."""
    batch: list[int] = []
    for i in sorted(range(len(windows)), key=lambda i: -len(windows[i].rows)):
        if batch and (len(batch) + 1) * (len(windows[batch[0]].rows) - 1) > rows:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
