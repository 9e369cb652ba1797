"""runs/speedrun.sh: from shards to a chat-tuned, evaluated artifact in one command, in pieces where it is told to."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_data import documents, write_corpus

from stlm import checkpoint, prepare
from stlm.manifest import load_manifest

ROOT = Path(__file__).parent.parent
UNFINISHED = 75


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings of the script for a run of a few seconds on made-up text."""
    for name, seed in (("text", 0), ("heldout", 9)):
        (tmp_path / name).mkdir()
        write_corpus(tmp_path / name, {"a": documents(60, seed)})
    records = [{"prompt": f"Say {word}.", "response": f"{word}!"} for word in ("cat", "dog", "cow", "hen") * 40]
    (tmp_path / "talk.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    parser = argparse.ArgumentParser()
    prepare.add_arguments(parser)
    assert prepare.main(parser.parse_args(["--chat", "--input", f"{tmp_path}/talk.jsonl", "--output", f"{tmp_path}/chat"])) == 0
    settings = {"DATA": "text", "HELDOUT": "heldout", "CHAT": "chat", "CHECKPOINTS": "runs", "ARTIFACTS": "artifacts"}
    return {
        **os.environ, **{name: str(tmp_path / folder) for name, folder in settings.items()}, "PYTHON": sys.executable,
        "TIERS": "tiny", "MINUTES": "0.5", "ROW_PATCHES": "64", "TEXT_MIX": "a=1", "CHAT_MIX": "chat-talk=1",
        "TASKS": "heldout,strings", "ROUND": "both", "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def speedrun(environment: dict[str, str]) -> int:
    return subprocess.run(["runs/speedrun.sh"], cwd=ROOT, env=environment, check=False, timeout=240).returncode


def test_one_command_makes_a_tuned_artifact_and_does_nothing_twice(environment: dict[str, str]) -> None:
    # A piece too short to start anything in says so; the next call starts.
    assert speedrun({**environment, "CHUNK_SECONDS": "30"}) == UNFINISHED
    assert speedrun(environment) == 0
    runs, artifact = Path(environment["CHECKPOINTS"]) / "stlm-tiny", Path(environment["ARTIFACTS"]) / "stlm-tiny"
    stages = [checkpoint.load(runs / stage / "checkpoint.pt") for stage in ("pretrain", "anneal", "tune")]
    seen = [stage["bytes_seen"] for stage in stages]
    assert 0 < seen[0] < seen[1] < seen[2], "each stage goes on from the one before"
    assert len({stage["seed"] for stage in stages}) == 3
    manifest = load_manifest(artifact)
    assert manifest["chat"]["endOfTurn"] == 266 and manifest["infill"]
    assert [file["precision"] for file in manifest["files"]] == ["int4", "uint8"]
    assert manifest["evaluation"]["mean"] > 0
    assert "strings" in (artifact / "README.md").read_text()
    written = (artifact / "manifest.json").stat().st_mtime_ns
    assert speedrun(environment) == 0
    assert (artifact / "manifest.json").stat().st_mtime_ns == written
