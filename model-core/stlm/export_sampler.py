"""The choice of a byte as graph nodes: noise, and where a row asks for it penalties, bans and filters.

A run in which no row asks has a loop of its own, where it costs one addition and one maximum a byte: an `If` in each turn costs more
than what is in it. A run without penalties does not count. Within a run that filters, a row that does not gets the neutral values.

    scores = penalised logits + noise                      noise is temperature x Gumbel + bias, from the host
    kept   = top-k, top-p and min-p of penalised logits / temperature, banned ids left out
    byte   = the best of the kept scores, or what the host has decided

Penalties are those of vLLM, in its order, before temperature: repetition (CTRL, arXiv 1909.05858) over prompt and generated text, then
frequency and presence (OpenAI) over generated text. Min-p: arXiv 2407.01082. A bias in the noise weighs among what is kept; it does not
change what is kept, unless it bans or decides.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto

from stlm.graph import GraphBuilder, Shape, value

NEUTRAL = (1.0, 1.0, 272.0, 0.0, 0.0, 0.0, 1.0)
"""A row of `sampler` that changes nothing: temperature, top-p, top-k, min-p, frequency, presence and repetition penalty."""
DECIDED = 50.0
"""Noise above this is a decision of the host (a forced byte, a strong bias) and passes every filter. A bias comes with its draw, which the
host takes from -2.5 to 11.8 temperatures: at 2, the most that the server takes, a bias above 55 always passes, one below 26 never, and one
between them with those draws that lift it over."""
BANNED = -1e8
"""Noise below this bans: the id has no rank, so that the filters keep the best of the others."""
FORCED = 1e8
"""Noise above this forces. What the host forces it has counted itself, as prompt or as generated text."""
REFUSED = -1e9


class SamplerGraph:
    """Adds the choice to the byte loop; `g` is the outermost graph, which has the inputs `sampler` and `seen`."""

    def __init__(self, g: GraphBuilder, vocabulary: int) -> None:
        self.g = g
        self.vocabulary = vocabulary
        rows_counted = g.op("Squeeze", g.op("Shape", "seen", start=0, end=1))
        self.counts = g.op("Greater", rows_counted, g.scalar(0, np.int64))

    def steps(self, steps: str) -> tuple[str, str]:
        """Turns of the loop that chooses plainly, and of the one that filters: one of them none."""
        g = self.g
        asked = g.op("Greater", g.op("ReduceMax", "sampler", keepdims=0), g.scalar(0, np.float32))
        none = g.scalar(0, np.int64)
        return g.op("Where", asked, none, steps), g.op("Where", asked, steps, none)

    def plain(self, b: GraphBuilder, logits: str, noise: str) -> str:
        """The next id of each row, int64 [R]."""
        return self.best(b, b.op("Add", logits, noise))

    def filtered(self, b: GraphBuilder, logits: str, noise: str, seen: str) -> tuple[str, str]:
        """The next id of each row, int64 [R], and `seen` float32 [P, 2, 272] with it."""
        filtering, penalising = b.child(), b.child()
        token = self.best(filtering, self.scores(filtering, logits, noise))
        filter_branch = self.branch(filtering, "filter", token, filtering.op("Identity", seen))
        token = self.best(penalising, self.scores(penalising, self.penalised(penalising, logits, seen), noise))
        penalty_branch = self.branch(penalising, "penalise", token, self.counted(penalising, seen, token, noise))
        token, after = b.op("If", self.counts, outputs=2, then_branch=penalty_branch, else_branch=filter_branch)
        return token, after

    @staticmethod
    def best(b: GraphBuilder, scores: str) -> str:
        return b.op("ArgMax", scores, axis=-1, keepdims=0)

    def branch(self, b: GraphBuilder, name: str, token: str, seen: str) -> GraphProto:
        return b.body(name, [], [value(token, np.int64, ["R"]), value(seen, np.float32, self.seen_shape)])

    @property
    def seen_shape(self) -> Shape:
        return ["P", 2, self.vocabulary]

    def settings(self, b: GraphBuilder) -> list[str]:
        """The columns of `sampler`, each [R, 1]."""
        return b.op("Split", "sampler", outputs=len(NEUTRAL), axis=1, num_outputs=len(NEUTRAL))

    def penalised(self, b: GraphBuilder, logits: str, seen: str) -> str:
        g = self.g
        *_, frequency, presence, repetition = self.settings(b)
        nothing = g.scalar(0, np.float32)
        both = b.op("ReduceSum", seen, g.integers(1), keepdims=0)
        smaller = b.op("Where", b.op("Greater", logits, nothing), b.op("Div", logits, repetition), b.op("Mul", logits, repetition))
        repeated = b.op("Where", b.op("Greater", both, nothing), smaller, logits)
        generated = b.op("Gather", seen, g.scalar(0, np.int64), axis=1)
        present = b.op("Cast", b.op("Greater", generated, nothing), to=1)
        return b.op("Sub", b.op("Sub", repeated, b.op("Mul", frequency, generated)), b.op("Mul", presence, present))

    def scores(self, b: GraphBuilder, logits: str, noise: str) -> str:
        """Scores with everything refused that is outside top-k, top-p or min-p."""
        g, refused = self.g, self.g.scalar(REFUSED, np.float32)
        temperature, top_p, top_k, min_p, *_ = self.settings(b)
        allowed = b.op("Greater", noise, g.scalar(BANNED, np.float32))
        scaled = b.op("Where", allowed, b.op("Div", logits, temperature), refused)
        ordered, _ = b.op("TopK", scaled, g.integers(self.vocabulary), outputs=2, axis=-1)
        probability = b.op("Softmax", ordered, axis=-1)
        mass_before = b.op("CumSum", probability, g.scalar(1, np.int64), exclusive=1)
        rank = g.constant(np.arange(self.vocabulary, dtype=np.float32)[None], "rank")
        kept = b.op("And", b.op("Less", mass_before, top_p), b.op("Less", rank, top_k))
        best = b.op("Slice", probability, g.integers(0), g.integers(1), g.integers(1))
        kept = b.op("And", kept, b.op("GreaterOrEqual", probability, b.op("Mul", min_p, best)))
        bound = b.op("ReduceMin", b.op("Where", kept, ordered, g.scalar(np.inf, np.float32)), g.integers(-1))
        decided = b.op("Greater", noise, g.scalar(DECIDED, np.float32))
        passes = b.op("Or", b.op("GreaterOrEqual", scaled, bound), decided)
        return b.op("Where", passes, b.op("Add", logits, noise), refused)

    def counted(self, b: GraphBuilder, seen: str, token: str, noise: str) -> str:
        """`seen` with one more of each row's id in the generated text, unless the host forced it."""
        g = self.g
        chosen = b.op("Unsqueeze", token, g.integers(1))
        free = b.op("Less", b.op("GatherElements", noise, chosen, axis=1), g.scalar(FORCED, np.float32))
        ids = g.constant(np.arange(self.vocabulary, dtype=np.int64)[None], "ids")
        one = b.op("Cast", b.op("And", b.op("Equal", chosen, ids), free), to=1)
        generated_only = g.constant(np.array([1, 0], np.float32)[None, :, None], "generated_only")
        return b.op("Add", seen, b.op("Mul", b.op("Unsqueeze", one, g.integers(1)), generated_only))
