"""The BPE control as a scorer, so that the whole evaluation suite can judge it beside the tiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stlm.ablation.scorer import TorchScorer
from stlm.evaluation.checkpoint_scorer import choose
from stlm.evaluation.scoring import cut_at_stop
from stlm.generate import Sampling
from stlm.token_model import TokenLM


class TokenScorer(TorchScorer):
    """`TorchScorer` scores; this adds text. Raises CheckpointError (a ValueError) for a damaged file or one of another kind."""

    model: TokenLM

    def __init__(self, path: Path, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        super().__init__(path)
        self.name = path.parent.name if path.stem == "checkpoint" else path.stem
        self.context = self.model.config.context
        self.rule_hash = self.model.rule.rule_hash

    def continuations(self, prompts: Sequence[bytes], max_bytes: int, stops: Sequence[bytes], sampling: Sampling) -> list[bytes]:
        """A token a pass, without a cache; the last token may be cut at `max_bytes`."""
        return [self._continue(prompt, max_bytes, stops, sampling, sampling.seed + i) for i, prompt in enumerate(prompts)]

    @torch.inference_mode()
    def _continue(self, prompt: bytes, max_bytes: int, stops: Sequence[bytes], sampling: Sampling, seed: int) -> bytes:
        rule, context = self.model.rule, self.model.config.context
        random, text = np.random.default_rng(seed), b""
        ids = [rule.specials["bod"], *rule.encode(prompt).tolist()]
        while len(text) < max_bytes and not any(stop in text for stop in stops):
            rows = torch.tensor([*ids[-context:], 0])[None, :, None]
            logits = self.model.logits_at(rows, torch.tensor([rows.shape[1] - 2]))[0].double().numpy()
            logits[[rule.specials["bod"], rule.specials["pad"]]] = -np.inf
            # `choose` refuses ids from 256 on that are not named: all of ours that are left may be chosen.
            token = choose(logits, sampling, random, range(256, len(logits)))
            if token == rule.specials["eod"]:
                break
            ids.append(token)
            text += rule.decode(np.array([token]))
        return cut_at_stop(text[:max_bytes], stops)
