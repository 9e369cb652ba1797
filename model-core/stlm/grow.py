"""Start a larger tier from a trained smaller one, computing exactly the same function (Net2Net, arXiv 1511.05641).

New channels of the residual streams are written with zeros and read with fresh random weights; new heads, MLP units and
blocks are fresh but leave with zeros. So the grown model gives the parent's logits, and every new weight gets a gradient
from its first or second step. A wider RMSNorm over the same values is larger by sqrt(new / old): its readers are scaled
back. A hashed table grows by repeating its rows: a key modulo twice the rows finds a copy of the row it had.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch
from torch import Tensor

from stlm import checkpoint
from stlm.config import ModelConfig
from stlm.model import LocalBlock, PatchLM, Table, TrunkBlock
from stlm.tiers import TIERS

GROWING = ("width", "layers", "heads", "mlp", "local_width", "local_mlp", "words_rows", "pairs_rows")


def check_growth(old: ModelConfig, new: ModelConfig) -> None:
    """Raises ValueError naming the field that cannot grow from `old` to `new`."""
    for name in ("repeats", "shared_mlp", "mean_pool", "untied_tables", "local_attention"):
        if getattr(old, name) > (name == "repeats"):
            raise ValueError(f"cannot grow {old.name}: {name} is an ablation arm")
    for name in ("words_rows", "pairs_rows"):
        if not getattr(old, name):
            raise ValueError(f"cannot grow {old.name}: {name} is 0")
    for field in dataclasses.fields(ModelConfig):
        a, b = getattr(old, field.name), getattr(new, field.name)
        if field.name in GROWING and a > b:
            raise ValueError(f"cannot grow {old.name} into {new.name}: {field.name} shrinks from {a} to {b}")
        if field.name not in (*GROWING, "name") and a != b:
            raise ValueError(f"cannot grow {old.name} into {new.name}: {field.name} changes from {a} to {b}")
        if field.name in ("words_rows", "pairs_rows") and b % a:
            raise ValueError(f"cannot grow {old.name} into {new.name}: {field.name} {b} is no multiple of {a}")


def read_wider(old: Tensor, fresh: Tensor, rows: Tensor) -> Tensor:
    """A matrix that reads a normalised stream: `old` [a, b] at the given rows of `fresh` [m, n], scaled for the wider norm."""
    grown = fresh.clone()
    grown[rows, : old.shape[1]] = old * (old.shape[1] / fresh.shape[1]) ** 0.5
    return grown


def write_wider(old: Tensor, fresh: Tensor, columns: Tensor) -> Tensor:
    """A matrix that writes into a residual stream: `old` [a, b] in its first rows at the given columns, zeros elsewhere."""
    grown = torch.zeros_like(fresh)
    grown[: old.shape[0], columns] = old
    return grown


def grow_table(old: Table, fresh: Table, copies: int) -> None:
    """Repeats the rows, with zeros in the new channels and in the padding row."""
    rows, width = old.weight.shape[0] - 1, old.weight.shape[1]
    fresh.weight.data.zero_()
    fresh.weight.data[: rows * copies, :width] = old.weight.data[:-1].repeat(copies, 1)


def grow_block(old: TrunkBlock, fresh: TrunkBlock) -> None:
    """Keeps the old heads and MLP units in front of the new ones, in each section of `enter` and `leave`."""
    a, b = old.config, fresh.config
    sections_old = [a.heads * a.head_dim, a.kv_heads * a.head_dim, a.kv_heads * a.head_dim, a.mlp]
    sections_new = [b.heads * b.head_dim, b.kv_heads * b.head_dim, b.kv_heads * b.head_dim, b.mlp]
    starts = torch.tensor([0, *sections_new]).cumsum(0)
    rows = torch.cat([torch.arange(n) + s for n, s in zip(sections_old, starts, strict=False)])
    fresh.enter.weight.data = read_wider(old.enter.weight.data, fresh.enter.weight.data, rows)
    columns = torch.cat([torch.arange(sections_old[0]), torch.arange(a.mlp) + sections_new[0]])
    fresh.leave.weight.data = write_wider(old.leave.weight.data, fresh.leave.weight.data, columns)


def grow(parent: PatchLM, config: ModelConfig, seed: int = 0) -> PatchLM:
    """A model of `config` with the parent's function. Raises ValueError when `config` is not larger in every size."""
    old = parent.config
    check_growth(old, config)
    torch.manual_seed(seed)
    model = PatchLM(config, parent.rule)
    for name in ("place", "words", "pairs"):
        table, fresh = getattr(parent, name), getattr(model, name)
        grow_table(table, fresh, (fresh.weight.shape[0] - 1) // (table.weight.shape[0] - 1))
    # A tier is deepened by putting new blocks evenly between the old ones.
    homes = [round((i + 1) * config.layers / old.layers) - 1 for i in range(old.layers)]
    for home, block in zip(homes, parent.trunk, strict=True):
        home_block = model.trunk[home]
        assert isinstance(block, TrunkBlock) and isinstance(home_block, TrunkBlock)
        grow_block(block, home_block)
    lift = read_wider(parent.lift.weight.data, model.lift.weight.data, torch.arange(old.width))
    lift[old.width :] = 0
    model.lift.weight.data = lift
    drop = read_wider(parent.drop.weight.data, model.drop.weight.data, torch.arange(old.local_width))
    drop[old.local_width :] = 0
    model.drop.weight.data = drop
    for block, fresh in zip(parent.local, model.local, strict=True):
        assert isinstance(block, LocalBlock) and isinstance(fresh, LocalBlock)
        fresh.up.weight.data = read_wider(block.up.weight.data, fresh.up.weight.data, torch.arange(old.local_mlp))
        fresh.down.weight.data = write_wider(block.down.weight.data, fresh.down.weight.data, torch.arange(old.local_mlp))
    model.head.weight.data = read_wider(parent.head.weight.data, model.head.weight.data, torch.arange(config.vocabulary))
    return model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of the smaller tier")
    parser.add_argument("output", type=Path, help="checkpoint to write, for `train --init`")
    parser.add_argument("--tier", required=True, choices=sorted(TIERS), help="the larger tier")
    parser.add_argument("--seed", type=int, default=0, help="seed of the new weights")


def main(args: argparse.Namespace) -> int:
    try:
        parent, content = checkpoint.load_model(args.checkpoint)
        model = grow(parent, TIERS[args.tier], args.seed)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        kept = {key: content[key] for key in ("rule_hash", "bytes_seen", "bytes_per_patch", "seed", "commit", "sources")}
        kept |= {taught: content.get(taught, False) for taught in ("chat", "infill")}
        checkpoint.save(args.output, {**kept, "config": model.config.to_dict(), "model": model.state_dict()})
    except (ValueError, OSError) as error:
        print(f"stlm grow: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {args.tier}, {model.parameters_by_part()['total']:,} parameters, grown from {parent.config.name}")
    return 0
