"""The BPE control: its tokenizer keeps every byte, its bits are over raw bytes, and its export is what it is."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from test_data import documents, write_corpus
from test_train import run, weights

from stlm import bpe, checkpoint, trainer
from stlm.bpe import TokenRule, TokenSource, TokenStream, train_tokenizer
from stlm.evaluation.scoring import open_scorer
from stlm.evaluation.torch_scorer import TorchScorer
from stlm.export_tokens import build_tokens
from stlm.sampling import Sampling
from stlm.shards import ShardIndex
from stlm.token_model import TokenConfig, TokenLM

SIZES = ("--set", "width=64", "--set", "heads=1", "--set", "mlp=64", "--set", "context=64")


@pytest.fixture(scope="module")
def rule() -> TokenRule:
    return train_tokenizer((text.decode("latin-1") for text in documents(200)), 400)


@pytest.fixture(scope="module")
def model(rule: TokenRule) -> TokenLM:
    torch.manual_seed(0)
    config = TokenConfig(name="toy", width=64, layers=2, heads=2, kv_heads=1, mlp=64, context=64, vocabulary=rule.vocabulary)
    model = TokenLM(config, rule)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * parameter.shape[1] ** -0.5
    return model.eval()


@pytest.fixture(scope="module")
def scorer(model: TokenLM, tmp_path_factory: pytest.TempPathFactory) -> TorchScorer:
    path = tmp_path_factory.mktemp("toy") / "checkpoint.pt"
    content = {"config": model.config.to_dict(), "rule_hash": model.rule.rule_hash, "tokenizer": model.rule.source}
    checkpoint.save(path, {**content, "model": model.state_dict()})
    return TorchScorer(path)


def test_any_bytes_come_back(rule: TokenRule) -> None:
    random = np.random.default_rng(0)
    for text in (
        bytes(range(256)) * 3,
        random.integers(0, 256, 2000, dtype=np.uint8).tobytes(),
        "naïve … café\x85\xa0".encode(),
        b"",
        b" \n\t ",
    ):
        ids = rule.encode(text)
        assert rule.decode(ids) == text
        assert rule.byte_lengths[ids].sum() == len(text)


def test_words_become_fewer_ids_and_survive_the_file(rule: TokenRule, tmp_path: Path) -> None:
    text = documents(1, seed=5)[0]
    assert len(rule.encode(text)) < len(text) / 2
    bpe.save(rule, tmp_path / "bpe.json")
    assert TokenRule.load(tmp_path / "bpe.json").encode(text).tolist() == rule.encode(text).tolist()
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"other\.json: not a tokenizer"):
        TokenRule.load(tmp_path / "other.json")


def test_pieces_of_a_document_hold_all_its_bytes_once(rule: TokenRule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "_PIECE", 100)
    texts = [b"one two three " * 60, b"x" * 350, b"short", b"a b"]
    write_corpus(tmp_path, {"a": texts})
    source = TokenSource(tmp_path, ShardIndex.load(tmp_path), "a", rule, seed=1)
    pieces = {source.documents[source.order[n]]: rule.decode(source.document(n)) for n in range(len(source.documents))}
    assert b"".join(pieces[place] for place in sorted(pieces)) == b"".join(texts)
    assert len(pieces) > len(texts)


def test_a_restored_stream_goes_on_with_the_next_row(rule: TokenRule, tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a": documents(60), "b": documents(60, 1)})
    stream, other = (TokenStream([tmp_path], rule, 16, 0, {}) for _ in range(2))
    stream.rows(7)
    other.restore(json.loads(json.dumps(stream.state())))
    assert np.array_equal(stream.rows(5), other.rows(5))
    assert stream.rows(2).shape == (2, 17, 1)


def test_bits_are_all_tokens_nats_over_raw_bytes(model: TokenLM, scorer: TorchScorer) -> None:
    text = documents(1, seed=9)[0][:150]
    ids = [model.rule.specials["bod"], *model.rule.encode(text).tolist()]
    nats = 0.0
    for at in range(1, len(ids)):
        # One token at a time, the next one behind it only as a target.
        with torch.no_grad():
            logits, _ = model(torch.tensor(ids[: at + 1])[None, :, None])
        nats -= float(logits[-1].log_softmax(-1)[ids[at]])
    assert len(ids) < 64
    assert scorer.document_bits([text])[0] / len(text) == pytest.approx(nats / math.log(2) / len(text), rel=1e-4)
    context, continuation = b"cat it's", b" cat"
    whole, alone = scorer.document_bits([context + continuation, context])
    assert scorer.log_probabilities([(context, continuation)])[0] == pytest.approx(-(whole - alone) * math.log(2), rel=1e-3)


def test_the_suite_opens_a_control_and_reads_on_from_a_prompt(model: TokenLM, tmp_path: Path) -> None:
    content = {"config": model.config.to_dict(), "rule_hash": model.rule.rule_hash, "tokenizer": model.rule.source}
    checkpoint.save(tmp_path / "toy.pt", {**content, "model": model.state_dict()})
    opened = open_scorer(tmp_path / "toy.pt")
    greedy, again = (opened.continuations([b"the cat"], 12, [b"\x00\x00"], Sampling())[0] for _ in range(2))
    assert opened.name == "toy" and greedy == again and len(greedy) <= 12
    pairs = [(b"the cat", b" it's"), (b"", b"cat")]
    assert all(score < 0 for score in opened.log_probabilities(pairs))
    with pytest.raises(ValueError, match="no bytes"):
        opened.log_probabilities([(b"cat", b"")])


def test_a_document_longer_than_the_context_is_scored_whole(model: TokenLM, scorer: TorchScorer) -> None:
    done = []
    text = documents(1, seed=3)[0] * 4
    bits = scorer.document_bits([text], done.append)[0]
    assert sum(done) == len(text) and bits > len(text) * 0.1


def test_the_exported_control_equals_pytorch(model: TokenLM) -> None:
    session = ort.InferenceSession(build_tokens(model, "fp32").SerializeToString(), providers=["CPUExecutionProvider"])
    ids = model.rule.document_rows(documents(1, seed=2)[0])[:40, 0].astype(np.int64)
    past = [np.zeros((1, 1, 64, 64), np.float32) for _ in range(4)]
    with torch.no_grad():
        expected = model(torch.from_numpy(ids)[None, :, None])[0].numpy()
    for at in range(len(ids) - 1):
        logits, tok, newkv = session.run(["logits", "tok", "newkv"], {
            "ids": ids[None, at : at + 1],
            "pos": np.array([[at]]),
            "seqk": np.array([at], np.int32),
            "tot": np.array([at + 1], np.int32),
            **{f"p{'kv'[i % 2]}{i // 2}": cache for i, cache in enumerate(past)},
        })  # fmt: skip
        np.testing.assert_allclose(logits[0], expected[at], atol=1e-4)
        assert tok[0] == expected[at].argmax()
        for cache, part in zip(past, newkv.reshape(4, 1, 64), strict=True):
            cache[0, :, at] = part


def test_the_control_trains_resumes_and_validates_by_the_same_command(rule: TokenRule, tmp_path: Path) -> None:
    corpus = tmp_path / "data"
    corpus.mkdir()
    write_corpus(corpus, {"a": documents(60), "b": documents(60, 1)})
    bpe.save(rule, tmp_path / "bpe.json")
    more = ["--tier", "bpe-10m", "--tokenizer", str(tmp_path / "bpe.json"), "--set", f"vocabulary={rule.vocabulary}", *SIZES]
    assert run(corpus, tmp_path / "whole", *more, "--max-steps", "8", "--heldout", str(corpus)) == 0
    lines = [json.loads(line) for line in (tmp_path / "whole" / trainer.METRICS).read_text().splitlines()]
    assert lines[0]["loss"] > 1.0 > 0.8 > lines[-1]["validation_bits_per_byte"]
    seen = 4 * 16 * 8
    assert lines[-1]["bytes"] > 2 * seen, "bytes are counted, not tokens"
    assert run(corpus, tmp_path / "broken", *more, "--max-steps", "8", "--stop-after", "1e-6") != 0
    assert run(corpus, tmp_path / "broken", *more, "--max-steps", "8") == 0
    assert all(torch.equal(weight, weights(tmp_path / "broken")[name]) for name, weight in weights(tmp_path / "whole").items())


def test_a_control_without_a_tokenizer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path, {"a": documents(20)})
    assert run(tmp_path, tmp_path / "run", "--tier", "bpe-10m", "--max-steps", "1") == 1
    assert "bpe-10m: needs --tokenizer" in capsys.readouterr().err
