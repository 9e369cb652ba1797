"""What a training step minimises: the loss of every scored id of a batch, alone or beside a teacher's distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stlm.bpe import TokenRule
from stlm.data import CONTEXT_ONLY
from stlm.model import LanguageModel
from stlm.patch import PatchRule

PLACES_PER_PATCH = 6.0
"""Scored ids a patch that a compiled step has room for; English has 5.4. What a batch holds beyond that is left unscored."""


@dataclass(frozen=True)
class Batch:
    """`rows` int64 [batch, S + 1, cap]; `at` int64 [n], flat places in rows[:, 1:]; `target` int64 [n], the ids there;
    `weight` float32 [n], 0 where `at` is filling; `ids`: how many are scored; `bytes`: how many bytes they stand for; `read`:
    how many bytes are read, scored or not, in how many `patches`."""

    rows: Tensor
    at: Tensor
    target: Tensor
    weight: Tensor
    ids: int
    bytes: int
    read: int
    patches: int


def make_batch(rows: np.ndarray, rule: PatchRule | TokenRule, device: str, *, fixed: bool) -> Batch:
    """A batch from the stream's rows, uint16 [batch, S + 1, cap], some flagged CONTEXT_ONLY; `fixed` gives all batches one shape."""
    clean = (rows & (CONTEXT_ONLY - 1)).astype(np.int64)
    targets = clean[:, 1:].reshape(-1)
    known = targets != rule.specials["pad"]
    at = np.flatnonzero(known & (rows[:, 1:].reshape(-1) < CONTEXT_ONLY))
    ids = len(at)
    if fixed:
        # Where patches are shorter than that (flat bytes, tokens), every place has room.
        room = min(int(PLACES_PER_PATCH * rows.shape[0] * (rows.shape[1] - 1)), len(targets))
        at = at[:room]
        ids = len(at)
        # Filling is spread over the batch: gradients of one place would wait for each other.
        at = np.concatenate([at, np.arange(room - ids) % len(targets)])
    weight = (np.arange(len(at)) < ids).astype(np.float32)
    # A special counts as the byte that it takes in a shard.
    lengths = np.maximum(rule.byte_lengths[targets], 1) * known
    patches = int(known.reshape(-1, rows.shape[2]).any(axis=1).sum())
    return Batch(
        send(clean, device), send(at, device), send(targets[at], device), send(weight, device),
        ids=ids, bytes=int(lengths[at[:ids]].sum()), read=int(lengths.sum()), patches=patches,
    )  # fmt: skip


def send(array: np.ndarray, device: str) -> Tensor:
    """The array on the device; to a GPU through pinned memory, so that the copy waits for nothing."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor


class Objective:
    """Sums over the scored ids of a batch, in nats: what to minimise, and the plain cross-entropy to report.

    With a teacher, `share` of what is minimised is the cross-entropy to the teacher's distribution (Hinton et al., arXiv
    1503.02531, temperature 1); both read the same bytes, so there is nothing to align. `compiled` makes the whole step one
    graph of fixed shapes.
    """

    def __init__(
        self, model: LanguageModel, *, bf16: bool, compiled: bool, teacher: LanguageModel | None = None, share: float = 0.0
    ) -> None:
        self.model = model
        self.bf16 = bf16
        self.compiled = compiled
        self.teacher = teacher
        self.share = share
        self.run = torch.compile(self.sums, dynamic=False) if compiled else self.sums

    def sums(self, rows: Tensor, at: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(rows.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            logits = self.model.logits_at(rows, at)
        log_probabilities = logits.float().log_softmax(-1)
        plain = -(log_probabilities.gather(1, target[:, None]).squeeze(1) * weight).sum()
        if self.teacher is None:
            return plain, plain.detach()
        with torch.no_grad(), torch.autocast(rows.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            taught = self.teacher.logits_at(rows, at)
        soft = -((taught.float().softmax(-1) * log_probabilities).sum(-1) * weight).sum()
        return (1 - self.share) * plain + self.share * soft, plain.detach()

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Objective and cross-entropy, summed over the scored ids."""
        return self.run(batch.rows, batch.at, batch.target, batch.weight)


def cross_entropy(model: LanguageModel, rows: Tensor) -> tuple[float, int]:
    """Nats and number of the raw bytes of teacher-forced rows, specials excluded, in the weights' own precision."""
    nats, count = 0.0, 0
    lengths = torch.from_numpy(model.rule.byte_lengths).to(rows.device)
    for chunk in rows.split(8):
        logits, target = model(chunk)
        raw = lengths[target] > 0
        nats += F.cross_entropy(logits.float(), target, reduction="none")[raw].sum().item()
        count += int(lengths[target].sum())
    return nats, count
