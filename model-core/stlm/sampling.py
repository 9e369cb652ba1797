"""How the next id is drawn: the settings, and in numpy what the exported graph does with them (export_sampler.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VOCABULARY = 272

LEAST_TEMPERATURE = 1e-4
"""That the filters see: divided by less, logits leave the range in which the graph tells the refused from the rest."""


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0 is greedy; `top_k` 0, `top_p` 1, `min_p` 0 and the penalties 0, 0 and 1 are off. `jitter` is Gaussian noise on the
    logits, in nats."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    jitter: float = 0.0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        # Far above a temperature of 4 the noise itself would pass for a decision of the host (`export_sampler.DECIDED`).
        for name, value, low, high in (
            ("temperature", self.temperature, 0, 4),
            ("top-p", self.top_p, 1e-6, 1),
            ("top-k", self.top_k, 0, VOCABULARY),
            ("min-p", self.min_p, 0, 1),
            ("frequency penalty", self.frequency_penalty, -2, 2),
            ("presence penalty", self.presence_penalty, -2, 2),
            ("repetition penalty", self.repetition_penalty, 0.01, 100),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name} {value}: must be {low} to {high}")

    @property
    def penalises(self) -> bool:
        return (self.frequency_penalty, self.presence_penalty, self.repetition_penalty) != (0, 0, 1)

    @property
    def filters(self) -> bool:
        """The likeliest id passes every filter, so that greedy choice needs none."""
        return self.temperature > 0 and (self.top_p, self.top_k, self.min_p) != (1, 0, 0)

    def row(self) -> np.ndarray:
        """float32 [1, 7]: the graph's `sampler`; zeros where nothing is asked."""
        temperature = max(LEAST_TEMPERATURE, self.temperature)
        filters = (temperature, self.top_p, self.top_k or VOCABULARY, self.min_p) if self.filters else (1, 1, VOCABULARY, 0)
        penalties = (self.frequency_penalty, self.presence_penalty, self.repetition_penalty)
        asked = self.filters or self.penalises
        return np.array([(*filters, *penalties) if asked else [0] * 7], np.float32)

    def penalised(self, logits: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Logits [..., 272] after the penalties; `seen` [..., 2, 272] as the graph's."""
        generated, both = seen[..., 0, :], seen.sum(axis=-2)
        smaller = np.where(logits > 0, logits / self.repetition_penalty, logits * self.repetition_penalty)
        repeated = np.where(both > 0, smaller, logits)
        return repeated - self.frequency_penalty * generated - self.presence_penalty * (generated > 0)

    def kept(self, logits: np.ndarray) -> np.ndarray:
        """bool [n]: which of the logits [n], banned ones -inf, pass the filters."""
        if not self.filters:
            return np.ones(len(logits), bool)
        order = np.argsort(-logits, kind="stable")
        probability = np.exp((logits[order] - logits[order[0]]) / self.temperature)
        probability /= probability.sum()
        passes = np.cumsum(probability) - probability < self.top_p
        passes &= np.arange(len(order)) < (self.top_k or len(order))
        passes &= probability >= self.min_p * probability[0]
        kept = np.zeros(len(logits), bool)
        kept[order] = passes
        return kept


def count_bytes(*parts: np.ndarray) -> np.ndarray:
    """float32 [parts, 272]: how often each byte stands among the ids of each part; specials are not counted."""
    return np.stack([np.bincount(part[part < 256], minlength=VOCABULARY) for part in parts]).astype(np.float32)
