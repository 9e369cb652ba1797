"""The two families that train alike: patches of bytes, and BPE tokens as their control. Chosen by the type of the config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stlm import checkpoint
from stlm.bpe import TokenRule, TokenStream
from stlm.config import ModelConfig, TrunkConfig
from stlm.data import RowStream
from stlm.model import LanguageModel, PatchLM
from stlm.patch import PatchRule
from stlm.token_model import TokenConfig, TokenLM, is_control, load_token_model


@dataclass(frozen=True)
class Family:
    """What a run of `config` is made of beside its sizes: how text is cut, and the stream of rows that does so."""

    config: TrunkConfig
    rule: PatchRule | TokenRule
    stream: type[RowStream]

    @staticmethod
    def of(config: TrunkConfig, tokenizer: Path | None) -> Family:
        """Raises OSError or ValueError for a control without a readable tokenizer."""
        if isinstance(config, ModelConfig):
            return Family(config, config.rule(), RowStream)
        if tokenizer is None:
            raise ValueError(f"{config.name}: needs --tokenizer (make one with `python -m stlm bpe`)")
        return Family(config, TokenRule.load(tokenizer), TokenStream)

    def model(self) -> LanguageModel:
        """A new model with random weights."""
        if isinstance(self.config, TokenConfig) and isinstance(self.rule, TokenRule):
            return TokenLM(self.config, self.rule)
        assert isinstance(self.config, ModelConfig) and isinstance(self.rule, PatchRule)
        return PatchLM(self.config, self.rule)


def open_model(path: Path) -> LanguageModel:
    """The model of a checkpoint of either family, in evaluation mode. Raises as `checkpoint.load` does."""
    return load_token_model(path)[0] if is_control(path) else checkpoint.load_model(path)[0]
