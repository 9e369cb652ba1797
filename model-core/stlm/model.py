"""The model: bytes -> patches -> trunk -> bytes of the next patch. One class at every size; `tiers.py` has the sizes.

A patch (about one word, at most `cap` bytes) enters the trunk as one vector and leaves as the bytes of the next patch:

    bytes of patch s --prefix features of the whole patch--> [local_width] --lift--> [width]
        --trunk: causal transformer over patches (rotary, QK-norm, few KV heads, parallel attention and MLP)--> state s
    state s --drop--> [local_width] + prefix features of the bytes known so far --local blocks--> logits of the next byte

The prefix features of bytes b_0..b_{j-1} of a patch are sums of table rows, so they cost lookups and no arithmetic:
  * `place`  one row per (place in the patch, byte), summed over the prefix;
  * `words`  one row per hash of the prefix: a hashed trie of the words of the language;
  * `pairs`  one row per hash of (patch before, prefix): the same with one word of context.
Encoder and decoder share the three tables: a whole patch is the prefix that has reached its end.
Table rows are read by their key alone, so they add parameters without adding time, at training and when served.

Sources: patches at word boundaries, SpaceByte (arXiv 2404.14408); tabulation hashing, Patrascu & Thorup (STOC 2011);
hashed n-gram rows, BLT (arXiv 2412.09871); parallel blocks, GPT-J/PaLM (arXiv 2204.02311); MQA (arXiv 1911.02150);
QK-norm (arXiv 2010.04245); squared ReLU, Primer (arXiv 2109.08668); rotary, RoFormer (arXiv 2104.09864).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm import rounding
from stlm.config import ModelConfig, Precision, TrunkConfig
from stlm.patch import PatchRule

NORM_EPS = 1e-6
ROTARY_BASE = 10_000.0


def norm(x: Tensor) -> Tensor:
    """RMSNorm without weights over the last axis; the matrices that follow absorb any gain."""
    return F.rms_norm(x, (x.shape[-1],), eps=NORM_EPS)


class Linear(nn.Linear):
    """A matrix without bias; `precision` is the file that it trains for, once late in a run."""

    precision: Precision = "fp32"

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        return rounding.linear(input, self.weight, self.precision)


class Table(nn.Module):
    """Rows of `width` looked up by index; the last row is the padding row and stays zero."""

    precision: Precision = "fp32"
    beside: tuple[Table, ...] = ()
    """Tables that files store as one with this."""

    def __init__(self, rows: int, width: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows + 1, width) * scale)
        self.weight.data[-1] = 0

    def forward(self, index: Tensor) -> Tensor:
        """`index` int64 [...] -> [..., width]; an index of `rows` gives zeros."""
        weight = rounding.table(self.weight, self.precision, *(table.weight for table in self.beside))
        return F.embedding(index, weight, padding_idx=weight.shape[0] - 1)


def rotary_tables(context: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """cos and sin, [context, head_dim / 2]."""
    frequency = ROTARY_BASE ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angle = torch.arange(context, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of `x` [batch, patches, heads, head_dim]: the first half of the channels pairs with the second."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos[: x.shape[1], None], sin[: x.shape[1], None]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class TrunkBlock(nn.Module):
    """Attention and MLP side by side on one norm, so a block is two matrix products: `enter` and `leave`.

    `enter` rows: queries (heads), keys (kv_heads), values (kv_heads), MLP. `leave` columns: heads, MLP.
    Without an MLP of its own where all blocks share one.
    """

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.config = config
        self.mlp = 0 if config.shared_mlp else config.mlp
        attention = config.heads * config.head_dim
        self.enter = Linear(config.width, attention + 2 * config.kv_heads * config.head_dim + self.mlp)
        self.leave = Linear(attention + self.mlp, config.width)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, shared: SharedMLP | None = None) -> Tensor:
        """[batch, patches, width] -> the same."""
        c = self.config
        batch, patches, _ = x.shape
        rotated = (c.heads + c.kv_heads) * c.head_dim
        normed = norm(x)
        qk, v, hidden = self.enter(normed).split([rotated, c.kv_heads * c.head_dim, self.mlp], dim=-1)
        qk = rotate(norm(qk.reshape(batch, patches, c.heads + c.kv_heads, c.head_dim)), cos, sin).transpose(1, 2)
        q, k = qk.split([c.heads, c.kv_heads], dim=1)
        v = v.reshape(batch, patches, c.kv_heads, c.head_dim).transpose(1, 2)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        attended = attended.transpose(1, 2).reshape(batch, patches, -1)
        x = x + self.leave(torch.cat([attended, hidden.relu().square()], dim=-1))
        return x if shared is None else x + shared(normed)


class SharedMLP(nn.Module):
    """The one squared-ReLU MLP of a trunk whose blocks share it."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.enter = Linear(config.width, config.mlp)
        self.leave = Linear(config.mlp, config.width)
        nn.init.zeros_(self.leave.weight)

    def forward(self, normed: Tensor) -> Tensor:
        return self.leave(self.enter(normed).relu().square())


class LocalBlock(nn.Module):
    """Squared-ReLU MLP at each byte position, after optional causal attention within a patch and a few before it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.window = config.byte_window
        if config.local_attention:
            self.qkv = Linear(config.local_width, 3 * config.local_width)
            self.mix = Linear(config.local_width, config.local_width)
            nn.init.zeros_(self.mix.weight)
        self.up = Linear(config.local_width, config.local_mlp)
        self.down = Linear(config.local_mlp, config.local_width)
        nn.init.zeros_(self.down.weight)

    def attend(self, z: Tensor, mask: Tensor) -> Tensor:
        """`z` [batch, patches, cap, local_width]; each byte sees earlier bytes of its patch and of `window` before."""
        batch, patches, cap, width = z.shape
        q, k, v = (self.qkv(norm(z)).reshape(batch, patches, cap, 3, width // 64, 64)).unbind(3)
        k, v = self.widen(k), self.widen(v)
        q, k, v = (t.flatten(0, 1).transpose(1, 2) for t in (norm(q), norm(k), v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None])
        return self.mix(out.transpose(1, 2).reshape(batch, patches, cap, width))

    def widen(self, t: Tensor) -> Tensor:
        """Puts the `window` patches before each patch in front of it: [b, s, cap, ...] -> [b, s, (window+1)*cap, ...]."""
        padded = F.pad(t, (0, 0) * (t.dim() - 2) + (self.window, 0))
        shifted = [padded[:, i : i + t.shape[1]] for i in range(self.window + 1)]
        return torch.cat(shifted, dim=2)

    def forward(self, z: Tensor) -> Tensor:
        return z + self.down(self.up(norm(z)).relu().square())


class LanguageModel(ABC, nn.Module):
    """What is trained on rows int64 [batch, S + 1, cap] of ids: a causal trunk over their S + 1 places. `PatchLM`, and the control."""

    config: Any  # a TrunkConfig; subclasses say which
    rule: Any  # how the model cuts text into rows: a PatchRule, or the control's
    head: Any  # the output matrix of its own, or None
    cos: Tensor
    sin: Tensor

    def add_trunk(self, config: TrunkConfig) -> None:
        """Called where the trunk comes in the order of the parameters, which optimizer states follow."""
        self.trunk = nn.ModuleList(TrunkBlock(config) for _ in range(config.layers))
        self.shared_mlp = SharedMLP(config) if config.shared_mlp else None
        cos, sin = rotary_tables(config.context, config.head_dim)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def run_trunk(self, x: Tensor) -> Tensor:
        """[batch, places, width] -> normalised states of the same shape."""
        for block in self.trunk:
            for _ in range(self.config.repeats):
                x = block(x, self.cos, self.sin, self.shared_mlp)
        return norm(x)

    def forward(self, rows: Tensor, scored: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Teacher-forced logits of the ids of places 1..S given the places before them.

        rows: int64 [batch, S + 1, cap], padded; scored: bool of the same shape, False where an id is only context.
        Returns logits [n, vocabulary] of the n scored ids that are not padding in rows[:, 1:], in order, and those ids [n].
        """
        target = rows[:, 1:]
        known = target != self.rule.specials["pad"]
        if scored is not None:
            known = known & scored[:, 1:]
        at = known.flatten().nonzero().squeeze(1)
        return self.logits_at(rows, at), target.flatten()[at]

    @abstractmethod
    def logits_at(self, rows: Tensor, at: Tensor) -> Tensor:
        """Logits [n, vocabulary] of the ids at flat places `at` int64 [n] of rows[:, 1:]; every shape here is known beforehand."""

    @abstractmethod
    def multiply_adds(self) -> tuple[int, int]:
        """Of the forward pass, attention scores aside: a place of the trunk, and a predicted id."""

    def tables(self) -> list[Table]:
        return [module for module in self.modules() if isinstance(module, Table)]

    def set_precision(self, precision: Precision) -> None:
        """From here on computes as a file of that precision does (rounding.py); an int4 file keeps 8 bits outside trunk and tables."""
        shared = [] if self.shared_mlp is None else self.shared_mlp.modules()
        in_int4 = {*self.trunk.modules(), *shared, *self.tables()}
        for module in self.modules():
            if isinstance(module, Linear | Table):
                module.precision = precision if precision != "int4" or module in in_int4 else "fp32"

    def trunk_multiply_adds(self) -> int:
        """Of one place, over all runs of the blocks."""
        shared = sum(p.numel() for p in self.shared_mlp.parameters()) * self.config.depth if self.shared_mlp else 0
        return self.config.repeats * sum(p.numel() for p in self.trunk.parameters()) + shared


class PatchLM(LanguageModel):
    """The byte-level patch language model described at the top of this file."""

    config: ModelConfig
    rule: PatchRule
    head: Linear
    place_offset: Tensor
    words_key: Tensor
    pairs_key: Tensor

    def __init__(self, config: ModelConfig, rule: PatchRule) -> None:
        super().__init__()
        self.config = config
        self.rule = rule
        c = config
        self.place = Table(c.cap * c.vocabulary, c.local_width, scale=0.4)
        self.words = Table(c.words_rows, c.local_width, scale=0.0)
        self.pairs = Table(c.pairs_rows, c.local_width, scale=0.0)
        self.own = nn.ModuleDict()
        if c.untied_tables:
            sizes = {"place": (c.cap * c.vocabulary, 0.4), "words": (c.words_rows, 0.0), "pairs": (c.pairs_rows, 0.0)}
            self.own.update({name: Table(rows, c.local_width, scale) for name, (rows, scale) in sizes.items()})
        tables: list[Any] = [self, self.own] if c.untied_tables else [self]
        for of in tables:
            of.place.weight.data[rule.specials["pad"] :: c.vocabulary] = 0
            of.words.beside, of.pairs.beside = (of.pairs,), (of.words,)
        self.lift = Linear(c.local_width, c.width)
        self.add_trunk(c)
        self.drop = Linear(c.width, c.local_width)
        self.local = nn.ModuleList(LocalBlock(c) for _ in range(c.local_blocks))
        self.head = Linear(c.local_width, c.vocabulary)
        nn.init.zeros_(self.head.weight)
        # Tabulation hashing: a random number per (place, id); a prefix's key is their sum. Part of the model's definition.
        random = np.random.Generator(np.random.PCG64(20_240_514))
        keys = torch.from_numpy(random.integers(0, 2**31, size=(2, c.cap, c.vocabulary), dtype=np.int64))
        pad = rule.specials["pad"]
        keys[:, :, pad] = 0
        self.register_buffer("words_key", keys[0], persistent=False)
        self.register_buffer("pairs_key", keys[1], persistent=False)
        self.register_buffer("place_offset", torch.arange(c.cap) * c.vocabulary, persistent=False)

    def prefix_features(self, rows: Tensor, before: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Table sums of whole patches, and of what stands before single ids in their patches.

        rows, before: int64 [batch, patches, cap], the patches and the patch before each (padded); at: int64 [n], flat places
        in `rows`. Returns the features of the whole patches [batch, patches, local_width] and of the prefixes
        [n, local_width].
        """
        c = self.config
        ids = rows.reshape(-1, c.cap)
        # One entry more than ids: entry j sums ids 0..j-1, the last one the whole patch.
        row = torch.where(ids == self.rule.specials["pad"], c.cap * c.vocabulary, ids + self.place_offset)
        summed = self.place_sums(self.place, row)
        key = F.pad(self.words_key.gather(1, ids.T).cumsum(dim=0), (0, 0, 1, 0)).T.flatten()
        context = self.pairs_key.gather(1, before.reshape(-1, c.cap).T).sum(dim=0)

        def hashed(tables: Any, patch: Tensor, entry: Tensor) -> Tensor | int:
            words = tables.words(key[entry] % c.words_rows) if c.words_rows else 0
            return words + (tables.pairs((key[entry] + context[patch]) % c.pairs_rows) if c.pairs_rows else 0)

        every = torch.arange(len(ids), device=rows.device)
        last, entry = every * (c.cap + 1) + c.cap, at // c.cap * (c.cap + 1) + at % c.cap
        encoder: Any = self.own if c.untied_tables else self
        whole = (self.place_sums(encoder.place, row) if c.untied_tables else summed)[last]
        if c.mean_pool:
            whole = whole / (ids != self.rule.specials["pad"]).sum(dim=1, keepdim=True).clamp(min=1)
        else:
            whole = whole + hashed(encoder, every, last)
        prefixes = summed[entry] + hashed(self, at // c.cap, entry)
        return whole.reshape(*rows.shape[:2], c.local_width), prefixes

    def states(self, whole: Tensor) -> Tensor:
        """Whole-patch features [batch, patches, local_width] -> normalised states [batch, patches, width]."""
        return self.run_trunk(self.lift(norm(whole)))

    @staticmethod
    def place_sums(table: Table, row: Tensor) -> Tensor:
        """`row` int64 [patches, cap] of place rows -> their sums over each prefix, [patches * (cap + 1), local_width]."""
        return F.pad(table(row).cumsum(dim=1), (0, 0, 1, 0)).flatten(0, 1)

    def logits_at(self, rows: Tensor, at: Tensor) -> Tensor:
        c = self.config
        before = F.pad(rows[:, :-1], (0, 0, 1, 0), value=self.rule.specials["pad"])
        wanted = at if not c.local_attention else torch.arange(rows[:, 1:].numel(), device=rows.device)
        # Patch 0 of each row is only context: places count from patch 1.
        length = (rows.shape[1] - 1) * c.cap
        prefixes_at = wanted + (wanted // length + 1) * c.cap
        whole, prefixes = self.prefix_features(rows, before, prefixes_at)
        state = self.drop(self.states(whole[:, :-1])).flatten(0, 1)
        z = state[wanted // c.cap] + prefixes
        if c.local_attention:
            mask = self.local_mask(rows)
            for block in self.local:
                assert isinstance(block, LocalBlock)
                dense = z.reshape(len(rows), -1, c.cap, c.local_width)
                z = block((dense + block.attend(dense, mask)).reshape(z.shape))
            z = z[at]
        else:
            for block in self.local:
                z = block(z)
        return self.head(norm(z))

    def local_mask(self, rows: Tensor) -> Tensor:
        """bool [batch * S, cap, (byte_window + 1) * cap]: which bytes each byte of patches 1..S may see."""
        c = self.config
        known = rows[:, 1:] != self.rule.specials["pad"]
        padded = F.pad(known, (0, 0, c.byte_window, 0))
        earlier = [padded[:, i : i + known.shape[1]] for i in range(c.byte_window)]
        causal = torch.ones(c.cap, c.cap, dtype=torch.bool, device=rows.device).tril()
        own = causal.expand(*known.shape[:2], c.cap, c.cap)
        seen = [e[:, :, None].expand_as(own) for e in earlier]
        return torch.cat([*seen, own], dim=-1).flatten(0, 1)

    def multiply_adds(self) -> tuple[int, int]:
        place = self.trunk_multiply_adds() + self.lift.weight.numel() + self.drop.weight.numel()
        return place, sum(p.numel() for p in self.local.parameters()) + self.head.weight.numel()

    def parameters_by_part(self) -> dict[str, int]:
        """Unique parameters: 'embedding' (tables), 'trunk', 'local' (lift, drop, blocks, head) and 'total'."""
        table = sum((t.weight.shape[0] - 1) * t.weight.shape[1] for t in self.tables())
        trunk = sum(p.numel() for part in (self.trunk, self.shared_mlp) if part for p in part.parameters())
        local = sum(p.numel() for part in (self.lift, self.drop, self.local, self.head) for p in part.parameters())
        return {"embedding": table, "trunk": trunk, "local": local, "total": table + trunk + local}
