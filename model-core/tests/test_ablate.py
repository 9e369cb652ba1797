"""An ablation: every arm and seed is run and judged once, a failing one is told, and the report has a row an arm."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from test_data import documents, write_corpus

from stlm import ablate
from stlm.__main__ import main
from stlm.ablation import judge, scaling
from stlm.ablation.run import RESULT, RunError, in_a_process, runs_of
from stlm.ablation.spec import Spec
from stlm.train import add_arguments, configure, options

RUNS = Path(__file__).parent.parent / "runs"
SPEC = """
kind = "ablation"
base = "base"
tier = "stlm-tiny"
seconds = 0.3
seeds = [0, 1]
jobs = 1
threads = 1
data = "{data}"
heldout = "{data}"
[train]
batch_rows = 2
row_patches = 16
[evaluation]
bytes_per_domain = 300
blimp_pairs = 2
blimp = "{blimp}"
[[arm]]
name = "base"
title = "the tiny tier"
[[arm]]
name = "cap-8"
title = "shorter patches"
set = {{ cap = 8, mean_pool = true }}
[[arm]]
name = "broken"
title = "too wide a row"
train = {{ row_patches = 4096 }}
"""


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    ablate.add_arguments(parser)
    return parser.parse_args(argv)


def here(module: list[str], log: Path, threads: int) -> str:
    """The real commands without the seconds that a process takes to import PyTorch; for one job at a time."""
    said, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaint):
        status = main(module[1:]) if module[0] == "stlm" else judge.main(module[1:])
    if status:
        raise RunError(complaint.getvalue().strip().splitlines()[-1])
    return said.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec whose two good arms have run."""
    folder = tmp_path_factory.mktemp("ablation")
    data, blimp = folder / "data", folder / "blimp.jsonl.xz"
    data.mkdir()
    write_corpus(data, {"a": documents(40), "b": documents(40, 1)})
    pairs = [{"UID": uid, "field": "syntax", "sentence_good": f"The cat {uid}.", "sentence_bad": f"Cat the {uid}."} for uid in "aaabbb"]
    blimp.write_bytes(lzma.compress("".join(json.dumps(pair) + "\n" for pair in pairs).encode()))
    (folder / "spec.toml").write_text(SPEC.format(data=data, blimp=blimp))
    assert run(folder) == 1
    return folder


def run(folder: Path, *more: str) -> int:
    return ablate.main(parse(str(folder / "spec.toml"), "--out", str(folder / "out"), "--reports", str(folder / "reports"), *more), here)


def test_the_report_has_a_row_an_arm_and_tells_what_failed(finished: Path) -> None:
    report = (finished / "reports" / "spec.md").read_text()
    for title in ("**the tiny tier**", "shorter patches"):
        (line,) = [line for line in report.splitlines() if line.startswith(f"| {title}")]
        assert "±" in line and ("0.22M" in line or "0.18M" in line)
        # Served bytes/s and bytes a run were measured.
        assert all(cell.strip() not in ("-", "") for cell in line.strip("|").split("|"))
    assert "too wide a row: stlm train: --row-patches 4096: the context of stlm-tiny is 128 patches" in report
    assert "shorter patches" in (finished / "reports" / "spec.svg").read_text()


def test_a_result_holds_what_the_run_was_and_what_it_is_worth(finished: Path) -> None:
    spec = Spec.load(finished / "spec.toml")
    for planned in runs_of(spec, finished / "out"):
        result = planned.result()
        if planned.arm.name != "broken":
            assert result is not None and 0 < result["bits_per_byte"] < 9 and set(result["domains"]) == {"a", "b"}
            assert result["blimp"]["pairs"] == 4 and result["seconds"] >= 0.3 and result["command"][0] == "train"


def test_a_restart_runs_only_what_is_missing(finished: Path) -> None:
    path = finished / "out" / "base" / "seed-1" / RESULT
    kept = finished / "out" / "base" / "seed-0" / RESULT
    before = kept.stat().st_mtime_ns
    path.unlink()
    assert run(finished, "--only", "base,cap-8") == 0
    assert path.exists() and kept.stat().st_mtime_ns == before


def test_runs_with_other_settings_are_not_taken_for_these(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(finished, "--only", "base", "--seconds", "9") == 1
    assert "finished with other settings" in capsys.readouterr().err


def test_a_failing_process_is_told_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"No module named stlm\.nothing"):
        in_a_process(["stlm.nothing"], tmp_path / "log.txt", 1)
    assert in_a_process(["stlm", "--help"], tmp_path / "log.txt", 1).startswith("usage")


def test_seeds_alternate_the_order_of_the_arms(finished: Path) -> None:
    order = [(run.arm.name, run.seed) for run in runs_of(Spec.load(finished / "spec.toml"), finished)]
    assert order == [("base", 0), ("cap-8", 0), ("broken", 0), ("broken", 1), ("cap-8", 1), ("base", 1)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('base = "base"', 'base = "nothing"', "base names no arm: nothing"),
        ('name = "cap-8"', 'name = "base"', "two arms are called base"),
        ('kind = "ablation"', 'kind = "else"', "kind is 'else'"),
        ("seconds = 0.3", "second = 0.5", "second"),
        ("title =", "titel =", "titel"),
    ],
)
def test_a_wrong_spec_names_what_is_wrong(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    wrong = tmp_path / "spec.toml"
    wrong.write_text((finished / "spec.toml").read_text().replace(old, new))
    assert ablate.main(parse(str(wrong), "--out", str(tmp_path))) == 1
    assert message in capsys.readouterr().err
    assert ablate.main(parse(str(finished / "spec.toml"), "--out", str(tmp_path), "--only", "base,nix")) == 1
    assert "--only nix: no such arm" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ablations", "scaling"])
def test_every_arm_of_the_committed_specs_is_a_model(name: str) -> None:
    spec = Spec.load(RUNS / f"{name}.toml")
    for arm in spec.arms:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        args = parser.parse_args(spec.train_arguments(arm, 0, Path("out")))
        assert configure(args.tier, options.pairs(args.set, "--set")).context >= args.row_patches


def test_a_power_law_is_found_again() -> None:
    random = np.random.default_rng(0)
    parameters, seen = np.exp(random.uniform(10, 18, 40)), np.exp(random.uniform(10, 18, 40))
    law = scaling.fit([parameters.tolist(), seen.tolist()], (30 * parameters**-0.05 * seen**-0.1).tolist())
    assert law.exponents == pytest.approx((-0.05, -0.1)) and law.error < 1e-9
    assert law(1e6, 1e7) == pytest.approx(30 * 1e6**-0.05 * 1e7**-0.1)
    with pytest.raises(ValueError, match="too few different points"):
        scaling.fit([[1e6, 1e6]], [2.0, 2.1])


def test_a_scaling_report_is_drawn_from_the_validations(finished: Path) -> None:
    spec = finished / "sizes.toml"
    text = (finished / "spec.toml").read_text().replace('"ablation"', '"scaling"').replace("seconds = 0.3", "seconds = 1")
    text = text.partition('[[arm]]\nname = "broken"')[0].replace("batch_rows = 2", "batch_rows = 2\nvalidate_seconds = 0.1")
    spec.write_text(text.replace("set = { cap = 8, mean_pool = true }", "set = { layers = 1 }"))
    reports = finished / "reports"
    assert ablate.main(parse(str(spec), "--out", str(finished / "sizes"), "--reports", str(reports)), here) == 0
    report = (reports / "sizes.md").read_text()
    assert "stlm-300m" in report and "x bytes^" in report
    assert "training FLOP" in (reports / "sizes.svg").read_text()
