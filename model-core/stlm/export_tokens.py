"""The BPE control -> ONNX, so that its speed is measured as the patch model's is: one run of the graph a token, greedy.

Inputs (B rows of S new tokens, T slots of past): ids int64 [B, S], and pos, seqk, tot, pk/pv as in export.py.
Outputs: logits float32 [B, vocabulary] and tok int64 [B], both after the last token; newkv as in export.py.
"""

from __future__ import annotations

import numpy as np
import onnx

from stlm.config import Precision
from stlm.export_trunk import TrunkGraph, array
from stlm.graph import value
from stlm.token_model import TokenConfig, TokenLM


def build_tokens(model: TokenLM, precision: Precision) -> onnx.ModelProto:
    """The graph of a control."""
    return TokenGraph(model, precision).export()


class TokenGraph(TrunkGraph):
    """Walks the model in the order of `TokenLM.logits_at`."""

    model: TokenLM
    config: TokenConfig

    def trunk_entry(self, features: str) -> str:
        return self.norm(self.g, self.table(self.g, features, "embedding"), self.config.width)

    def export(self) -> onnx.ModelProto:
        c, g = self.config, self.g
        state, newkv = self.trunk("ids")
        last = g.op("Gather", state, g.scalar(-1, np.int64), axis=1)
        # The tied table lies in the file twice: lookup and product want it in different shapes.
        logits = self.weights.matrix(g, last, array(self.model.embedding.weight), "output", local=False)
        g.add("Identity", [logits], ["logits"])
        g.add("ArgMax", [logits], ["tok"], axis=-1, keepdims=0)
        g.add("Identity", [newkv], ["newkv"])
        outputs = [
            value("logits", np.float32, ["B", c.vocabulary]),
            value("tok", np.int64, ["B"]),
            value("newkv", np.float32, ["B", "S", c.depth * 2 * c.kv_heads * c.head_dim]),
        ]
        return g.model(c.name, [value("ids", np.int64, ["B", "S"]), *self.trunk_inputs()], outputs)
