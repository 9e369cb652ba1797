"""A loss plot shows every run it is given and survives the end a killed run leaves."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from stlm import plot


def write_run(folder: Path, name: str, steps: int = 50) -> Path:
    path = folder / name / "metrics.jsonl"
    path.parent.mkdir()
    lines = [
        {
            "step": s,
            "seconds": s * 2.0,
            "bytes": s * 1e6,
            "loss": 2 + 6 / (s + 1),
            "bytes_per_second": 1e5,
        }
        for s in range(steps)
    ]
    lines.append({"step": steps, "seconds": steps * 2.0, "bytes": steps * 1e6, "validation_bits_per_byte": 2.1234})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    plot.add_arguments(parser)
    return plot.main(parser.parse_args([str(a) for a in arguments]))


def test_svg_names_every_run_and_its_last_validation(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "first"), write_run(tmp_path, "second")
    assert run(a, b, "--output", tmp_path / "loss.svg") == 0
    drawn = (tmp_path / "loss.svg").read_text()
    for text in ("first, training", "second, training", "first, held out (2.123 at the end)", "training MB seen"):
        assert text in drawn


def test_same_metrics_give_the_same_file(tmp_path: Path) -> None:
    metrics = write_run(tmp_path, "run")
    for name in ("a.svg", "b.svg"):
        assert run(metrics, "--output", tmp_path / name) == 0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_png_over_time(tmp_path: Path) -> None:
    assert run(write_run(tmp_path, "run"), "--axis", "seconds", "--output", tmp_path / "loss.png") == 0
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_unfinished_last_line_is_counted_not_fatal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = write_run(tmp_path, "run")
    with open(metrics, "a") as file:
        file.write('{"step": 51, "seco')
    assert len(plot.read_metrics(metrics).training) == 50
    assert run(metrics, "--output", tmp_path / "loss.svg") == 0
    assert "1 unreadable lines" in capsys.readouterr().err


def test_nothing_to_draw_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    assert run(tmp_path / "metrics.jsonl", "--output", tmp_path / "loss.svg") == 1
    assert run(tmp_path / "absent.jsonl", "--output", tmp_path / "loss.svg") == 1
    assert run(tmp_path / "metrics.jsonl", "--output", tmp_path / "loss.gif") == 1


def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = write_run(tmp_path, "run")
    assert run(metrics, "--output", tmp_path / "new" / "loss.svg") == 0
    assert run(metrics, "--output", metrics / "loss.svg") == 1
    assert "stlm plot:" in capsys.readouterr().err


def test_smoothing_is_unbiased_from_the_first_point() -> None:
    np.testing.assert_allclose(plot.smooth(np.full(20, 3.0), half_life=5), 3.0)
    halved = plot.smooth(np.array([1.0] + [0.0] * 2000), half_life=1)
    np.testing.assert_allclose(halved[1], 1 / 3)
