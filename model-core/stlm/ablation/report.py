"""The table and the picture of an ablation, made from the result files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

from stlm.ablation.run import runs_of
from stlm.ablation.spec import Arm, Spec
from stlm.ablation.speed import Speed

STYLE: dict[Any, Any] = {"svg.hashsalt": "stlm", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3}


@dataclass(frozen=True)
class Row:
    """An arm over its finished seeds; `bits` and `blimp` (share right) one number a seed."""

    arm: Arm
    parameters: int
    embedding: int
    megabytes: float
    bits: list[float]
    blimp: list[float]
    pairs: int
    speed: Speed | str

    @property
    def mean(self) -> float:
        return float(np.mean(self.bits))

    @property
    def spread(self) -> float:
        """Half the distance of the best and the worst seed."""
        return (max(self.bits) - min(self.bits)) / 2

    @property
    def bytes_per_second(self) -> float | None:
        return None if isinstance(self.speed, str) else self.speed["bytesPerSecond"]


def rows_of(spec: Spec, out: Path, speeds: dict[str, Speed | str]) -> list[Row]:
    """A row for each arm that has a result, in the spec's order."""
    rows = []
    for arm in spec.arms:
        results = [result for run in runs_of(spec, out) if run.arm == arm and (result := run.result())]
        if not results:
            continue
        judged = [r["blimp"] for r in results if r["blimp"]]
        rows.append(
            Row(
                arm,
                results[0]["parameters"]["total"],
                results[0]["parameters"]["embedding"],
                float(np.mean([r["bytes_seen"] for r in results])) / 1e6,
                [r["bits_per_byte"] for r in results],
                [b["right"] / b["pairs"] for b in judged],
                judged[0]["pairs"] if judged else 0,
                speeds.get(arm.name, "not measured"),
            )
        )
    return rows


def table(spec: Spec, rows: list[Row], failures: dict[str, str], command: str) -> str:
    """Markdown: how it was made, then a line an arm, best bits per byte first, and what is missing."""
    base = next((row for row in rows if row.arm.name == spec.base), None)
    lines = [
        "| arm | parameters | of them embedding | MB seen | bits/byte | against base | BLiMP, % | served bytes/s | bytes a run |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in sorted(rows, key=lambda row: row.mean):
        against = "base" if row is base else f"{row.mean - base.mean:+.3f}" if base else "-"
        speed = "-" if isinstance(row.speed, str) else f"{row.speed['bytesPerSecond']:,.0f}"
        a_run = "-" if isinstance(row.speed, str) else f"{row.speed['bytesPerRun']:.2f}"
        title = f"**{row.arm.title}**" if row is base else row.arm.title
        lines.append(
            f"| {title} | {row.parameters / 1e6:.2f}M | {row.embedding / 1e6:.2f}M | {row.megabytes:.2f} "
            f"| {row.mean:.3f} ± {row.spread:.3f} | {against} | {_blimp(row)} | {speed} | {a_run} |"
        )
    done = {row.arm.name for row in rows}
    missing = [f"- {arm.title}: {_why(arm, failures)}" for arm in spec.arms if arm.name not in done]
    unserved = [f"- {row.arm.title}: {row.speed}" for row in rows if isinstance(row.speed, str)]
    parts = [f"# {spec.kind.capitalize()} at equal wall-clock", _protocol(spec, command), "\n".join(lines)]
    parts += ["Not in the table:\n\n" + "\n".join(missing)] if missing else []
    parts += ["Not timed:\n\n" + "\n".join(unserved)] if unserved else []
    return "\n\n".join(parts) + "\n"


def _protocol(spec: Spec, command: str) -> str:
    pairs = f", {spec.evaluation.blimp_pairs} pairs of each BLiMP paradigm" if spec.evaluation.blimp else ""
    return (
        f"`{command}`: {spec.seconds:g} s of training a run on {spec.threads} thread(s), {spec.jobs} run(s) side by side, "
        f"{len(spec.seeds)} seed(s). Bits per raw byte on the first {spec.evaluation.bytes_per_domain:,} bytes of each held-out domain, "
        f"mean over domains{pairs}, from the checkpoint in PyTorch. ± is half the distance between the best and the worst seed, for BLiMP "
        "the 95 % interval of one seed's pairs. Served: the exported int4 graph, onnxruntime, one thread, the same text decoded after "
        "100 places of context. Short runs tell what learns fastest per second of this machine, not what is best in the limit."
    )


def _blimp(row: Row) -> str:
    if not row.blimp:
        return "-"
    share = float(np.mean(row.blimp))
    return f"{100 * share:.1f} ± {196 * (share * (1 - share) / row.pairs) ** 0.5:.1f}"


def _why(arm: Arm, failures: dict[str, str]) -> str:
    return next((why for name, why in failures.items() if name.rpartition(" seed ")[0] == arm.name), "not run yet")


def draw(spec: Spec, rows: list[Row], output: Path) -> None:
    """Left, bits per byte of every seed, best arm on top; right, bits per byte against served bytes/s."""
    ordered = sorted(rows, key=lambda row: -row.mean)
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(13, 2.5 + 0.3 * len(rows)), layout="constrained")
        base = next((row for row in rows if row.arm.name == spec.base), None)
        if base:
            left.axvline(base.mean, color="C1", linewidth=1, zorder=0)
        for place, row in enumerate(ordered):
            color = "C1" if row is base else "C0"
            left.plot(row.bits, [place] * len(row.bits), "o", color=color, markersize=4, alpha=0.6)
            left.plot([row.mean], [place], "|", color=color, markersize=14)
            if (speed := row.bytes_per_second) is not None:
                right.plot([speed], [row.mean], "o", color=color, markersize=4)
                right.annotate(row.arm.name, (speed, row.mean), (4, 3), textcoords="offset points", fontsize=7)
        left.set_yticks(range(len(ordered)), [row.arm.title for row in ordered], fontsize=8)
        left.set_xlabel("bits per byte (a dot a seed)")
        right.set_xlabel("served bytes/s, one thread (up and left is worse)")
        right.set_ylabel("bits per byte")
        right.margins(x=0.12)
        figure.savefig(output, metadata={"Date": None} if output.suffix == ".svg" else None)
        plt.close(figure)
