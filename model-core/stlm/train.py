"""Training: one command, ended by a time budget, resumed by running it again.

The learning rate is scheduled by the fraction of the budget used (`--max-seconds`, counted over all resumed runs), so a run
of any length ends annealed. `--max-steps` schedules by steps instead: then a killed and resumed run equals an unbroken one to
the bit on a CPU. Data parallel through `torchrun`: N processes see the batch of one, cut in N, by the clock of the first;
on several machines `--out` must be a folder that all of them see, because only the first process writes checkpoints.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch

from stlm import options
from stlm.config import TrunkConfig
from stlm.profile import profile
from stlm.tiers import TIERS
from stlm.token_model import CONTROLS
from stlm.trainer import ROUNDINGS, Trainer

UNFINISHED = 75
"""Exit status when --stop-after ended the process before the budget: temporary, try again (EX_TEMPFAIL of sysexits.h)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tier", required=True, choices=sorted(TIERS | CONTROLS), help="which size to train")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field of `ModelConfig`, e.g. layers=3; repeatable"
    )
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="FOLDER", help="prepared shards (python -m stlm prepare); repeatable"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint, metrics and loss plot; an existing run goes on")
    parser.add_argument("--init", type=Path, help="start from this checkpoint (a grown model, an earlier stage)")
    parser.add_argument(
        "--mix", action="append", default=[], metavar="SOURCE=FACTOR",
        help="multiply a source's share of the rows; SOURCE may be a pattern (chat-*); 0 drops it; repeatable"
    )
    parser.add_argument("--tokenizer", type=Path, help="of a bpe-… control: the .json that `python -m stlm bpe` made")
    parser.add_argument("--heldout", type=Path, help="folder of prepared shards to validate on; none: no validation")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--max-seconds", type=options.positive, help="time budget over all resumed runs")
    budget.add_argument("--max-steps", type=options.whole_number(1), help="step budget (exactly reproducible)")
    parser.add_argument("--batch-rows", type=options.whole_number(1), default=16, help="rows a step, over all processes (default 16)")
    parser.add_argument(
        "--row-patches", type=options.whole_number(1), default=256, help="patches a row, at most the tier's context (default 256)"
    )
    parser.add_argument("--matrix-lr", type=float, default=0.02, help="Muon's step length (default 0.02)")
    parser.add_argument("--table-lr", type=float, default=0.03, help="AdamW's learning rate of the tables (default 0.03)")
    parser.add_argument("--head-lr", type=float, default=0.01, help="AdamW's learning rate of the head (default 0.01)")
    parser.add_argument("--weight-decay", type=float, default=0.0, help="cautious decay of the matrices (default 0)")
    parser.add_argument("--warmup-steps", type=options.whole_number(0), default=40, help="steps over which rates rise from 0 (default 40)")
    parser.add_argument(
        "--warmdown", type=options.fraction, default=0.6, help="last part of the budget, in which rates fall (default 0.6)"
    )
    parser.add_argument(
        "--final-rate", type=options.fraction, default=0.05, help="what they fall to; high where another stage follows (default 0.05)"
    )
    parser.add_argument(
        "--round", choices=sorted(ROUNDINGS), default="int4",
        help="which exported file the last part of the run trains for, rounding as it does; both: by turns (default int4)"
    )
    parser.add_argument(
        "--round-fraction", type=options.fraction, default=0.15, help="last part of the budget, in which that is done (default 0.15)"
    )
    parser.add_argument("--seed", type=options.whole_number(0), default=0, help="of the first weights and the data order (default 0)")
    parser.add_argument(
        "--checkpoint-seconds", type=options.positive, default=60, help="at most this much work is lost by a kill (default 60)"
    )
    parser.add_argument("--validate-seconds", type=options.positive, default=300, help="time between validations (default 300)")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device, help="default: cuda where there is one")
    parser.add_argument(
        "--precision", choices=("bf16", "fp32"), default=best_precision(device), help="of the products; default: bf16 where it is fast"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile the step as one graph of fixed shapes")
    parser.add_argument(
        "--loaders", type=options.whole_number(1), default=1, help="processes that make batches (default 1: a thread, enough for 10 MB/s)"
    )
    parser.add_argument(
        "--masked", action="store_true", help="fine-tune: of chat sources (prepare --chat) only what the assistant says is learnt"
    )
    parser.add_argument(
        "--infill", type=options.fraction, default=0.0,
        help="share of the text, chats apart, rearranged so that a middle is learnt after its suffix (default 0)",
    )  # fmt: skip
    parser.add_argument("--teacher", type=Path, help="checkpoint of a trained model to distil from")
    parser.add_argument("--distill", type=options.fraction, default=0.5, help="share of the loss that is the teacher's (default 0.5)")
    parser.add_argument(
        "--stop-after", type=options.positive, metavar="SECONDS",
        help=f"end this process after so long with a checkpoint and exit status {UNFINISHED}; the same command goes on",
    )  # fmt: skip
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="no run: profile a few steps, write a trace and a picture there")


def best_precision(device: str) -> str:
    """bf16 on GPUs and on CPUs with instructions for it; elsewhere PyTorch emulates it, slower than fp32."""
    fast = device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16" if fast else "fp32"


def configure(tier: str, changes: dict[str, str]) -> TrunkConfig:
    """The tier's config with single fields changed. Raises ValueError for an unknown field or a size that cannot be."""
    config = (TIERS | CONTROLS)[tier]
    names = [field.name for field in dataclasses.fields(config)]
    changed: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in names:
            raise ValueError(f"--set {name}: no such field; fields are {', '.join(names)}")
        old = getattr(config, name)
        try:
            new = type(old)(int(value)) if isinstance(old, int) else value
        except ValueError as error:
            raise ValueError(f"--set {name}={value}: expected a whole number") from error
        changed[name] = new
    return dataclasses.replace(config, **changed)


def main(args: argparse.Namespace) -> int:
    try:
        trainer = Trainer(args, configure(args.tier, options.pairs(args.set, "--set")), options.mix(args.mix))
        if args.profile:
            profile(trainer, args.profile)
            return 0
        return 0 if trainer.run() else UNFINISHED
    except (ValueError, OSError, FloatingPointError, RuntimeError) as error:
        print(f"stlm train: {error}", file=sys.stderr)
        return 1
