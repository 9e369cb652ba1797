"""Where the time of a training step goes: a few steps under PyTorch's profiler, as a trace and as a picture."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import matplotlib as mpl
import torch
from torch.profiler import ProfilerActivity

from stlm.trainer import Trainer

mpl.use("Agg")
from matplotlib import pyplot as plt

WARMUP_STEPS, PROFILED_STEPS = 3, 5
KINDS = (
    ("compiled elementwise work", r"^triton_"),
    ("matrix products", r"mm|gemm|matmul|linear|cutlass|xmma|nvjet"),
    ("attention", r"attention|flash|fmha"),
    ("table lookups", r"index|embedding|gather|scatter"),
    ("prefix sums", r"cumsum|flip|scan"),
    ("optimizer", r"adam|lerp|foreach"),
    ("moving data", r"copy|memcpy|memset|fill|zero|clone|contiguous|cat$|stack"),
)


def kind_of(name: str) -> str:
    """The kind of work of an operator or kernel, by its name; the first that fits."""
    name = name.lower()
    return next((kind for kind, pattern in KINDS if re.search(pattern, name)), "norms, activations and other elementwise work")


def profile(trainer: Trainer, folder: Path) -> None:
    """Runs a few steps of `trainer` and writes trace.json (chrome://tracing) and profile.svg into `folder`; prints the table."""
    cuda = trainer.args.device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with closing(trainer.batches()) as batches:
        for _ in range(WARMUP_STEPS):
            trainer.read(trainer.train_step(next(batches)[0]))
        flops, start = trainer.flops, time.perf_counter()
        for _ in range(PROFILED_STEPS):
            trainer.read(trainer.train_step(next(batches)[0]))
        seconds = (time.perf_counter() - start) / PROFILED_STEPS
        flops = (trainer.flops - flops) / PROFILED_STEPS
        with torch.profiler.profile(activities=activities) as profiler:
            for _ in range(PROFILED_STEPS):
                trainer.read(trainer.train_step(next(batches)[0]))
    spent: defaultdict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        # On a GPU what counts is the kernels' own time: the operators that launched them repeat it, and so do annotations.
        if cuda and (event.device_type.name != "CUDA" or event.is_user_annotation):
            continue
        microseconds = event.self_device_time_total if cuda else event.self_cpu_time_total
        if microseconds > 0:
            spent[kind_of(event.key)] += microseconds / 1e3 / PROFILED_STEPS
    folder.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(folder / "trace.json"))
    share = f", {flops / seconds / trainer.peak:.1%} of peak" if trainer.peak else ""
    title = f"{trainer.args.tier}: {1e3 * seconds:.0f} ms a step{share} ({trainer.args.device}, {trainer.args.precision})"
    draw(dict(spent), title, folder / "profile.svg")
    print(title)
    for kind, milliseconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{milliseconds:9.1f} ms  {kind}")


def draw(spent: dict[str, float], title: str, output: Path) -> None:
    """A bar a kind of work, milliseconds a step, the longest on top."""
    kinds = sorted(spent, key=lambda kind: spent[kind])
    with plt.rc_context({"svg.hashsalt": "stlm", "svg.fonttype": "none"}):
        figure, axes = plt.subplots(figsize=(8, 0.5 + 0.42 * len(kinds)), layout="constrained")
        bars = axes.barh(kinds, [spent[kind] for kind in kinds], color="C0")
        axes.bar_label(bars, fmt="%.0f", padding=3)
        axes.set_xlabel("milliseconds a step")
        axes.set_title(title, fontsize=10)
        axes.margins(x=0.12)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(output, metadata={"Date": None})
        plt.close(figure)
