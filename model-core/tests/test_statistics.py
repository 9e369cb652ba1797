"""Intervals against published or independently computed values."""

from __future__ import annotations

import numpy as np
import pytest

from stlm.evaluation import statistics


def test_wilson_interval_has_its_known_values() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for k, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):
        value, found_low, found_high, name = statistics.proportion([True] * k + [False] * (n - k))
        assert (value, name) == (k / n, "Wilson")
        assert (found_low, found_high) == pytest.approx((low, high), abs=1e-4)
    with pytest.raises(ValueError, match="no items"):
        statistics.proportion([])


def test_mean_of_groups_weighs_groups_alike_and_covers() -> None:
    value, low, high, _ = statistics.mean_of_groups([np.array([True] * 10), np.array([False] * 1000)])
    assert value == 0.5 and 0 < low < 0.5 < high < 1
    random, inside = np.random.default_rng(0), 0
    rates = np.linspace(0.3, 0.9, 20)
    for _ in range(400):
        _, low, high, _ = statistics.mean_of_groups([random.random(50) < rate for rate in rates])
        inside += low <= rates.mean() <= high
    assert 0.92 < inside / 400 < 0.99


def test_ratio_is_sum_over_sum_and_covers() -> None:
    assert statistics.ratio([2.0, 4.0], [1, 3])[0] == 1.5
    random, inside = np.random.default_rng(1), 0
    for _ in range(400):
        lengths = random.integers(50, 500, 60)
        bits = lengths * (2 + 0.3 * random.normal(size=60))
        _, low, high, _ = statistics.ratio(bits, lengths)
        inside += low <= 2 <= high
    assert 0.91 < inside / 400 < 0.99


def test_kept_accuracy_needs_something_to_keep() -> None:
    clean = np.array([True] * 90 + [False] * 10)
    noisy = np.array([True] * 70 + [False] * 30)
    kept = statistics.kept_accuracy(clean, noisy, 0.5, 0)
    assert kept is not None
    assert kept[0] == pytest.approx(0.5) and kept[1] < 0.5 < kept[2]
    assert statistics.kept_accuracy(clean, clean, 0.5, 0)[:3] == pytest.approx((1, 1, 1))  # type: ignore[index]
    assert statistics.kept_accuracy(noisy[20:], noisy[20:], 0.6, 0) is None
