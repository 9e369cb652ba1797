"""Noise is seeded, of the rate that is asked for, and alike in texts that begin alike."""

from __future__ import annotations

import numpy as np
import pytest

from stlm.evaluation.noise import KINDS, add_noise, keyboard_neighbours

TEXT = "The quick brown fox jumps over the lazy dog, and nobody knows why. " * 60


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_no_noise_at_rate_0(kind: str) -> None:
    assert add_noise(TEXT + "é", kind, 0.0, rng()) == (TEXT + "é").encode()


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_about_the_rate_of_the_characters_that_can_change_do(kind: str, rate: float) -> None:
    can_change = {"typos": str.isalpha, "case": str.isalpha, "homoglyphs": lambda c: c in "aceopxyijsT", "whitespace": str.isalpha}
    eligible = [c for c in TEXT if can_change.get(kind, lambda _: True)(c)]
    # One character at a time, so that what is lost or comes in does not shift the rest; a digit stands behind where
    # one may be lost, because a text never becomes empty.
    random, behind = rng(5), "1" if kind == "typos" else ""
    changed = np.mean([add_noise(c + behind, kind, rate, random) != (c + behind).encode() for c in eligible])
    assert changed == pytest.approx(rate, abs=4 * (rate / len(eligible)) ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_noise(kind: str) -> None:
    first = add_noise(TEXT, kind, 0.1, rng(1))
    assert first == add_noise(TEXT, kind, 0.1, rng(1)) != TEXT.encode()
    assert first != add_noise(TEXT, kind, 0.1, rng(2))
    # A pair of sentences is noisy alike up to where they part.
    other = add_noise(TEXT[:2000] + "Other.", kind, 0.1, rng(1))
    assert other[:1800] == first[:1800]


def test_each_kind_does_what_it_says() -> None:
    assert add_noise("Abc 1", "case", 1.0, rng()) == b"aBC 1"
    assert "с".encode() in add_noise("abc", "homoglyphs", 1.0, rng()) and len(add_noise("abc", "homoglyphs", 1.0, rng()).decode()) == 3
    assert add_noise("ab", "whitespace", 1.0, rng()) == b" a b"
    assert b"".join(add_noise("a b", "whitespace", 1.0, rng(i)).split()[0] for i in range(9)) == b"a" * 9
    assert all(x != y for x, y in zip(add_noise("abcd", "random bytes", 1.0, rng()), b"abcd", strict=True))
    assert set(keyboard_neighbours()["g"]) == set("fhtyvb")
    assert add_noise("a", "typos", 1.0, rng(3)) != b""
