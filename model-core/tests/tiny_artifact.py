"""A tiny exported tier with random weights, for tests of what runs an artifact."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import torch

from stlm.config import ModelConfig, Precision
from stlm.export import build
from stlm.manifest import Manifest, describe_file, save_manifest
from stlm.model import PatchLM
from stlm.quantize import describe_graph, describe_model
from stlm.tiers import TIERS

CONTEXT = 16
"""Patches: short, so that a paragraph fills several windows."""


TINY = dataclasses.replace(TIERS["stlm-tiny"], context=CONTEXT)


def random_model(config: ModelConfig = TINY, seed: int = 7) -> PatchLM:
    """Every parameter random, so that nothing is multiplied by a zero it was initialised with."""
    torch.manual_seed(seed)
    model = PatchLM(config, config.rule())
    tables = [table.weight for table in model.tables()]
    for parameter in model.parameters():
        in_table = any(parameter is table for table in tables)
        parameter.data = torch.randn_like(parameter) * (0.4 if in_table else parameter.shape[1] ** -0.5)
    for table in tables:
        table.data[-1] = 0
    return model.eval()


def write_artifact(folder: Path, model: PatchLM, precision: Precision = "fp32", *, chat: bool = False, infill: bool = False) -> Manifest:
    """The model as an artifact; `chat` says that it was tuned to chat, `infill` that it was trained on rearranged text."""
    sources = [{"name": "classics", "licence": "public domain"}]
    content = {"bytes_per_patch": 5.4, "bytes_seen": 1_000_000, "commit": "unknown", "seed": 7, "sources": sources}
    content |= {"chat": chat, "infill": infill}
    manifest = describe_model(model, content)
    graph = build(model, precision)
    path = folder / f"stlm-tiny.{precision}.onnx"
    onnx.save(graph, path)
    manifest["files"] = [describe_file(path, precision)]
    manifest["defaultPrecision"] = precision
    manifest["graph"] = describe_graph(graph)
    save_manifest(folder, manifest)
    return manifest
