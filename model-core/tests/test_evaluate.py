"""Bits per byte from the exported file: equal to PyTorch's under the stated protocol, every byte counted once."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_artifact import CONTEXT, random_model, write_artifact

from stlm import evaluate, prepare
from stlm.evaluation import documents, windows
from stlm.evaluation.scoring import Scorer
from stlm.manifest import DomainBits, describe_file, load_manifest, save_manifest
from stlm.model import PatchLM
from stlm.patch import PatchRule, document_ids
from stlm.shards import ShardIndex

RULE = PatchRule.load()
PAD = RULE.specials["pad"]
TEXTS = {
    "letters": ["Dear Sir, " + "I have the honour to remain your obedient servant, and so on. " * 5, "A café."],
    "notes": ["Short.", "x" * 100, "One, two; three: four! " * 9],
}


@pytest.fixture(scope="module")
def model() -> PatchLM:
    return random_model()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, model: PatchLM) -> tuple[Path, Path]:
    """An artifact and the held-out shards of two domains."""
    base = tmp_path_factory.mktemp("evaluate")
    (base / "text").mkdir()
    for name, texts in TEXTS.items():
        (base / "text" / f"{name}.txt").write_text("\n<|doc|>\n".join(texts))
    parser = argparse.ArgumentParser()
    prepare.add_arguments(parser)
    assert prepare.main(parser.parse_args(["--input", str(base / "text"), "--output", str(base / "heldout")])) == 0
    (base / "artifact").mkdir()
    write_artifact(base / "artifact", model)
    return base / "artifact", base / "heldout"


def run(artifact: Path, heldout: Path, *more: str | Path) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    options = [str(artifact), "--heldout", str(heldout), "--tasks", "heldout", "--bytes-per-domain", "0", *map(str, more)]
    return evaluate.main(parser.parse_args(options))


def torch_bits(model: PatchLM, text: str) -> float:
    """The protocol of windows.py written out: one window at a time, through PyTorch."""
    rows = RULE.rows(document_ids(text.strip("\n").encode(), RULE)).astype(np.int64)
    bits, scored, start = 0.0, 0, 0
    while scored < len(rows) - 1:
        end = min(start + CONTEXT, len(rows) - 1)
        with torch.no_grad():
            logits, target = windowed(model, rows, start, end)
        patch = np.repeat(np.arange(start, end), (rows[start + 1 : end + 1] != PAD).sum(axis=1))
        kept = torch.from_numpy(patch >= scored) & (target < 256)
        bits -= logits.log_softmax(-1).gather(1, target[:, None])[kept].sum().item() / math.log(2)
        scored, start = end, end - CONTEXT // 2
    return bits


def windowed(model: PatchLM, rows: np.ndarray, start: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of patches start+1..end given start..end-1; the tables also see the patch before `start`."""
    none = np.full_like(rows[:1], PAD)
    before = torch.from_numpy(np.concatenate([none, rows])[start : end + 1])[None]
    window = torch.from_numpy(rows[start : end + 1])[None]
    target = window[:, 1:]
    at = (target != PAD).flatten().nonzero().squeeze(1)
    whole, prefixes = model.prefix_features(window, before, at + window.shape[2])
    z = model.drop(model.states(whole[:, :-1]))[0, at // window.shape[2]] + prefixes
    for block in model.local:
        z = block(z)
    return model.head(torch.nn.functional.rms_norm(z, (z.shape[-1],), eps=1e-6)), target.flatten()[at]


def test_equals_pytorch_by_domain(folders: tuple[Path, Path], model: PatchLM, tmp_path: Path) -> None:
    assert run(*folders, "--json", tmp_path / "report.json") == 0
    rows = json.loads((tmp_path / "report.json").read_text())["bitsPerByte"]
    for row, (name, texts) in zip(rows, TEXTS.items(), strict=True):
        size = sum(len(text.encode()) for text in texts)
        expected = sum(torch_bits(model, text) for text in texts) / size
        assert (row["domain"], row["bytes"]) == (name, size)
        assert row["bitsPerByte"] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("patches", [2, 5, 16, 17, 18, 24, 25, 26, 100])
def test_windows_predict_every_patch_once_with_half_a_context(patches: int) -> None:
    rows = np.arange(patches * 3, dtype=np.uint16).reshape(patches, 3)
    no_patch = np.full(3, PAD, np.uint16)
    predicted = []
    for window in windows.slide(rows, np.ones(rows.shape, bool), 16, no_patch):
        assert len(window.rows) - 1 <= 16
        first = int(window.rows[0, 0]) // 3
        scored = np.flatnonzero(window.scored.any(axis=1))
        predicted += (first + scored).tolist()
        assert first == 0 or scored[0] > 8
        np.testing.assert_array_equal(window.before, rows[first - 1] if first else no_patch)
    assert predicted == list(range(1, patches))


def test_a_window_of_nothing_to_score_is_not_run() -> None:
    # After the separator, [eod] is a patch alone, and the first that does not fit the context.
    text = b"a " * 16
    assert len(RULE.document_rows(text)) == 1 + CONTEXT + 1
    assert len(windows.document_windows(text, RULE, CONTEXT)) == 1


def test_batches_hold_every_window_and_stay_small() -> None:
    lengths = [3, 17, 5, 5, 12, 2, 9]
    found = [windows.Window(np.zeros((n, 12), np.uint16), np.zeros(12, np.uint16), np.zeros((n, 12), bool)) for n in lengths]
    batches = list(windows.batches_of(found, 20))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * (lengths[batch[0]] - 1) <= 20 for batch in batches)


def test_limit_spreads_over_documents() -> None:
    long, short = np.zeros(100_000, np.uint8), np.zeros(100, np.uint8)
    assert [len(d) for d in documents.excerpt([long] * 4, 65536)] == [16384] * 4
    assert [len(d) for d in documents.excerpt([long] * 30, 20_000)] == [8192, 8192, 3616]
    assert [len(d) for d in documents.excerpt([short, long], 65536)] == [100, 32768]
    assert [len(d) for d in documents.excerpt([short, long], 0)] == [100, 100_000]


def test_finished_domains_are_not_measured_again(folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    original = documents.evaluate_domain

    def failing(scorer: Scorer, texts: list[np.ndarray], name: str) -> DomainBits:
        measured.append(name)
        if measured == ["letters", "notes"]:
            raise KeyboardInterrupt
        return original(scorer, texts, name)

    monkeypatch.setattr(documents, "evaluate_domain", failing)
    with pytest.raises(KeyboardInterrupt):
        run(*folders, "--json", tmp_path / "report.json")
    assert run(*folders, "--json", tmp_path / "report.json") == 0
    assert measured == ["letters", "notes", "notes"]
    # Another amount of text is another measurement.
    assert run(*folders, "--json", tmp_path / "report.json", "--bytes-per-domain", "64") == 0
    assert measured[3:] == ["letters", "notes"]
    # So is another protocol.
    monkeypatch.setattr(documents, "PROTOCOL", documents.PROTOCOL + 1)
    assert run(*folders, "--json", tmp_path / "report.json", "--bytes-per-domain", "64") == 0
    assert measured[5:] == ["letters", "notes"]


def test_baselines_are_printed_beside(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baselines = [{"domain": "letters", "bytes": 1, "xz": 2.25, "ngram": 2.125}]
    (tmp_path / "baselines.json").write_text(json.dumps({"bitsPerByte": baselines}))
    assert run(*folders, "--baselines", tmp_path / "baselines.json") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("letters"))
    assert "2.2500   2.1250  (baselines on 1 bytes)" in line


def test_write_completes_the_manifest(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    # A model that prefers "a" by far has a greedy text that small errors leave alone.
    model = random_model()
    with torch.no_grad():
        model.place.weight[:-1] += 1
        model.head.weight[ord("a")] = 2
    write_artifact(tmp_path, model)
    assert run(tmp_path, folders[1], "--write") == 0
    manifest = load_manifest(tmp_path)
    assert [row["domain"] for row in manifest["evaluation"]["bitsPerByte"]] == list(TEXTS)
    assert manifest["evaluation"]["mean"] == pytest.approx(
        sum(row["bitsPerByte"] for row in manifest["evaluation"]["bitsPerByte"]) / 2, abs=1e-4
    )
    assert len(manifest["golden"]["ids"]) > 0
    assert min(manifest["latencySeed"][key] for key in ("loadMs", "prefillPatchMs", "decodePatchMs")) > 0


def test_damaged_artifacts_are_refused(
    tmp_path: Path, folders: tuple[Path, Path], model: PatchLM, capsys: pytest.CaptureFixture[str]
) -> None:
    write_artifact(tmp_path, model)
    path = tmp_path / "stlm-tiny.fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    assert run(tmp_path, folders[1]) == 1
    assert "sha256 differs" in capsys.readouterr().err
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"][0]["name"] = "../elsewhere.onnx"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert run(tmp_path, folders[1]) == 1
    assert "bad file name" in capsys.readouterr().err
    manifest["files"] = []
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert run(tmp_path, folders[1]) == 1
    assert "no fp32 file" in capsys.readouterr().err
    del manifest["trunk"]["layers"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert run(tmp_path, folders[1]) == 1
    assert "no layers in trunk" in capsys.readouterr().err


def test_artifacts_of_another_patch_rule_are_refused(
    tmp_path: Path, folders: tuple[Path, Path], model: PatchLM, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_artifact(tmp_path, model)
    manifest["patch"]["ruleHash"] = "0" * 64
    save_manifest(tmp_path, manifest)
    assert run(tmp_path, folders[1]) == 1
    assert "another patch rule" in capsys.readouterr().err


def test_a_model_file_that_onnxruntime_refuses_is_named(
    tmp_path: Path, folders: tuple[Path, Path], model: PatchLM, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_artifact(tmp_path, model)
    (tmp_path / "stlm-tiny.fp32.onnx").write_bytes(b"whole, but no graph")
    manifest["files"] = [describe_file(tmp_path / "stlm-tiny.fp32.onnx", "fp32")]
    save_manifest(tmp_path, manifest)
    assert run(tmp_path, folders[1]) == 1
    assert "stlm-tiny.fp32.onnx: onnxruntime" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--baselines", "--json"])
@pytest.mark.parametrize("content", ["{", "[1, 2]", '{"bitsPerByte": [{}]}'])
def test_a_file_that_is_no_report_is_named_before_the_work_and_kept(
    tmp_path: Path, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], option: str, content: str
) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    assert run(*folders, option, path) == 1
    captured = capsys.readouterr()
    assert f"{path}: not a report of" in captured.err
    assert "mean over domains" not in captured.out
    assert path.read_text() == content


def test_nothing_to_measure_is_said(tmp_path: Path, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folders[0], tmp_path) == 1
    assert f"{tmp_path}: no prepared shards" in capsys.readouterr().err
    ShardIndex({}).save(tmp_path)
    assert run(folders[0], tmp_path) == 1
    assert f"{tmp_path}: no documents" in capsys.readouterr().err
