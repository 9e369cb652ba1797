"""Checkpoint -> ONNX: one graph that prefills, decodes a patch byte by byte with sampling, and scores.

Built op by op, so that it holds only operators that run fast in onnxruntime on a CPU and every weight is stored once.
Inputs (B rows of S new patches, R decoded rows, cap bytes a patch, T slots of past):

    ids    int32 [B, S+1, cap]   row 0 is the patch before the new ones; unused cells hold the padding id
    pos    int64 [B, S]          rotary position of each new patch
    seqk   int32 [B]             past + S - 1            tot  int32 [1]  past + S
    pk/pv  float32 [B, kv, T, hd] a run of a block       past keys (rotated) and values, in the host's buffers
    sel    int32 [R]             which of the B*S states to decode the next patch from
    noise  float32 [cap, R, 272] added to the logits: temperature x Gumbel noise + bias; +1e9 forces a byte; 0 is greedy
    sampler float32 [R, 7]       temperature, top-p, top-k, min-p, frequency, presence, repetition penalty (export_sampler.py); all
                                 zero: none of it in this run
    seen    float32 [P, 2, 272]  how often each byte stands in the generated text and in the prompt; P = R where a row penalises, else 0
    steps  int64 [1]             bytes to decode at most; 0 only prefills

Outputs: newkv float32 [B, S, layers*2*kv*hd] (for the host to append), toks int32 [N, R] (padding after a patch has ended),
lp float32 [N, R] (log-probability of each, unfiltered, temperature 1), logprobs float32 [N, R, 272] (of all ids).
The loop stays at the top level: inside an `If` onnxruntime does not prepack its matrices (4x slower).
"""

from __future__ import annotations

import argparse
import sys
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from torch import Tensor

from stlm.checkpoint import load_model
from stlm.config import ModelConfig, Precision
from stlm.export_sampler import NEUTRAL, SamplerGraph
from stlm.export_trunk import TrunkGraph, array
from stlm.graph import GraphBuilder, value
from stlm.model import PatchLM

HASHED = ("words", "pairs")
"""The hashed tables, in the order in which their rows are stored by turns."""
ENDED = 2
"""The boundary state of a patch that has ended; see `Exporter.boundary_table`."""


def build(model: PatchLM, precision: Precision) -> onnx.ModelProto:
    """The graph of a model. Raises ValueError for an ablation arm that has no served form."""
    if model.config.local_attention:
        raise ValueError("local_attention is an ablation arm: it has no exported form")
    words, pairs = model.config.words_rows, model.config.pairs_rows
    if words and pairs and words != pairs:
        raise ValueError(f"words_rows {words} and pairs_rows {pairs} differ: hashed tables are exported as one")
    return Exporter(model, precision).export()


class Exporter(TrunkGraph):
    """Walks the model in the order of `PatchLM.forward`."""

    model: PatchLM
    config: ModelConfig

    def __init__(self, model: PatchLM, precision: Precision) -> None:
        super().__init__(model, precision)
        c = model.config
        self.hashed = [name for name, rows in zip(HASHED, (c.words_rows, c.pairs_rows), strict=True) if rows]
        self.columns = max(1, len(self.hashed))
        self.places: dict[str, str] = {}
        self.together: dict[str, np.ndarray] = {}
        self.sampler = SamplerGraph(self.g, self.config.vocabulary)

    def export(self) -> onnx.ModelProto:
        c, g = self.config, self.g
        features, key, boundary = self.encode()
        state, newkv = self.trunk(features)
        flat = g.op("Gather", g.op("Reshape", state, g.integers(-1, c.width)), "sel")
        start = self.matrix(g, flat, "drop", local=True)
        key = g.op("Gather", g.op("Reshape", key, g.integers(-1, self.columns)), "sel")
        boundary = g.op("Gather", g.op("Reshape", boundary, g.integers(-1)), "sel")
        self.decode(start, key, boundary)
        g.add("Identity", [newkv], ["newkv"])
        inputs = [
            value("ids", np.int32, ["B", "S+1", c.cap]),
            *self.trunk_inputs(),
            value("sel", np.int32, ["R"]),
            value("noise", np.float32, [c.cap, "R", c.vocabulary]),
            value("sampler", np.float32, ["R", len(NEUTRAL)]),
            value("seen", np.float32, self.sampler.seen_shape),
            value("steps", np.int64, [1]),
        ]
        outputs = [
            value("newkv", np.float32, ["B", "S", c.depth * 2 * c.kv_heads * c.head_dim]),
            value("toks", np.int32, ["N", "R"]),
            value("lp", np.float32, ["N", "R"]),
            value("logprobs", np.float32, ["N", "R", c.vocabulary]),
        ]
        return g.model(c.name, inputs, outputs)

    def trunk_entry(self, features: str) -> str:
        return self.matrix(self.g, features, "lift", local=True)

    def encode(self) -> tuple[str, str, str]:
        """Normalised features of the new patches [B, S, local_width]; and of each new patch, for the decoder that follows it: the
        hashing keys that it starts from, int64 [B, S, columns], and the boundary state, int64 [B, S] (see `boundary_table`)."""
        c, g, m = self.config, self.g, self.model
        own = "own." if c.untied_tables else ""
        at = g.op("Add", g.op("Cast", "ids", to=onnx.TensorProto.INT64), g.constant(m.place_offset.numpy(), "place_offset"))
        contexts = g.op("Add", self.sum_of(self.context_keys, at), g.constant(np.arange(self.columns), "columns"))
        at = self.without_first(at)
        # Under `mean_pool` too: the norm that follows makes a sum and a mean the same.
        whole = g.op("ReduceSum", self.place_rows(g, at, own), g.integers(2), keepdims=0)
        hashed = ""
        if not c.mean_pool:
            before = g.op("Slice", contexts, g.integers(0), g.integers(-1), g.integers(1))
            hashed = self.hashed_rows(g, g.op("Add", before, self.sum_of(self.prefix_keys, at)), own)
        _, features = self.sum_and_norm(g, whole, hashed)
        last = g.op("Gather", at, g.scalar(c.cap - 1, np.int64), axis=2)
        leaves = np.tile(np.where(m.rule.class_table == 1, c.vocabulary, 0), c.cap)
        return features, self.without_first(contexts), g.op("Gather", g.constant(leaves, "leaves"), last)

    def without_first(self, patches: str) -> str:
        """[B, S+1, ...] -> [B, S, ...]"""
        g = self.g
        return g.op("Slice", patches, g.integers(1), g.integers(2**31), g.integers(1))

    def sum_of(self, keys: str, at: str) -> str:
        """Of int64 [cap * 272, n] keys those at [B, S, cap], summed: [B, S, n]."""
        return self.g.op("ReduceSum", self.g.op("Gather", keys, at), self.g.integers(2), keepdims=0)

    def place_rows(self, builder: GraphBuilder, at: str, own: str = "") -> str:
        """Rows of the place table, zeros for padding; `own` is the prefix of the encoder's tables where it has its own."""
        c, name = self.config, f"{own}place"
        if name not in self.places:
            rows = array(self.model.get_parameter(f"{name}.weight"))[:-1].reshape(c.cap, c.vocabulary, -1).copy()
            rows[:, self.model.rule.specials["pad"]] = 0
            self.places[name] = self.weights.table(rows.reshape(c.cap * c.vocabulary, -1), name)
        return builder.op("Gather", self.places[name], at)

    def hashed_rows(self, builder: GraphBuilder, keys: str, own: str = "") -> str:
        """Keys int64 [..., columns] -> sum of a row of each hashed table [..., local_width]; '' without such tables.

        The tables are stored as one, their rows by turns: a key is as many times that of `PatchLM` as there are tables, plus the
        number of its table, so that one remainder finds the row.
        """
        if not self.hashed:
            return ""
        if own not in self.together:
            tables = [array(self.model.get_parameter(f"{own}{name}.weight"))[:-1] for name in self.hashed]
            self.together[own] = np.stack(tables, axis=1).reshape(-1, self.config.local_width)
        together = self.together[own]
        index = builder.op("Mod", keys, self.g.scalar(len(together), np.int64))
        rows = self.weights.rows(builder, index, together, f"{own}hashed")
        return builder.op("ReduceSum", rows, self.g.integers(-2), keepdims=0)

    def sum_and_norm(self, builder: GraphBuilder, x: str, more: str) -> tuple[str, str]:
        width = self.config.local_width
        return self.add_and_norm(builder, x, more, width) if more else (x, self.norm(builder, x, width))

    @cached_property
    def prefix_keys(self) -> str:
        """int64 [cap * 272, 1]: what an id at a place adds to all columns of its patch's keys."""
        return self.keys(self.model.words_key, [self.columns])

    @cached_property
    def context_keys(self) -> str:
        """int64 [cap * 272, columns]: what it adds to the keys of the patch that follows."""
        return self.keys(self.model.pairs_key, [self.columns * (name == HASHED[1]) for name in self.hashed or HASHED[:1]])

    def keys(self, keys: Tensor, times: list[int]) -> str:
        """int64 [cap * 272, len(times)]; stored in half the bytes, as hashing keys are below 2^31, and made when the file is loaded."""
        narrow = self.g.constant(keys.numpy().reshape(-1, 1).astype(np.int32), "keys")
        return self.g.op("Mul", self.g.op("Cast", narrow, to=onnx.TensorProto.INT64), self.g.integers(*times))

    def decode(self, start: str, key: str, boundary: str) -> None:
        """Byte loops: start [R, local_width], keys int64 [R, columns], boundary state int64 [R] -> `toks`, `lp`, `logprobs`."""
        c, g = self.config, self.g
        plain_steps, asked_steps = self.sampler.steps(g.op("Squeeze", "steps"))
        plain = self.loop(plain_steps, [start, key, boundary])
        asked = self.loop(asked_steps, [start, key, boundary, "seen"])
        coded, logits = (g.op("Concat", *both, axis=0) for both in zip(plain, asked, strict=True))
        g.add("LogSoftmax", [logits], ["logprobs"], axis=-1)
        # Of a row that has ended before others: nothing.
        ended = g.op("GreaterOrEqual", coded, g.scalar(ENDED * c.vocabulary, np.int64))
        pad = g.scalar(self.model.rule.specials["pad"], np.int64)
        tokens = g.op("Where", ended, pad, g.op("Mod", coded, g.scalar(c.vocabulary, np.int64)))
        g.add("Cast", [tokens], ["toks"], to=onnx.TensorProto.INT32)
        lp = g.op("GatherElements", "logprobs", g.op("Unsqueeze", tokens, g.integers(2)), axis=2)
        g.add("Squeeze", [lp, g.integers(2)], ["lp"])

    def loop(self, steps: str, state: list[str]) -> tuple[str, str]:
        """One byte a turn for every row, for so many turns at most. State: the trunk's state and place rows, summed [R, w], keys int64
        [R, columns], boundary state int64 [R], and where the choice is filtered counts [P, 2, 272]. Returns of each turn the boundary
        state before the byte + the byte, int64 [N, R], and logits [N, R, 272]."""
        c, b = self.config, self.g.child()
        filtered = len(state) == 4
        z, normed = self.sum_and_norm(b, "places", self.hashed_rows(b, "key"))
        for index in range(c.local_blocks):
            hidden = b.op("Relu", self.matrix(b, normed, f"local.{index}.up", local=True))
            down = self.matrix(b, b.op("Mul", hidden, hidden), f"local.{index}.down", local=True)
            z, normed = self.add_and_norm(b, z, down, c.local_width)
        logits = self.matrix(b, normed, "head", local=True)
        noise = b.op("Gather", "noise", "turn")
        token, counts = self.sampler.filtered(b, logits, noise, "counts") if filtered else (self.sampler.plain(b, logits, noise), "")
        coded = b.op("Add", "boundary", token)
        boundary = b.op("Gather", self.boundary_table, coded)
        going = b.op("Less", b.op("ReduceMin", boundary, keepdims=0), self.g.scalar(ENDED * c.vocabulary, np.int64))
        at = b.op("Add", b.op("Mul", "turn", self.g.scalar(c.vocabulary, np.int64)), token)
        places = b.op("Add", "places", self.place_rows(b, at))
        key = b.op("Add", "key", b.op("Gather", self.prefix_keys, at))

        def values(going: str, places: str, key: str, boundary: str, counts: str) -> list[onnx.ValueInfoProto]:
            carried = [value(going, np.bool_, []), value(places, np.float32, ["R", c.local_width]),
                       value(key, np.int64, ["R", self.columns]), value(boundary, np.int64, ["R"])]  # fmt: skip
            return [*carried, value(counts, np.float32, self.sampler.seen_shape)] if filtered else carried

        scanned = [value(coded, np.int64, ["R"]), value(logits, np.float32, ["R", c.vocabulary])]
        inputs = [value("turn", np.int64, []), *values("going", "places", "key", "boundary", "counts")]
        body = b.body("byte", inputs, [*values(going, places, key, boundary, counts), *scanned])
        *_, coded, logits = self.g.op("Loop", steps, self.g.scalar(True, np.bool_), *state, outputs=len(state) + 2, body=body)
        return coded, logits

    @cached_property
    def boundary_table(self) -> str:
        """int64 [3 * 272]: next boundary state by state + id. A state is 272 times 0 after a separator, 1 after a word byte, 2 (`ENDED`)
        for good."""
        classes = self.model.rule.class_table
        after_separator = np.array([0, 1, ENDED])[classes]
        after_word = np.array([ENDED, 1, ENDED])[classes]
        states = np.concatenate([after_separator, after_word, np.full_like(after_word, ENDED)])
        return self.g.constant(self.config.vocabulary * states, "boundary")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of a run")
    parser.add_argument("output", type=Path, help="the .onnx file to write (fp32)")


def main(args: argparse.Namespace) -> int:
    try:
        model, _ = load_model(args.checkpoint)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(build(model, "fp32"), args.output)
    except (ValueError, OSError) as error:
        print(f"stlm export: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {args.output.stat().st_size:,} bytes")
    return 0
