"""Log-probabilities of continuations: equal to PyTorch's computed by hand, whichever way they are batched or shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_evaluate import windowed
from tiny_artifact import CONTEXT, random_model, write_artifact

from stlm import checkpoint
from stlm.evaluation import artifact_scorer
from stlm.evaluation.scoring import Scorer, open_scorer
from stlm.evaluation.torch_scorer import TorchScorer
from stlm.evaluation.windows import pair_windows
from stlm.model import PatchLM
from stlm.patch import PatchRule, document_ids
from stlm.sampling import Sampling

RULE = PatchRule.load()
PAD = RULE.specials["pad"]
PAIRS = [
    (b"", b"A whole sentence."),
    (b"It ends inside a wo", b"rd that goes o"),
    (b"Question: why?\nAnswer:", b" because "),
    (b"Caf\xc3", b"\xa9 au lait"),
    (b"x", b"y" * 30),
    (b"one two ", b"3"),
]


@pytest.fixture(scope="module")
def model() -> PatchLM:
    return random_model()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, model: PatchLM) -> Scorer:
    folder = tmp_path_factory.mktemp("artifact")
    write_artifact(folder, model)
    return open_scorer(folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, model: PatchLM) -> Path:
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    checkpoint.save(path, {"config": model.config.to_dict(), "rule_hash": RULE.rule_hash, "model": model.state_dict()})
    return path


@torch.no_grad()
def by_hand(model: PatchLM, before: bytes, after: bytes) -> float:
    """One pair at a time through PyTorch: the last patch that holds a scored id ends the only window."""
    rows = RULE.rows(document_ids(before + after, RULE)).astype(np.int64)
    place = np.full(rows.shape, -1)
    place[rows != PAD] = np.arange((rows != PAD).sum()) - 1
    wanted = (place >= len(before)) & (place < len(before) + len(after))
    last = int(np.flatnonzero(wanted.any(axis=1))[-1])
    start = max(0, last - CONTEXT)
    logits, target = windowed(model, rows, start, last)
    kept = wanted[start + 1 : last + 1][rows[start + 1 : last + 1] != PAD]
    assert kept.sum() == len(after)
    chosen = logits.log_softmax(-1).gather(1, target[:, None])[:, 0]
    return chosen[torch.from_numpy(kept)].sum().item()


def test_equals_pytorch_where_a_text_ends_anywhere(artifact: Scorer, model: PatchLM) -> None:
    expected = [by_hand(model, *pair) for pair in PAIRS]
    np.testing.assert_allclose(artifact.log_probabilities(PAIRS), expected, atol=2e-3)
    # One by one, nothing is padded.
    np.testing.assert_allclose([artifact.log_probabilities([pair])[0] for pair in PAIRS], expected, atol=2e-3)


def test_a_long_context_keeps_its_last_part(artifact: Scorer, model: PatchLM) -> None:
    pair = (b"many words stand here " * 20 + b"and then ", b"two words")
    assert artifact.log_probabilities([pair])[0] == pytest.approx(by_hand(model, *pair), abs=2e-3)
    [[window]] = pair_windows([pair], RULE, CONTEXT)
    assert len(window.rows) == CONTEXT + 1


def test_a_continuation_longer_than_the_context_is_scored_once_a_byte() -> None:
    before, after = b"some words before ", b"a b c d e f g h i j k l m n o p q r s t u v w x y z " * 3
    [windows] = pair_windows([(before, after)], RULE, CONTEXT)
    assert len(windows) > 2
    assert b"".join(bytes(w.rows[w.scored].astype(np.uint8)) for w in windows) == after


def test_choices_that_share_their_context_score_the_same(artifact: Scorer, model: PatchLM, monkeypatch: pytest.MonkeyPatch) -> None:
    context = b"Which of these is it, and why would it be? "
    pairs = [(context, option) for option in (b"no", b"the other one", b"perhaps it is nothing", b".")]
    shared = []
    original = artifact_scorer.ArtifactScorer.nats_after

    def counting(self: artifact_scorer.ArtifactScorer, *args):
        shared.append(len(args[1]))
        return original(self, *args)

    monkeypatch.setattr(artifact_scorer.ArtifactScorer, "nats_after", counting)
    together = artifact.log_probabilities([PAIRS[0], *pairs, PAIRS[1]])[1:-1]
    assert shared == [4]
    np.testing.assert_allclose(together, [by_hand(model, *pair) for pair in pairs], atol=2e-3)


def test_a_checkpoint_scores_and_writes_as_its_artifact(artifact: Scorer, saved: Path) -> None:
    scorer = open_scorer(saved)
    assert isinstance(scorer, TorchScorer)
    np.testing.assert_allclose(scorer.log_probabilities(PAIRS), artifact.log_probabilities(PAIRS), atol=2e-3)
    documents = [b"A short one.", b"Another document, which is in one window."]
    np.testing.assert_allclose(scorer.document_bits(documents), artifact.document_bits(documents), atol=5e-3)
    prompts = [b"Once upon a ti", b"Two words ", b""]
    assert scorer.continuations(prompts, 24, [], Sampling()) == artifact.continuations(prompts, 24, [], Sampling())


def test_text_stops_where_it_is_told(artifact: Scorer, saved: Path) -> None:
    for scorer in (artifact, open_scorer(saved)):
        [whole] = scorer.continuations([b"Once upon a "], 30, [], Sampling())
        stop = whole[10:12]
        assert scorer.continuations([b"Once upon a "], 30, [stop], Sampling()) == [whole[: whole.index(stop)]]
        sampled = scorer.continuations([b"Once"] * 2, 30, [], Sampling(1.0, 0.9, seed=3))
        assert sampled == scorer.continuations([b"Once"] * 2, 30, [], Sampling(1.0, 0.9, seed=3))
        assert sampled[1:] == scorer.continuations([b"Once"], 30, [], Sampling(1.0, 0.9, seed=4))
        assert all(len(text) <= 30 for text in sampled) and sampled[0] != sampled[1]


def test_what_cannot_be_scored_is_refused(artifact: Scorer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no bytes"):
        artifact.log_probabilities([(b"context", b"")])
    assert artifact.log_probabilities([]) == []
    with pytest.raises(FileNotFoundError):
        open_scorer(tmp_path / "nothing.pt")
    (tmp_path / "bad.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        open_scorer(tmp_path / "bad.pt")
