"""The JSON report of `stlm evaluate`: what is finished, and for which model file and settings it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from stlm.evaluation.statistics import Measure
from stlm.manifest import DomainBits


class TaskResult(TypedDict):
    """`key` tells a later run whether the figures still hold."""

    key: str
    measures: list[Measure]


class Model(TypedDict):
    name: str
    sha256: str


class Report(TypedDict):
    """`config` is of the held-out domains; empty where they were not measured."""

    model: Model
    config: dict[str, str | int]
    bitsPerByte: list[DomainBits]
    tasks: dict[str, TaskResult]


class Results:
    """A report that is written after every part. In memory only where there is no path.

    What an earlier run left at `path` is taken over where it is of the same model file. Raises ValueError when the file
    holds something else, so that nothing else is overwritten.
    """

    def __init__(self, path: Path | None, name: str, sha256: str) -> None:
        self.path = path
        self.report: Report = {"model": {"name": name, "sha256": sha256}, "config": {}, "bitsPerByte": [], "tasks": {}}
        if path and path.exists():
            earlier = read_report(path)
            if earlier["model"]["sha256"] == sha256:
                self.report = {**earlier, "model": self.report["model"]}

    @property
    def domains(self) -> list[DomainBits]:
        return self.report["bitsPerByte"]

    def start_domains(self, config: dict[str, str | int]) -> None:
        """Forgets domains that were measured otherwise."""
        if self.report["config"] != config:
            self.report["config"], self.report["bitsPerByte"] = config, []

    def add_domain(self, row: DomainBits) -> None:
        self.report["bitsPerByte"].append(row)
        self.save()

    def measures(self, task: str, key: str) -> list[Measure] | None:
        """Those of a task that was finished under the same key."""
        found = self.report["tasks"].get(task)
        return found["measures"] if found and found["key"] == key else None

    def add_task(self, task: str, key: str, measures: list[Measure]) -> None:
        self.report["tasks"][task] = {"key": key, "measures": measures}
        self.save()

    def save(self) -> None:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_name(f"{self.path.name}.part")
            part.write_text(json.dumps(self.report, indent=1) + "\n", encoding="utf-8")
            part.replace(self.path)


def read_report(path: Path) -> Report:
    """Raises FileNotFoundError, or ValueError when the file is no report."""
    try:
        report: Report = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(report["config"], dict) or not all(DomainBits.__required_keys__ <= set(row) for row in report["bitsPerByte"]):
            raise TypeError("of another shape")
        # Reports from before there were tasks have neither.
        report.setdefault("model", {"name": path.stem, "sha256": str(report["config"].get("sha256", ""))})
        report.setdefault("tasks", {})
        if not Model.__required_keys__ <= set(report["model"]):
            raise TypeError("of another shape")
        for result in report["tasks"].values():
            if not all(Measure.__required_keys__ <= set(row) for row in result["measures"]) or "key" not in result:
                raise TypeError("of another shape")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a report of `stlm evaluate`; name another file") from error
    return report
