"""The exported graph against the PyTorch model it was built from, on a tiny config with random weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnxruntime as ort
import pytest
import torch
from tiny_artifact import random_model

from stlm.export import build
from stlm.model import PatchLM
from stlm.patch import PatchRule, document_ids
from stlm.tiers import TIERS

RULE = PatchRule.load()
CONFIG = dataclasses.replace(TIERS["stlm-tiny"], layers=2, local_blocks=2)
PAD = RULE.specials["pad"]
TEXT = b"The quick brown fox, who was naturally antidisestablishmentarian, jumped over 12 lazy dogs.\n\nWas it caf\xc3\xa9?"


MODEL = random_model(CONFIG, seed=0)


@pytest.fixture(scope="module")
def session() -> ort.InferenceSession:
    return ort.InferenceSession(build(MODEL, "fp32").SerializeToString(), providers=["CPUExecutionProvider"])


def feeds(rows: np.ndarray, before: np.ndarray, past: list[np.ndarray], length: int, **changes: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs for `rows` [B, S, cap] new patches after `length` cached ones."""
    batch, patches, cap = rows.shape
    rows_decoded = len(changes.get("sel", np.zeros(1)))
    return {
        "ids": np.concatenate([before[:, None], rows], axis=1).astype(np.int32),
        "pos": np.tile(np.arange(length, length + patches), (batch, 1)).astype(np.int64),
        "seqk": np.full(batch, length + patches - 1, np.int32),
        "tot": np.array([length + patches], np.int32),
        **{f"p{'kv'[i % 2]}{i // 2}": p for i, p in enumerate(past)},
        "sel": np.array([batch * patches - 1], np.int32),
        "noise": np.zeros((cap, rows_decoded, CONFIG.vocabulary), np.float32),
        "sampler": np.zeros((rows_decoded, 7), np.float32),
        "seen": np.zeros((0, 2, CONFIG.vocabulary), np.float32),
        "steps": np.array([cap], np.int64),
        **changes,
    }  # fmt: skip


def empty_past(batch: int = 1, slots: int = 128) -> list[np.ndarray]:
    return [np.zeros((batch, CONFIG.kv_heads, slots, CONFIG.head_dim), np.float32) for _ in range(2 * CONFIG.layers)]


def make_noise(patches: int, seed: int | None = None) -> np.ndarray:
    """[patches, cap, 272]: greedy or Gumbel, the padding id banned as the host bans it."""
    shape = (patches, RULE.cap, CONFIG.vocabulary)
    noise = np.zeros(shape) if seed is None else np.random.default_rng(seed).gumbel(size=shape)
    noise[:, :, PAD] = -1e9
    return noise.astype(np.float32)


def append(past: list[np.ndarray], newkv: np.ndarray, length: int) -> None:
    """Writes the new keys and values behind the cached ones, as the host does."""
    batch, patches, _ = newkv.shape
    parts = newkv.reshape(batch, patches, 2 * CONFIG.layers, CONFIG.kv_heads, CONFIG.head_dim)
    for i, cache in enumerate(past):
        cache[:, :, length : length + patches] = parts[:, :, i].transpose(0, 2, 1, 3)


NO_PATCH = np.full((1, RULE.cap), PAD, np.uint16)


def forced(target: np.ndarray) -> np.ndarray:
    """Noise float32 [cap, R, 272] that makes the graph decode `target` [R, cap]."""
    noise = np.zeros((RULE.cap, len(target), CONFIG.vocabulary), np.float32)
    row, place = np.nonzero(target != PAD)
    noise[place, row, target[row, place]] = 1e9
    return noise


def score(session: ort.InferenceSession, rows: np.ndarray) -> np.ndarray:
    """Log-probabilities [ids of rows 1..] from one scoring run."""
    noise = forced(rows[1:])
    given = feeds(rows[None, :-1], NO_PATCH, empty_past(), 0, sel=np.arange(len(rows) - 1, dtype=np.int32), noise=noise)
    toks, lp = session.run(["toks", "lp"], given)
    known = rows[1:] != PAD
    assert np.array_equal(toks.T[known[:, : toks.shape[0]]], rows[1:][known])
    return lp.T[known[:, : lp.shape[0]]]


def torch_scores(model: PatchLM, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits, target = model(torch.from_numpy(rows[None].astype(np.int64)))
    return logits.log_softmax(-1).gather(1, target[:, None])[:, 0].numpy()


def torch_next_patch(model: PatchLM, rows: np.ndarray, prefix: np.ndarray, noise: np.ndarray) -> list[int]:
    """The next patch, one byte at a time through the whole PyTorch model: what the in-graph loop must equal."""
    out = [int(i) for i in prefix]
    while True:
        row = np.full((1, RULE.cap), PAD, np.uint16)
        row[0, : len(out)] = out
        if out:
            stream = np.concatenate([rows[rows != PAD], np.array(out, np.uint16)])
            if RULE.ends(stream)[-1]:
                return out
        probe = row.copy()
        probe[0, len(out)] = 0
        with torch.no_grad():
            logits, _ = model(torch.from_numpy(np.concatenate([rows, probe])[None].astype(np.int64)))
        out.append(int((logits[-1].numpy() + noise[len(out)]).argmax()))


def generate(session: ort.InferenceSession, text: bytes, patches: int, noise: np.ndarray, chunk: int = 64) -> list[int]:
    """Prefill in chunks, the unfinished patch forced, then a patch a run. noise [patches, cap, 272]."""
    ids = np.concatenate([[RULE.specials["bod"]], np.frombuffer(text, np.uint8)]).astype(np.uint16)
    rows = RULE.rows(ids)
    prefix = ids[(rows != PAD).sum() :]
    past, length, out, before = empty_past(), 0, [], NO_PATCH
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        last = start + chunk >= len(rows)
        first_noise = noise[:1].transpose(1, 0, 2).copy()
        for place, id_ in enumerate(prefix):
            first_noise[place, 0, id_] += 1e9
        given = feeds(part[None], before, past, length, noise=first_noise, steps=np.array([RULE.cap if last else 0]))
        newkv, toks = session.run(["newkv", "toks"], given)
        append(past, newkv, length)
        length += len(part)
        before = part[-1:]
    for turn in range(1, patches + 1):
        patch = toks[:, 0][toks[:, 0] != PAD]
        out += patch.tolist()
        row = np.full((1, 1, RULE.cap), PAD, np.uint16)
        row[0, 0, : len(patch)] = patch
        if turn == patches:
            break
        newkv, toks = session.run(["newkv", "toks"], feeds(row, before, past, length, noise=noise[turn][:, None]))
        append(past, newkv, length)
        length += 1
        before = row[0]
    return out[len(prefix) :]


def torch_generate(model: PatchLM, text: bytes, patches: int, noise: np.ndarray) -> list[int]:
    ids = np.concatenate([[RULE.specials["bod"]], np.frombuffer(text, np.uint8)]).astype(np.uint16)
    rows = RULE.rows(ids)
    prefix = ids[(rows != PAD).sum() :]
    out: list[int] = []
    for turn in range(patches):
        patch = torch_next_patch(model, rows, prefix if turn == 0 else prefix[:0], noise[turn])
        out += patch
        row = np.full((1, RULE.cap), PAD, np.uint16)
        row[0, : len(patch)] = patch
        rows = np.concatenate([rows, row])
    return out[len(prefix) :]


def test_logits_equal_pytorch(session: ort.InferenceSession) -> None:
    rows = RULE.rows(document_ids(TEXT, RULE))
    np.testing.assert_allclose(score(session, rows), torch_scores(MODEL, rows), atol=1e-4)


def test_greedy_text_equals_pytorch(session: ort.InferenceSession) -> None:
    noise = make_noise(6)
    assert generate(session, TEXT, 6, noise) == torch_generate(MODEL, TEXT, 6, noise)


@pytest.mark.parametrize("seed", range(3))
def test_sampled_text_equals_pytorch_given_the_noise(session: ort.InferenceSession, seed: int) -> None:
    noise = make_noise(6, seed)
    text = generate(session, TEXT, 6, noise)
    assert text == torch_generate(MODEL, TEXT, 6, noise)
    assert text != generate(session, TEXT, 6, make_noise(6))


def test_a_prompt_cut_at_every_byte_is_scored_and_continued_as_the_whole(session: ort.InferenceSession) -> None:
    noise = make_noise(3)
    for cut in range(len(TEXT) + 1):
        assert generate(session, TEXT[:cut], 3, noise) == torch_generate(MODEL, TEXT[:cut], 3, noise), TEXT[:cut]


def test_chunked_prefill_equals_one_prefill(session: ort.InferenceSession) -> None:
    noise = make_noise(4)
    whole = generate(session, TEXT, 4, noise)
    for chunk in (1, 2, 5):
        assert generate(session, TEXT, 4, noise, chunk) == whole


def test_a_batch_equals_its_rows_alone(session: ort.InferenceSession) -> None:
    rows = RULE.rows(document_ids(TEXT, RULE))
    batch = np.stack([rows[:8], rows[2:10], rows[5:13]])
    before = np.repeat(NO_PATCH, 3, axis=0)
    sel = np.array([7, 15, 23], np.int32)
    noise = make_noise(3, 0).transpose(1, 0, 2)
    given = feeds(batch, before, empty_past(3), 0, sel=sel, noise=noise)
    newkv, toks, lp = session.run(["newkv", "toks", "lp"], given)
    for i in range(3):
        alone = feeds(batch[i : i + 1], NO_PATCH, empty_past(), 0, noise=noise[:, i : i + 1])
        newkv_alone, toks_alone, lp_alone = session.run(["newkv", "toks", "lp"], alone)
        turns = len(toks_alone)
        np.testing.assert_allclose(newkv[i : i + 1], newkv_alone, atol=1e-4)
        assert toks[:turns, i].tolist() == toks_alone[:, 0].tolist() and (toks[turns:, i] == PAD).all()
        ids = toks_alone[:, 0] != PAD
        np.testing.assert_allclose(lp[:turns, i][ids], lp_alone[:, 0][ids], atol=1e-4)


def test_several_continuations_of_one_state_end_each_on_their_own(session: ort.InferenceSession) -> None:
    rows = RULE.rows(document_ids(TEXT, RULE))[None, :5]
    noise = make_noise(4, 1).transpose(1, 0, 2)
    sel = np.full(4, 4, np.int32)
    toks = session.run(["toks"], feeds(rows, NO_PATCH, empty_past(), 0, sel=sel, noise=noise))[0]
    for i in range(4):
        alone = session.run(["toks"], feeds(rows, NO_PATCH, empty_past(), 0, noise=noise[:, i : i + 1]))[0][:, 0]
        assert toks[: len(alone), i].tolist() == alone.tolist() and (toks[len(alone) :, i] == PAD).all()


def test_prefill_only_decodes_nothing(session: ort.InferenceSession) -> None:
    rows = RULE.rows(document_ids(TEXT, RULE))[None, :5]
    newkv, toks = session.run(["newkv", "toks"], feeds(rows, NO_PATCH, empty_past(), 0, steps=np.array([0])))
    assert toks.shape[0] == 0 and newkv.shape[1] == 5


@pytest.mark.parametrize(("precision", "bound"), [("int4", 0.35), ("uint8", 0.08)])
def test_quantised_graphs_run_and_stay_near(precision: str, bound: float) -> None:
    """On random weights only the plumbing is judged (mean |nat| difference); BPB of trained weights is in test_quantize."""
    quantised = ort.InferenceSession(build(MODEL, precision).SerializeToString(), providers=["CPUExecutionProvider"])  # type: ignore[arg-type]
    rows = RULE.rows(document_ids(TEXT, RULE))
    assert np.abs(score(quantised, rows) - torch_scores(MODEL, rows)).mean() < bound
