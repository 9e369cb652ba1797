"""A card speaks of the very artifact it lies beside, and is not written before there is something to tell."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_artifact import random_model, write_artifact

from stlm import card
from stlm.chat import chat_template
from stlm.generate import Generator
from stlm.manifest import load_manifest, save_manifest
from stlm.patch import PatchRule
from stlm.runtime import Runtime

EVALUATION = {
    "command": "python -m stlm evaluate artifacts/stlm-tiny --write",
    "date": "2026-11-23",
    "bitsPerByte": [
        {"domain": "books", "bytes": 1000, "bitsPerByte": 1.75},
        {"domain": "unseen_poetry_drama", "bytes": 500, "bitsPerByte": 2.25},
    ],
    "mean": 2.0,
}
BASELINES = {"ngram": {"order": 5}, "bitsPerByte": [{"domain": "books", "bytes": 1000, "xz": 2.409, "ngram": 2.063}]}


def run(folder: Path) -> int:
    (folder / "baselines.json").write_text(json.dumps(BASELINES))
    parser = argparse.ArgumentParser()
    card.add_arguments(parser)
    return card.main(parser.parse_args([str(folder), "--baselines", str(folder / "baselines.json")]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest = write_artifact(tmp_path, random_model())
    names = ("wikipedia_en-00", "wikipedia_en-01", "bookdash")
    manifest["training"]["sources"] = [{"name": name, "licence": "CC-BY 4.0"} for name in names]
    manifest["evaluation"] = EVALUATION  # type: ignore[typeddict-item]
    save_manifest(tmp_path, manifest)
    return tmp_path


def test_card_holds_figures_samples_and_licences(folder: Path) -> None:
    assert run(folder) == 0
    text = (folder / "README.md").read_bytes().decode()
    assert "| books | 1,000 | **1.750** | 2.063 | 2.409 |" in text
    assert "| unseen poetry drama | 500 | **2.250** | – | – |" in text
    assert EVALUATION["command"] in text
    assert load_manifest(folder)["files"][0]["sha256"] in text
    assert text.count("| wikipedia_en | CC-BY 4.0 |") == 1 and "| bookdash | CC-BY 4.0 |" in text
    assert "no verse or play was in its training text" in text
    assert str(folder) not in text
    generator = Generator(Runtime(folder))
    for seed, prompt in enumerate(card.SAMPLE_PROMPTS):
        sample = generator.text(prompt.encode(), card.SAMPLE_BYTES, replace(card.SAMPLING, seed=seed))
        assert f"{prompt}▏{sample}" in text


def test_card_says_when_the_baselines_read_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(folder) == 0
    assert "the baselines are of the whole domain" not in (folder / "README.md").read_text()
    monkeypatch.setitem(BASELINES, "bitsPerByte", [{"domain": "books", "bytes": 9999, "xz": 2.409, "ngram": 2.063}])
    assert run(folder) == 0
    assert "the baselines are of the whole domain" in (folder / "README.md").read_text()


def test_card_tells_what_the_tasks_found(folder: Path) -> None:
    assert run(folder) == 0
    assert "What it can do" not in (folder / "README.md").read_text()
    manifest = load_manifest(folder)
    manifest["evaluation"]["tasks"] = [
        {"task": "blimp", "metric": "accuracy", "value": 0.56, "low": 0.556, "high": 0.564, "items": 67000, "chance": 0.5},
        {"task": "piqa", "metric": "accuracy_norm", "value": 0.51, "low": 0.49, "high": 0.53, "items": 500, "of": 1838, "chance": 0.5},
        {"task": "arithmetic, a + b", "metric": "exact_match", "value": 0.0, "low": 0.0, "high": 0.01, "items": 400},
        {"task": "qmsum", "metric": "bits_per_byte", "value": 1.5, "low": 1.4, "high": 1.6, "items": 281},
    ]
    manifest["evaluation"]["tasksCommand"] = "evaluate --tasks all\nevaluate --tasks blimp"
    manifest["evaluation"]["tasksDate"] = "2026-11-25"
    save_manifest(folder, manifest)
    assert run(folder) == 0
    text = (folder / "README.md").read_text()
    assert "on 2026-11-23. Beside it" in text and "measured until 2026-11-25" in text
    assert EVALUATION["command"] in text and "```sh\nevaluate --tasks all\nevaluate --tasks blimp\n```" in text
    assert "| BLiMP | accuracy ↑ | **0.560** (0.556–0.564) | 0.500 | 67,000 |" in text
    assert "| PIQA | accuracy norm ↑ | *0.510* (0.490–0.530) | 0.500 | 500 of 1,838 |" in text
    assert "| arithmetic, a + b | exact match ↑ | **0.000** (0.000–0.010) |  | 400 |" in text
    assert "| QMSum | bits per byte ↓ |" in text


def test_no_card_before_an_evaluation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = load_manifest(folder)
    del manifest["evaluation"]
    save_manifest(folder, manifest)
    assert run(folder) == 1
    assert "evaluate --write" in capsys.readouterr().err
    assert not (folder / "README.md").exists()


def test_fence_is_longer_than_any_in_the_sample() -> None:
    assert card.fenced("plain").startswith("```text\n")
    assert card.fenced("a ````b").startswith("`````text\n")


def test_card_says_whether_the_model_was_tuned_to_chat(folder: Path) -> None:
    manifest = load_manifest(folder)
    assert "not tuned to follow instructions or to chat" in card.introduction(manifest)
    assert "--chat" not in card.usage(manifest)
    manifest["chat"] = chat_template(PatchRule.load())
    assert "It was tuned to chat" in card.introduction(manifest)
    assert "stlm-tiny --chat" in card.usage(manifest)
    assert "--suffix" not in card.usage(manifest)
    manifest["infill"] = True
    assert "between a prefix and a suffix" in card.introduction(manifest) and "--suffix" in card.usage(manifest)
