"""`stlm report` puts evaluations side by side, also where one lacks what the other has."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from test_tasks import MadeModel, data, measures  # noqa: F401

from stlm import report


def run(*given: Path | str) -> int:
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    return report.main(parser.parse_args([*map(str, given)]))


@pytest.fixture
def reports(tmp_path: Path, data: Path) -> tuple[Path, Path]:  # noqa: F811
    domains = [{"domain": "us_gov", "bytes": 100, "bitsPerByte": 1.75}]
    model = MadeModel(lambda text: sum(text) % 3 > 0, lambda prompt: b" 12 cats ran and ran and ran")
    tasks = {
        name: {"key": "", "measures": measures(name, model, data, 3)}
        for name in ("blimp", "arc_easy", "arithmetic", "patterns", "robustness")
    }
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for path, name, found, rows in ((paths[0], "stlm-a", tasks, domains), (paths[1], "bpe-b", {"arc_easy": tasks["arc_easy"]}, [])):
        path.write_text(json.dumps({"model": {"name": name, "sha256": "0" * 64}, "config": {}, "bitsPerByte": rows, "tasks": found}))
    return paths


def picture(path: Path) -> str:
    """What an SVG shows: the names of its clip paths are hashes of their exact corners, which the layout's solver gives to 1e-13 only."""
    return re.sub(r"\bp[0-9a-f]{10}\b", "clip", path.read_text())


def test_tables_and_charts_are_made(reports: tuple[Path, Path], tmp_path: Path) -> None:
    assert run(*reports, "--output", tmp_path / "out") == 0
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert "| task | metric | chance | stlm-a | bpe-b |" in text
    assert "| us gov | 1.750 | – |" in text
    [line] = [line for line in text.splitlines() if line.startswith("| ARC easy | accuracy |")]
    assert line.count("3 of 6") == 2 and "| 0.250 |" in line
    assert "](evaluation.svg)" in text and "field morphology" in text and "typos 5%" in text
    drawing = ElementTree.parse(tmp_path / "out" / "evaluation.svg")
    words = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"stlm-a", "bpe-b", "BLiMP", "us gov"} <= set(words)
    first = picture(tmp_path / "out" / "evaluation.svg")
    assert run(*reports, "--output", tmp_path / "out") == 0
    assert picture(tmp_path / "out" / "evaluation.svg") == first


def test_what_is_no_report_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"config": {}, "bitsPerByte": [], "tasks": {"blimp": {"measures": [{}]}}}')
    assert run(path, "--output", tmp_path) == 1
    assert f"{path}: not a report" in capsys.readouterr().err
    path.write_text('{"config": {}, "bitsPerByte": []}')
    assert run(path, "--output", tmp_path) == 1
    assert "nothing was measured" in capsys.readouterr().err
