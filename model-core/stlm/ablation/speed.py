"""Served bytes/s of an arm: its real int4 graph in onnxruntime on one thread, decoding text it is made to follow.

All arms decode the same held-out text after the same number of places of context (patches, or tokens), so an arm with shorter
patches pays for its longer way. What is timed is a run of the graph with its inputs and the copy of its keys and values.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import numpy as np
import onnxruntime as ort

from stlm.export import build
from stlm.export_sampler import NEUTRAL
from stlm.export_tokens import build_tokens
from stlm.family import open_model
from stlm.model import LanguageModel, PatchLM
from stlm.runtime import FORCED
from stlm.token_model import TokenLM

CONTEXT = 100
_DECODED = 64
_SLOTS = 256


class Speed(TypedDict):
    bytesPerSecond: float
    millisecondsPerRun: float
    bytesPerRun: float


class Served:
    """An arm's graph with the text it follows. Raises ValueError for an arm that has no served form."""

    def __init__(self, model: LanguageModel, text: bytes) -> None:
        self.model = model
        graph = build_tokens(model, "int4") if isinstance(model, TokenLM) else build(_patches(model), "int4")
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.start = min(CONTEXT, model.config.context - _DECODED)
        self.rows = model.rule.document_rows(text)[: self.start + _DECODED + 1]
        if self.start < 1 or len(self.rows) < self.start + _DECODED + 1:
            raise ValueError(f"context or text too short to decode {_DECODED} places")

    def pass_over(self) -> tuple[list[float], int]:
        """Seconds of each decoding run, and the bytes that all of them decode."""
        c = self.model.config
        past = [np.zeros((1, c.kv_heads, _SLOTS, c.head_dim), np.float32) for _ in range(2 * c.depth)]
        seconds = []
        for at in range(self.start, self.start + _DECODED):
            start = time.perf_counter()
            newkv = self.session.run(["newkv", "tok" if isinstance(self.model, TokenLM) else "toks"], self.feeds(at, past))[0]
            parts = np.asarray(newkv).reshape(2 * c.depth, c.kv_heads, c.head_dim)
            for cache, part in zip(past, parts, strict=True):
                cache[0, :, at] = part
            seconds.append(time.perf_counter() - start)
        decoded = self.rows[self.start + 1 :]
        known = decoded[decoded != self.model.rule.specials["pad"]]
        return seconds, int(self.model.rule.byte_lengths[known].sum())

    def feeds(self, at: int, past: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs that read place `at` and, in a patch model, decode the place after it."""
        feeds = {
            "pos": np.array([[at]], np.int64),
            "seqk": np.array([at], np.int32),
            "tot": np.array([at + 1], np.int32),
            **{f"p{'kv'[i % 2]}{i // 2}": cache for i, cache in enumerate(past)},
        }
        if isinstance(self.model, TokenLM):
            return {**feeds, "ids": self.rows[at : at + 1, 0].astype(np.int64)[None]}
        cap, vocabulary = self.rows.shape[1], self.model.config.vocabulary
        noise = np.zeros((cap, 1, vocabulary), np.float32)
        target = self.rows[at + 1]
        places = np.flatnonzero(target != self.model.rule.specials["pad"])
        noise[places, 0, target[places]] = FORCED
        return {
            **feeds,
            "ids": self.rows[None, at - 1 : at + 1].astype(np.int32),
            "sel": np.zeros(1, np.int32),
            "noise": noise,
            "sampler": np.zeros((1, len(NEUTRAL)), np.float32),
            "seen": np.zeros((0, 2, vocabulary), np.float32),
            "steps": np.array([cap], np.int64),
        }


def _patches(model: LanguageModel) -> PatchLM:
    assert isinstance(model, PatchLM)
    return model


def measure(checkpoints: Iterable[tuple[str, Path]], text: bytes, rounds: int = 12) -> dict[str, Speed | str]:
    """By name; a text where there is no served form, saying why. Rounds over all arms, so that the machine's drift spreads over them."""
    served: dict[str, Served] = {}
    results: dict[str, Speed | str] = {}
    for name, path in checkpoints:
        try:
            served[name] = Served(open_model(path), text)
        except ValueError as error:
            results[name] = str(error)
    seconds: dict[str, list[list[float]]] = {name: [] for name in served}
    count: dict[str, int] = {}
    for _ in range(rounds):
        for name, arm in served.items():
            taken, count[name] = arm.pass_over()
            seconds[name].append(taken)
    for name, rounds_of_arm in seconds.items():
        # Each run at its fastest of all rounds: other work on the machine only ever makes one longer.
        runs = np.array(rounds_of_arm).min(axis=0)
        results[name] = {
            "bytesPerSecond": round(count[name] / float(runs.sum()), 1),
            "millisecondsPerRun": round(1e3 * float(runs.mean()), 4),
            "bytesPerRun": round(count[name] / _DECODED, 3),
        }
    return results
