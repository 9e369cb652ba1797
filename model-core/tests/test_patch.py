"""The patch rule against a byte-by-byte state machine, and its prefix stability."""

import json

import numpy as np
import pytest
from patch_vectors import VECTORS, make_vectors

from stlm.patch import PatchRule, document_ids

RULE = PatchRule.load()


def ends_one_by_one(ids: np.ndarray) -> list[bool]:
    ends, length, before = [], 0, "s"
    for id_ in ids:
        kind = RULE.classes[id_]
        length += 1
        end = kind == "x" or (kind == "s" and before == "w") or length == RULE.cap
        ends.append(end)
        length = 0 if end else length
        before = kind
    return ends


@pytest.mark.parametrize("seed", range(40))
def test_vectorised_rule_equals_the_state_machine(seed: int) -> None:
    random = np.random.default_rng(seed)
    alphabet = np.array([ord("a"), ord("z"), ord("7"), ord(" "), ord("\n"), ord("."), 0xC3, 0xA9, 256, 257])
    ids = random.choice(alphabet if seed % 2 else np.arange(272), size=random.integers(0, 400))
    assert RULE.ends(ids).tolist() == ends_one_by_one(ids)


def test_a_prefix_has_a_prefix_of_the_ends() -> None:
    ids = document_ids(("A naïve café—don't, 'quoted' antidisestablishmentarianism 1,234.5!\n\nNext…" * 3).encode(), RULE)
    whole = RULE.ends(ids)
    for cut in range(len(ids)):
        assert np.array_equal(RULE.ends(ids[:cut]), whole[:cut])


def test_words_keep_their_separator() -> None:
    patches = [bytes(p.astype(np.uint8)) for p in RULE.split(document_ids(b"The cat sat. It's", RULE))[1:]]
    assert patches[:-1] == [b"The ", b"cat ", b"sat."]
    assert patches[-1][:5] == b" It's"


def test_rows_hold_every_id_of_the_finished_patches() -> None:
    ids = document_ids(b"one two  three, 12345678901234567890 end", RULE)
    rows = RULE.rows(ids)
    assert rows[rows != RULE.specials["pad"]].tolist() == ids.tolist()
    assert rows[0, 0] == RULE.specials["bod"] and rows[0, 1] == RULE.specials["pad"]


def test_the_vectors_that_typescript_is_tested_with_are_current() -> None:
    assert json.loads(VECTORS.read_text()) == make_vectors()
