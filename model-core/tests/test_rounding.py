"""Rounding in training is what the exported files do: a model that trains for a file computes what the file computes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_artifact import random_model, write_artifact

from stlm import rounding
from stlm.config import Precision
from stlm.model import PatchLM
from stlm.patch import PatchRule
from stlm.quantize_weights import round_blocks
from stlm.runtime import FORCED, Cache, Runtime

RULE = PatchRule.load()
TEXT = b"What is trained against rounding must be rounded alike: caf\xc3\xa9!"


@pytest.fixture(scope="module")
def model() -> PatchLM:
    return random_model()


@torch.no_grad()
def trained_for(model: PatchLM, precision: Precision) -> np.ndarray:
    """Log-probability of each id of TEXT under the model that rounds as a file of that precision."""
    model.set_precision(precision)
    logits, target = model(torch.from_numpy(RULE.document_rows(TEXT)[None].astype(np.int64)))
    model.set_precision("fp32")
    return logits.log_softmax(-1).gather(1, target[:, None])[:, 0].numpy()


def served(runtime: Runtime) -> np.ndarray:
    """The same from the file, as one stream is decoded: a patch a run."""
    rows = RULE.document_rows(TEXT)
    cache, before, found = Cache(runtime), runtime.no_patch, []
    for row, following in pairwise(rows):
        ids = following[following != runtime.pad]
        noise = np.zeros((RULE.cap, 1, RULE.vocabulary), np.float32)
        noise[np.arange(len(ids)), 0, ids] = FORCED
        past = (cache.arrays, cache.patches)
        decoded = runtime.run(row[None, None], before[None], *past, sel=np.zeros(1), noise=noise, steps=len(ids))
        cache.append(decoded.newkv)
        found.append(decoded.lp[:, 0])
        before = row
    return np.concatenate(found)


# An int4 file also rounds what is local and its activations, to 8 bits a scale of 32: training leaves that out.
@pytest.mark.parametrize(("precision", "left_out"), [("uint8", 1e-3), ("int4", 0.25)])
def test_a_model_trained_for_a_file_computes_what_the_file_does(
    tmp_path: Path, model: PatchLM, precision: Precision, left_out: float
) -> None:
    write_artifact(tmp_path, model, precision)
    file = served(Runtime(tmp_path))
    rounding_does = np.abs(file - trained_for(model, "fp32")).max()
    assert rounding_does > 0.02
    assert np.abs(file - trained_for(model, precision)).max() < left_out * rounding_does


def test_int4_codes_are_those_of_the_export() -> None:
    weight = torch.randn(24, 96)
    codes, scale = round_blocks(weight.numpy(), 4)
    exported = ((codes.astype(np.float32) - 8) * scale[:, :, None]).reshape(24, 96)
    np.testing.assert_allclose(rounding.round_blocks(weight).numpy(), exported, atol=1e-6)


@pytest.mark.parametrize("rounding_of", [rounding.round_blocks, rounding.round_outputs, rounding.round_columns, rounding.round_activations])
def test_gradients_pass_straight_through(rounding_of: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = torch.randn(5, 64, requires_grad=True)
    rounded = rounding.straight_through(x, rounding_of)
    rounded.sum().backward()
    assert not torch.equal(rounded, x)
    assert x.grad is not None and torch.equal(x.grad, torch.ones_like(x))


def test_no_row_of_a_batch_rounds_another() -> None:
    x, weight = torch.randn(2, 3, 64), torch.randn(32, 64)
    changed = x.clone()
    changed[0, 0] *= 1000
    same = rounding.linear(x, weight, "uint8") == rounding.linear(changed, weight, "uint8")
    assert same.flatten(0, 1)[1:].all() and not same[0, 0].all()


def test_nothing_is_rounded_to_no_number() -> None:
    zeros = torch.zeros(2, 64)
    for precision in ("int4", "uint8"):
        assert torch.equal(rounding.linear(zeros, torch.zeros(32, 64), precision), torch.zeros(2, 32))
        assert torch.equal(rounding.table(zeros, precision), zeros)


def test_a_precision_of_the_model_is_taken_back(model: PatchLM) -> None:
    before = trained_for(model, "fp32")
    trained_for(model, "uint8")
    np.testing.assert_array_equal(trained_for(model, "fp32"), before)
