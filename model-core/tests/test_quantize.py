"""What rounding costs a trained model, measured from the exported files; and the artifact a checkpoint becomes."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from test_data import documents, write_corpus

from stlm import quantize, train, trainer
from stlm.config import Precision
from stlm.evaluation.documents import evaluate_domains, mean_of
from stlm.evaluation.scoring import open_scorer
from stlm.manifest import load_manifest


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny tier on made-up text, and held-out text of the same kind beside it."""
    folder = tmp_path_factory.mktemp("trained")
    for name, seed in (("data", 0), ("heldout", 9)):
        (folder / name).mkdir()
        write_corpus(folder / name, {"a": documents(80, seed)})
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    options = ["--tier", "stlm-tiny", "--data", f"{folder}/data", "--out", f"{folder}/run", "--max-steps", "80",
               "--batch-rows", "8", "--row-patches", "32", "--warmup-steps", "5", "--device", "cpu"]  # fmt: skip
    assert train.main(parser.parse_args(options)) == 0
    return folder


@pytest.fixture(scope="module")
def artifact(trained: Path) -> Path:
    quantize.write_artifact(trained / "run" / trainer.CHECKPOINT, trained / "stlm-tiny", ["fp32", "int4", "uint8"])
    return trained / "stlm-tiny"


def bits_per_byte(artifact: Path, precision: Precision, trained: Path) -> float:
    return mean_of(evaluate_domains(open_scorer(artifact, precision), trained / "heldout", 8192))


@pytest.mark.parametrize(("precision", "distance"), [("uint8", 0.01), ("int4", 0.02)])
def test_rounding_costs_at_most_the_stated_bits(artifact: Path, trained: Path, precision: Precision, distance: float) -> None:
    reference = bits_per_byte(artifact, "fp32", trained)
    assert reference < 3.5, "the reference has learnt something that rounding could spoil"
    assert abs(bits_per_byte(artifact, precision, trained) - reference) < distance


def test_an_artifact_describes_what_it_holds(artifact: Path) -> None:
    manifest = load_manifest(artifact)
    assert [file["precision"] for file in manifest["files"]] == ["fp32", "int4", "uint8"]
    assert manifest["id"] == "stlm-tiny"
    assert 3 < manifest["bytesPerPatch"] < 9
    assert manifest["training"]["bytesSeen"] > 50_000
    assert manifest["training"]["sources"] == [{"name": "a", "licence": "CC0"}]
    names = {tensor["name"] for tensor in manifest["graph"]["inputs"]}
    assert {"ids", "noise", "pk0", "pv1"} <= names
    sizes = {file["precision"]: file["bytes"] for file in manifest["files"]}
    assert sizes["int4"] < sizes["uint8"] < sizes["fp32"]


def test_an_unreadable_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"not a checkpoint")
    assert quantize.main(argparse.Namespace(checkpoint=path, output=tmp_path / "stlm-tiny", precision=None)) == 1
    told = capsys.readouterr().err
    assert f"{path}: not a readable checkpoint (damaged, or another kind of file)" in told
    assert "weights_only" not in told
