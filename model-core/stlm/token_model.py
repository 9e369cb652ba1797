"""The control: a BPE transformer with the patch model's own trunk, so that only the unit of text differs.

    token --embedding row--> trunk --the same rows as output matrix--> logits of the next token

Bits per byte are comparable: nats of all tokens of a text over its raw bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from stlm import checkpoint, rounding
from stlm.bpe import VOCABULARY, TokenRule
from stlm.config import TrunkConfig
from stlm.model import LanguageModel, Table, norm


@dataclass(frozen=True, kw_only=True)
class TokenConfig(TrunkConfig):
    """Sizes of a BPE transformer; `context` in tokens."""

    vocabulary: int = VOCABULARY


CONTROLS = {
    "bpe-10m": TokenConfig(name="bpe-10m", width=256, layers=2, heads=4, kv_heads=1, mlp=1024),
}
"""Configurations that train as tiers do but are no tier: nothing serves them."""


class TokenLM(LanguageModel):
    """One table, tied between input and output, around the trunk. Reads rows of one token each."""

    config: TokenConfig
    rule: TokenRule
    head = None

    def __init__(self, config: TokenConfig, rule: TokenRule) -> None:
        """Raises ValueError when the tokenizer has another vocabulary than the config."""
        super().__init__()
        if rule.vocabulary != config.vocabulary:
            raise ValueError(f"{config.name}: the tokenizer has {rule.vocabulary} ids, the config {config.vocabulary}")
        self.config = config
        self.rule = rule
        # The padding id is the last, as the table's padding row is.
        self.embedding = Table(config.vocabulary - 1, config.width, scale=0.02)
        self.add_trunk(config)

    def logits_at(self, rows: Tensor, at: Tensor) -> Tensor:
        state = self.run_trunk(norm(self.embedding(rows[:, :-1, 0]))).flatten(0, 1)
        return rounding.linear(state[at], self.embedding.weight, self.embedding.precision)

    def multiply_adds(self) -> tuple[int, int]:
        return self.trunk_multiply_adds(), self.embedding.weight.numel()

    def parameters_by_part(self) -> dict[str, int]:
        """Unique parameters: 'embedding' (the tied table), 'trunk' and 'total'."""
        table, total = self.embedding.weight.numel(), sum(p.numel() for p in self.parameters())
        return {"embedding": table, "trunk": total - table, "total": total}


def is_control(path: Path) -> bool:
    """Whether a checkpoint is a BPE control's. Raises as `checkpoint.load` does."""
    return "tokenizer" in checkpoint.load(path)


def load_token_model(path: Path) -> tuple[TokenLM, dict[str, Any]]:
    """The control of a checkpoint, in evaluation mode, and the checkpoint's other content. Raises as `checkpoint.load` does."""
    content = checkpoint.load(path)
    if "tokenizer" not in content:
        raise checkpoint.CheckpointError(f"{path}: holds no tokenizer: not a BPE control")
    config = TokenConfig(**checkpoint.saved_config(path, content, TokenConfig))
    model = TokenLM(config, TokenRule(content["tokenizer"]))
    checkpoint.load_weights(path, content, model)
    return model.eval(), content
