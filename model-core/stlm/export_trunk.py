"""The trunk as graph nodes, and what every graph of ours is built with: matrices, tables and norms in one precision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from onnx import ValueInfoProto
from torch import Tensor

from stlm.config import Precision
from stlm.graph import GraphBuilder, Shape, value
from stlm.model import NORM_EPS, LanguageModel
from stlm.quantize_weights import Weights


def array(parameter: Tensor) -> np.ndarray:
    return parameter.detach().float().cpu().numpy()


class TrunkGraph(ABC):
    """A graph under construction around the trunk of `model`; a subclass adds what goes in and what comes out."""

    config: Any

    def __init__(self, model: LanguageModel, precision: Precision) -> None:
        self.model = model
        self.config = model.config
        self.g = GraphBuilder()
        self.weights = Weights(self.g, precision)

    def matrix(self, builder: GraphBuilder, x: str, name: str, *, local: bool) -> str:
        return self.weights.matrix(builder, x, array(self.model.get_parameter(f"{name}.weight")), name, local=local)

    def table(self, builder: GraphBuilder, index: str, name: str) -> str:
        return self.weights.rows(builder, index, array(self.model.get_parameter(f"{name}.weight")), name)

    def norm(self, builder: GraphBuilder, x: str, width: int) -> str:
        return builder.op("SimplifiedLayerNormalization", x, self.ones(width), axis=-1, epsilon=NORM_EPS)

    def ones(self, width: int) -> str:
        return self.g.constant(np.ones(width, dtype=np.float32), "ones")

    def add_and_norm(self, builder: GraphBuilder, x: str, delta: str, width: int) -> tuple[str, str]:
        """(x + delta, its norm) in one node."""
        total, normed = builder.name("residual"), builder.name("normed")
        kind = "SkipSimplifiedLayerNormalization"
        builder.add(kind, [x, delta, self.ones(width)], [normed, "", "", total], epsilon=NORM_EPS)
        return total, normed

    def trunk_inputs(self) -> list[ValueInfoProto]:
        """Rotary positions, lengths and the past of each run of a block."""
        c = self.config
        kv: Shape = ["B", c.kv_heads, "T", c.head_dim]
        return [
            value("pos", np.int64, ["B", "S"]),
            value("seqk", np.int32, ["B"]),
            value("tot", np.int32, [1]),
            *(value(f"p{kind}{run}", np.float32, kv) for run in range(c.depth) for kind in "kv"),
        ]

    @abstractmethod
    def trunk_entry(self, features: str) -> str:
        """What is known of each place -> the trunk's input [B, S, width]."""

    def trunk(self, features: str) -> tuple[str, str]:
        """Normalised states [B, S, width] and the new keys and values [B, S, depth*2*kv*hd]."""
        c, g = self.config, self.g
        cos = g.constant(self.model.cos.numpy(), "cos")
        sin = g.constant(self.model.sin.numpy(), "sin")
        attention, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
        rotated_heads = c.heads + c.kv_heads
        sections = [attention + kv, kv, *([] if c.shared_mlp else [c.mlp])]
        split = g.integers(*sections)
        by_head = g.integers(0, -1, rotated_heads, c.head_dim)
        joined = g.integers(0, -1, attention + kv)
        x = self.trunk_entry(features)
        normed = self.norm(g, x, c.width)
        cache = []
        for run in range(c.depth):
            block = f"trunk.{run // c.repeats}"
            entered = self.matrix(g, normed, f"{block}.enter", local=False)
            qk, v, *hidden = g.op("Split", entered, split, outputs=len(sections), axis=-1)
            qk = self.norm(g, g.op("Reshape", qk, by_head), c.head_dim)
            qk = g.op("RotaryEmbedding", g.op("Reshape", qk, joined), "pos", cos, sin, num_heads=rotated_heads)
            q, k = g.op("Split", qk, g.integers(attention, kv), outputs=2, axis=-1)
            attended, _, _ = g.op(
                "GroupQueryAttention", q, k, v, f"pk{run}", f"pv{run}", "seqk", "tot",
                outputs=3, num_heads=c.heads, kv_num_heads=c.kv_heads,
            )  # fmt: skip
            if hidden:
                attended = g.op("Concat", attended, self.square(hidden[0]), axis=-1)
            left = self.matrix(g, attended, f"{block}.leave", local=False)
            if c.shared_mlp:
                shared = self.square(self.matrix(g, normed, "shared_mlp.enter", local=False))
                left = g.op("Add", left, self.matrix(g, shared, "shared_mlp.leave", local=False))
            x, normed = self.add_and_norm(g, x, left, c.width)
            cache += [k, v]
        return normed, g.op("Concat", *cache, axis=-1)

    def square(self, hidden: str) -> str:
        """Squared ReLU."""
        hidden = self.g.op("Relu", hidden)
        return self.g.op("Mul", hidden, hidden)
