"""The model: sizes of the tiers, causality, and growth that keeps the function."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tiny_artifact import random_model

from stlm.grow import grow
from stlm.model import PatchLM
from stlm.patch import PatchRule, document_ids
from stlm.tiers import TIERS

RULE = PatchRule.load()
SMALL = dataclasses.replace(TIERS["stlm-tiny"], words_rows=256, pairs_rows=256)
LARGE = dataclasses.replace(
    SMALL, name="larger", width=128, layers=5, heads=3, mlp=320, local_width=96, local_mlp=160, words_rows=512, pairs_rows=768
)
TEXT = b"Growing a model must not change what it says, however wide and deep it gets; caf\xc3\xa9 or not."


def rows_of(text: bytes) -> torch.Tensor:
    return torch.from_numpy(RULE.rows(document_ids(text, RULE))[None].astype(np.int64))


@pytest.mark.parametrize(("tier", "millions"), [(f"stlm-{n}m", n) for n in (1, 3, 10, 30, 50, 100, 300)])
def test_a_tier_has_the_parameters_of_its_name(tier: str, millions: int) -> None:
    with torch.device("meta"):
        model = PatchLM(TIERS[tier], RULE)
    total = model.parameters_by_part()["total"]
    assert abs(total / (millions * 1e6) - 1) <= 0.05
    stored = sum(p.numel() for p in model.parameters())
    padding_rows = 3 * TIERS[tier].local_width
    assert stored == total + padding_rows


def test_no_byte_sees_a_later_one() -> None:
    model = random_model(SMALL)
    rows = rows_of(TEXT)
    logits, _ = model(rows)
    changed = rows.clone()
    changed[0, -2, 1] = ord("Q")
    other, _ = model(changed)
    until = int((rows[0, 1:-2] != RULE.specials["pad"]).sum()) + 2
    assert torch.equal(logits[:until], other[:until])
    assert not torch.allclose(logits[until:], other[until:])


@pytest.mark.parametrize("window", [0, 2])
def test_local_attention_is_causal_too(window: int) -> None:
    config = dataclasses.replace(SMALL, local_width=64, local_attention=True, byte_window=window)
    model = random_model(config)
    rows = rows_of(TEXT)
    changed = rows.clone()
    changed[0, -2, 1] = ord("Q")
    until = int((rows[0, 1:-2] != RULE.specials["pad"]).sum()) + 2
    logits, other = model(rows)[0], model(changed)[0]
    assert torch.allclose(logits[:until], other[:until], atol=1e-5)
    assert not torch.allclose(logits[until:], other[until:], atol=1e-3)


def test_a_grown_model_computes_what_its_parent_computes() -> None:
    parent = random_model(SMALL)
    child = grow(parent, LARGE).eval()
    rows = rows_of(TEXT * 3)
    torch.testing.assert_close(child(rows)[0], parent(rows)[0], atol=1e-4, rtol=1e-4)


def test_every_new_weight_of_a_grown_model_learns() -> None:
    child = grow(random_model(SMALL), LARGE)
    optimizer = torch.optim.SGD(child.parameters(), lr=1e-2)
    rows = rows_of(TEXT * 3)
    before = {name: p.detach().clone() for name, p in child.named_parameters()}
    for _ in range(3):
        logits, target = child(rows)
        torch.nn.functional.cross_entropy(logits, target).backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, parameter in child.named_parameters():
        changed = parameter != before[name]
        assert changed[:, -1].any(), f"{name}: the newest input channel does not learn"
        if name not in ("place.weight", "words.weight", "pairs.weight", "head.weight"):
            # A few squared-ReLU units are silent on so short a text.
            assert changed.any(dim=1).float().mean() > 0.9, f"{name}: new outputs do not learn"


def test_growth_into_a_smaller_size_names_the_field() -> None:
    with pytest.raises(ValueError, match="mlp shrinks from 128 to 64"):
        grow(random_model(SMALL), dataclasses.replace(SMALL, mlp=64))
    with pytest.raises(ValueError, match="pairs_rows 700 is no multiple of 256"):
        grow(random_model(SMALL), dataclasses.replace(SMALL, pairs_rows=700))


def test_an_ablation_arm_does_not_grow_into_another_function() -> None:
    arm = dataclasses.replace(SMALL, local_width=64, local_attention=True)
    with pytest.raises(ValueError, match="local_attention"):
        grow(random_model(arm), dataclasses.replace(arm, layers=3))
