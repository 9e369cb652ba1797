"""Checkpoint -> artifact folder: quantised ONNX files and a manifest of what was exported.

What only running the files can tell (evaluation, golden text, latency) is added by `evaluate --write`, the card by `card`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, get_args

import onnx

from stlm.chat import chat_template
from stlm.checkpoint import load_model
from stlm.config import Precision
from stlm.export import build
from stlm.manifest import SCHEMA_VERSION, Graph, Manifest, Tensor, describe_file, save_manifest
from stlm.model import PatchLM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of a run")
    parser.add_argument("output", type=Path, help="artifact folder to write; the server wants it named after the tier")
    kinds = get_args(Precision)
    parser.add_argument("--precision", action="append", choices=kinds, help="repeatable; the first is the one served (default: int4)")


def describe_graph(model: onnx.ModelProto) -> Graph:
    def tensors(values: Any) -> list[Tensor]:
        names = {onnx.TensorProto.INT32: "int32", onnx.TensorProto.INT64: "int64", onnx.TensorProto.FLOAT: "float32"}
        return [
            {
                "name": v.name,
                "type": names[v.type.tensor_type.elem_type],
                "shape": [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim],
            }
            for v in values
        ]

    return {"inputs": tensors(model.graph.input), "outputs": tensors(model.graph.output)}


def describe_model(model: PatchLM, content: dict[str, Any]) -> Manifest:
    """The manifest of a checkpoint, without files. A table shared by encoder and decoder counts twice as effective.

    A checkpoint whose `chat` is true was trained on replies, one whose `infill` is true on rearranged text.
    """
    config, parts = model.config, model.parameters_by_part()
    manifest: Manifest = {
        "schemaVersion": SCHEMA_VERSION,
        "id": config.name,
        "parameters": {
            "unique": parts["total"],
            "effective": parts["total"] + parts["embedding"],
            "embedding": parts["embedding"],
        },
        "patch": {"ruleHash": model.rule.rule_hash, "cap": config.cap},
        "vocabulary": config.vocabulary,
        "context": {"patches": config.context},
        "trunk": {"layers": config.depth, "width": config.width, "kvHeads": config.kv_heads, "headDim": config.head_dim},
        "bytesPerPatch": round(content["bytes_per_patch"], 3),
        "files": [],
        "defaultPrecision": "int4",
        "graph": {"inputs": [], "outputs": []},
        "training": {
            "bytesSeen": content["bytes_seen"],
            "commit": content["commit"],
            "seed": content["seed"],
            "sources": content["sources"],
        },
    }
    if content.get("chat"):
        manifest["chat"] = chat_template(model.rule)
    if content.get("infill"):
        manifest["infill"] = True
    return manifest


def write_artifact(checkpoint_path: Path, folder: Path, precisions: list[Precision]) -> Manifest:
    """Exports a checkpoint into `folder`. Raises CheckpointError or OSError; the manifest is written last."""
    model, content = load_model(checkpoint_path)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = describe_model(model, content)
    manifest["defaultPrecision"] = precisions[0]
    for precision in precisions:
        graph = build(model, precision)
        path = folder / f"{model.config.name}.{precision}.onnx"
        onnx.save(graph, path)
        manifest["files"].append(describe_file(path, precision))
        manifest["graph"] = describe_graph(graph)
    save_manifest(folder, manifest)
    return manifest


def main(args: argparse.Namespace) -> int:
    try:
        manifest = write_artifact(args.checkpoint, args.output, args.precision or ["int4"])
    except (ValueError, OSError) as error:
        print(f"stlm quantize: {error}", file=sys.stderr)
        return 1
    for file in manifest["files"]:
        print(f"{args.output / file['name']}: {file['bytes']:,} bytes")
    return 0
