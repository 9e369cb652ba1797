"""Writes test/fixtures/patch-vectors.json: random id streams and where their patches end, for the TypeScript tests.

Run it after a change of the rule: `python tests/patch_vectors.py`. `test_patch.py` fails while the file is out of date.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from stlm.patch import PatchRule

VECTORS = Path(__file__).parents[2] / "test" / "fixtures" / "patch-vectors.json"


def make_vectors() -> dict[str, object]:
    """`cases`: ids (a stream from its start) and ends (indices of the ids that end a patch)."""
    rule = PatchRule.load()
    random = np.random.default_rng(7)
    texts = [b"", b"a", b" ", b"The cat sat.", "naïve café — don't!\n\n1,234.5 …".encode(), b"x" * 40 + b" y", b"-" * 30 + b"end"]
    streams = [np.frombuffer(text, np.uint8) for text in texts]
    streams += [random.integers(0, 256, random.integers(1, 120)) for _ in range(40)]
    streams += [random.integers(0, 272, random.integers(1, 120)) for _ in range(20)]
    streams += [random.choice(list(b"abz '.,\n09"), random.integers(1, 120)) for _ in range(40)]
    cases = [{"ids": ids.tolist(), "ends": np.flatnonzero(rule.ends(ids)).tolist()} for ids in streams]
    return {"ruleHash": rule.rule_hash, "cases": cases}


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(make_vectors(), separators=(",", ":")) + "\n")
