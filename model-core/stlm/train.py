"""Training: one command, ended by a time budget, resumed by running it again.

The learning rate is scheduled by the fraction of the budget used (`--max-seconds`, counted over all resumed runs), so a run
of any length ends annealed. `--max-steps` schedules by steps instead: then a killed and resumed run equals an unbroken one to
the bit on a CPU. Data parallel through `torchrun`: N processes see the batch of one, cut in N, by the clock of the first;
on several machines `--out` must be a folder that all of them see, because only the first process writes checkpoints.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stlm import checkpoint, options
from stlm.data import RowStream, batches
from stlm.distributed import World
from stlm.model import ModelConfig, PatchLM
from stlm.optim import make_optimizers
from stlm.patch import PatchRule
from stlm.plot import draw, read_metrics
from stlm.tiers import TIERS

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"
PLOT = "loss.svg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tier", required=True, choices=sorted(TIERS), help="which size to train")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field of `ModelConfig`, e.g. layers=3; repeatable"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of prepared shards (python -m stlm prepare)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint, metrics and loss plot; an existing run goes on")
    parser.add_argument("--init", type=Path, help="start from this checkpoint's weights (a grown model, an earlier stage)")
    parser.add_argument(
        "--mix", action="append", default=[], metavar="SOURCE=FACTOR", help="multiply a source's share of the rows; 0 drops it; repeatable"
    )
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
        "--warmdown", type=options.fraction, default=0.6, help="fraction of the budget over which rates fall to 5 %% (default 0.6)"
    )
    parser.add_argument(
        "--int4-fraction", type=options.fraction, default=0.15, help="last part of the budget, trained against int4 rounding (default 0.15)"
    )
    parser.add_argument("--seed", type=options.whole_number(0), default=0, help="of the first weights and the data order (default 0)")
    parser.add_argument(
        "--checkpoint-seconds", type=options.positive, default=60, help="at most this much work is lost by a kill (default 60)"
    )
    parser.add_argument("--validate-seconds", type=options.positive, default=300, help="time between validations (default 300)")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device, help="default: cuda where there is one")
    parser.add_argument("--compile", action="store_true", help="torch.compile the trunk blocks (CUDA)")


def parse_pairs(pairs: list[str], option: str) -> dict[str, str]:
    """Raises ValueError naming the option for an entry without '='."""
    for pair in pairs:
        if "=" not in pair:
            raise ValueError(f"{option} {pair!r}: expected NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def parse_mix(pairs: list[str]) -> dict[str, float]:
    """Raises ValueError naming the entry whose factor is no number of 0 or more."""
    mix = {}
    for name, text in parse_pairs(pairs, "--mix").items():
        try:
            mix[name] = float(text)
        except ValueError:
            mix[name] = -1.0
        if not 0 <= mix[name] < float("inf"):
            raise ValueError(f"--mix {name}={text}: expected a number of 0 or more")
    return mix


def configure(tier: str, changes: dict[str, str]) -> ModelConfig:
    """The tier's config with single fields changed. Raises ValueError for an unknown field or a size that cannot be."""
    config = TIERS[tier]
    changed: dict[str, Any] = {}
    for name, value in changes.items():
        old = getattr(config, name, None)
        if old is None:
            raise ValueError(f"--set {name}: no such field; fields are {', '.join(f.name for f in dataclasses.fields(config))}")
        try:
            new = type(old)(int(value)) if isinstance(old, int) else value
        except ValueError as error:
            raise ValueError(f"--set {name}={value}: expected a whole number") from error
        changed[name] = new
    return dataclasses.replace(config, **changed)


def rate_scale(fraction: float, step: int, warmup_steps: int, warmdown: float) -> float:
    """Factor on every learning rate: linear warm-up, flat, linear fall to 5 % over the last `warmdown` of the budget."""
    fall = min(1.0, max(0.0, (1.0 - fraction) / warmdown)) if warmdown else 1.0
    return min(1.0, (step + 1) / max(1, warmup_steps)) * (0.05 + 0.95 * fall)


@torch.no_grad()
def validate(model: PatchLM, rows: Tensor) -> float:
    """Bits per raw byte (specials excluded) of teacher-forced rows."""
    nats, count = 0.0, 0
    for chunk in rows.split(8):
        logits, target = model(chunk)
        raw = target < 256
        nats += F.cross_entropy(logits.float(), target, reduction="none")[raw].sum().item()
        count += int(raw.sum())
    return nats / math.log(2) / count


class Trainer:
    """A run: model, optimizers, data position and clock, all of which a checkpoint holds."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.config = configure(args.tier, parse_pairs(args.set, "--set"))
        if args.row_patches > self.config.context:
            raise ValueError(f"--row-patches {args.row_patches}: the context of {args.tier} is {self.config.context} patches")
        rule = PatchRule.load()
        if self.config.cap != rule.cap:
            rule = dataclasses.replace(rule, cap=self.config.cap)
        self.world = World(args.device)
        if args.batch_rows % self.world.size:
            raise ValueError(f"--batch-rows {args.batch_rows}: must be a multiple of the {self.world.size} processes")
        torch.manual_seed(args.seed)
        self.rule = rule
        self.model = PatchLM(self.config, rule).to(args.device)
        self.stream = RowStream(args.data, rule, args.row_patches, args.seed, parse_mix(args.mix))
        self.stream_state = self.stream.state()
        self.optimizers = make_optimizers(self.model, args.matrix_lr, args.table_lr, args.head_lr, args.weight_decay)
        self.base_rates = [[group["lr"] for group in o.param_groups] for o in self.optimizers]
        self.step = 0
        self.bytes_seen = 0
        self.patches_seen = 0
        self.seconds = 0.0
        self.parent_bytes = 0
        # Asked once: others may commit while this process trains the code it has loaded.
        self.commit = commit()
        self.path: Path = args.out / CHECKPOINT
        args.out.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.resume()
        elif args.init:
            content = checkpoint.load(args.init)
            checkpoint.check_config(args.init, content, self.config, rule)
            checkpoint.load_weights(args.init, content, self.model)
            self.parent_bytes = content["bytes_seen"]
        if args.compile:
            for block in self.model.trunk:
                block.compile(dynamic=False)
        self.validation = None
        if args.heldout:
            held = RowStream(args.heldout, rule, args.row_patches, 1, {})
            self.validation = torch.from_numpy(held.rows(64).astype(np.int64)).to(args.device)

    @property
    def fraction(self) -> float:
        """Of the budget used, 0..1 and beyond."""
        if self.args.max_steps:
            return self.step / self.args.max_steps
        return self.seconds / self.args.max_seconds

    def resume(self) -> None:
        content = checkpoint.load(self.path)
        checkpoint.check_config(self.path, content, self.config, self.rule)
        if "optimizers" not in content:
            raise checkpoint.CheckpointError(f"{self.path}: weights without a run; start from them with --init and another --out")
        checkpoint.load_weights(self.path, content, self.model)
        for optimizer, state in zip(self.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.stream_state = json.loads(content["stream"])
        self.stream.restore(self.stream_state)
        self.step, self.bytes_seen, self.seconds = content["step"], content["run_bytes"], content["seconds"]
        self.patches_seen = content["patches_seen"]
        self.parent_bytes = content["bytes_seen"] - content["run_bytes"]
        if self.world.rank == 0:
            self.forget_lost_steps()
            print(f"resuming {self.path} at step {self.step}, {self.seconds:.0f} s", file=sys.stderr)

    def forget_lost_steps(self) -> None:
        """Drops from the metrics what a killed run did after its last checkpoint: those steps are done again."""
        path: Path = self.args.out / METRICS
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= self.step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue
        part = path.with_suffix(".part")
        part.write_text("".join(kept), encoding="utf-8")
        part.replace(path)

    def save(self) -> None:
        """Writes the checkpoint. Raises FloatingPointError rather than replace good weights by broken ones."""
        if self.world.rank:
            return
        if not all(bool(parameter.isfinite().all()) for parameter in self.model.parameters()):
            raise FloatingPointError(f"weights are not finite after step {self.step}{self.last_good()}")
        checkpoint.save(
            self.path,
            {
                "config": self.config.to_dict(),
                "rule_hash": self.rule.rule_hash,
                "model": self.model.state_dict(),
                "optimizers": [o.state_dict() for o in self.optimizers],
                "stream": json.dumps(self.stream_state),
                "step": self.step,
                "seconds": self.seconds,
                "run_bytes": self.bytes_seen,
                "bytes_seen": self.parent_bytes + self.bytes_seen,
                "patches_seen": self.patches_seen,
                "bytes_per_patch": self.bytes_seen / max(1, self.patches_seen),
                "seed": self.args.seed,
                "command": " ".join(sys.argv),
                "commit": self.commit,
                "sources": self.stream.licences(),
            },
        )

    def last_good(self) -> str:
        return f"; {self.path} holds the last good state" if self.path.exists() else "; no checkpoint was written yet"

    def train_step(self, rows: np.ndarray) -> float:
        """One update on a whole batch; returns its loss in bits per id."""
        scale = rate_scale(self.fraction, self.step, self.args.warmup_steps, self.args.warmdown)
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
        self.model.set_int4(self.fraction >= 1 - self.args.int4_fraction)
        mine = torch.from_numpy(self.world.share(rows).astype(np.int64)).to(self.args.device, non_blocking=True)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.args.device == "cuda"):
            logits, target = self.model(mine)
            total = F.cross_entropy(logits.float(), target, reduction="sum")
        count = self.world.sum(torch.tensor(float(len(target)), device=total.device))
        (total / count).backward()
        loss = (self.world.sum(total.detach()) / count).item() / math.log(2)
        if not math.isfinite(loss):
            raise FloatingPointError(f"loss is {loss} at step {self.step}{self.last_good()}")
        self.world.sum_gradients(self.model)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.bytes_seen += int(count)
        self.patches_seen += len(rows) * self.args.row_patches
        return loss

    def validation_line(self) -> dict[str, float]:
        if self.validation is None or self.world.rank:
            return {}
        return {"validation_bits_per_byte": validate(self.model, self.validation)}

    def run(self) -> None:
        """Trains until the budget is used, writing metrics, checkpoints and a progress bar on the way.

        Where stderr is no terminal, a line at each checkpoint stands for the bar.
        """
        args, started, before, first_step = self.args, time.monotonic(), self.seconds, self.step
        saved = validated = self.seconds
        metrics = (args.out / METRICS).open("a") if self.world.rank == 0 else None
        done = min(100.0, round(100 * self.fraction, 1))
        bar = tqdm(total=100, initial=done, disable=True if self.world.rank else None,
                   bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}")  # fmt: skip
        with closing(batches(self.stream, args.batch_rows)) as ahead:
            for rows, state in ahead:
                if self.fraction >= 1:
                    break
                loss = self.train_step(rows)
                self.stream_state = state
                self.seconds = self.world.agree(before + time.monotonic() - started)
                speed = self.bytes_seen / self.seconds
                line = {"step": self.step, "seconds": round(self.seconds, 2), "bytes": self.parent_bytes + self.bytes_seen,
                        "loss": loss, "bytes_per_second": round(speed)}  # fmt: skip
                if self.seconds - validated > args.validate_seconds:
                    line |= self.validation_line()
                    validated = before + time.monotonic() - started
                if self.seconds - saved > args.checkpoint_seconds:
                    self.save()
                    saved = self.seconds
                    if bar.disable and metrics:
                        share = f"{100 * self.fraction:.1f} %"
                        print(f"step {self.step}, {share}, {loss:.3f} bits/byte, {speed / 1e3:.1f} kB/s", file=sys.stderr)
                if metrics:
                    print(json.dumps(line), file=metrics, flush=True)
                bar.n = min(100.0, round(100 * self.fraction, 1))
                bar.set_postfix_str(f"{loss:.3f} bits/byte, {speed / 1e3:.1f} kB/s")
        # A finished run that is started again keeps its checkpoint as it is, with the commit that trained it.
        if self.step > first_step:
            self.save()
        bar.close()
        final = self.validation_line()
        if metrics:
            summary = {"step": self.step, "seconds": round(self.seconds, 2), "bytes": self.parent_bytes + self.bytes_seen, **final}
            print(json.dumps(summary), file=metrics, flush=True)
            print(json.dumps(summary))
            draw([read_metrics(args.out / METRICS)], "bytes", args.out / PLOT)
        self.world.close()


def commit() -> str:
    """The commit of the working tree, for the artifact's manifest; 'unknown' outside a checkout or without git."""
    try:
        result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return result.stdout.strip() or "unknown"


def main(args: argparse.Namespace) -> int:
    try:
        Trainer(args).run()
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"stlm train: {error}", file=sys.stderr)
        return 1
    return 0
