"""Probabilities of text under a checkpoint in PyTorch, of a patch model or of the BPE control: the one code judges both.

A text is [bod] ids [eod], cut into rows as the model cuts it (patches, or tokens). It is scored in windows of `context` rows;
the first begins at [bod], each later one half a window further on and scores its second half only. [eod] is not scored.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from stlm import checkpoint
from stlm.model import LanguageModel
from stlm.token_model import is_control, load_token_model

_CELLS = 12_288
"""Ids, padding included, that are scored in one pass; fewer where their logits would be more than `_LOGITS` numbers."""
_LOGITS = 2**25


@dataclass(frozen=True)
class _Window:
    """`rows` uint16 [n + 1, cap]; `scored` bool of the same shape, nothing of it in row 0."""

    text: int
    rows: np.ndarray
    scored: np.ndarray


def open_model(path: Path) -> LanguageModel:
    """The model of a checkpoint of either family. Raises as `checkpoint.load` does."""
    return load_token_model(path)[0] if is_control(path) else checkpoint.load_model(path)[0]


class TorchScorer:
    """log-probabilities of continuations and bits of documents; text is bytes, the model adds its own start of text."""

    def __init__(self, path: Path, window: int | None = None) -> None:
        """`window`: rows of context, at most the model's, which is what None takes."""
        self.model = open_model(path)
        self.context = min(window or self.model.config.context, self.model.config.context)
        self.name: str = self.model.config.name
        with path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def log_probabilities(self, pairs: Sequence[tuple[bytes, bytes]]) -> list[float]:
        """log p(continuation | context) of each pair, in nats. Both are cut as one text; an id that reaches beyond the context
        counts to the continuation. Raises ValueError for an empty continuation."""
        if not all(after for _, after in pairs):
            raise ValueError("a continuation of no bytes cannot be scored")
        windows = [w for i, (before, after) in enumerate(pairs) for w in self._windows(i, before + after, len(before))]
        return (-self._nats(windows, len(pairs))).tolist()

    def document_bits(self, documents: Sequence[bytes], progress: Callable[[int], object] | None = None) -> list[float]:
        """Bits of each document's raw bytes; `progress` is told of bytes as they are done."""
        windows = [w for i, document in enumerate(documents) for w in self._windows(i, document, 0)]
        return (self._nats(windows, len(documents), progress) / math.log(2)).tolist()

    def _windows(self, text: int, body: bytes, skipped: int) -> Iterator[_Window]:
        """Windows that score each id ending after the first `skipped` bytes once."""
        rule, context = self.model.rule, self.context
        rows = rule.document_rows(body)
        known = rows != rule.specials["pad"]
        lengths = np.where(known, rule.byte_lengths[rows], 0)
        ends = lengths.reshape(-1).cumsum().reshape(rows.shape)
        scored = (lengths > 0) & (ends > skipped)
        start = done = 0
        while done < len(rows) - 1:
            end = min(start + context, len(rows) - 1)
            window = scored[start : end + 1].copy()
            window[: done - start + 1] = False
            if window.any():
                yield _Window(text, rows[start : end + 1], window)
            done, start = end, end - context // 2

    def _nats(self, windows: list[_Window], texts: int, progress: Callable[[int], object] | None = None) -> np.ndarray:
        """float64 [texts]: the negative log-probability of each text's scored ids."""
        totals, pad = np.zeros(texts), self.model.rule.specials["pad"]
        for batch in _batches(windows, min(_CELLS, _LOGITS // self.model.config.vocabulary)):
            longest = len(batch[0].rows)
            rows = np.full((len(batch), longest, batch[0].rows.shape[1]), pad, np.int64)
            scored = np.zeros(rows.shape, bool)
            for i, window in enumerate(batch):
                rows[i, : len(window.rows)] = window.rows
                scored[i, : len(window.rows)] = window.scored
            with torch.inference_mode():
                logits, target = self.model(torch.from_numpy(rows), torch.from_numpy(scored))
                nats = F.cross_entropy(logits.float(), target, reduction="none").double().numpy()
            owner = np.repeat([window.text for window in batch], scored.sum(axis=(1, 2)))
            np.add.at(totals, owner, nats)
            if progress:
                progress(int(self.model.rule.byte_lengths[target.numpy()].sum()))
        return totals


def _batches(windows: list[_Window], cells: int) -> Iterator[list[_Window]]:
    """Windows of similar length together, longest first."""
    batch: list[_Window] = []
    for window in sorted(windows, key=lambda w: -len(w.rows)):
        if batch and (len(batch) + 1) * batch[0].rows.size > cells:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch
