"""Training: learns, resumes to the bit, stops cleanly on what is wrong, and is the same in two processes as in one."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from test_data import documents, write_corpus

from stlm import checkpoint, train, trainer
from stlm.patch import PatchRule
from stlm.tiers import TIERS

ROOT = Path(__file__).parent.parent


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_corpus(folder, {"a": documents(60), "b": documents(60, 1)})
    return folder


def arguments(corpus: Path, out: Path, *more: str) -> list[str]:
    return ["--tier", "stlm-tiny", "--data", str(corpus), "--out", str(out), "--batch-rows", "4", "--row-patches", "16",
            "--warmup-steps", "2", "--device", "cpu", *more]  # fmt: skip


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(argv)


def run(corpus: Path, out: Path, *more: str) -> int:
    return train.main(parse(arguments(corpus, out, *more)))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(out / trainer.CHECKPOINT)["model"]


def test_the_loss_falls(corpus: Path, tmp_path: Path) -> None:
    assert run(corpus, tmp_path / "run", "--max-steps", "40", "--heldout", str(corpus)) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / trainer.METRICS).read_text().splitlines()]
    assert lines[0]["loss"] > 8.0 > 4.5 > lines[-2]["loss"]
    assert lines[-1]["validation_bits_per_byte"] < 4.5
    assert "held out" in (tmp_path / "run" / trainer.PLOT).read_text()


def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(corpus, whole, "--max-steps", "12") == 0
    args = parse(arguments(corpus, broken, "--max-steps", "12"))
    started = trainer.Trainer(args, TIERS["stlm-tiny"], {})
    with closing(started.batches()) as batches:
        for batch, state in batches:
            started.train_step(batch)
            started.data_state = state
            if started.step == 5:
                break
    started.save()
    assert run(corpus, broken, "--max-steps", "12") == 0
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(broken)[name]), name


def test_a_stage_goes_on_with_the_moments_of_the_one_before_at_rates_of_its_own(corpus: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    assert run(corpus, before, "--max-steps", "3") == 0
    init = ["--init", str(before / trainer.CHECKPOINT), "--weight-decay", "0.5"]
    stage = trainer.Trainer(parse(arguments(corpus, tmp_path / "stage", "--max-steps", "3", *init)), TIERS["stlm-tiny"], {})
    matrix = stage.model.trunk[0].enter.weight
    muon, adam = stage.optimizers
    saved = checkpoint.load(before / trainer.CHECKPOINT)["optimizers"]
    # The first matrix in the order of the parameters is `lift`, the second of this block.
    assert torch.equal(muon.state[matrix]["momentum"], saved[0]["state"][1]["momentum"])
    assert adam.state[stage.model.head.weight]["step"] == 3
    assert muon.param_groups[0]["weight_decay"] == 0.5
    assert stage.step == 0


def test_kill_9_leaves_a_checkpoint_that_goes_on(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "stlm", "train", *arguments(corpus, out, "--max-seconds", "120", "--checkpoint-seconds", "0.2")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (out / trainer.CHECKPOINT).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    step = checkpoint.load(out / trainer.CHECKPOINT)["step"]
    assert step > 0
    assert run(corpus, out, "--max-steps", str(step + 3)) == 0
    assert checkpoint.load(out / trainer.CHECKPOINT)["step"] == step + 3


def test_a_process_stopped_early_says_so_and_the_next_one_ends_the_run(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(corpus, out, "--max-steps", "4", "--stop-after", "1e-6") == train.UNFINISHED
    assert checkpoint.load(out / trainer.CHECKPOINT)["step"] == 1
    assert run(corpus, out, "--max-steps", "4") == 0
    whole = tmp_path / "whole"
    assert run(corpus, whole, "--max-steps", "4") == 0
    assert all(torch.equal(weight, weights(out)[name]) for name, weight in weights(whole).items())


def test_metrics_tell_speed_and_utilisation_and_the_time_left_is_told(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(corpus, tmp_path / "run", "--max-steps", "3", "--checkpoint-seconds", "1e-6") == 0
    line = json.loads((tmp_path / "run" / trainer.METRICS).read_text().splitlines()[1])
    assert line["bytes_per_second"] > 0 and 0 < line["flop_utilisation"] < 1
    assert re.search(r"step 2, [\d.]+ bits/byte, [\d.]+ kB/s, [\d.]+% of peak, \d+:\d\d left", capsys.readouterr().err)


def torchrun(*command: str) -> None:
    """Two processes on this machine; fails when one of them does."""
    # torchrun finds a port itself: one found here could be taken before it is used.
    launcher = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    # Over loopback: by default gloo listens on whatever address the host's name resolves to.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([sys.executable, *launcher, *command], cwd=ROOT, env=environment, check=False, timeout=120, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-4000:]


def test_two_processes_train_as_one_with_the_whole_batch(corpus: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert run(corpus, alone, "--max-steps", "4") == 0
    torchrun("-m", "stlm", "train", *arguments(corpus, together, "--max-steps", "4"))
    losses = [[json.loads(line).get("loss") for line in (out / trainer.METRICS).read_text().splitlines()][:4] for out in (alone, together)]
    assert losses[0] == pytest.approx(losses[1], abs=2e-4)


def test_two_processes_end_a_time_budget_together_though_their_clocks_differ(corpus: Path, tmp_path: Path) -> None:
    script = tmp_path / "skewed.py"
    script.write_text(
        "import os, sys, time, types\n"
        "from stlm import trainer\n"
        "from stlm.__main__ import main\n"
        "speed = 1 + int(os.environ['RANK'])\n"
        "trainer.time = types.SimpleNamespace(monotonic=lambda: speed * time.monotonic())\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    out = tmp_path / "together"
    torchrun(str(script), "train", *arguments(corpus, out, "--max-seconds", "1"))
    assert checkpoint.load(out / trainer.CHECKPOINT)["seconds"] >= 1


def test_a_finished_run_started_again_keeps_its_checkpoint(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(corpus, out, "--max-steps", "2") == 0
    written = (out / trainer.CHECKPOINT).stat().st_mtime_ns
    assert run(corpus, out, "--max-steps", "2") == 0
    assert (out / trainer.CHECKPOINT).stat().st_mtime_ns == written


def test_steps_lost_by_a_kill_leave_the_metrics(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(corpus, out, "--max-steps", "3") == 0
    with (out / trainer.METRICS).open("a") as metrics:
        metrics.write('{"step": 4, "loss": 5.0}\n{"step": 5, "lo')
    assert run(corpus, out, "--max-steps", "5") == 0
    lines = [json.loads(line) for line in (out / trainer.METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5]


def test_without_a_terminal_a_line_a_checkpoint_stands_for_the_bar(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(corpus, tmp_path / "run", "--max-steps", "3", "--checkpoint-seconds", "1e-6") == 0
    told = capsys.readouterr().err
    assert "\r" not in told
    assert [line.partition(",")[0] for line in told.splitlines()] == ["step 1", "step 2", "step 3"]


def test_a_machine_without_git_can_train(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trainer.commit() != "unknown"
    monkeypatch.setenv("PATH", "")
    assert trainer.commit() == "unknown"


def test_broken_weights_never_replace_good_ones(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(corpus, out, "--max-steps", "2") == 0
    broken = trainer.Trainer(parse(arguments(corpus, out, "--max-steps", "4")), TIERS["stlm-tiny"], {})
    broken.model.head.weight.data[0, 0] = float("inf")
    with pytest.raises(FloatingPointError, match=r"weights are not finite after step 2; .* holds the last good state"):
        broken.save()
    assert weights(out)["head.weight"].isfinite().all()


def test_weights_without_a_run_are_no_run_to_resume(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(corpus, out, "--max-steps", "1") == 0
    content = checkpoint.load(out / trainer.CHECKPOINT)
    del content["optimizers"]
    checkpoint.save(out / trainer.CHECKPOINT, content)
    assert run(corpus, out, "--max-steps", "2") == 1
    assert "weights without a run; start from them with --init" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["config"].update(depth=3), "another version of the model (depth)"),
        (lambda content: content.pop("config"), "holds no config"),
        (lambda content: content["model"].pop("head.weight"), "the weights do not fit"),
    ],
)
def test_a_checkpoint_of_another_version_is_refused(
    corpus: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = tmp_path / "run" / trainer.CHECKPOINT
    assert run(corpus, path.parent, "--max-steps", "1") == 0
    content = checkpoint.load(path)
    change(content)
    checkpoint.save(path, content)
    with pytest.raises(checkpoint.CheckpointError, match=re.escape(message)):
        checkpoint.load_model(path)


def test_a_checkpoint_of_another_config_is_refused(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(corpus, out, "--max-steps", "2") == 0
    assert run(corpus, out, "--max-steps", "4", "--set", "layers=3") == 1
    assert "checkpoint of another config: layers is 2 there and 3 here" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_refused_and_kept(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(corpus, out, "--max-steps", "2") == 0
    path = out / trainer.CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    assert run(corpus, out, "--max-steps", "4") == 1
    assert "not a readable checkpoint" in capsys.readouterr().err
    assert path.stat().st_size == 1000


def test_a_loss_that_is_not_a_number_stops_with_the_last_good_state(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(corpus, out, "--max-steps", "2") == 0
    good = weights(out)
    assert run(corpus, out, "--max-steps", "50", "--matrix-lr", "nan") == 1
    # Step 3 learnt with a rate that is no number; step 4 is the first to see what it left.
    assert "loss is nan at step 4" in capsys.readouterr().err
    assert all(torch.equal(w, good[n]) for n, w in weights(out).items())


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"step": 1})

    def no_space(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"step": 2})
    assert checkpoint.load(path)["step"] == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "depth=3"], "--set depth: no such field"),
        (["--set", "layers=many"], "--set layers=many: expected a whole number"),
        (["--mix", "a"], "--mix 'a': expected NAME=VALUE"),
        (["--mix", "tea=1"], "mix names no source"),
        (["--set", "layers=2", "--set", "layers=3"], "--set: a name is given twice"),
        (["--mix", "a=-1"], "--mix a=-1: expected a number of 0 or more"),
        (["--mix", "a=much"], "--mix a=much: expected a number of 0 or more"),
        (["--set", "layers=0"], "stlm-tiny: layers is 0, must be 1 or more"),
        (["--set", "local_width=40"], "stlm-tiny: local_width is 40, must be a multiple of 32"),
        (["--set", "heads=3", "--set", "kv_heads=2"], "heads is 3, must be a multiple of kv_heads 2"),
        (["--row-patches", "4096"], "--row-patches 4096: the context of stlm-tiny is"),
        (["--init", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_wrong_options_name_themselves(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert run(corpus, tmp_path / "run", "--max-steps", "2", *more) == 1
    assert message in capsys.readouterr().err


def test_no_warm_up_and_no_warm_down_is_a_constant_rate() -> None:
    assert {trainer.rate_scale(step / 10, step, warmup_steps=0, warmdown=0.0) for step in range(11)} == {1.0}


def test_a_run_of_few_steps_is_warm_after_a_tenth_of_its_budget() -> None:
    assert trainer.rate_scale(0.1, 2, warmup_steps=40, warmdown=0.0) == 1


def test_a_stage_can_end_at_the_rate_where_the_next_begins() -> None:
    assert trainer.rate_scale(1.0, 500, warmup_steps=40, warmdown=1.0, final=0.25) == 0.25


def test_the_learning_rate_warms_up_and_anneals() -> None:
    scales = [trainer.rate_scale(step / 100, step, warmup_steps=10, warmdown=0.5) for step in range(101)]
    assert scales[0] == pytest.approx(0.1) and scales[9] == scales[50] == 1
    assert scales[100] == pytest.approx(0.05)
    assert scales[50:] == sorted(scales[50:], reverse=True)


@pytest.mark.parametrize(
    ("more", "trained_for"),
    [
        (["--round-fraction", "0.25"], ["fp32", "fp32", "fp32", "int4"]),
        (["--round", "uint8", "--round-fraction", "1"], ["uint8"] * 4),
        (["--round", "both", "--round-fraction", "0.5"], ["fp32", "fp32", "int4", "uint8"]),
        (["--round", "both", "--round-fraction", "0"], ["fp32"] * 4),
    ],
)
def test_the_end_of_a_run_trains_for_the_files_it_is_told(corpus: Path, tmp_path: Path, more: list[str], trained_for: list[str]) -> None:
    started = trainer.Trainer(parse(arguments(corpus, tmp_path / "run", "--max-steps", "4", *more)), TIERS["stlm-tiny"], {})
    found = []
    with closing(started.batches()) as batches:
        for _ in trained_for:
            started.train_step(next(batches)[0])
            found.append(started.model.trunk[0].enter.precision)
    assert found == trained_for


def test_a_fresh_checkpoint_loads_as_the_model_it_was(tmp_path: Path, corpus: Path) -> None:
    out = tmp_path / "run"
    assert run(corpus, out, "--max-steps", "1") == 0
    model, content = checkpoint.load_model(out / trainer.CHECKPOINT)
    assert model.config == TIERS["stlm-tiny"]
    assert content["rule_hash"] == PatchRule.load().rule_hash
