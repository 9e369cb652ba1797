"""An artifact gives its checkpoint back: what is trained on from it starts as exactly what is served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stlm.__main__ import main
from stlm.checkpoint import load_model
from stlm.quantize import write_artifact

ARTIFACT = Path(__file__).parents[2] / "test/fixtures/models/stlm-tiny"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ARTIFACT, tmp_path / "stlm-tiny"))


def test_quantizing_a_restored_checkpoint_gives_the_same_file_to_the_byte(artifact: Path, tmp_path: Path) -> None:
    assert main(["restore", str(artifact), str(tmp_path / "again.pt")]) == 0
    again = write_artifact(tmp_path / "again.pt", tmp_path / "again", ["int4"])
    manifest = json.loads((artifact / "manifest.json").read_text())
    assert again["files"] == manifest["files"]
    assert again["training"] == manifest["training"]
    assert "chat" not in again
    assert not load_model(tmp_path / "again.pt")[0].place.weight[-1].any(), "padding gives zeros"


def test_a_restored_checkpoint_is_still_tuned_to_chat(artifact: Path, tmp_path: Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["chat"] = {"roles": {"system": 263, "user": 264, "assistant": 265}, "endOfTurn": 266}
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    assert main(["restore", str(artifact), str(tmp_path / "again.pt")]) == 0
    assert write_artifact(tmp_path / "again.pt", tmp_path / "again", ["int4"])["chat"] == manifest["chat"]


def test_what_cannot_be_restored_is_named(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["id"] = "stlm-10m"
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    assert main(["restore", str(artifact), str(tmp_path / "again.pt")]) == 1
    assert "no int4 weight place of stlm-10m's size" in capsys.readouterr().err
    manifest["id"] = "stlm-7m"
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    assert main(["restore", str(artifact), str(tmp_path / "again.pt")]) == 1
    assert "stlm-7m is no tier" in capsys.readouterr().err
    assert not (tmp_path / "again.pt").exists()
