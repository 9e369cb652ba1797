"""The graph's choice of a byte against the same in numpy on the PyTorch model's logits: each filter, each penalty, all together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
import torch
from test_export import CONFIG, MODEL, NO_PATCH, PAD, RULE, empty_past, feeds
from test_export import session as session

from stlm.export_sampler import NEUTRAL
from stlm.patch import document_ids
from stlm.sampling import Sampling, count_bytes

PROMPT = b"The cat sat on the mat. The cat sat on the other m"
STREAM = document_ids(PROMPT, RULE)[:-1]
ROWS = RULE.rows(STREAM)
FORCED = STREAM[int((ROWS != PAD).sum()) :]

SETTINGS = {
    "top-k": Sampling(1.0, top_k=3),
    "top-p": Sampling(1.3, top_p=0.4),
    "min-p": Sampling(1.1, min_p=0.3),
    "frequency": Sampling(0.9, frequency_penalty=0.7),
    "presence": Sampling(0.9, presence_penalty=1.5),
    "repetition": Sampling(0.9, repetition_penalty=1.8),
    "repetition, rewarded": Sampling(0.9, repetition_penalty=0.6),
    "greedy with penalties": Sampling(0.0, frequency_penalty=0.5, presence_penalty=0.5, repetition_penalty=1.3),
    "all": Sampling(1.2, 0.9, 40, min_p=0.02, frequency_penalty=0.4, presence_penalty=-0.3, repetition_penalty=1.2),
}


def noise_of(sampling: Sampling, seed: int, forced: np.ndarray = FORCED) -> np.ndarray:
    """float32 [cap, 272], padding banned, the beginning of the patch forced."""
    noise = sampling.temperature * np.random.default_rng(seed).gumbel(size=(RULE.cap, CONFIG.vocabulary))
    noise[:, PAD] = -1e9
    noise[np.arange(len(forced)), forced] = 1e9
    return noise.astype(np.float32)


def torch_logits(patch: list[int]) -> np.ndarray:
    """float32 [272]: of the id after `patch`, which follows the prompt's whole patches."""
    probe = np.full((1, RULE.cap), PAD, np.uint16)
    probe[0, : len(patch)], probe[0, len(patch)] = patch, 0
    with torch.no_grad():
        logits, _ = MODEL(torch.from_numpy(np.concatenate([ROWS, probe])[None].astype(np.int64)))
    return logits[-1].numpy()


def expected_patch(sampling: Sampling, noise: np.ndarray, seen: np.ndarray) -> list[int]:
    """The patch that follows, its choice in numpy; `seen` [2, 272] before it."""
    seen, patch = seen.copy(), []
    while not patch or not RULE.ends(np.concatenate([STREAM[: len(STREAM) - len(FORCED)], patch]).astype(np.uint16))[-1]:
        given = noise[len(patch)]
        logits = sampling.penalised(torch_logits(patch), seen)
        kept = sampling.kept(np.where(given < -1e8, -np.inf, logits)) | (given > 50)
        patch.append(int(np.where(kept, logits + given, -1e9).argmax()))
        seen[0, patch[-1]] += given[patch[-1]] < 1e8
    return patch


def run(session: ort.InferenceSession, noise: np.ndarray, sampler: np.ndarray, seen: np.ndarray) -> list[list[int]]:
    """Patches by row; noise [cap, R, 272]."""
    sel = np.full(noise.shape[1], len(ROWS) - 1, np.int32)
    toks = session.run(["toks"], feeds(ROWS[None], NO_PATCH, empty_past(), 0, sel=sel, noise=noise, sampler=sampler, seen=seen))[0]
    return [row[row != PAD].tolist() for row in toks.T]


def history(seed: int) -> np.ndarray:
    """float32 [2, 272]: `seen` when random bytes have been generated after the prompt, most of them some times."""
    return count_bytes(np.random.default_rng(seed).integers(0, 256, 400), STREAM)


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_chooses_as_numpy_does(session: ort.InferenceSession, name: str) -> None:
    sampling = SETTINGS[name]
    changed = 0
    for seed in range(12):
        noise, seen = noise_of(sampling, seed), history(seed)
        given = seen[None] if sampling.penalises else np.zeros((0, 2, CONFIG.vocabulary), np.float32)
        [patch] = run(session, noise[:, None], sampling.row(), given)
        assert patch == expected_patch(sampling, noise, seen)
        [plain] = run(session, noise[:, None], np.zeros((1, 7), np.float32), np.zeros((0, 2, CONFIG.vocabulary), np.float32))
        changed += patch != plain
    assert changed


def test_rows_of_a_run_are_chosen_each_by_its_own_settings(session: ort.InferenceSession) -> None:
    rows = [*SETTINGS.values(), Sampling(1.0), Sampling()]
    noise = np.stack([noise_of(sampling, seed) for seed, sampling in enumerate(rows)], axis=1)
    seen = np.stack([history(number) for number in range(len(rows))])
    sampler = np.concatenate([s.row() if s.filters or s.penalises else np.array([NEUTRAL], np.float32) for s in rows])
    for number, patch in enumerate(run(session, noise, sampler, seen)):
        assert patch == expected_patch(rows[number], noise[:, number], seen[number])


def test_a_byte_that_was_just_written_is_penalised_within_the_patch(session: ort.InferenceSession) -> None:
    """A bias makes one byte the best at every place; a penalty beyond all logits lets it, as any, come once."""
    noise = noise_of(Sampling(), 0, FORCED[:0])
    noise[:, ord("e")] = 40
    sampler = np.array([[1, 1, 272, 0, 500, 0, 1]], np.float32)
    [patch] = run(session, noise[:, None], sampler, np.zeros((1, 2, CONFIG.vocabulary), np.float32))
    assert patch[0] == ord("e") and len(set(patch)) == len(patch) > 1
    [plain] = run(session, noise[:, None], np.zeros((1, 7), np.float32), np.zeros((0, 2, CONFIG.vocabulary), np.float32))
    assert plain == [ord("e")] * RULE.cap


def test_what_is_banned_has_no_rank(session: ort.InferenceSession) -> None:
    """The best byte banned, top-k 1 and a tiny top-p choose the second, which unfiltered greedy choice would."""
    noise = noise_of(Sampling(), 0, FORCED[:0])
    none = np.zeros((0, 2, CONFIG.vocabulary), np.float32)
    [best] = run(session, noise[:, None], np.zeros((1, 7), np.float32), none)
    noise[:, best[0]] = -1e9
    [second] = run(session, noise[:, None], np.zeros((1, 7), np.float32), none)
    for settings in (Sampling(1.0, top_k=1), Sampling(1.0, top_p=1e-6), Sampling(1.0, min_p=1.0)):
        assert run(session, noise[:, None], settings.row(), none) == [second]


def test_log_probabilities_are_of_the_raw_logits_whatever_is_asked(session: ort.InferenceSession) -> None:
    sampling = SETTINGS["all"]
    noise, seen = noise_of(sampling, 1), history(3)
    given = feeds(ROWS[None], NO_PATCH, empty_past(), 0, sel=np.array([len(ROWS) - 1], np.int32), noise=noise[:, None],
                  sampler=sampling.row(), seen=seen[None])  # fmt: skip
    toks, lp, logprobs = session.run(["toks", "lp", "logprobs"], given)
    for turn in range(len(toks)):
        expected = torch.from_numpy(torch_logits(toks[:turn, 0].tolist())).log_softmax(-1).numpy()
        np.testing.assert_allclose(logprobs[turn, 0], expected, atol=1e-4)
        assert lp[turn, 0] == logprobs[turn, 0, toks[turn, 0]]


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="repetition penalty 0"):
        replace(Sampling(), repetition_penalty=0.0)
    with pytest.raises(ValueError, match="min-p 2"):
        Sampling(min_p=2)
