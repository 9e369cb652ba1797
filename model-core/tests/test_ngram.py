"""The packed n-gram model equals a Kneser-Ney written out with dictionaries, and is a probability distribution."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stlm import baseline, ngram, prepare
from stlm.ngram import KneserNey

BOUNDARY = 256


def as_documents(*texts: bytes) -> list[np.ndarray]:
    return [np.frombuffer(text, dtype=np.uint8) for text in texts]


def brute_force(documents: list[np.ndarray], order: int, context: tuple[int, ...], byte: int) -> float:
    """Chen & Goodman's recursion, one n-gram at a time."""
    counts: Counter[tuple[int, ...]] = Counter()
    for document in documents:
        symbols = [BOUNDARY] * (order - 1) + document.tolist()
        counts.update(tuple(symbols[i : i + order]) for i in range(len(document)))
    tables = [counts]
    for _ in range(order - 1):
        tables.append(Counter(gram[1:] for gram in tables[-1]))

    def discounts(table: Counter[tuple[int, ...]]) -> list[float]:
        n = Counter(table.values())
        if n[1] and n[2] and n[3] and n[4]:
            y = n[1] / (n[1] + 2 * n[2])
            found = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
            if all(0 < d <= k for k, d in zip((1, 2, 3), found, strict=True)):
                return found
        return [0.5, 1.0, 1.5]

    def probability(context: tuple[int, ...]) -> float:
        table = tables[order - 1 - len(context)]
        lower = probability(context[1:]) if context else 1 / 256
        followers = {gram: count for gram, count in table.items() if gram[:-1] == context}
        total = sum(followers.values())
        if total == 0:
            return lower
        d = discounts(table)
        count = followers.get((*context, byte), 0)
        kept = count - d[min(count, 3) - 1] if count else 0.0
        freed = sum(d[min(c, 3) - 1] for c in followers.values())
        return kept / total + freed / total * lower

    return probability(context)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_equals_the_written_out_recursion(order: int) -> None:
    random = np.random.default_rng(order)
    documents = [random.integers(97, 101, size=size).astype(np.uint8) for size in (90, 1, 60)]
    model = KneserNey(documents, order)
    test = np.concatenate([documents[0][:9], [99, 122, 0, 255, 97, 97, 98]]).astype(np.uint8)
    symbols = [BOUNDARY] * (order - 1) + test.tolist()
    expected = [brute_force(documents, order, tuple(symbols[i : i + order - 1]), int(b)) for i, b in enumerate(test)]
    np.testing.assert_allclose(model.probabilities(test), expected, rtol=1e-12)


def test_probabilities_of_all_bytes_sum_to_one() -> None:
    model = KneserNey(as_documents(b"the cat sat on the mat. the rat sat on the cat.", b"a second document"), 5)
    for context in (b"", b"t", b"the ", b"n th", b"\xff\x00\x01\x02"):
        after = [model.probabilities(np.frombuffer(context + bytes([b]), dtype=np.uint8))[-1] for b in range(256)]
        assert math.isclose(sum(after), 1.0, rel_tol=1e-9)


def test_contexts_do_not_cross_documents() -> None:
    apart = KneserNey(as_documents(b"ab", b"cd", b"ab", b"cd"), 3)
    joined = KneserNey(as_documents(b"abcdabcd"), 3)
    abc = np.frombuffer(b"abc", dtype=np.uint8)
    assert 2 * apart.probabilities(abc)[2] < joined.probabilities(abc)[2]


def test_counting_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    documents = [random.integers(97, 110, size=200).astype(np.uint8) for _ in range(20)]
    whole = KneserNey(documents, 4).probabilities(documents[0])
    monkeypatch.setattr(ngram, "_BLOCK_POSITIONS", 300)
    np.testing.assert_array_equal(KneserNey(documents, 4).probabilities(documents[0]), whole)


def test_bad_orders_and_empty_text_are_refused() -> None:
    with pytest.raises(ValueError, match="order 8"):
        KneserNey(as_documents(b"text"), 8)
    with pytest.raises(ValueError, match="no training text"):
        KneserNey([], 5)


def test_command_reports_both_baselines_by_domain(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    prepare.add_arguments(parser)
    for name, text in (("train", "the cat sat on the mat. " * 50), ("heldout", "the mat sat on the cat. " * 4)):
        (tmp_path / f"{name}.txt").write_text(text)
        prepare.main(parser.parse_args(["--input", str(tmp_path / f"{name}.txt"), "--output", str(tmp_path / name)]))
    parser = argparse.ArgumentParser()
    baseline.add_arguments(parser)
    report = tmp_path / "reports" / "baselines.json"
    options = ["--train", str(tmp_path / "train"), "--heldout", str(tmp_path / "heldout"), "--json", str(report)]
    assert baseline.main(parser.parse_args(options)) == 0
    [row] = json.loads(report.read_text())["bitsPerByte"]
    assert row["domain"] == "heldout"
    assert row["bytes"] == len("the mat sat on the cat. " * 4)
    assert row["ngram"] < 1.0 < row["xz"] < 16
    assert baseline.main(parser.parse_args(["--train", str(tmp_path), "--heldout", str(tmp_path)])) == 1
