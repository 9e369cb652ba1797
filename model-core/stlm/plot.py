"""`python -m stlm plot`: the loss curve of a run, drawn from its metrics JSONL."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt


@dataclass
class Curve:
    """One run: `training` and `validation` hold (bytes seen, seconds, bits per byte)."""

    name: str
    training: list[tuple[float, float, float]] = field(default_factory=list)
    validation: list[tuple[float, float, float]] = field(default_factory=list)
    bad_lines: int = 0


def read_metrics(path: Path) -> Curve:
    """Reads a metrics file. A line that a killed run left unfinished is counted, not fatal."""
    curve = Curve(path.parent.name if path.stem == "metrics" else path.stem)
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            if not isinstance(entry, Mapping):
                raise TypeError("not an object")
            for key, points in (("loss", curve.training), ("validation_bits_per_byte", curve.validation)):
                if key in entry:
                    points.append((float(entry["bytes"]), float(entry["seconds"]), float(entry[key])))
        except (ValueError, TypeError, KeyError):
            curve.bad_lines += 1
    return curve


def smooth(values: np.ndarray, half_life: float) -> np.ndarray:
    """Exponential moving average with bias correction; `half_life` in points."""
    decay = 0.5 ** (1 / half_life)
    total, weight, out = 0.0, 0.0, np.empty(len(values))
    for i, value in enumerate(values):
        total, weight = decay * total + value, decay * weight + 1
        out[i] = total / weight
    return out


def draw(curves: list[Curve], axis: str, output: Path) -> None:
    """Bits per byte against `axis` ("bytes" or "seconds"): raw training loss faint, smoothed on top, validation dotted.

    The format follows the suffix of `output` (.svg or .png).
    """
    column, unit, label = (0, 1e6, "training MB seen") if axis == "bytes" else (1, 60.0, "minutes")
    # A fixed hash salt and no date: the same metrics give the same file.
    with plt.rc_context({"svg.hashsalt": "stlm", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3}):
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        lows, highs = [], []
        for number, curve in enumerate(curves):
            color = f"C{number}"
            if curve.training:
                points = np.array(curve.training)
                smoothed = smooth(points[:, 2], half_life=max(1.0, len(points) / 60))
                axes.plot(points[:, column] / unit, points[:, 2], color=color, alpha=0.2, linewidth=0.7)
                axes.plot(points[:, column] / unit, smoothed, color=color, label=f"{curve.name}, training")
                lows.append(smoothed.min())
                highs.append(np.quantile(smoothed, 0.95))
            if curve.validation:
                points = np.array(curve.validation)
                label_text = f"{curve.name}, held out ({points[-1, 2]:.3f} at the end)"
                axes.plot(points[:, column] / unit, points[:, 2], "o--", color=color, markersize=4, label=label_text)
                lows.append(points[:, 2].min())
        # The first steps fall from 8 bits: leave them out of the frame, or the rest is a flat line.
        if highs:
            axes.set_ylim(min(lows) - 0.1, max(highs) + 0.3)
        axes.set_xlabel(label)
        axes.set_ylabel("bits per byte")
        axes.legend()
        figure.savefig(output, metadata={"Date": None} if output.suffix == ".svg" else None)
        plt.close(figure)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("metrics", type=Path, nargs="+", help="metrics JSONL of one or more runs")
    parser.add_argument("--output", type=Path, required=True, help="an .svg or .png file")
    parser.add_argument("--axis", choices=("bytes", "seconds"), default="bytes", help="what runs along the bottom (default bytes)")


def main(args: argparse.Namespace) -> int:
    if args.output.suffix not in (".svg", ".png"):
        print("stlm plot: --output must end in .svg or .png", file=sys.stderr)
        return 1
    try:
        curves = [read_metrics(path) for path in args.metrics]
    except OSError as error:
        print(f"stlm plot: {error}", file=sys.stderr)
        return 1
    for curve, path in zip(curves, args.metrics, strict=True):
        if curve.bad_lines:
            print(f"{path}: {curve.bad_lines} unreadable lines left out", file=sys.stderr)
    if not any(curve.training or curve.validation for curve in curves):
        print("stlm plot: no measurement in these files", file=sys.stderr)
        return 1
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        draw(curves, args.axis, args.output)
    except OSError as error:
        print(f"stlm plot: {error}", file=sys.stderr)
        return 1
    print(args.output)
    return 0
