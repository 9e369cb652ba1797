"""Checkpoints: one file with everything a run needs to go on exactly, replaced in one step."""

from __future__ import annotations

import os
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch

from stlm.config import ModelConfig, TrunkConfig
from stlm.model import LanguageModel, PatchLM

FORMAT = 1


class CheckpointError(ValueError):
    """The file is no checkpoint of ours, or of another model than asked for."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes beside `path`, flushes to disk, renames: a kill at any moment leaves the old file or the new one.

    Raises OSError (a full disk) and leaves the old file alone.
    """
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load(path: Path) -> dict[str, Any]:
    """Raises FileNotFoundError, or CheckpointError when the file is damaged or of another format."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # what a damaged pickle raises depends on the byte that is damaged
        # PyTorch's own words for it advise to load the file unsafely.
        reason = error.strerror if isinstance(error, OSError) else "damaged, or another kind of file"
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of format {FORMAT}")
    return content


def saved_config(path: Path, content: dict[str, Any], kind: type[TrunkConfig] = ModelConfig) -> dict[str, Any]:
    """The config a checkpoint was written with, with the defaults of fields that are younger than it.

    Raises CheckpointError when it holds no model, fields we do not know, or lacks one that has no default.
    """
    if missing := [key for key in ("config", "rule_hash", "model") if key not in content]:
        raise CheckpointError(f"{path}: holds no {', '.join(missing)}")
    config = {field.name: field.default for field in fields(kind) if field.default is not MISSING} | content["config"]
    ours = {field.name for field in fields(kind)}
    if set(config) != ours:
        raise CheckpointError(f"{path}: checkpoint of another version of the model ({', '.join(sorted(set(config) ^ ours))})")
    return config


def load_weights(path: Path, content: dict[str, Any], model: LanguageModel) -> None:
    """Raises CheckpointError when a weight is missing or has another shape."""
    try:
        model.load_state_dict(content["model"])
    except RuntimeError as error:
        raise CheckpointError(f"{path}: the weights do not fit its config ({' '.join(str(error).split())[:200]})") from error


def check_config(path: Path, content: dict[str, Any], config: TrunkConfig, rule_hash: str) -> None:
    """Raises CheckpointError naming the first field in which the checkpoint's model differs from `config`."""
    saved = saved_config(path, content, type(config))
    for field in fields(config):
        ours = getattr(config, field.name)
        if saved[field.name] != ours:
            raise CheckpointError(f"{path}: checkpoint of another config: {field.name} is {saved[field.name]!r} there and {ours!r} here")
    if content["rule_hash"] != rule_hash:
        raise CheckpointError(f"{path}: checkpoint of another patch rule ({content['rule_hash'][:12]}…)")


def load_model(path: Path) -> tuple[PatchLM, dict[str, Any]]:
    """The model of a checkpoint, in evaluation mode, and the checkpoint's other content. Raises as `load` does."""
    content = load(path)
    config = ModelConfig(**saved_config(path, content))
    rule = config.rule()
    check_config(path, content, config, rule.rule_hash)
    model = PatchLM(config, rule)
    load_weights(path, content, model)
    return model.eval(), content
