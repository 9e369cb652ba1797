"""What a model is made of, as numbers and switches: a field an option, the default being what the served tiers do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Literal

from stlm.patch import PatchRule

BLOCK = 32
"""Inputs that share one scale in int4 and in block-wise 8 bits."""

Precision = Literal["fp32", "int4", "uint8"]
"""Of an exported file: how it stores weights (quantize_weights.py)."""


@dataclass(frozen=True, kw_only=True)
class TrunkConfig:
    """Sizes of a causal transformer. Widths in channels, `context` in places (a place is a patch, or a token of the control)."""

    name: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    head_dim: int = 64
    context: int = 512
    vocabulary: int = 272
    repeats: int = 1
    """How often in a row each stored block is run (block-wise sharing, MobileLLM's LS, arXiv 2402.14905)."""
    shared_mlp: bool = False
    """One MLP for all blocks (the FFN sharing of Super Tiny Language Models, arXiv 2405.14159)."""

    MAY_BE_ZERO: ClassVar[frozenset[str]] = frozenset()
    IN_INT4: ClassVar[tuple[str, ...]] = ("width", "mlp", "head_dim")

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that no model has, or that int4 could not store."""
        for field in fields(self):
            value = getattr(self, field.name)
            low = 0 if isinstance(value, bool) or field.name in self.MAY_BE_ZERO else 1
            if isinstance(value, int) and value < low:
                raise ValueError(f"{self.name}: {field.name} is {value}, must be {low} or more")
        for name in self.IN_INT4:
            if getattr(self, name) % BLOCK:
                raise ValueError(f"{self.name}: {name} is {getattr(self, name)}, must be a multiple of {BLOCK} (one int4 scale)")
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.name}: heads is {self.heads}, must be a multiple of kv_heads {self.kv_heads}")

    @property
    def depth(self) -> int:
        """Blocks that are run, each with its own keys and values."""
        return self.layers * self.repeats

    def to_dict(self) -> dict[str, int | str | bool]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(TrunkConfig):
    """Sizes of one patch model, `cap` in bytes; from `fixed_stride` on, each field is an ablation arm (runs/ablations.toml)."""

    local_width: int
    local_mlp: int
    local_blocks: int
    words_rows: int
    """0: no such table."""
    pairs_rows: int
    cap: int = 12
    fixed_stride: bool = False
    """Every patch but a document's last has `cap` bytes, wherever words end."""
    mean_pool: bool = False
    """The trunk reads the mean of a patch's place rows alone; only the decoder reads hashed rows."""
    untied_tables: bool = False
    """The encoder has three tables of its own."""
    local_attention: bool = False
    """Attention among the bytes of a patch in the local blocks (the export refuses it)."""
    byte_window: int = 0
    """How many earlier patches that attention also sees; 0: patches are isolated."""

    MAY_BE_ZERO: ClassVar[frozenset[str]] = frozenset({"words_rows", "pairs_rows", "byte_window"})
    IN_INT4: ClassVar[tuple[str, ...]] = ("width", "mlp", "head_dim", "local_width", "local_mlp")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.local_attention and self.local_width % 64:
            raise ValueError(f"{self.name}: local_width is {self.local_width}, must be a multiple of 64 with local_attention")

    def rule(self) -> PatchRule:
        """How this model cuts text."""
        return PatchRule.of(self.cap, fixed_stride=self.fixed_stride)
