"""Growing a checkpoint: what is known of the parent's training goes with it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from stlm import checkpoint
from stlm.__main__ import main
from stlm.grow import check_growth
from stlm.model import PatchLM
from stlm.patch import PatchRule
from stlm.tiers import TIERS


@pytest.mark.parametrize(("small", "large"), list(pairwise(f"stlm-{n}m" for n in (10, 50, 100, 300))))
def test_a_tier_grows_into_the_next(small: str, large: str) -> None:
    check_growth(TIERS[small], TIERS[large])


@pytest.mark.parametrize("chat", [True, False])
def test_a_grown_tier_chats_as_its_parent_does(tmp_path: Path, chat: bool) -> None:
    rule = PatchRule.load()
    model = PatchLM(TIERS["stlm-1m"], rule)
    known = {"bytes_seen": 5, "bytes_per_patch": 5.4, "seed": 1, "commit": "c", "sources": [], "chat": chat}
    weights = {"config": model.config.to_dict(), "rule_hash": rule.rule_hash, "model": model.state_dict()}
    checkpoint.save(tmp_path / "small.pt", {**known, **weights})
    assert main(["grow", str(tmp_path / "small.pt"), str(tmp_path / "large.pt"), "--tier", "stlm-3m"]) == 0
    content = checkpoint.load(tmp_path / "large.pt")
    assert {name: content[name] for name in known} == known
