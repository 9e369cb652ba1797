"""Types of command-line options: a value out of range is a line of argparse that names the option, not a traceback later."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole_number(low: int) -> Callable[[str], int]:
    """An integer of at least `low`."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of {low} or more")
        return value

    return whole


def positive(text: str) -> float:
    """A finite number above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def pairs(given: list[str], option: str) -> dict[str, str]:
    """NAME=VALUE pairs of a repeated option. Raises ValueError naming the option for an entry without '='."""
    for pair in given:
        if "=" not in pair:
            raise ValueError(f"{option} {pair!r}: expected NAME=VALUE")
    named = dict(pair.split("=", 1) for pair in given)
    if len(named) < len(given):
        raise ValueError(f"{option}: a name is given twice ({', '.join(given)})")
    return named


def mix(given: list[str]) -> dict[str, float]:
    """Factors of --mix. Raises ValueError naming the entry whose factor is no number of 0 or more."""
    factors: dict[str, float] = {}
    for entry in given:
        name, text = next(iter(pairs([entry], "--mix").items()))
        if not 0 <= (factor := _number(text)) < float("inf"):
            raise ValueError(f"--mix {name}={text}: expected a number of 0 or more")
        # All that fits a source multiplies, a name given twice too.
        factors[name] = factors.get(name, 1.0) * factor
    return factors


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
