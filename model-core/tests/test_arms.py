"""Every ablation arm learns, sees no later byte, shares what it says it shares, and is exported as what it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from tiny_artifact import random_model

from stlm import checkpoint
from stlm.ablation.speed import Served
from stlm.config import ModelConfig
from stlm.export import build
from stlm.grow import grow
from stlm.model import PatchLM
from stlm.objective import Objective, make_batch
from stlm.optim import make_optimizers
from stlm.patch import document_ids
from stlm.throughput import step_flops
from stlm.tiers import TIERS

TINY = dataclasses.replace(TIERS["stlm-tiny"], words_rows=256, pairs_rows=256)
ARMS: dict[str, dict[str, Any]] = {
    "repeats": {"repeats": 2},
    "shared_mlp": {"shared_mlp": True},
    "shared and repeated": {"shared_mlp": True, "repeats": 2},
    "mean_pool": {"mean_pool": True},
    "untied_tables": {"untied_tables": True},
    "untied and pooled": {"untied_tables": True, "mean_pool": True},
    "fixed_stride": {"fixed_stride": True, "cap": 6},
    "flat bytes": {"cap": 1},
    "flat bytes without tables": {"cap": 1, "words_rows": 0, "pairs_rows": 0},
    "cap 8": {"cap": 8},
    "cap 16": {"cap": 16},
    "no pairs": {"pairs_rows": 0},
    "no hashed rows": {"words_rows": 0, "pairs_rows": 0},
    "kv heads": {"heads": 4, "kv_heads": 2, "head_dim": 32},
}
TEXT = b"The quick brown fox, who was naturally antidisestablishmentarian, jumped over 12 lazy dogs.\n\nWas it caf\xc3\xa9? " * 4


def config_of(arm: str) -> ModelConfig:
    return dataclasses.replace(TINY, **ARMS[arm])


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_learns(arm: str) -> None:
    torch.manual_seed(0)
    config = config_of(arm)
    model = PatchLM(config, config.rule())
    rows = model.rule.document_rows(TEXT)[None, : config.context + 1]
    batch = make_batch(rows, model.rule, "cpu", fixed=False)
    optimizers = make_optimizers(model, 0.02, 0.03, 0.01, 0.0)
    objective = Objective(model, bf16=False, compiled=False)
    losses = []
    for _ in range(8):
        loss, _ = objective(batch)
        (loss / batch.ids).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item() / batch.ids)
    assert losses[0] == pytest.approx(np.log(272), abs=1e-3)
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize("arm", ARMS)
def test_no_byte_of_an_arm_sees_a_later_one(arm: str) -> None:
    model = random_model(config_of(arm))
    pad = model.rule.specials["pad"]
    rows = torch.from_numpy(model.rule.document_rows(TEXT[:80]).astype(np.int64))[None]
    place = min(1, rows.shape[2] - 1)
    changed = rows.clone()
    changed[0, -3, place] = ord("Q")
    until = int((rows[0, 1:-3] != pad).sum()) + place + 1
    logits, other = model(rows)[0], model(changed)[0]
    torch.testing.assert_close(logits[:until], other[:until], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits[until:], other[until:], atol=1e-3)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_exported_as_it_is(arm: str) -> None:
    """One scoring run with the targets forced, and again with the first half as past."""
    model = random_model(config_of(arm))
    c, pad = model.config, model.rule.specials["pad"]
    session = ort.InferenceSession(build(model, "fp32").SerializeToString(), providers=["CPUExecutionProvider"])
    rows = model.rule.document_rows(TEXT[:90])[: c.context]
    with torch.no_grad():
        logits, target = model(torch.from_numpy(rows.astype(np.int64))[None])
    expected = logits.log_softmax(-1).gather(1, target[:, None])[:, 0].numpy()
    half, length = len(rows) // 2, 0
    past = [np.zeros((1, c.kv_heads, 128, c.head_dim), np.float32) for _ in range(2 * c.depth)]
    scores = []
    # After a past the graph takes one new place at a time.
    for start, end in [(0, half), *((i, i + 1) for i in range(half, len(rows) - 1))]:
        new, targets = rows[start:end], rows[start + 1 : end + 1]
        noise = np.zeros((c.cap, len(new), c.vocabulary), np.float32)
        row, place = np.nonzero(targets != pad)
        noise[place, row, targets[row, place]] = 1e9
        before = rows[start - 1] if start else np.full(c.cap, pad)
        newkv, toks, lp = session.run(["newkv", "toks", "lp"], {
            "ids": np.concatenate([before[None], new])[None].astype(np.int32),
            "pos": np.arange(length, length + len(new))[None],
            "seqk": np.array([length + len(new) - 1], np.int32),
            "tot": np.array([length + len(new)], np.int32),
            **{f"p{'kv'[i % 2]}{i // 2}": p for i, p in enumerate(past)},
            "sel": np.arange(len(new), dtype=np.int32),
            "noise": noise,
            "sampler": np.zeros((len(new), 7), np.float32),
            "seen": np.zeros((0, 2, c.vocabulary), np.float32),
            "steps": np.array([c.cap]),
        })  # fmt: skip
        parts = newkv.reshape(len(new), 2 * c.depth, c.kv_heads, c.head_dim)
        for i, cache in enumerate(past):
            cache[0, :, length : length + len(new)] = parts[:, i].transpose(1, 0, 2)
        length += len(new)
        known = (targets != pad)[:, : len(toks)]
        assert np.array_equal(toks.T[known], targets[:, : len(toks)][known])
        scores.append(lp.T[known])
    np.testing.assert_allclose(np.concatenate(scores), expected, atol=2e-4)


def test_sharing_saves_parameters_and_costs_the_same_arithmetic() -> None:
    def parts(**changes: Any) -> tuple[int, float]:
        with torch.device("meta"):
            config = dataclasses.replace(TINY, **changes)
            model = PatchLM(config, config.rule())
        return model.parameters_by_part()["trunk"], step_flops(model, 64, 320, 32)

    trunk, flops = parts()
    assert parts(layers=1, repeats=2) == (trunk // 2, flops)
    assert parts(shared_mlp=True) == (trunk - 2 * TINY.width * TINY.mlp, flops)
    assert parts(repeats=2)[0] == trunk
    assert parts(repeats=2)[1] > 1.5 * flops


def test_untied_tables_are_twice_the_tables() -> None:
    tied, untied = (random_model(dataclasses.replace(TINY, untied_tables=flag)) for flag in (False, True))
    assert untied.parameters_by_part()["embedding"] == 2 * tied.parameters_by_part()["embedding"]


def test_a_fixed_stride_cuts_every_six_bytes_and_loses_none() -> None:
    rule = config_of("fixed_stride").rule()
    rows = rule.document_rows(TEXT)
    assert rows[rows != rule.specials["pad"]].tolist() == document_ids(TEXT, rule).tolist()
    lengths = (rows != rule.specials["pad"]).sum(axis=1)
    assert lengths[0] == 1 and set(lengths[1:-2]) == {6}


@pytest.mark.parametrize("field", ["repeats", "shared_mlp", "mean_pool", "untied_tables", "words_rows"])
def test_growth_refuses_an_arm_by_its_field(field: str) -> None:
    arm = dataclasses.replace(TINY, **{field: {"repeats": 2, "words_rows": 0}.get(field, True)})
    with pytest.raises(ValueError, match=f"cannot grow .*{field}"):
        grow(PatchLM(arm, arm.rule()), dataclasses.replace(arm, layers=3))


def test_a_checkpoint_older_than_a_field_loads_with_its_default(tmp_path: Any) -> None:
    model = random_model(config_of("cap 8"))
    old = {name: value for name, value in model.config.to_dict().items() if name not in ("repeats", "mean_pool", "untied_tables")}
    content = {"config": old, "rule_hash": model.rule.rule_hash, "model": model.state_dict()}
    checkpoint.save(tmp_path / "old.pt", content)
    assert checkpoint.load_model(tmp_path / "old.pt")[0].config == model.config
    checkpoint.save(tmp_path / "older.pt", {**content, "config": {k: v for k, v in old.items() if k != "width"}})
    with pytest.raises(checkpoint.CheckpointError, match=r"another version of the model \(width\)"):
        checkpoint.load_model(tmp_path / "older.pt")


def test_served_speed_counts_the_bytes_that_are_decoded() -> None:
    model = random_model(dataclasses.replace(TINY, context=256))
    served = Served(model, TEXT * 8)
    seconds, count = served.pass_over()
    decoded = served.rows[101:165]
    assert len(seconds) == 64 and count == (decoded < 256).sum()
