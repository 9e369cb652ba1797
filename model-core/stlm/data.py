"""Training rows from prepared shards: a reproducible, resumable stream of `[patches + 1, cap]` rows.

Each row comes from one source, drawn by the mix. A source is read by several lanes at once, each following its own
document, so that a batch never holds neighbouring pages of one book. Short documents fill a row one after the other;
a long one goes on in the lane's next row, which repeats one patch so that every patch is predicted exactly once.
The order is a function of the seed, and the whole state is a few integers (`state`), so a run resumes exactly.

Chat documents can be had masked, to train on replies alone: every id of theirs that a chat model need not predict then carries
the bit `CONTEXT_ONLY`, and none begins in a row that cannot hold it, so that a reply is not parted from its question; the rest of
such a row is padding. Only a document longer than a row goes on in the next.

A share of text can be had rearranged for infilling (infill.py). Chance decides it for each document, and again for each row in which
a long one goes on; what is rearranged is cut into pieces, whole in their row, with the text of a document once in the same order as ever.
Chance is a function of the seed and the place in the text, so that it needs no state.
"""

from __future__ import annotations

import fnmatch
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stlm.chat import scored_ids, unpack_ids
from stlm.infill import EXTRA_PATCHES, LEAST_PATCHES, cut, infill_document, piece_patches
from stlm.patch import PatchRule
from stlm.shards import ShardIndex, open_shard

if TYPE_CHECKING:
    from stlm.bpe import TokenRule

LANES = 16
CONTEXT_ONLY = 0x8000
"""In a masked row: the id in the other bits is read but not scored. Padding never carries it."""


class Source:
    """Documents of one source in a seeded order, read by `LANES` lanes; `masked` tells a chat source to mask its rows, `infill` is the
    share of a text source that is rearranged.

    `part` (number, of how many) takes its share of the documents; where there are too few to share out, all of them.
    """

    def __init__(
        self,
        folder: Path,
        index: ShardIndex,
        name: str,
        rule: PatchRule | TokenRule,
        seed: int,
        *,
        masked: bool = False,
        infill: float = 0.0,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.name = name
        self.rule = rule
        self.chat = index.source(name).chat
        self.masked = masked and self.chat
        self.infill = 0.0 if self.chat else infill
        self.shards = [open_shard(folder, shard) for shard in index.shards_of(name)]
        self.documents = self.find_documents()
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        self.seed = int.from_bytes(digest[:8], "big")
        order = np.random.default_rng(self.seed).permutation(len(self.documents))
        number, parts = part
        self.order = order[number::parts] if len(order) >= LANES * parts else order
        self.next_document = LANES
        self.turn = 0
        self.lanes = [[lane, 0] for lane in range(LANES)]

    def find_documents(self) -> list[tuple[int, int]]:
        """(shard, number in it) of every document, in file order."""
        return [(s, d) for s, (_, offsets) in enumerate(self.shards) for d in range(len(offsets) - 1)]

    def document(self, number: int) -> np.ndarray:
        """uint8 bytes, as stored, of the `number`-th document of the order, which starts over at its end."""
        shard, document = self.documents[self.order[number % len(self.order)]]
        data, offsets = self.shards[shard]
        return data[offsets[document] : offsets[document + 1]]

    def row(self, patches: int) -> np.ndarray:
        """uint16 [patches, cap], from the next lane in turn."""
        lane = self.lanes[self.turn]
        self.turn = (self.turn + 1) % LANES
        row = np.full((patches, self.rule.cap), self.rule.specials["pad"], dtype=np.uint16)
        filled = 0
        while filled < patches:
            number, start = lane
            body = self.document(number)
            if self.masked and filled > 0 and len(self.rule.rows(self.window(body, 0, len(body) + 2))) > patches - filled:
                break
            room = patches - filled
            random = self.chance(number, start, room)
            taken, lane[1] = self.text(body, start, room) if random is None else self.pieces(body, start, room, random)
            row[filled : filled + len(taken)] = taken
            filled += len(taken)
            # >=: a place saved before the source was prepared again may lie behind the document's new end.
            if lane[1] < len(body) + 2:
                break
            lane[0], lane[1] = self.next_document, 0
            self.next_document += 1
        return row

    def chance(self, number: int, start: int, room: int) -> np.random.Generator | None:
        """What the document is rearranged by from `start` on; None where it stays as it is."""
        if not self.infill or room < LEAST_PATCHES + EXTRA_PATCHES:
            return None
        random = np.random.default_rng([self.seed, number, start])
        return random if random.random() < self.infill else None

    def text(self, body: np.ndarray, start: int, room: int) -> tuple[np.ndarray, int]:
        """Patches [n, cap] of the document from `start` on, at most `room`, and where the lane's next row goes on."""
        taken, last_ids = self.cut(body, start, room)
        known = taken != self.rule.specials["pad"]
        end = start + int(known.sum())
        if self.masked:
            taken[known] |= self.flags(body)[start:end]
        return taken, end if end >= len(body) + 2 else end - last_ids

    def pieces(self, body: np.ndarray, start: int, room: int, random: np.random.Generator) -> tuple[np.ndarray, int]:
        """As `text`, rearranged for infilling, piece by piece."""
        assert isinstance(self.rule, PatchRule)
        # The first patch of a row that goes on was predicted in the row before.
        begin = start + (self.cut(body, start, 1)[1] if start else 0)
        made, last_ids = [np.empty((0, self.rule.cap), np.uint16)], 0
        while begin < len(body) + 2 and room >= LEAST_PATCHES + EXTRA_PATCHES:
            taken, last_ids = self.cut(body, begin, piece_patches(room, random))
            ids = taken[taken != self.rule.specials["pad"]]
            begin += len(ids)
            made.append(self.rule.rows(infill_document(cut(self.rule.decode(ids), random), self.rule)))
            room -= len(made[-1])
        return np.concatenate(made), begin if begin >= len(body) + 2 else begin - last_ids

    def cut(self, body: np.ndarray, start: int, room: int) -> tuple[np.ndarray, int]:
        """Patches [n, cap] of the document from `start` on, at most `room`, and how many ids the last one has."""
        ids = self.window(body, start, room * self.rule.cap)
        previous = None if start == 0 else int(self.window(body, start - 1, 1)[0])
        taken = self.rule.rows(ids, previous)[:room]
        return taken, int((taken[-1] != self.rule.specials["pad"]).sum()) if len(taken) else 0

    def flags(self, body: np.ndarray) -> np.ndarray:
        """uint16 [len(body) + 2]: `CONTEXT_ONLY` for each id of the document that is not scored, else 0."""
        assert isinstance(self.rule, PatchRule)
        scored = scored_ids(self.window(body, 0, len(body) + 2), self.rule)
        return np.where(scored, 0, CONTEXT_ONLY).astype(np.uint16)

    def window(self, body: np.ndarray, start: int, count: int) -> np.ndarray:
        """ids [start, start + count) of the document [bod] body [eod]."""
        stored = body[max(start - 1, 0) : max(start - 1 + count, 0)]
        ids = unpack_ids(stored) if self.chat else stored.astype(np.uint16)
        if start == 0:
            ids = np.concatenate([[self.rule.specials["bod"]], ids]).astype(np.uint16)[:count]
        if start + count > len(body) + 1:
            ids = np.append(ids, np.uint16(self.rule.specials["eod"]))
        return ids


def factor(name: str, mix: dict[str, float]) -> float:
    """What the patterns of a mix make of one source's share."""
    return math.prod(times for pattern, times in mix.items() if fnmatch.fnmatchcase(name, pattern))


class RowStream:
    """An endless stream of training rows mixed from all sources.

    `mix` multiplies the share (bytes x the weight recorded at `prepare`) of every source whose name fits a pattern (`chat-*`); 0
    leaves it out; where several patterns fit, all of them multiply. `masked` marks what is
    only context in chat sources (`CONTEXT_ONLY`); every id of other sources is scored. `infill` is the share of text sources that is
    rearranged. `part` (number, of how many) reads one part of the documents, for streams side by side.
    Raises ValueError for a pattern in `mix` that fits no source, for a name that two folders have, or when no source is left.
    """

    source_type = Source

    def __init__(
        self,
        folders: Sequence[Path],
        rule: PatchRule | TokenRule,
        patches: int,
        seed: int,
        mix: dict[str, float],
        *,
        masked: bool = False,
        infill: float = 0.0,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        indexes = {folder: ShardIndex.load(folder) for folder in folders}
        home: dict[str, Path] = {}
        for folder, index in indexes.items():
            for source in index.sources:
                if (other := home.setdefault(source.name, folder)) != folder:
                    raise ValueError(f"{other} and {folder} both have a source {source.name!r}: prepare one under another name")
        where = " and ".join(map(str, folders))
        if unknown := sorted(pattern for pattern in mix if not fnmatch.filter(home, pattern)):
            raise ValueError(f"mix names no source of {where}: {', '.join(unknown)} (sources: {', '.join(sorted(home))})")
        described = {source.name: source for index in indexes.values() for source in index.sources}
        shares = {s.name: s.bytes * s.weight * factor(s.name, mix) for s in described.values() if s.documents}
        shares = {name: share for name, share in sorted(shares.items()) if share > 0}
        if not shares:
            raise ValueError(f"{where}: no documents to train on")
        self.patches = patches
        self.licence = {s.name: s.licence or "unknown" for s in described.values()}
        self.sources = [
            self.source_type(home[name], indexes[home[name]], name, rule, seed, masked=masked, infill=infill, part=part) for name in shares
        ]
        self.probability = np.array(list(shares.values())) / sum(shares.values())
        self.random = np.random.default_rng([seed, part[0]])

    def rows(self, count: int) -> np.ndarray:
        """uint16 [count, patches + 1, cap]."""
        chosen = self.random.choice(len(self.sources), size=count, p=self.probability)
        return np.stack([self.sources[c].row(self.patches + 1) for c in chosen])

    def licences(self) -> list[dict[str, str]]:
        """Name and licence of every source in the mix, as the manifest credits them."""
        return [{"name": s.name, "licence": self.licence[s.name]} for s in self.sources]

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on with the very next row."""
        sources = {s.name: {"next": s.next_document, "turn": s.turn, "lanes": [list(x) for x in s.lanes]} for s in self.sources}
        return {"random": self.random.bit_generator.state, "sources": sources}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the state is of other sources."""
        if set(state["sources"]) != {s.name for s in self.sources}:
            raise ValueError("the checkpoint was trained on other sources: " + ", ".join(sorted(state["sources"])))
        self.random.bit_generator.state = state["random"]
        for source in self.sources:
            saved = state["sources"][source.name]
            source.next_document, source.turn = saved["next"], saved["turn"]
            source.lanes = [list(lane) for lane in saved["lanes"]]
