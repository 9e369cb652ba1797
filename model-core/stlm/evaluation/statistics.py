"""Measures and their 95 % intervals. Each measure says which interval it has."""

import math
from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np

_Z = 1.959964
"""Of the normal distribution, for 95 %."""


# No postponed annotations in this file: NotRequired would go unseen and `chance` count as a required key.
class Measure(TypedDict):
    """`part` is "" for the whole task; `items` of the set's `of` were measured; `chance` is what guessing scores."""

    task: str
    part: str
    metric: str
    value: float
    low: float
    high: float
    interval: str
    items: int
    of: int
    headline: bool
    chance: NotRequired[float]


def measure(
    task: str, metric: str, estimate: tuple[float, float, float, str], items: int, of: int, *,
    part: str = "", headline: bool = False, chance: float | None = None,
) -> Measure:  # fmt: skip
    value, low, high, interval = estimate
    result: Measure = {
        "task": task, "part": part, "metric": metric,
        "value": round(value, 5), "low": round(low, 5), "high": round(high, 5), "interval": interval,
        "items": items, "of": of, "headline": headline,
    }  # fmt: skip
    if chance is not None:
        result["chance"] = round(chance, 5)
    return result


def proportion(correct: Sequence[bool] | np.ndarray) -> tuple[float, float, float, str]:
    """Share of successes with its Wilson score interval (Wilson 1927), which stays inside 0 to 1, at 0 successes too.

    Raises ValueError for no trials.
    """
    n, k = len(correct), int(np.sum(correct))
    if n == 0:
        raise ValueError("no items to measure")
    p, z2 = k / n, _Z * _Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return p, 0.0 if k == 0 else middle - half, 1.0 if k == n else middle + half, "Wilson"


def mean(values: Sequence[float] | np.ndarray) -> tuple[float, float, float, str]:
    """Mean with the normal interval of its standard error; a single value has none of width."""
    array = np.asarray(values, float)
    half = _Z * array.std(ddof=1) / math.sqrt(len(array)) if len(array) > 1 else 0.0
    return float(array.mean()), float(array.mean() - half), float(array.mean() + half), "normal"


def mean_of_groups(groups: Sequence[np.ndarray]) -> tuple[float, float, float, str]:
    """Unweighted mean of the groups' success rates. The interval is normal, stratified: items vary, the groups are given.

    A group's variance is taken with one success and one failure added (Agresti & Coull 1998), or a group of few items
    that are all right would claim certainty.
    """
    rates = [float(np.mean(group)) for group in groups]
    smoothed = [(float(np.sum(group)) + 1) / (len(group) + 2) for group in groups]
    variance = sum(p * (1 - p) / (len(group) + 2) for p, group in zip(smoothed, groups, strict=True)) / len(groups) ** 2
    value, half = sum(rates) / len(rates), _Z * math.sqrt(variance)
    return value, max(0.0, value - half), min(1.0, value + half), "normal, stratified by group"


def ratio(tops: Sequence[float] | np.ndarray, bottoms: Sequence[float] | np.ndarray) -> tuple[float, float, float, str]:
    """Sum over sum, as bits per byte over texts, with the normal interval of the linearised ratio (Cochran 1977, 6.4)."""
    top, bottom = np.asarray(tops, float), np.asarray(bottoms, float)
    value, n = float(top.sum() / bottom.sum()), len(top)
    residual = top - value * bottom
    half = _Z * math.sqrt(n / (n - 1) * float((residual**2).sum())) / float(bottom.sum()) if n > 1 else 0.0
    return value, value - half, value + half, "normal, of a ratio"


def kept_accuracy(clean: np.ndarray, noisy: np.ndarray, chance: float, seed: int) -> tuple[float, float, float, str] | None:
    """(noisy - chance) / (clean - chance) over the same items, with a bootstrap interval over them (1000 resamples, percentile).

    None where the clean accuracy is not above chance by its own interval: there is nothing to keep then.
    """
    if proportion(clean)[1] <= chance:
        return None
    random = np.random.default_rng(seed)
    picks = random.integers(0, len(clean), (1000, len(clean)))
    above = clean[picks].mean(axis=1) - chance
    kept = (noisy[picks].mean(axis=1) - chance) / np.where(above > 0, above, np.nan)
    low, high = np.nanpercentile(kept, [2.5, 97.5])
    return float((noisy.mean() - chance) / (clean.mean() - chance)), float(low), float(high), "bootstrap over items"
