"""The shard format: raw document bytes in one file, document boundaries in another.

A shard is `NAME-0000.bin` (the documents' bytes one after the other, nothing between them) and `NAME-0000.idx.npy`
(int64 `[documents + 1]` byte offsets). `index.json` beside them lists every source and shard; a shard it does not list
is a leftover of an interrupted run. Both files of a shard can be memory-mapped, so a corpus costs no memory to open.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

INDEX_NAME = "index.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Shard:
    """One `.bin` + `.idx.npy` pair; `bytes` is the length of the `.bin`."""

    name: str
    source: str
    bytes: int
    documents: int
    idx_sha256: str


@dataclass(frozen=True)
class Source:
    """One input file as it went into the shards. `weight` multiplies its share of the training mix.

    The documents of a `chat` source are turns, their specials stored as bytes that UTF-8 does not use (see chat.py).
    """

    name: str
    file: str
    input_bytes: int
    input_mtime_ns: int
    licence: str | None
    weight: float
    bytes: int
    documents: int
    invalid_utf8_documents: int
    bad_records: int
    chat: bool = False


@dataclass
class ShardIndex:
    """The content of `index.json`; `config` is what the shards were made with."""

    config: dict[str, int | bool | None]
    sources: list[Source] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> ShardIndex:
        """Reads `folder/index.json`. Raises FileNotFoundError, or ValueError when it is not a shard index."""
        path = folder / INDEX_NAME
        if not path.exists():
            raise FileNotFoundError(f"{folder}: no prepared shards (make them with `python -m stlm prepare`)")
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            if raw["version"] != FORMAT_VERSION:
                raise ValueError(f"{path}: shard format {raw['version']}, expected {FORMAT_VERSION}")
            return cls(raw["config"], [Source(**s) for s in raw["sources"]], [Shard(**s) for s in raw["shards"]])
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not a shard index ({error!r})") from error

    def save(self, folder: Path) -> None:
        """Replaces `folder/index.json` in one step, so that a killed run never leaves half an index."""
        content = {
            "version": FORMAT_VERSION,
            "config": self.config,
            "sources": [asdict(s) for s in self.sources],
            "shards": [asdict(s) for s in self.shards],
        }
        part = folder / f"{INDEX_NAME}.part"
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        part.replace(folder / INDEX_NAME)

    def shards_of(self, source: str) -> list[Shard]:
        return [shard for shard in self.shards if shard.source == source]

    def source(self, name: str) -> Source:
        """Raises KeyError for a name that is no source."""
        return {source.name: source for source in self.sources}[name]

    def remove(self, source: str) -> None:
        self.sources = [s for s in self.sources if s.name != source]
        self.shards = [s for s in self.shards if s.source != source]

    def replace(self, source: Source, shards: list[Shard]) -> None:
        """Adds a finished source, or puts it in the place of its earlier version."""
        self.remove(source.name)
        self.sources.append(source)
        self.shards.extend(shards)


class ShardWriter:
    """Appends documents of one source, starting a new shard when the next document would not fit."""

    def __init__(self, folder: Path, source: str, shard_bytes: int) -> None:
        self.folder = folder
        self.source = source
        self.shard_bytes = shard_bytes
        self.shards: list[Shard] = []
        self.total_bytes = 0
        self._offsets = array("q", [0])
        self._bin = None
        # Leftovers of an earlier, interrupted or longer, version of this source.
        for leftover in folder.glob(f"{source}-[0-9][0-9][0-9][0-9].*"):
            leftover.unlink()

    def append(self, document: bytes) -> None:
        if self._bin is not None and self._offsets[-1] + len(document) > self.shard_bytes:
            self.close()
        if self._bin is None:
            self._bin = self._path("bin").open("wb")
        self._bin.write(document)
        self._offsets.append(self._offsets[-1] + len(document))
        self.total_bytes += len(document)

    def close(self) -> None:
        """Finishes the open shard, if any."""
        if self._bin is None:
            return
        self._bin.close()
        self._bin = None
        idx = self._path("idx.npy")
        np.save(idx, np.asarray(self._offsets, dtype=np.int64))
        digest = hashlib.sha256(idx.read_bytes()).hexdigest()
        self.shards.append(Shard(self._name(), self.source, self._offsets[-1], len(self._offsets) - 1, digest))
        self._offsets = array("q", [0])

    def discard(self) -> None:
        """Deletes everything written: the source turned out to be unreadable."""
        if self._bin is not None:
            self._bin.close()
            self._bin = None
        for path in self.folder.glob(f"{self.source}-[0-9][0-9][0-9][0-9].*"):
            path.unlink()
        self.shards = []

    def _name(self) -> str:
        return f"{self.source}-{len(self.shards):04d}"

    def _path(self, extension: str) -> Path:
        return self.folder / f"{self._name()}.{extension}"


def open_shard(folder: Path, shard: Shard) -> tuple[np.ndarray, np.ndarray]:
    """Memory-maps a shard: its bytes `uint8 [bytes]` and offsets `int64 [documents + 1]`.

    Raises ValueError when the files are not the ones `index.json` describes.
    """
    idx = folder / f"{shard.name}.idx.npy"
    if hashlib.sha256(idx.read_bytes()).hexdigest() != shard.idx_sha256:
        raise ValueError(f"{idx}: hash differs from {INDEX_NAME}; prepare this source again")
    data = np.memmap(folder / f"{shard.name}.bin", dtype=np.uint8, mode="r")
    if data.size != shard.bytes:
        raise ValueError(f"{shard.name}.bin: {data.size} bytes, {INDEX_NAME} says {shard.bytes}")
    return data, np.load(idx, mmap_mode="r")


def iterate_documents(folder: Path, shards: list[Shard]) -> Iterator[np.ndarray]:
    """Yields every document of the given shards in file order, each a `uint8 [bytes]` view of the memory map."""
    for shard in shards:
        data, offsets = open_shard(folder, shard)
        for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            yield data[start:end]
