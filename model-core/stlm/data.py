"""Training rows from prepared shards: a reproducible, resumable stream of `[patches + 1, cap]` rows.

Each row comes from one source, drawn by the mix. A source is read by several lanes at once, each following its own
document, so that a batch never holds neighbouring pages of one book. Short documents fill a row one after the other;
a long one goes on in the lane's next row, which repeats one patch so that every patch is predicted exactly once.
The order is a function of the seed, and the whole state is a few integers (`state`), so a run resumes exactly.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator
from pathlib import Path
from queue import Full, Queue
from typing import TYPE_CHECKING, Any

import numpy as np

from stlm.patch import PatchRule
from stlm.shards import ShardIndex, open_shard

if TYPE_CHECKING:
    from stlm.bpe import TokenRule

LANES = 16
CONTEXT_ONLY = 0x8000
"""Flag on an id of a row that is read but not learnt."""


class Source:
    """Documents of one source in a seeded order, read by `LANES` lanes."""

    def __init__(self, folder: Path, index: ShardIndex, name: str, rule: PatchRule | TokenRule, seed: int) -> None:
        self.name = name
        self.rule = rule
        self.shards = [open_shard(folder, shard) for shard in index.shards_of(name)]
        self.documents = self.find_documents()
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        self.order = np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(len(self.documents))
        self.next_document = LANES
        self.turn = 0
        self.lanes = [[lane, 0] for lane in range(LANES)]

    def find_documents(self) -> list[tuple[int, int]]:
        """(shard, number in it) of every document, in file order."""
        return [(s, d) for s, (_, offsets) in enumerate(self.shards) for d in range(len(offsets) - 1)]

    def document(self, number: int) -> np.ndarray:
        """uint8 bytes of the `number`-th document of the order, which starts over at its end."""
        shard, document = self.documents[self.order[number % len(self.documents)]]
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
            ids = self.window(body, start, (patches - filled) * self.rule.cap)
            previous = None if start == 0 else int(self.window(body, start - 1, 1)[0])
            taken = self.rule.rows(ids, previous)[: patches - filled]
            row[filled : filled + len(taken)] = taken
            filled += len(taken)
            lane[1] = start + int((taken != self.rule.specials["pad"]).sum())
            # >=: a place saved before the source was prepared again may lie behind the document's new end.
            if lane[1] >= len(body) + 2:
                lane[0], lane[1] = self.next_document, 0
                self.next_document += 1
            elif filled == patches:
                lane[1] -= int((row[-1] != self.rule.specials["pad"]).sum())
        return row

    def window(self, body: np.ndarray, start: int, count: int) -> np.ndarray:
        """ids [start, start + count) of the document [bod] body [eod]."""
        ids = body[max(start - 1, 0) : max(start - 1 + count, 0)].astype(np.uint16)
        if start == 0:
            ids = np.concatenate([[self.rule.specials["bod"]], ids]).astype(np.uint16)[:count]
        if start + count > len(body) + 1:
            ids = np.append(ids, np.uint16(self.rule.specials["eod"]))
        return ids


class RowStream:
    """An endless stream of training rows mixed from all sources.

    `mix` multiplies a source's share (its bytes x the weight recorded at `prepare`); 0 leaves it out.
    Raises ValueError for a name in `mix` that is no source, or when no source is left.
    """

    source_type = Source

    def __init__(
        self, folder: Path, rule: PatchRule | TokenRule, patches: int, seed: int, mix: dict[str, float], *, masked: bool = False
    ) -> None:
        index = ShardIndex.load(folder)
        names = {source.name for source in index.sources}
        if unknown := sorted(set(mix) - names):
            raise ValueError(f"mix names no source of {folder}: {', '.join(unknown)} (sources: {', '.join(sorted(names))})")
        shares = {s.name: s.bytes * s.weight * mix.get(s.name, 1.0) for s in index.sources if s.documents}
        shares = {name: share for name, share in sorted(shares.items()) if share > 0}
        if not shares:
            raise ValueError(f"{folder}: no documents to train on")
        self.patches = patches
        self.licence = {s.name: s.licence or "unknown" for s in index.sources}
        self.sources = [self.source_type(folder, index, name, rule, seed) for name in shares]
        self.probability = np.array(list(shares.values())) / sum(shares.values())
        self.random = np.random.default_rng(seed)

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


def batches(stream: RowStream, rows: int) -> Generator[tuple[np.ndarray, dict[str, Any]], None, None]:
    """Batches built ahead in a thread, each with the stream's state after it, which is what a checkpoint keeps.

    Close the generator when done: a thread still at work when the interpreter ends can abort the process.
    """
    ahead: Queue[tuple[np.ndarray, dict[str, Any]] | Exception] = Queue(maxsize=2)
    closed = threading.Event()

    def put(item: tuple[np.ndarray, dict[str, Any]] | Exception) -> None:
        while not closed.is_set():
            try:
                return ahead.put(item, timeout=0.05)
            except Full:
                continue
        return None

    def fill() -> None:
        try:
            while not closed.is_set():
                put((stream.rows(rows), stream.state()))
        except Exception as error:  # noqa: BLE001 - handed to the training thread, which raises it
            put(error)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while True:
            item = ahead.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()
