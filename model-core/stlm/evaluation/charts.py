"""The drawn half of `stlm report`: a colour a model, bars with intervals, chance as a black line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.patches import Patch

from stlm.evaluation.few_shot import SHOTS
from stlm.evaluation.noise import KINDS, RATES
from stlm.evaluation.results import Report
from stlm.evaluation.statistics import Measure
from stlm.evaluation.tables import find, rows_of, title

_CHOICES = (
    ("blimp", "accuracy"), ("hellaswag", "accuracy_norm"), ("piqa", "accuracy_norm"), ("arc_easy", "accuracy_norm"),
    ("arc_challenge", "accuracy_norm"), ("winogrande", "accuracy"), ("openbookqa", "accuracy_norm"),
    ("commonsenseqa", "accuracy_norm"), ("mmlu", "accuracy_norm"),
)  # fmt: skip
_EXACT = (
    ("arithmetic", "a + b", "exact_match"), ("arithmetic", "a - b", "exact_match"), ("arithmetic", "a * b", "exact_match"),
    ("strings", "spell", "exact_match"), ("strings", "reverse", "exact_match"), ("strings", "count letters", "exact_match"),
    ("strings", "count a letter", "exact_match"), ("svamp", "", "exact_match"), ("gsm8k", "", "exact_match"),
    ("humaneval", "", "pass@1"),
)  # fmt: skip
_BITS = ("tinystories", "fairytaleqa", "qmsum", "humaneval")
_Bar = tuple[str, list[Measure | None]]


def bars(axes: Axes, rows: list[_Bar], names: list[str], heading: str) -> None:
    """A group of horizontal bars a row, the first on top, a bar a model."""
    height = 0.8 / len(names)
    for model, name in enumerate(names):
        places = [y + (model - (len(names) - 1) / 2) * height for y, (_, found) in enumerate(rows) if found[model]]
        measures = [found[model] for _, found in rows if found[model]]
        values = np.array([row["value"] for row in measures if row])
        spread = np.array([[row["value"] - row["low"], row["high"] - row["value"]] for row in measures if row]).T
        error = np.maximum(spread, 0) if len(values) else None
        axes.barh(places, values, height, xerr=error, color=f"C{model}", label=name, error_kw={"elinewidth": 1, "ecolor": "0.25"})
    for y, (_, found) in enumerate(rows):
        chances = [row["chance"] for row in found if row and "chance" in row]
        if chances:
            axes.plot([chances[0]] * 2, [y - 0.45, y + 0.45], color="black", linewidth=1.5)
    axes.set_yticks(range(len(rows)), [text for text, _ in rows])
    axes.invert_yaxis()
    axes.set_title(heading, fontsize="medium")
    axes.grid(axis="y", visible=False)


def curves(axes: Axes, reports: list[Report], find_at: Callable[[Report, float], Measure | None], places: tuple[float, ...]) -> None:
    """A line with its interval as a band a model; chance dotted."""
    for model, report in enumerate(reports):
        found = [(place, row) for place in places if (row := find_at(report, place))]
        if not found:
            continue
        x = [place for place, _ in found]
        axes.plot(x, [row["value"] for _, row in found], "o-", color=f"C{model}", markersize=3)
        axes.fill_between(x, [row["low"] for _, row in found], [row["high"] for _, row in found], color=f"C{model}", alpha=0.2)
        if "chance" in found[0][1]:
            axes.axhline(found[0][1]["chance"], color="black", linestyle=":", linewidth=1)
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color="gray")


def draw(reports: list[Report], output: Path) -> None:
    """Bars, BLiMP by field, noise and shots. The format follows the suffix of `output` (.svg or .png)."""
    names = [report["model"]["name"] for report in reports]
    # A fixed hash salt and no date: the same reports give the same picture.
    with plt.rc_context({"svg.hashsalt": "stlm", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3, "font.size": 9}):
        figure = plt.figure(figsize=(11, 14), layout="constrained")
        above, noise, shots = np.ravel(np.array(figure.subfigures(3, 1, height_ratios=[8, 3, 3])))
        left, right = np.ravel(np.array(above.subfigures(1, 2)))
        _draw_bars(left, right, reports, names)
        _draw_noise(noise, reports)
        _draw_shots(shots, reports)
        handles = [Patch(color=f"C{model}") for model in range(len(names))]
        above.legend(handles, names, loc="outside upper center", ncols=min(len(names), 6))
        figure.savefig(output, metadata={"Date": None} if output.suffix == ".svg" else None, dpi=90)
        plt.close(figure)


def _draw_bars(left: SubFigure, right: SubFigure, reports: list[Report], names: list[str]) -> None:
    choice = [(title(task), [find(report, task, "", metric) for report in reports]) for task, metric in _CHOICES]
    parts = dict.fromkeys(part for part, _ in rows_of(reports, "blimp") if part.startswith("field "))
    fields = [(part.removeprefix("field ").replace("_", " + "), [find(r, "blimp", part, "accuracy") for r in reports]) for part in parts]
    bits = [(title(task), [find(report, task, "", "bits_per_byte") for report in reports]) for task in _BITS]
    exact = [(part or title(task), [find(report, task, part, metric) for report in reports]) for task, part, metric in _EXACT]
    axes = left.subplots(3, 1, height_ratios=[9, 4, 4])
    bars(axes[0], _known(choice), names, "Accuracy, per byte where options differ in length (black: guessing)")
    bars(axes[1], fields, names, "BLiMP by field")
    bars(axes[2], _known(bits), names, "Stories, answers, code: bits per byte (lower is better)")
    axes[0].set_xlim(0, 1)
    axes[1].set_xlim(0, 1)
    axes = right.subplots(2, 1, height_ratios=[9, 8])
    bars(axes[0], _known(exact), names, "Exact answers, greedy, without examples")
    axes[0].set_xlim(0, _top(exact))
    bars(axes[1], _domains(reports), names, "Held-out text, bits per byte (lower is better)")


def _draw_noise(figure: SubFigure, reports: list[Report]) -> None:
    for axes, kind in zip(figure.subplots(1, len(KINDS), sharey=True), KINDS, strict=True):

        def at(report: Report, rate: float, kind: str = kind) -> Measure | None:
            return find(report, "robustness", f"blimp, {kind} {rate:.0%}" if rate else "blimp", "accuracy")

        curves(axes, reports, at, (0.0, *RATES))
        axes.set_title(f"BLiMP, {kind}", fontsize="medium")
        axes.set_xticks([0, *RATES], ["0", *(f"{rate:.0%}" for rate in RATES)], fontsize="small")


def _draw_shots(figure: SubFigure, reports: list[Report]) -> None:
    sources = (("patterns", "all", "accuracy_norm", "Generated patterns"), ("few_shot", "arc_easy", "accuracy_norm", "ARC easy"),
               ("few_shot", "commonsenseqa", "accuracy_norm", "CommonsenseQA"))  # fmt: skip
    for axes, (task, part, metric, heading) in zip(figure.subplots(1, len(sources)), sources, strict=True):

        def at(report: Report, shots: float, task: str = task, part: str = part, metric: str = metric) -> Measure | None:
            return find(report, task, f"{part}, {shots} shots", metric)

        curves(axes, reports, at, SHOTS)
        axes.set_title(f"{heading} by examples shown", fontsize="medium")
        axes.set_ylim(bottom=0)
        axes.set_xticks(SHOTS)


def _known(rows: list[_Bar]) -> list[_Bar]:
    return [row for row in rows if any(row[1])]


def _top(rows: list[_Bar]) -> float:
    """A frame that small shares can be seen in."""
    return min(1.0, 1.1 * max([0.05, *(row["high"] for _, found in rows for row in found if row)]))


def _domains(reports: list[Report]) -> list[_Bar]:
    """Held-out figures have no interval: most domains have too few documents for one."""
    rows: dict[str, list[Measure | None]] = {}
    for model, report in enumerate(reports):
        for row in report["bitsPerByte"]:
            value = row["bitsPerByte"]
            rows.setdefault(row["domain"], [None] * len(reports))[model] = {
                "task": "heldout", "part": row["domain"], "metric": "bits_per_byte", "value": value, "low": value, "high": value,
                "interval": "none", "items": row["bytes"], "of": row["bytes"], "headline": False,
            }  # fmt: skip
    return [(domain.replace("_", " "), found) for domain, found in rows.items()]
