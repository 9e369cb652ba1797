"""Infilling: text between a prefix and a suffix, which stands first (after Bavarian et al., arXiv 2207.14255, their SPM order).

    [bod] [fim_suffix] SUFFIX [fim_prefix] PREFIX [fim_middle] PREFIX' MIDDLE [eod]

The middle goes on where the prefix ends, inside a word too, as any text does, so that what is known of text holds between two texts.
PREFIX' is the last whole patch of the prefix and what follows it: the mark tells that the gap is near, and stands far enough from it
that the middle's first word has its context. The marks are ids above the bytes: no text can imitate them. Prefix and suffix may be
empty. A host encodes a prompt with `infill_prompt` and lets the model write until [eod].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stlm.patch import PatchRule

EXTRA_PATCHES = 7
"""A rearranged text has at most so many patches more than as it stood: five ids of its own, a word cut in two, a long one cut otherwise."""
LEAST_PATCHES = 8
"""Training does not rearrange less."""
LONGEST_MIDDLE = 512
"""Bytes of a middle in training; lengths are drawn evenly by their logarithm, because most gaps are short."""


class Gap(NamedTuple):
    """A text in three parts, of which the second is to be written."""

    prefix: bytes
    middle: bytes
    suffix: bytes


def infill_prompt(prefix: bytes, suffix: bytes, rule: PatchRule) -> np.ndarray:
    """uint16 [n]: the document up to where the text between `prefix` and `suffix` begins."""
    ids = rule.specials
    ends = np.flatnonzero(rule.ends(rule.encode(prefix), ids["fim_prefix"])) + 1
    mark = int(ends[-2]) if len(ends) > 1 else 0
    marked = *prefix[:mark], ids["fim_middle"], *prefix[mark:]
    return np.array([ids["bod"], ids["fim_suffix"], *suffix, ids["fim_prefix"], *marked], dtype=np.uint16)


def infill_document(gap: Gap, rule: PatchRule) -> np.ndarray:
    """uint16 [n]: what a model is trained on."""
    answer = np.array([*gap.middle, rule.specials["eod"]])
    return np.concatenate([infill_prompt(gap.prefix, gap.suffix, rule), answer]).astype(np.uint16)


def piece_patches(room: int, random: np.random.Generator) -> int:
    """How long a piece of text is, in patches: half are below a twentieth of a row, because only ends teach where to end."""
    most = room - EXTRA_PATCHES
    return round(LEAST_PATCHES * (most / LEAST_PATCHES) ** (random.random() ** 2))


def cut(text: bytes, random: np.random.Generator, longest: int = LONGEST_MIDDLE) -> Gap:
    """A text cut at random characters; about one in twelve has no prefix, as many no suffix."""
    length = min(len(text), round(np.exp(random.uniform(np.log(2), np.log(longest)))))
    start = round(random.uniform(-0.1, 1.1) * (len(text) - length))
    start = min(max(0, start), len(text) - length)
    first, last = character_start(text, start), character_start(text, start + length)
    return Gap(text[:first], text[first:last], text[last:])


def character_start(text: bytes, place: int) -> int:
    """The start of the character that `place` lies in; the end of the text is one too."""
    while 0 < place < len(text) and text[place] & 0xC0 == 0x80:
        place -= 1
    return place
