"""Training rows: every patch is predicted exactly once, in order, and a restored stream goes on with the very next row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stlm.data import LANES, RowStream, Source
from stlm.patch import PatchRule, document_ids
from stlm.shards import Shard, ShardIndex, ShardWriter
from stlm.shards import Source as SourceRecord

RULE = PatchRule.load()


def write_corpus(folder: Path, sources: dict[str, list[bytes]]) -> None:
    index = ShardIndex(config={})
    for name, documents in sources.items():
        writer = ShardWriter(folder, name, shard_bytes=2000)
        for document in documents:
            writer.append(document)
        writer.close()
        shards: list[Shard] = writer.shards
        record = SourceRecord(name, name, 0, 0, "CC0", 1.0, writer.total_bytes, len(documents), 0, 0)
        index.replace(record, shards)
    index.save(folder)


def documents(count: int, seed: int = 0) -> list[bytes]:
    random = np.random.default_rng(seed)
    words = ["cat", "supercalifragilistic", "12345678901", "é", "…", "it's", "\n\n", "-----"]
    return [" ".join(random.choice(words, size=random.integers(1, 120))).encode() for _ in range(count)]


def test_rows_of_a_source_hold_each_document_once_and_in_order(tmp_path: Path) -> None:
    texts = documents(40)
    write_corpus(tmp_path, {"a": texts})
    source = Source(tmp_path, ShardIndex.load(tmp_path), "a", RULE, seed=3)
    patches_by_lane: list[list[bytes]] = [[] for _ in range(LANES)]
    for turn in range(LANES * 30):
        row = source.row(17)
        lane = patches_by_lane[turn % LANES]
        patches = [ids[ids != RULE.specials["pad"]].tobytes() for ids in row]
        # A row that goes on in the middle of a document repeats the last patch of the lane's row before.
        goes_on = bool(lane) and not lane[-1].endswith(np.uint16(257).tobytes())
        assert not goes_on or patches[0] == lane[-1]
        lane.extend(patches[1:] if goes_on else patches)
    expected = {tuple(p.tobytes() for p in RULE.split(document_ids(text, RULE))) for text in texts}
    seen = set()
    for lane in patches_by_lane:
        document: list[bytes] = []
        for patch in lane:
            document.append(patch)
            if patch.endswith(np.uint16(257).tobytes()):
                assert tuple(document) in expected
                seen.add(tuple(document))
                document = []
    assert seen == expected


def test_the_order_is_a_function_of_the_seed(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a": documents(30), "b": documents(30, 1)})
    first, again, other = (RowStream([tmp_path], RULE, 8, seed, {}).rows(20) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_restored_stream_goes_on_with_the_next_row(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a": documents(30), "b": documents(30, 1)})
    stream = RowStream([tmp_path], RULE, 8, 0, {})
    stream.rows(37)
    state = json.loads(json.dumps(stream.state()))
    expected = stream.rows(25)
    restored = RowStream([tmp_path], RULE, 8, 0, {})
    restored.restore(state)
    assert np.array_equal(restored.rows(25), expected)


def test_the_mix_decides_the_shares(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a": [b"aaaa " * 200] * 20, "b": [b"bbbb " * 200] * 20})
    rows = RowStream([tmp_path], RULE, 8, 0, {"a": 3.0}).rows(400)
    share = (rows[:, 4, 0] == ord("a")).mean()
    assert 0.68 < share < 0.82
    assert not (RowStream([tmp_path], RULE, 8, 0, {"a": 0}).rows(50) == ord("a")).any()


def test_an_unknown_source_or_an_empty_mix_is_named(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a": documents(3)})
    with pytest.raises(ValueError, match=r"mix names no source .*: tea"):
        RowStream([tmp_path], RULE, 8, 0, {"tea": 2.0})
    with pytest.raises(ValueError, match="no documents to train on"):
        RowStream([tmp_path], RULE, 8, 0, {"a": 0})


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a": documents(3)})
    shard = next(tmp_path.glob("a-0000.bin"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"a-0000\.bin"):
        RowStream([tmp_path], RULE, 8, 0, {})


def test_patterns_of_a_mix_multiply(tmp_path: Path) -> None:
    write_corpus(tmp_path, {name: documents(20) for name in ("chat-a", "chat-b", "book")})
    stream = RowStream([tmp_path], RULE, 8, 0, {"*": 2.0, "chat-*": 1.5, "chat-b": 0.5})
    shares = {source.name: share for source, share in zip(stream.sources, stream.probability, strict=True)}
    assert shares["chat-a"] / shares["book"] == pytest.approx(1.5)
    assert shares["chat-b"] / shares["book"] == pytest.approx(0.75)


def test_two_folders_make_one_stream_and_may_not_share_a_name(tmp_path: Path) -> None:
    for name, sources in (("one", ["a"]), ("two", ["b"]), ("three", ["a"])):
        (tmp_path / name).mkdir()
        write_corpus(tmp_path / name, {source: documents(20) for source in sources})
    stream = RowStream([tmp_path / "one", tmp_path / "two"], RULE, 8, 0, {})
    assert [source["name"] for source in stream.licences()] == ["a", "b"]
    with pytest.raises(ValueError, match=r"one and .*three both have a source 'a'"):
        RowStream([tmp_path / "one", tmp_path / "three"], RULE, 8, 0, {})
