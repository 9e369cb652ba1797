"""Chat documents: turns as ids, as bytes of a shard, and which of their ids a chat model is trained to predict.

    [bod] ([system] text [end_of_turn])? ([user] text [end_of_turn] | [assistant] text [end_of_turn])* [eod]

User and assistant alternate; either may open. The bytes F5-FF do not occur in UTF-8 (RFC 3629), so a shard of a chat source
stores the special 256 + k as the byte F5 + k: `system` FC, `user` FD, `assistant` FE, `end_of_turn` FF. Text cannot forge one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import numpy as np

from stlm.manifest import ChatTemplate
from stlm.patch import PatchRule

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)

FIRST_SPECIAL_BYTE = 0xF5
_SHIFT = 256 - FIRST_SPECIAL_BYTE


class Turn(NamedTuple):
    """What one side said, once."""

    role: Role
    text: str


def turn_ids(turns: Iterable[Turn], rule: PatchRule) -> np.ndarray:
    """uint16 [n]: `[role] text [end_of_turn]` of each turn. A character that UTF-8 cannot hold becomes a question mark."""
    ids: list[int] = []
    for turn in turns:
        ids += [rule.specials[turn.role], *turn.text.encode("utf-8", "replace"), rule.specials["end_of_turn"]]
    return np.array(ids, dtype=np.uint16)


def reply_prompt(turns: Iterable[Turn], rule: PatchRule) -> np.ndarray:
    """uint16 [n]: the document up to where the assistant's answer to `turns` begins, `[bod] … [assistant]`."""
    ends = rule.specials["bod"], rule.specials["assistant"]
    return np.concatenate([ends[:1], turn_ids(turns, rule), ends[1:]]).astype(np.uint16)


def chat_template(rule: PatchRule) -> ChatTemplate:
    """What the manifest of a tier tuned to chat tells its server."""
    ids = rule.specials
    return {"roles": {"system": ids["system"], "user": ids["user"], "assistant": ids["assistant"]}, "endOfTurn": ids["end_of_turn"]}


def pack_ids(ids: np.ndarray) -> bytes:
    """Ids of turns (`turn_ids`) as a chat source's shard stores them, a byte each."""
    return np.where(ids < 256, ids, ids - _SHIFT).astype(np.uint8).tobytes()


def unpack_ids(stored: np.ndarray) -> np.ndarray:
    """uint16 [n]: the ids behind stored bytes, uint8 [n]; any slice of a document will do."""
    ids = stored.astype(np.uint16)
    ids[ids >= FIRST_SPECIAL_BYTE] += _SHIFT
    return ids


def scored_ids(ids: np.ndarray, rule: PatchRule) -> np.ndarray:
    """bool [n]: True for the assistant's text and the `[end_of_turn]` after it; `ids` is a document from its start.

    `[eod]` is context: a reply ends at its `[end_of_turn]`, and whether a record has another turn is chance.
    """
    marker = np.where(rule.class_table[ids] == 2, np.arange(len(ids)), -1)
    # The last special before each id: it says whose text the id belongs to.
    last = np.concatenate([[-1], np.maximum.accumulate(marker)[:-1]]) if len(ids) else marker
    spoken = (last >= 0) & (ids[last] == rule.specials["assistant"])
    return spoken & ((marker < 0) | (ids == rule.specials["end_of_turn"]))
