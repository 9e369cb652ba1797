"""Noise of the kinds that text from people and machines has, drawn character by character from a seed.

At rate r, each character that a kind can change is changed with probability r. Two texts that begin alike and get the same
seed get the same noise up to where they part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RATES = (0.01, 0.05, 0.1)

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_HOMOGLYPHS = str.maketrans("aceopxyijsABCEHIKMOPTXY", "асеорхуіјѕАВСЕНІКМОРТХУ")
"""Latin letters to Cyrillic ones that look the same (Unicode TR 39, confusables)."""


def keyboard_neighbours() -> dict[str, str]:
    """Keys beside each letter on a QWERTY keyboard, in its row and in the rows above and below."""
    near: dict[str, str] = {}
    for y, row in enumerate(_ROWS):
        for x, letter in enumerate(row):
            places = [(y, x - 1), (y, x + 1), (y - 1, x), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x)]
            near[letter] = "".join(_ROWS[j][i] for j, i in places if 0 <= j < len(_ROWS) and 0 <= i < len(_ROWS[j]))
    return near


_NEIGHBOURS = keyboard_neighbours()


def typos(character: str, draw: float) -> str:
    """A letter becomes a neighbouring key, gets one beside it, or is left out, a third each."""
    near = _NEIGHBOURS.get(character.lower())
    if near is None:
        return character
    kind, place = int(draw * 3), draw * 3 % 1
    neighbour = near[int(place * len(near))]
    neighbour = neighbour.upper() if character.isupper() else neighbour
    return (neighbour, character + neighbour, "")[kind]


def case(character: str, draw: float) -> str:
    return character.swapcase()


def whitespace(character: str, draw: float) -> str:
    """A space is lost, doubled or a line break; elsewhere one comes in."""
    return ("", "  ", "\n")[int(draw * 3)] if character == " " else " " + character


def homoglyphs(character: str, draw: float) -> str:
    return character.translate(_HOMOGLYPHS)


def random_bytes(character: str, draw: float) -> str:
    """Here a character is a byte, as Latin-1: it becomes any other byte."""
    return chr((ord(character) + 1 + int(draw * 255)) % 256)


KINDS: dict[str, Callable[[str, float], str]] = {
    "typos": typos,
    "case": case,
    "whitespace": whitespace,
    "homoglyphs": homoglyphs,
    "random bytes": random_bytes,
}


def add_noise(text: str, kind: str, rate: float, random: np.random.Generator) -> bytes:
    """UTF-8 of the text with noise, except that random bytes may leave it no UTF-8. A text never becomes empty."""
    change = KINDS[kind]
    characters = text.encode().decode("latin-1") if kind == "random bytes" else text
    # In pairs a character: the draws of a character do not depend on the length of the text.
    draws = random.random((len(characters), 2))
    noisy = "".join(change(c, float(d)) if hit < rate else c for c, (hit, d) in zip(characters, draws, strict=True))
    encoded = noisy.encode("latin-1" if kind == "random bytes" else "utf-8")
    return encoded or text.encode()
