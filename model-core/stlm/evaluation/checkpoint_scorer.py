"""A PyTorch checkpoint as a scorer, for arms and runs that were never exported. Uses a GPU where there is one.

`PatchLM.forward` puts no patch before the first one of a window, so a document's later windows lack the `pairs` context of
one patch; the artifact's figure is the one to quote.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
import torch

from stlm.checkpoint import load_model
from stlm.evaluation.scoring import WindowScorer, cut_at_stop, file_sha256
from stlm.evaluation.windows import Window
from stlm.generate import Sampling
from stlm.model import PatchLM

_PROMPTS_AT_ONCE = 16


class CheckpointScorer(WindowScorer):
    """Raises CheckpointError (a ValueError) for a damaged file or one of another kind."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        model, _ = load_model(path)
        self.model: PatchLM = model.to(self.device)
        self.name = path.parent.name if path.stem == "checkpoint" else path.stem
        self.sha256 = file_sha256(path)
        # Of the model and not of patch.json: an arm may have another cap.
        self.rule = model.rule
        self.context = model.config.context
        self.pad = self.rule.specials["pad"]
        self.stops = [self.rule.specials[name] for name in ("eod", "end_of_turn")]

    @torch.inference_mode()
    def nats(self, batch: list[Window]) -> np.ndarray:
        shape = (len(batch), max(len(window.rows) for window in batch), self.rule.cap)
        rows, scored = np.full(shape, self.pad, np.int64), np.zeros(shape, bool)
        for i, window in enumerate(batch):
            rows[i, : len(window.rows)], scored[i, : len(window.rows)] = window.rows, window.scored
        logits, target = self.model(torch.from_numpy(rows).to(self.device), torch.from_numpy(scored).to(self.device))
        chosen = logits.float().log_softmax(-1).gather(1, target[:, None])[:, 0].double().cpu().numpy()
        return np.bincount(np.nonzero(scored)[0], chosen, len(batch))

    def continuations(self, prompts: Sequence[bytes], max_bytes: int, stops: Sequence[bytes], sampling: Sampling) -> list[bytes]:
        texts: list[bytes] = []
        for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
            texts += self._continue(prompts[start : start + _PROMPTS_AT_ONCE], max_bytes, stops, sampling, sampling.seed + start)
        return texts

    def _continue(self, prompts: Sequence[bytes], max_bytes: int, stops: Sequence[bytes], sampling: Sampling, seed: int) -> list[bytes]:
        """A byte of every unfinished text a pass, without a cache: slow, but it needs only the model's forward."""
        streams = [np.concatenate([[self.rule.specials["bod"]], np.frombuffer(prompt, np.uint8)]).astype(np.uint16) for prompt in prompts]
        texts = [b""] * len(prompts)
        going = list(range(len(prompts))) if max_bytes > 0 else []
        random = [np.random.default_rng(seed + i) for i in range(len(prompts))]
        while going:
            logits = self._next([streams[i] for i in going])
            still = []
            for i, row in zip(going, logits, strict=True):
                byte = choose(row, sampling, random[i], self.stops)
                if byte >= 256:
                    continue
                streams[i] = np.append(streams[i], np.uint16(byte))
                texts[i] += bytes([byte])
                if len(texts[i]) < max_bytes and not any(stop in texts[i] for stop in stops):
                    still.append(i)
            going = still
        return [cut_at_stop(text, stops) for text in texts]

    @torch.inference_mode()
    def _next(self, streams: list[np.ndarray]) -> np.ndarray:
        """float64 [streams, vocabulary]: logits of the id after each stream; its place is asked for with a stand-in id."""
        windows = []
        for stream in streams:
            rows = self.rule.rows(stream)
            rest = stream[int((rows != self.pad).sum()) :]
            last = np.full((1, self.rule.cap), self.pad, np.uint16)
            last[0, : len(rest)], last[0, len(rest)] = rest, 0
            rows = np.concatenate([rows[-self.context :], last])
            windows.append((rows, len(rest)))
        shape = (len(streams), max(len(rows) for rows, _ in windows), self.rule.cap)
        batch, scored = np.full(shape, self.pad, np.int64), np.zeros(shape, bool)
        for i, (rows, place) in enumerate(windows):
            batch[i, : len(rows)] = rows
            scored[i, len(rows) - 1, place] = True
        logits, _ = self.model(torch.from_numpy(batch).to(self.device), torch.from_numpy(scored).to(self.device))
        return logits.double().cpu().numpy()


def choose(logits: np.ndarray, sampling: Sampling, random: np.random.Generator, allowed_specials: Container[int]) -> int:
    """The next id: greedy at temperature 0, else sampled from the nucleus; of the specials, only those that end a text."""
    refused = [i for i in range(256, len(logits)) if i not in allowed_specials]
    logits = logits.copy()
    logits[refused] = -np.inf
    if sampling.temperature == 0:
        return int(logits.argmax())
    scaled = np.exp((logits - logits.max()) / sampling.temperature)
    order = np.argsort(-scaled)
    mass = np.cumsum(scaled[order]) / scaled.sum()
    kept = (mass - scaled[order] / scaled.sum() < sampling.top_p) & (np.arange(len(order)) < (sampling.top_k or len(order)))
    weights = np.where(kept, scaled[order], 0.0)
    return int(random.choice(order, p=weights / weights.sum()))
