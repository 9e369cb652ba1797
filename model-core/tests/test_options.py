"""Options out of range are refused by name before any work starts."""

from __future__ import annotations

import argparse

import pytest

from stlm import options


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "many", ""])
def test_whole_numbers_have_a_lower_bound(text: str) -> None:
    assert options.whole_number(1)("1") == 1
    with pytest.raises(argparse.ArgumentTypeError, match="1 or more"):
        options.whole_number(1)(text)


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "soon"])
def test_positive_numbers_are_finite(text: str) -> None:
    assert options.positive("0.25") == 0.25
    with pytest.raises(argparse.ArgumentTypeError, match="positive"):
        options.positive(text)


@pytest.mark.parametrize("text", ["-0.1", "1.01", "nan", "half"])
def test_fractions_lie_between_0_and_1(text: str) -> None:
    assert (options.fraction("0"), options.fraction("1")) == (0, 1)
    with pytest.raises(argparse.ArgumentTypeError, match="from 0 to 1"):
        options.fraction(text)


def test_all_factors_of_a_source_multiply() -> None:
    assert options.mix(["a=2", "chat-*=3", "a=.5"]) == {"a": 1.0, "chat-*": 3.0}
