"""Artifact -> checkpoint: the weights of an exported int4 file, to train on from where no checkpoint was kept.

int4 rounding is idempotent, so the restored model computes what the artifact computes; it has no optimizer state and no
data position. `train --init` and `grow` take it as they take any checkpoint.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from stlm import checkpoint
from stlm.config import BLOCK
from stlm.export import HASHED
from stlm.manifest import Manifest, find_file, load_manifest
from stlm.model import PatchLM, Table
from stlm.patch import PatchRule
from stlm.tiers import TIERS

_STORED = re.compile(r"(?P<weight>[a-z][a-z0-9_.]*)_(?P<order>\d+)")


def unpack_nibbles(packed: np.ndarray) -> np.ndarray:
    """uint8 [..., n] -> uint8 [..., 2n]: the inverse of `quantize_weights.pack_nibbles`."""
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


def dequantize(codes: np.ndarray, scale: np.ndarray, shape: torch.Size) -> torch.Tensor:
    """float32 of `shape` [outputs, inputs] from 4- or 8-bit codes and one scale per 32 inputs. Raises ValueError for other sizes."""
    outputs, inputs = shape
    if codes.size * 2 == shape.numel():
        codes = unpack_nibbles(codes)
        middle = 8
    elif codes.size == shape.numel():
        middle = 128
    else:
        raise ValueError(f"{codes.size} codes for a matrix of {outputs} x {inputs}")
    blocks = codes.reshape(outputs, inputs // BLOCK, BLOCK).astype(np.float32) - middle
    return torch.from_numpy((blocks * scale.reshape(outputs, inputs // BLOCK, 1)).reshape(outputs, inputs))


def table(stored: dict[str, list[np.ndarray]], name: str, shape: torch.Size) -> torch.Tensor:
    """A table [rows + 1, width] with its padding row, which files leave out. Raises KeyError or ValueError without it."""
    rows, width = shape[0] - 1, shape[1]
    own, _, last = name.rpartition(".")
    if last not in HASHED:
        [codes], [scale] = stored[name], stored[f"{name}_scale"]
    elif rows == 0:
        return torch.zeros(shape)
    else:
        together = f"{own}.hashed" if own else "hashed"
        [codes], [scale] = stored[together], stored[f"{together}_scale"]
        count, rest = divmod(len(codes), rows)
        if rest or count not in (1, len(HASHED)):
            raise ValueError(f"{len(codes)} rows for tables of {rows}")
        first = HASHED.index(last) % count
        codes, scale = codes[first::count], scale[first::count]
    return torch.cat([dequantize(codes, scale, torch.Size((rows, width))), torch.zeros(1, width)])


def stored_weights(graph: onnx.GraphProto) -> dict[str, list[np.ndarray]]:
    """The constants of the graph by weight name, each weight's in the order in which the export stored them."""
    found: dict[str, list[tuple[int, np.ndarray]]] = {}
    for tensor in graph.initializer:
        if match := _STORED.fullmatch(tensor.name):
            found.setdefault(match["weight"], []).append((int(match["order"]), numpy_helper.to_array(tensor)))
    return {weight: [array for _, array in sorted(parts, key=lambda part: part[0])] for weight, parts in found.items()}


def restore(folder: Path) -> tuple[PatchLM, Manifest]:
    """The model of an artifact's int4 file. Raises OSError, or ValueError when it is damaged, of no tier or of another patch rule."""
    manifest = load_manifest(folder)
    file = find_file(folder, manifest, "int4")
    rule = PatchRule.load()
    if manifest["patch"]["ruleHash"] != rule.rule_hash:
        raise ValueError(f"{folder}: made with another patch rule than patch.json")
    if manifest["id"] not in TIERS:
        raise ValueError(f"{folder}: {manifest['id']} is no tier (tiers: {', '.join(sorted(TIERS))})")
    model = PatchLM(TIERS[manifest["id"]], rule)
    stored = stored_weights(onnx.load(folder / file["name"]).graph)
    tables = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Table)}
    for name, parameter in model.named_parameters():
        weight = name.removesuffix(".weight")
        try:
            if name in tables:
                parameter.data = table(stored, weight, parameter.shape)
            else:
                codes, scale = stored[weight]
                parameter.data = dequantize(codes, scale, parameter.shape)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{folder / file['name']}: no int4 weight {weight} of {manifest['id']}'s size ({error})") from error
    return model, manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, help="artifact folder with an int4 file")
    parser.add_argument("output", type=Path, help="checkpoint to write, for `train --init` or `grow`")


def main(args: argparse.Namespace) -> int:
    try:
        model, manifest = restore(args.artifact)
        training = manifest["training"]
        content: dict[str, Any] = {
            "config": model.config.to_dict(),
            "rule_hash": model.rule.rule_hash,
            "model": model.state_dict(),
            "bytes_seen": training["bytesSeen"],
            "bytes_per_patch": manifest["bytesPerPatch"],
            "seed": training["seed"],
            "commit": training["commit"],
            "sources": training["sources"],
            "chat": "chat" in manifest,
            "infill": manifest.get("infill", False),
        }
        args.output.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(args.output, content)
    except (ValueError, OSError) as error:
        print(f"stlm restore: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {manifest['id']}, {training['bytesSeen']:,} bytes seen")
    return 0
