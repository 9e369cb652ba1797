"""What a model must offer to be evaluated, and the one place that opens one: `open_scorer`.

An exported artifact and a checkpoint share `WindowScorer`; a model of another kind implements `Scorer` itself.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stlm.evaluation.windows import Window, batches_of, document_windows, pair_windows
from stlm.sampling import Sampling

if TYPE_CHECKING:
    from stlm.bpe import TextRule

Pair = tuple[bytes, bytes]
"""What stands before, and the continuation that is scored."""


class Scorer(Protocol):
    """Text in and out is bytes; a model adds its own start-of-text id and forgets what does not fit its context."""

    name: str
    """What reports call the model."""
    sha256: str
    """Of the model file: results of another file are not taken over."""
    context: int
    """Patches, or tokens, that it reads at once."""

    @property
    def rule_hash(self) -> str:
        """Of the rule by which it cuts text."""
        ...

    def log_probabilities(self, pairs: Sequence[Pair]) -> list[float]:
        """log p(continuation | context) of each pair, in nats; ends of text are not scored. Raises ValueError for an empty one."""
        ...

    def document_bits(self, documents: Sequence[bytes], progress: Callable[[int], object] | None = None) -> list[float]:
        """Bits of each document's raw bytes; `progress` is told of bytes as they are done."""
        ...

    def continuations(self, prompts: Sequence[bytes], max_bytes: int, stops: Sequence[bytes], sampling: Sampling) -> list[bytes]:
        """Text after each prompt, up to the first of `stops`, the end of text or `max_bytes`; prompt i has seed `sampling.seed` + i."""
        ...


class WindowScorer(ABC):
    """The scoring half of `Scorer` for models that read windows of rows; a subclass runs a batch of them."""

    name: str
    sha256: str
    rule: TextRule
    context: int
    run_rows = 1024
    """Padded rows in one run."""

    @property
    def rule_hash(self) -> str:
        return self.rule.rule_hash

    @abstractmethod
    def nats(self, batch: list[Window]) -> np.ndarray:
        """float64 [batch]: log-probability of each window's scored ids."""

    def log_probabilities(self, pairs: Sequence[Pair]) -> list[float]:
        windows = pair_windows(pairs, self.rule, self.context)
        return self._totals(windows).tolist()

    def document_bits(self, documents: Sequence[bytes], progress: Callable[[int], object] | None = None) -> list[float]:
        windows = [document_windows(document, self.rule, self.context) for document in documents]
        return (-self._totals(windows, progress) / math.log(2)).tolist()

    def _totals(self, grouped: list[list[Window]], progress: Callable[[int], object] | None = None) -> np.ndarray:
        """Sum over each group's windows, in nats."""
        windows = [window for group in grouped for window in group]
        owner = np.repeat(np.arange(len(grouped)), [len(group) for group in grouped])
        totals = np.zeros(len(grouped))
        for batch in batches_of(windows, self.run_rows):
            np.add.at(totals, owner[batch], self.nats([windows[i] for i in batch]))
            if progress:
                progress(sum(int(self.rule.byte_lengths[windows[i].rows[windows[i].scored]].sum()) for i in batch))
        return totals


def identity(scorer: Scorer) -> dict[str, str | int]:
    """What of a model decides its figures: the weights, and what its file does not hold."""
    return {"sha256": scorer.sha256, "context": scorer.context, "rule": scorer.rule_hash}


def cut_at_stop(text: bytes, stops: Sequence[bytes]) -> bytes:
    """The text before the first of `stops` to appear."""
    return text[: min([at for stop in stops if (at := text.find(stop)) >= 0], default=len(text))]


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_scorer(path: Path, precision: str | None = None, threads: int = 1) -> Scorer:
    """The model at `path`: a checkpoint where it ends in `.pt`, else an artifact folder. A new kind of model is added here.

    Raises OSError or ValueError when there is none, or a damaged one.
    """
    if path.suffix == ".pt":
        # Imported when asked for: PyTorch takes seconds to load.
        import torch

        from stlm.evaluation.torch_scorer import TorchScorer

        torch.set_num_threads(threads)
        return TorchScorer(path)
    from stlm.evaluation.artifact_scorer import ArtifactScorer
    from stlm.runtime import Runtime

    return ArtifactScorer(Runtime(path, precision, threads))
