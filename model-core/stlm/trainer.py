"""A training run: model, optimizers, data position and clock, all of which a checkpoint holds."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from stlm import checkpoint
from stlm.bpe import TokenRule
from stlm.config import Precision, TrunkConfig
from stlm.distributed import World
from stlm.family import Family
from stlm.loader import Loader, Recipe, ahead
from stlm.model import LanguageModel, PatchLM
from stlm.objective import Batch, Objective, cross_entropy, make_batch
from stlm.optim import make_optimizers
from stlm.patch import PatchRule
from stlm.plot import draw, read_metrics
from stlm.throughput import peak_flops, step_flops

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"
PLOT = "loss.svg"

ROUNDINGS: dict[str, tuple[Precision, ...]] = {"int4": ("int4",), "uint8": ("uint8",), "both": ("int4", "uint8")}
"""What a run may round as at its end: one file's way, or two files' by turns."""


def rate_scale(fraction: float, step: int, warmup_steps: int, warmdown: float, final: float = 0.05) -> float:
    """Factor on every learning rate: linear warm-up, flat, linear fall to `final` over the last `warmdown` of the budget.

    A run of few steps is warm after a tenth of its budget.
    """
    fall = min(1.0, max(0.0, (1.0 - fraction) / warmdown)) if warmdown else 1.0
    return min(1.0, max((step + 1) / max(1, warmup_steps), 10 * fraction)) * (final + (1 - final) * fall)


@dataclasses.dataclass(frozen=True)
class Loss:
    """Cross-entropy of a step: `nats` summed over ids that stand for `bytes`, over all processes; still on the device."""

    step: int
    nats: Tensor
    bytes: int


class Trainer:
    """A run of `config`, as the options of `train` describe it. Raises ValueError naming the option that cannot be."""

    def __init__(self, args: argparse.Namespace, config: TrunkConfig, mix: dict[str, float]) -> None:
        self.started = time.monotonic()
        self.args = args
        self.config = config
        if args.row_patches > config.context:
            raise ValueError(f"--row-patches {args.row_patches}: the context of {args.tier} is {config.context} patches")
        family = Family.of(config, args.tokenizer)
        self.rule = family.rule
        self.world = World(args.device)
        if args.batch_rows % self.world.size:
            raise ValueError(f"--batch-rows {args.batch_rows}: must be a multiple of the {self.world.size} processes")
        torch.manual_seed(args.seed)
        self.bf16 = args.precision == "bf16"
        self.model: LanguageModel = family.model().to(self.world.device)
        if args.infill and not isinstance(self.rule, PatchRule):
            raise ValueError(f"--infill {args.infill}: {args.tier} has no ids for it")
        recipe = Recipe(tuple(args.data), self.rule, args.row_patches, args.seed, mix, args.masked, args.infill, family.stream)
        self.loader = Loader(recipe, args.batch_rows, args.loaders)
        self.data_state = self.loader.state
        self.optimizers = make_optimizers(self.model, args.matrix_lr, args.table_lr, args.head_lr, args.weight_decay)
        self.base_rates = [[group["lr"] for group in o.param_groups] for o in self.optimizers]
        self.step = 0
        self.bytes_seen = 0
        self.bytes_read = 0
        self.patches_read = 0
        self.seconds = 0.0
        self.flops = 0.0
        self.parent_bytes = 0
        self.chat: bool = args.masked
        self.infill: bool = args.infill > 0
        # Asked once: others may commit while this process trains the code it has loaded.
        self.commit = commit()
        self.path: Path = args.out / CHECKPOINT
        args.out.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.resume()
        elif args.init:
            self.inherit(args.init)
        teacher = self.load_teacher(args.teacher) if args.teacher else None
        self.objective = Objective(self.model, bf16=self.bf16, compiled=args.compile, teacher=teacher, share=args.distill)
        self.peak = peak_flops(args.device, torch.bfloat16 if self.bf16 else torch.float32)
        self.validation = None
        if args.heldout:
            held = family.stream([args.heldout], self.rule, args.row_patches, 1, {})
            self.validation = torch.from_numpy(held.rows(64).astype(np.int64)).to(self.world.device)

    @property
    def fraction(self) -> float:
        """Of the budget used, 0..1 and beyond."""
        if self.args.max_steps:
            return self.step / self.args.max_steps
        return self.seconds / self.args.max_seconds

    def precision(self, step: int) -> Precision:
        """That a step trains for: at the end of the budget, in turn what --round names."""
        if not self.args.round_fraction or self.fraction < 1 - self.args.round_fraction:
            return "fp32"
        turns = ROUNDINGS[self.args.round]
        return turns[step % len(turns)]

    def inherit(self, path: Path) -> None:
        """Starts from another run's weights, and its optimizers' moments where it has them. Raises CheckpointError for another config."""
        content = checkpoint.load(path)
        checkpoint.check_config(path, content, self.config, self.rule.rule_hash)
        checkpoint.load_weights(path, content, self.model)
        # A grown or restored model has none.
        if "optimizers" in content:
            self.load_moments(content["optimizers"])
        self.parent_bytes = content["bytes_seen"]
        self.chat = self.chat or bool(content.get("chat"))
        self.infill = self.infill or bool(content.get("infill"))

    def load_moments(self, saved: list[dict[str, Any]]) -> None:
        """The optimizers' state; rates and decay stay what this run's options say."""
        for optimizer, state in zip(self.optimizers, saved, strict=True):
            optimizer.load_state_dict({**state, "param_groups": optimizer.state_dict()["param_groups"]})

    def load_teacher(self, path: Path) -> PatchLM:
        """The teacher of a distillation: any size, but it must cut text as the student does."""
        teacher, _ = checkpoint.load_model(path)
        if teacher.rule.rule_hash != self.rule.rule_hash:
            raise ValueError(f"--teacher {path}: cuts text into other patches (cap {teacher.config.cap}, ours {self.rule.cap})")
        if self.args.row_patches > teacher.config.context:
            raise ValueError(f"--teacher {path}: its context is {teacher.config.context} patches, --row-patches is {self.args.row_patches}")
        return teacher.to(self.world.device).requires_grad_(False)

    def resume(self) -> None:
        content = checkpoint.load(self.path)
        checkpoint.check_config(self.path, content, self.config, self.rule.rule_hash)
        if "optimizers" not in content:
            raise checkpoint.CheckpointError(f"{self.path}: weights without a run; start from them with --init and another --out")
        checkpoint.load_weights(self.path, content, self.model)
        self.load_moments(content["optimizers"])
        self.loader.restore(json.loads(content["stream"]))
        self.data_state = self.loader.state
        self.step, self.bytes_seen, self.seconds = content["step"], content["run_bytes"], content["seconds"]
        self.bytes_read, self.patches_read, self.flops = content["bytes_read"], content["patches_read"], content["flops"]
        self.parent_bytes = content["bytes_seen"] - content["run_bytes"]
        self.chat, self.infill = content["chat"], bool(content.get("infill"))
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
                "stream": json.dumps(self.data_state),
                "step": self.step,
                "seconds": self.seconds,
                "run_bytes": self.bytes_seen,
                "bytes_seen": self.parent_bytes + self.bytes_seen,
                "bytes_read": self.bytes_read,
                "patches_read": self.patches_read,
                "bytes_per_patch": self.bytes_read / max(1, self.patches_read),
                "flops": self.flops,
                "chat": self.chat,
                "infill": self.infill,
                "seed": self.args.seed,
                "command": " ".join(sys.argv),
                "commit": self.commit,
                "sources": self.loader.stream.licences(),
                **({"tokenizer": self.rule.source} if isinstance(self.rule, TokenRule) else {}),
            },
        )

    def last_good(self) -> str:
        return f"; {self.path} holds the last good state" if self.path.exists() else "; no checkpoint was written yet"

    def batches(self) -> Generator[tuple[Batch, dict[str, Any]], None, None]:
        """This process's share of one batch after another, made ahead, each with the data position after it."""

        def prepared() -> Generator[tuple[Batch, dict[str, Any]], None, None]:
            with closing(self.loader.batches()) as loaded:
                for rows, state in loaded:
                    share = self.world.share(rows)
                    yield make_batch(share, self.rule, self.world.device, fixed=self.args.compile), state

        return ahead(prepared())

    def compile_for(self, batch: Batch) -> None:
        """Compiles what the run will need, on a first batch: within its budget a short stage would end before its first steps."""
        if not self.args.compile or self.fraction >= 1:
            return
        before: set[Precision] = {"fp32"} if self.fraction < 1 - self.args.round_fraction else set()
        tail = set(ROUNDINGS[self.args.round]) if self.args.round_fraction else set()
        for precision in sorted(before | tail):
            self.model.set_precision(precision)
            self.objective(batch)[0].backward()
        self.model.zero_grad(set_to_none=True)

    def train_step(self, batch: Batch) -> Loss:
        """One update on a whole batch, of which this process has its share."""
        scale = rate_scale(self.fraction, self.step, self.args.warmup_steps, self.args.warmdown, self.args.final_rate)
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
        self.model.set_precision(self.precision(self.step))
        objective, plain = self.objective(batch)
        count = self.world.total(batch.ids)
        (objective / max(1, count)).backward()
        self.world.sum_gradients(self.model)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        seen = self.world.total(batch.bytes)
        self.bytes_seen += seen
        # Of this process's share: they only make a ratio.
        self.bytes_read += batch.read
        self.patches_read += batch.patches
        patches = self.args.batch_rows * self.args.row_patches
        self.flops += step_flops(self.model, patches, count, self.args.row_patches)
        return Loss(self.step, self.world.sum(plain), seen)

    def read(self, loss: Loss) -> float:
        """Bits per byte, a special counting as one. Raises FloatingPointError when it is no number."""
        bits = loss.nats.item() / max(1, loss.bytes) / math.log(2)
        if not math.isfinite(bits):
            raise FloatingPointError(f"loss is {bits} at step {loss.step}{self.last_good()}")
        return bits

    def validation_line(self) -> dict[str, float]:
        if self.validation is None or self.world.rank:
            return {}
        # Where files take turns, validations are all of the first: a curve of both would be a saw.
        self.model.set_precision(self.precision(0))
        with torch.no_grad():
            nats, count = cross_entropy(self.model, self.validation)
        return {"validation_bits_per_byte": nats / math.log(2) / count}

    def run(self) -> bool:
        """Trains until the budget is used, writing metrics, checkpoints and a progress bar on the way.

        Returns False when --stop-after ended this process first: the same command goes on. Where stderr is no terminal, a line
        at each checkpoint stands for the bar.
        """
        args, before, first_step = self.args, self.seconds, self.step
        saved = validated = self.seconds
        metrics = (args.out / METRICS).open("a") if self.world.rank == 0 else None
        bar = tqdm(total=100, initial=self.percent(), disable=True if self.world.rank else None,
                   bar_format="{l_bar}{bar}| {postfix}")  # fmt: skip
        stopped = False
        with closing(self.batches()) as batches:
            first = next(batches)
            self.compile_for(first[0])
            started = time.monotonic()
            for batch, state in chain([first], batches):
                if self.fraction >= 1 or stopped:
                    break
                loss = self.train_step(batch)
                self.data_state = state
                bits = self.read(loss)
                self.seconds = self.world.agree(before + time.monotonic() - started)
                stopped = args.stop_after is not None and self.world.agree(time.monotonic() - self.started) >= args.stop_after
                line = {"step": self.step, "seconds": round(self.seconds, 2), "bytes": self.parent_bytes + self.bytes_seen,
                        "loss": bits, "bytes_per_second": round(self.bytes_seen / self.seconds)}  # fmt: skip
                if self.peak:
                    line["flop_utilisation"] = round(self.flops / self.seconds / self.world.size / self.peak, 4)
                if self.seconds - validated > args.validate_seconds and self.fraction < 1:
                    line |= self.validation_line()
                    validated = self.seconds
                if self.seconds - saved > args.checkpoint_seconds:
                    self.save()
                    saved = self.seconds
                    if bar.disable and metrics:
                        print(self.progress(bits), file=sys.stderr)
                if metrics:
                    print(json.dumps(line), file=metrics, flush=True)
                bar.n = self.percent()
                bar.set_postfix_str(self.progress(bits))
        # A finished run that is started again keeps its checkpoint as it is, with the commit that trained it.
        if self.step > first_step:
            self.save()
        bar.close()
        finished = self.fraction >= 1
        final = self.validation_line() if finished else {}
        if metrics:
            summary = {"step": self.step, "seconds": round(self.seconds, 2), "bytes": self.parent_bytes + self.bytes_seen, **final}
            print(json.dumps(summary), file=metrics, flush=True)
            print(json.dumps(summary))
            draw([read_metrics(args.out / METRICS)], "bytes", args.out / PLOT)
        self.world.close()
        return finished

    def percent(self) -> float:
        return min(100.0, round(100 * self.fraction, 1))

    def progress(self, bits: float) -> str:
        """What a person watching wants: where it is, how good, how fast, how long still."""
        speed = self.bytes_seen / self.seconds
        utilisation = f", {self.flops / self.seconds / self.world.size / self.peak:.1%} of peak" if self.peak else ""
        left = (1 - self.fraction) * self.seconds / max(self.fraction, 1e-9)
        minutes, seconds = divmod(max(0, round(left)), 60)
        return f"step {self.step}, {bits:.3f} bits/byte, {speed / 1e3:.1f} kB/s{utilisation}, {minutes}:{seconds:02} left"


def commit() -> str:
    """The commit of the working tree, for the artifact's manifest; 'unknown' outside a checkout or without git."""
    try:
        result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return result.stdout.strip() or "unknown"
