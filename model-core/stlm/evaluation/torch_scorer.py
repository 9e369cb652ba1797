"""A PyTorch checkpoint as a scorer, of a patch model or of the BPE control. Uses a GPU where there is one.

`forward` puts no patch before the first one of a window, so a document's later windows lack the `pairs` context of one
patch; the artifact's figure is the one to quote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stlm.evaluation.scoring import WindowScorer, cut_at_stop, file_sha256
from stlm.evaluation.windows import Window
from stlm.family import open_model
from stlm.sampling import Sampling

_PROMPTS_AT_ONCE = 16


class TorchScorer(WindowScorer):
    """Raises CheckpointError (a ValueError) for a damaged file or one of another kind."""

    def __init__(self, path: Path, window: int | None = None) -> None:
        """`window`: rows of context, at most the model's, which is what None takes."""
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = open_model(path).to(self.device)
        self.name = path.parent.name if path.stem == "checkpoint" else path.stem
        self.sha256 = file_sha256(path)
        # Of the model and not of patch.json: an arm may have another cap.
        self.rule = self.model.rule
        self.context = min(window or self.model.config.context, self.model.config.context)
        self.pad = self.rule.specials["pad"]
        ends = [self.rule.specials[name] for name in ("eod", "end_of_turn") if name in self.rule.specials]
        self.never = np.setdiff1d(np.flatnonzero(self.rule.byte_lengths == 0), ends)
        """Specials that do not end a text."""

    @torch.inference_mode()
    def nats(self, batch: list[Window]) -> np.ndarray:
        logits, target = self._logits([window.rows for window in batch], [window.scored for window in batch])
        chosen = logits.float().log_softmax(-1).gather(1, target[:, None])[:, 0].double().cpu().numpy()
        return np.bincount(np.repeat(np.arange(len(batch)), [window.scored.sum() for window in batch]), chosen, len(batch))

    def continuations(self, prompts: Sequence[bytes], max_bytes: int, stops: Sequence[bytes], sampling: Sampling) -> list[bytes]:
        if sampling.penalises:
            raise ValueError("penalties count bytes as the exported file does: a checkpoint is continued without them")
        texts: list[bytes] = []
        for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
            texts += self._continue(prompts[start : start + _PROMPTS_AT_ONCE], max_bytes, stops, sampling, sampling.seed + start)
        return texts

    def _continue(self, prompts: Sequence[bytes], max_bytes: int, stops: Sequence[bytes], sampling: Sampling, seed: int) -> list[bytes]:
        """An id of every unfinished text a pass, without a cache: slow, but it needs only the model's forward."""
        streams = [np.concatenate([[self.rule.specials["bod"]], self.rule.encode(prompt)]).astype(np.uint16) for prompt in prompts]
        texts = [b""] * len(prompts)
        going = list(range(len(prompts))) if max_bytes > 0 else []
        random = [np.random.default_rng(seed + i) for i in range(len(prompts))]
        while going:
            logits = self._next([streams[i] for i in going])
            logits[:, self.never] = -np.inf
            still = []
            for i, row in zip(going, logits, strict=True):
                chosen = np.array([choose(row, sampling, random[i])], np.uint16)
                if not self.rule.byte_lengths[chosen[0]]:
                    continue
                streams[i] = np.append(streams[i], chosen)
                texts[i] += self.rule.decode(chosen)
                if len(texts[i]) < max_bytes and not any(stop in texts[i] for stop in stops):
                    still.append(i)
            going = still
        # The last token may reach beyond the limit.
        return [cut_at_stop(text[:max_bytes], stops) for text in texts]

    @torch.inference_mode()
    def _next(self, streams: list[np.ndarray]) -> np.ndarray:
        """float64 [streams, vocabulary]: logits of the id after each stream; its place is asked for with a stand-in id."""
        windows, asked = [], []
        for stream in streams:
            rows = self.rule.rows(stream)
            rest = stream[int((rows != self.pad).sum()) :]
            last = np.full((1, self.rule.cap), self.pad, np.uint16)
            last[0, : len(rest)], last[0, len(rest)] = rest, 0
            windows.append(np.concatenate([rows[-self.context :], last]))
            asked.append(np.zeros(windows[-1].shape, bool))
            asked[-1][-1, len(rest)] = True
        return self._logits(windows, asked)[0].double().cpu().numpy()

    def _logits(self, windows: list[np.ndarray], scored: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the scored ids of windows [n, cap] of any length, in order, and those ids."""
        shape = (len(windows), max(map(len, windows)), self.rule.cap)
        rows, wanted = np.full(shape, self.pad, np.int64), np.zeros(shape, bool)
        for i, window in enumerate(windows):
            rows[i, : len(window)], wanted[i, : len(window)] = window, scored[i]
        return self.model(torch.from_numpy(rows).to(self.device), torch.from_numpy(wanted).to(self.device))


def choose(logits: np.ndarray, sampling: Sampling, random: np.random.Generator) -> int:
    """The next id: greedy at temperature 0, else sampled from what the filters keep."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    weights = np.where(sampling.kept(logits), np.exp((logits - logits.max()) / sampling.temperature), 0.0)
    return int(random.choice(len(logits), p=weights / weights.sum()))
