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
from pathlib import Path

import numpy as np
import onnx

from stlm.checkpoint import load_model
from stlm.config import ModelConfig, Precision
from stlm.export_sampler import NEUTRAL, SamplerGraph
from stlm.export_trunk import TrunkGraph
from stlm.graph import GraphBuilder, Shape, value
from stlm.model import PatchLM


def build(model: PatchLM, precision: Precision) -> onnx.ModelProto:
    """The graph of a model. Raises ValueError for an ablation arm that has no served form."""
    if model.config.local_attention:
        raise ValueError("local_attention is an ablation arm: it has no exported form")
    return Exporter(model, precision).export()


class Exporter(TrunkGraph):
    """Walks the model in the order of `PatchLM.forward`."""

    model: PatchLM
    config: ModelConfig

    def __init__(self, model: PatchLM, precision: Precision) -> None:
        super().__init__(model, precision)
        self.stored_keys: dict[bytes, str] = {}
        self.sampler = SamplerGraph(self.g, self.config.vocabulary)

    def export(self) -> onnx.ModelProto:
        c, g = self.config, self.g
        whole, pairs_context, before = self.encode()
        state, newkv = self.trunk(whole)
        flat = g.op("Gather", g.op("Reshape", state, g.integers(-1, c.width)), "sel")
        start = self.matrix(g, flat, "drop", local=True)
        context = g.op("Gather", g.op("Reshape", pairs_context, g.integers(-1)), "sel")
        before = g.op("Gather", g.op("Reshape", before, g.integers(-1)), "sel")
        self.decode(start, context, before)
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
        return self.matrix(self.g, self.norm(self.g, features, self.config.local_width), "lift", local=True)

    def encode(self) -> tuple[str, str, str]:
        """Whole-patch features [B, S, local_width]; and per new patch, for the decoder that follows it: its `pairs` key
        int64 [B, S] and the boundary state it leaves (1 after a word byte, at the cap), int64 [B, S]."""
        c, g, m = self.config, self.g, self.model
        pad = m.rule.specials["pad"]
        ids = g.op("Cast", "ids", to=onnx.TensorProto.INT64)
        new = g.op("Slice", ids, g.integers(1), g.integers(2**31), g.integers(1))
        old = g.op("Slice", ids, g.integers(0), g.integers(-1), g.integers(1))
        offset = g.constant(m.place_offset.numpy(), "place_offset")
        at = g.op("Add", new, offset)
        zero_row = g.scalar(c.cap * c.vocabulary, np.int64)
        place_at = g.op("Where", g.op("Equal", new, g.scalar(pad, np.int64)), zero_row, at)
        own = "own." if c.untied_tables else ""
        # Under `mean_pool` too: the norm that follows makes a sum and a mean the same.
        whole = g.op("ReduceSum", self.table(g, place_at, f"{own}place"), g.integers(2), keepdims=0)
        if not c.mean_pool:
            key = self.sum_keys(at, m.words_key.numpy())
            context = self.sum_keys(g.op("Add", old, offset), m.pairs_key.numpy())
            whole = g.op("Sum", whole, *self.hashed_rows(g, key, context, own))
        last = g.op("Gather", new, g.scalar(c.cap - 1, np.int64), axis=2)
        leaves_word = g.constant((m.rule.class_table == 1).astype(np.int64), "leaves_word")
        return whole, self.sum_keys(at, m.pairs_key.numpy()), g.op("Gather", leaves_word, last)

    def sum_keys(self, at: str, keys: np.ndarray) -> str:
        g = self.g
        return g.op("ReduceSum", g.op("Gather", self.keys(keys), at), g.integers(2), keepdims=0)

    def keys(self, keys: np.ndarray) -> str:
        """int64 [cap * 272], stored in half the bytes: hashing keys are below 2^31."""
        name = self.stored_keys.get(keys.tobytes())
        if name is None:
            narrow = self.g.constant(keys.reshape(-1).astype(np.int32), "keys")
            name = self.stored_keys[keys.tobytes()] = self.g.op("Cast", narrow, to=onnx.TensorProto.INT64)
        return name

    def hashed_rows(self, builder: GraphBuilder, key: str, context: str, own: str = "") -> list[str]:
        """Rows of the two hashed tables, as far as the model has them; `own` is the prefix of the encoder's where it has its own."""
        c, at = self.config, {}
        if c.words_rows:
            at["words"] = builder.op("Mod", key, self.g.scalar(c.words_rows, np.int64))
        if c.pairs_rows:
            at["pairs"] = builder.op("Mod", builder.op("Add", key, context), self.g.scalar(c.pairs_rows, np.int64))
        return [self.table(builder, index, own + name) for name, index in at.items()]

    def decode(self, start: str, context: str, before: str) -> None:
        """The byte loop: start [R, local_width], pairs context int64 [R], boundary state int64 [R] -> `toks`, `lp`."""
        c, g = self.config, self.g
        rows = g.op("Shape", "sel")
        zero = g.constant(np.zeros((1, c.local_width), np.float32))
        no_place = g.op("Expand", zero, g.op("Concat", rows, g.integers(c.local_width), axis=0))
        no_key = g.op("Expand", g.integers(0), rows)
        body = self.loop_body(start, context)
        going = g.scalar(True, np.bool_)
        *_, toks, logits = g.op("Loop", g.op("Squeeze", "steps"), going, no_place, no_key, before, "seen", outputs=6, body=body)
        g.add("Identity", [toks], ["toks"])
        g.add("LogSoftmax", [logits], ["logprobs"], axis=-1)
        chosen = g.op("Unsqueeze", g.op("Cast", toks, to=onnx.TensorProto.INT64), g.integers(2))
        lp = g.op("GatherElements", "logprobs", chosen, axis=2)
        g.add("Squeeze", [lp, g.integers(2)], ["lp"])

    def loop_body(self, start: str, context: str) -> onnx.GraphProto:
        """One byte for every row. State: place sum [R, w], prefix key int64 [R], boundary state int64 [R], counts [P, 2, 272]."""
        c, b = self.config, self.g.child()
        hashed = self.hashed_rows(b, "key", context)
        z = b.op("Sum", start, "place", *hashed)
        normed = self.norm(b, z, c.local_width)
        for index in range(c.local_blocks):
            hidden = b.op("Relu", self.matrix(b, normed, f"local.{index}.up", local=True))
            down = self.matrix(b, b.op("Mul", hidden, hidden), f"local.{index}.down", local=True)
            z, normed = self.add_and_norm(b, z, down, c.local_width)
        logits = self.matrix(b, normed, "head", local=True)
        token, counts = self.sampler.choose(b, logits, b.op("Gather", "noise", "turn"), "counts")
        vocabulary = self.g.scalar(c.vocabulary, np.int64)
        ended = b.op("Equal", "boundary", self.g.scalar(2, np.int64))
        shown = b.op("Where", ended, self.g.scalar(self.model.rule.specials["pad"], np.int64), token)
        boundary = b.op("Gather", self.boundary_table(), b.op("Add", b.op("Mul", "boundary", vocabulary), token))
        at = b.op("Add", b.op("Mul", "turn", vocabulary), token)
        place = b.op("Add", "place", self.table(b, at, "place"))
        key = b.op("Add", "key", b.op("Gather", self.keys(self.model.words_key.numpy()), at))
        going = b.op("Less", b.op("ReduceMin", boundary, keepdims=0), self.g.scalar(2, np.int64))
        b.add("Cast", [shown], ["token"], to=onnx.TensorProto.INT32)
        results = {"going_on": going, "place_next": place, "key_next": key, "boundary_next": boundary, "counts_next": counts,
                   "logits": logits}  # fmt: skip
        for target, source in results.items():
            b.add("Identity", [source], [target])
        width: Shape = ["R", c.local_width]
        return b.body(
            "byte",
            [value("turn", np.int64, []), value("going", np.bool_, []), value("place", np.float32, width),
             value("key", np.int64, ["R"]), value("boundary", np.int64, ["R"]), value("counts", np.float32, self.sampler.seen_shape)],
            [value("going_on", np.bool_, []), value("place_next", np.float32, width), value("key_next", np.int64, ["R"]),
             value("boundary_next", np.int64, ["R"]), value("counts_next", np.float32, self.sampler.seen_shape),
             value("token", np.int32, ["R"]), value("logits", np.float32, ["R", c.vocabulary])],
        )  # fmt: skip

    def boundary_table(self) -> str:
        """int64 [3 * 272]: next boundary state by (state, id). 0 after a separator, 1 after a word byte, 2 ended for good."""
        classes = self.model.rule.class_table
        after_separator = np.array([0, 1, 2])[classes]
        after_word = np.array([2, 1, 2])[classes]
        return self.g.constant(np.concatenate([after_separator, after_word, np.full_like(after_word, 2)]), "boundary")


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
