"""Bits per byte against parameters, bytes seen and compute, with a power law fitted to them (Kaplan et al., arXiv 2001.08361)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from stlm.ablation.report import STYLE
from stlm.ablation.run import runs_of
from stlm.ablation.spec import Spec
from stlm.plot import read_metrics

_PREDICTED_BYTES = (1e7, 1e8, 1e9)
_PREDICTED_PARAMETERS = {"stlm-10m": 10e6, "stlm-50m": 50e6, "stlm-100m": 100e6, "stlm-300m": 300e6}


@dataclass(frozen=True)
class Point:
    """A validation of a run: `flops` is the training compute until then."""

    arm: str
    seed: int
    parameters: float
    bytes: float
    flops: float
    bits: float
    last: bool


@dataclass(frozen=True)
class PowerLaw:
    """bits = exp(constant) * product of x_i ** exponent_i."""

    constant: float
    exponents: tuple[float, ...]
    error: float
    """Root mean square of the relative error on the points of the fit."""

    def __call__(self, *x: float) -> float:
        return float(np.exp(self.constant + np.dot(self.exponents, np.log(x))))


def fit(columns: list[list[float]], bits: list[float]) -> PowerLaw:
    """Least squares on the logarithms. Raises ValueError where the points do not determine it."""
    x = np.column_stack([np.ones(len(bits)), *(np.log(column) for column in columns)])
    solution, _, rank, _ = np.linalg.lstsq(x, np.log(bits), rcond=None)
    if rank < x.shape[1]:
        raise ValueError("too few different points to fit a power law")
    error = float(np.sqrt(np.mean((x @ solution - np.log(bits)) ** 2)))
    return PowerLaw(float(solution[0]), tuple(float(v) for v in solution[1:]), error)


def points_of(spec: Spec, out: Path) -> list[Point]:
    """Every validation line of the finished runs."""
    points = []
    for run in runs_of(spec, out):
        result = run.result()
        if result is None:
            continue
        curve = read_metrics(run.metrics).validation
        for number, (seen, _, bits) in enumerate(curve):
            flops = result["flops"] * seen / result["bytes_seen"]
            last = number == len(curve) - 1
            points.append(Point(run.arm.name, run.seed, result["parameters"]["total"], seen, flops, bits, last))
    return points


def frontier(points: list[Point]) -> list[Point]:
    """The points that no other beats with less compute."""
    best, kept = float("inf"), []
    for point in sorted(points, key=lambda p: (p.flops, p.bits)):
        if point.bits < best:
            best = point.bits
            kept.append(point)
    return kept


def write(spec: Spec, out: Path, picture: Path) -> str:
    """Draws the curves; returns their section of the report. Raises ValueError when there is too little to fit."""
    points = points_of(spec, out)
    joint = fit([[p.parameters for p in points], [p.bytes for p in points]], [p.bits for p in points])
    compute = fit([[p.flops for p in frontier(points)]], [p.bits for p in frontier(points)])
    draw(points, joint, compute, picture)
    by_parameters, by_bytes = joint.exponents
    head = " | ".join(f"{seen / 1e6:,.0f} MB" for seen in _PREDICTED_BYTES)
    lines = [f"| tier | {head} |", "|---|" + "---:|" * len(_PREDICTED_BYTES)]
    for name, parameters in _PREDICTED_PARAMETERS.items():
        lines.append(f"| {name} | " + " | ".join(f"{joint(parameters, seen):.2f}" for seen in _PREDICTED_BYTES) + " |")
    sizes, seen = [p.parameters for p in points], [p.bytes for p in points]
    return (
        f"\n## Scaling\n\n![bits per byte against parameters, bytes and compute]({picture.name})\n\n"
        f"Fitted to {len(points)} validations: bits/byte = {np.exp(joint.constant):.3g} x parameters^{by_parameters:.3f} x "
        f"bytes^{by_bytes:.3f}, {100 * joint.error:.1f} % off on average; on the frontier of compute, {np.exp(compute.constant):.3g} x "
        f"FLOP^{compute.exponents[0]:.3f} ({100 * compute.error:.1f} % off). What the first predicts:\n\n" + "\n".join(lines) + "\n\n"
        f"Read it with care. The points span {min(sizes) / 1e6:.1f}M to {max(sizes) / 1e6:.1f}M parameters and {min(seen) / 1e6:.2f} to "
        f"{max(seen) / 1e6:.2f} MB: everything outside is extrapolated, and a pure power law has no floor, so far outside it promises "
        "too much. Runs of equal wall-clock give larger models less text, and validations before a run's end have not had their learning "
        "rate annealed; both make larger sizes look worse than they are. Most parameters of the small sizes are table rows, which cost "
        "no compute.\n"
    )


def draw(points: list[Point], joint: PowerLaw, compute: PowerLaw, output: Path) -> None:
    """Three panels on logarithmic axes, a colour a size; lines are the fits."""
    names = sorted({p.arm for p in points}, key=lambda name: next(p.parameters for p in points if p.arm == name))
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained", sharey=True)
        labels = ("parameters (end of each run)", "bytes seen", "training FLOP")
        for panel, label in zip(panels, labels, strict=True):
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xlabel(label)
        for number, name in enumerate(names):
            own = [p for p in points if p.arm == name]
            for seed in sorted({p.seed for p in own}):
                curve = [p for p in own if p.seed == seed]
                title = f"{name}, {curve[-1].parameters / 1e6:.1f}M" if seed == own[0].seed else None
                panels[1].plot([p.bytes for p in curve], [p.bits for p in curve], "o-", color=f"C{number}", markersize=3, label=title)
                panels[2].plot([p.flops for p in curve], [p.bits for p in curve], "o-", color=f"C{number}", markersize=3)
            ends = [p for p in own if p.last]
            panels[0].plot([p.parameters for p in ends], [p.bits for p in ends], "o", color=f"C{number}")
            seen = np.geomspace(min(p.bytes for p in own), 3 * max(p.bytes for p in own), 20)
            panels[1].plot(seen, [joint(own[0].parameters, s) for s in seen], ":", color=f"C{number}", linewidth=1)
        sizes = np.geomspace(min(p.parameters for p in points), 3 * max(p.parameters for p in points), 20)
        typical = float(np.median([p.bytes for p in points if p.last]))
        panels[0].plot(sizes, [joint(n, typical) for n in sizes], "k:", linewidth=1, label=f"fit at {typical / 1e6:.2f} MB")
        flops = np.geomspace(min(p.flops for p in points), 3 * max(p.flops for p in points), 20)
        panels[2].plot(flops, [compute(f) for f in flops], "k:", linewidth=1, label="fit to the frontier")
        panels[0].set_ylabel("held-out bits per byte")
        for panel in panels:
            panel.legend(fontsize=7)
        figure.savefig(output, metadata={"Date": None} if output.suffix == ".svg" else None)
        plt.close(figure)
