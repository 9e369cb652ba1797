"""The Markdown half of `stlm report`: a column a model."""

from __future__ import annotations

from collections.abc import Iterator

from stlm.evaluation.documents import mean_of
from stlm.evaluation.noise import KINDS, RATES
from stlm.evaluation.results import Report
from stlm.evaluation.statistics import Measure
from stlm.evaluation.suite import TASKS

TITLES = {
    "blimp": "BLiMP",
    "hellaswag": "HellaSwag",
    "piqa": "PIQA",
    "arc_easy": "ARC easy",
    "arc_challenge": "ARC challenge",
    "winogrande": "WinoGrande",
    "winogrande_full": "WinoGrande, whole sentence",
    "openbookqa": "OpenBookQA",
    "commonsenseqa": "CommonsenseQA",
    "mmlu": "MMLU dev",
    "tinystories": "TinyStories",
    "fairytaleqa": "FairytaleQA",
    "qmsum": "QMSum",
    "svamp": "SVAMP",
    "gsm8k": "GSM8K",
    "humaneval": "HumanEval",
    "few_shot": "few-shot",
}
LOWER_IS_BETTER = ("bits_per_byte", "repeated_4_words", "repeated_4_bytes")


def title(task: str) -> str:
    """A task's name for readers."""
    return TITLES.get(task, task.replace("_", " "))


def label(row: Measure | dict) -> str:
    """Task, part and metric in a few words."""
    part = f", {row['part']}" if row["part"] else ""
    return f"{title(row['task'])}{part.replace('_', ' ')}"


def find(report: Report, task: str, part: str, metric: str) -> Measure | None:
    rows = report["tasks"].get(task, {"measures": []})["measures"]
    return next((row for row in rows if row["part"] == part and row["metric"] == metric), None)


def rows_of(reports: list[Report], task: str) -> Iterator[tuple[str, str]]:
    """(part, metric) of a task in any report, each once, in order."""
    seen = {}
    for report in reports:
        for row in report["tasks"].get(task, {"measures": []})["measures"]:
            seen[row["part"], row["metric"]] = None
    yield from seen


def write_tables(reports: list[Report], charts: str) -> str:
    """The whole file."""
    parts = [
        "# Evaluation",
        f"![bars with intervals, chance lines, curves]({charts})",
        "Made by `python -m stlm report` from reports of `python -m stlm evaluate --json`. In brackets the 95 % interval: Wilson for "
        "a share of items; normal and stratified for a mean over groups (BLiMP's paradigms); normal for bits per byte (a ratio over "
        "texts) and for means; a bootstrap over items for the accuracy kept under noise. *Slanted*: the interval holds what guessing "
        "scores. A tie counts as wrong.",
        _models(reports),
    ]
    if any(report["bitsPerByte"] for report in reports):
        parts += ["## Held-out text, bits per byte (lower is better)", _domains(reports)]
    parts += ["## Tasks", _headlines(reports)]
    if any("blimp" in report["tasks"] for report in reports):
        parts += ["## BLiMP", _details(reports, "blimp")]
    if any("robustness" in report["tasks"] for report in reports):
        parts += ["## Accuracy under noise", _robustness(reports)]
    parts += [
        f"## {title(task).capitalize()}: all figures\n\n{_details(reports, task)}"
        for task in ("arithmetic", "patterns", "few_shot", "samples")
        if any(task in report["tasks"] for report in reports)
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ruler, *rows])


def _names(reports: list[Report]) -> list[str]:
    return [report["model"]["name"] for report in reports]


def _models(reports: list[Report]) -> str:
    return _table(["model", "sha256 of the file"], [[r["model"]["name"], f"`{r['model']['sha256'][:16]}`"] for r in reports])


def _domains(reports: list[Report]) -> str:
    domains = dict.fromkeys(row["domain"] for report in reports for row in report["bitsPerByte"])
    by_name = [{row["domain"]: row for row in report["bitsPerByte"]} for report in reports]
    rows = [
        [domain.replace("_", " "), *(f"{found[domain]['bitsPerByte']:.3f}" if domain in found else "–" for found in by_name)]
        for domain in domains
    ]
    means = [f"**{mean_of(report['bitsPerByte']):.3f}**" if report["bitsPerByte"] else "–" for report in reports]
    return _table(["domain", *_names(reports)], [*rows, ["mean over domains", *means]])


def figure(row: Measure | None) -> str:
    """Value and interval; slanted where it holds chance; how much of the set, where not all."""
    if row is None:
        return "–"
    by_chance = "chance" in row and row["low"] <= row["chance"] <= row["high"]
    mark = "*" if by_chance else ""
    sample = "" if row["items"] == row["of"] else f", {row['items']:,} of {row['of']:,}"
    return f"{mark}{row['value']:.3f}{mark} ({row['low']:.3f}–{row['high']:.3f}{sample})"


def _line(reports: list[Report], task: str, part: str, metric: str) -> list[str]:
    found = [find(report, task, part, metric) for report in reports]
    known = next(row for row in found if row)
    chance = f"{known['chance']:.3f}" if "chance" in known else ""
    arrow = " ↓" if metric in LOWER_IS_BETTER else ""
    return [label(known), metric.replace("_", " ") + arrow, chance, *map(figure, found)]


def _headlines(reports: list[Report]) -> str:
    rows = []
    for task in TASKS:
        for part, metric in rows_of(reports, task):
            found = (find(report, task, part, metric) for report in reports)
            if any(row and row["headline"] for row in found):
                rows.append(_line(reports, task, part, metric))
    return _table(["task", "metric", "chance", *_names(reports)], rows) if rows else "None was measured."


def _details(reports: list[Report], task: str) -> str:
    rows = [_line(reports, task, part, metric) for part, metric in rows_of(reports, task)]
    return _table(["what", "metric", "chance", *_names(reports)], rows)


def _robustness(reports: list[Report]) -> str:
    sets = dict.fromkeys(part.partition(",")[0] for part, metric in rows_of(reports, "robustness") if metric == "accuracy")
    rows = []
    for name in sets:
        rows.append([f"**{title(name)}**, clean", "accuracy", *(figure(find(r, "robustness", name, "accuracy")) for r in reports)])
        for kind in KINDS:
            for rate in RATES:
                part = f"{name}, {kind} {rate:.0%}"
                for metric in ("accuracy", "kept"):
                    found = [find(report, "robustness", part, metric) for report in reports]
                    if any(found):
                        rows.append([f"{kind} {rate:.0%}", metric, *map(figure, found)])
    note = "`kept` is (noisy - chance) / (clean - chance), left out where the clean accuracy is not above chance by its interval."
    return f"{note}\n\n{_table(['set and noise', 'metric', *_names(reports)], rows)}"
