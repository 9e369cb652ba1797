"""Infilling: every byte of the text is trained on once, in order, and what is rearranged reads suffix, prefix, middle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from infill_prompts import PROMPTS, prompts
from test_data import documents, write_corpus

from stlm.data import LANES, RowStream, Source
from stlm.infill import EXTRA_PATCHES, cut, infill_document, infill_prompt
from stlm.patch import PatchRule, document_ids
from stlm.shards import ShardIndex

RULE = PatchRule.load()
BOD, EOD, PAD = (RULE.specials[name] for name in ("bod", "eod", "pad"))
SENTINELS = tuple(RULE.specials[name] for name in ("fim_suffix", "fim_prefix", "fim_middle"))


def split_infill(ids: list[int]) -> tuple[bytes, bytes]:
    """What stands before the suffix, and the suffix, of a rearranged document without its [bod] and [eod]."""
    first, second, third = (ids.index(sentinel) for sentinel in SENTINELS)
    assert first == 0
    return bytes(ids[second + 1 : third] + ids[third + 1 :]), bytes(ids[1:second])


def rearrangements(row: np.ndarray) -> list[tuple[bytes, bytes]]:
    """Every rearranged text of a row, which must be whole."""
    found: list[tuple[bytes, bytes]] = []
    ids = row[row != PAD].tolist()
    while SENTINELS[0] in ids:
        start = ids.index(SENTINELS[0])
        assert ids[start - 1] == BOD
        end = ids.index(EOD, start)
        found.append(split_infill(ids[start:end]))
        ids = ids[end + 1 :]
    return found


def source(folder: Path, texts: list[bytes], infill: float, seed: int = 3) -> Source:
    write_corpus(folder, {"a": texts})
    return Source(folder, ShardIndex.load(folder), "a", RULE, seed=seed, infill=infill)


def test_a_cut_text_joins_to_itself_at_characters() -> None:
    random = np.random.default_rng(0)
    text = "naïve – “Ünïcödé” 日本語 text ".encode() * 20
    parts = [cut(text, random) for _ in range(500)]
    assert all(b"".join(part) == text for part in parts)
    for part in parts:
        for piece in part:
            piece.decode()
    lengths = np.array([len(middle) for _, middle, _ in parts])
    # Even by the logarithm of 2 to 512: half are below 32.
    assert 0.4 < (lengths <= 32).mean() < 0.6
    assert 0.04 < np.mean([prefix == b"" for prefix, _, _ in parts]) < 0.14
    assert 0.04 < np.mean([suffix == b"" for _, _, suffix in parts]) < 0.14


@pytest.mark.parametrize("text", [b"", b"a", "é".encode(), b"one two three"])
def test_short_texts_are_cut_too(text: bytes) -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        gap = prefix, middle, suffix = cut(text, random)
        assert prefix + middle + suffix == text
        ids = infill_document(gap, RULE).tolist()
        assert (ids[0], ids[-1]) == (BOD, EOD)
        assert split_infill(ids[1:-1]) == (prefix + middle, suffix)
        assert ids[: len(prefix) + len(suffix) + 4] == infill_prompt(prefix, suffix, RULE).tolist()


@pytest.mark.parametrize("marked", [b"|", b"|unfini", b"|one ", b"|one tw", b"one |two thr", b"a |b "])
def test_the_mark_stands_a_whole_patch_before_the_gap(marked: bytes) -> None:
    ids = infill_prompt(marked.replace(b"|", b""), b"end", RULE)
    text = ids[np.flatnonzero(ids == SENTINELS[1])[0] + 1 :]
    assert bytes(ord("|") if id_ == SENTINELS[2] else id_ for id_ in text) == marked


def test_typescript_is_tested_on_these_prompts() -> None:
    assert PROMPTS.read_text(encoding="utf-8") == prompts()


def test_rearranging_takes_few_patches_more() -> None:
    random = np.random.default_rng(1)
    for text in documents(300):
        gap = cut(text, random)
        before = len(RULE.rows(document_ids(text, RULE)))
        assert len(RULE.rows(infill_document(gap, RULE))) <= before - 1 + EXTRA_PATCHES


def test_all_rearranged_no_byte_is_lost_or_read_twice(tmp_path: Path) -> None:
    texts = [b"%d " % number + text for number, text in enumerate(documents(LANES))]
    stream = source(tmp_path, texts, infill=1.0)
    by_lane: list[bytes] = [b""] * LANES
    for turn in range(LANES * 12):
        for text, suffix in rearrangements(stream.row(65)):
            by_lane[turn % LANES] += text + suffix
    # Each lane reads its own document first, then the next that is free, and so on.
    for lane, text in enumerate(by_lane):
        first = stream.document(lane).tobytes()
        assert text.startswith(first)
    long = documents(1, seed=5)[0] * 200
    (tmp_path / "long").mkdir()
    stream = source(tmp_path / "long", [long] * LANES, infill=1.0)
    read = b""
    while len(read) < len(long):
        read += b"".join(b"".join(part) for part in rearrangements(stream.row(65)))
        stream.turn = 0
    assert read.startswith(long)


def test_text_as_it_stands_and_rearranged_take_turns_without_a_gap(tmp_path: Path) -> None:
    """Of a long document read row by row, plain or rearranged, every byte is predicted exactly once."""
    long = b"".join(b"%d-%d. " % (n, n * n) for n in range(6000))
    stream = source(tmp_path, [long] * LANES, infill=0.5)
    read, kinds = b"", set()
    # The row in which the document ends holds the beginning of the next one too.
    while len(read) < len(long) - 1000:
        row = stream.row(65)
        stream.turn = 0
        parts = rearrangements(row)
        kinds.add(bool(parts))
        if parts:
            read += b"".join(b"".join(part) for part in parts)
        else:
            # The first patch of a row that goes on is there to be seen; the row before ended with it.
            context = RULE.decode(row[0])
            assert read.endswith(context)
            read += RULE.decode(row[1:])
    assert long.startswith(read)
    assert kinds == {True, False}


def test_the_share_is_kept_and_chats_and_zero_stay_as_they_are(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a": [text * 40 for text in documents(60)]})
    rows = RowStream([tmp_path], RULE, 64, 0, {}, infill=0.25).rows(1500)
    share = np.mean([bool(rearrangements(row)) for row in rows])
    assert 0.2 < share < 0.3
    assert not np.isin(RowStream([tmp_path], RULE, 64, 0, {}).rows(200), SENTINELS).any()
    index = ShardIndex.load(tmp_path)
    index.sources[0] = type(index.sources[0])(**{**vars(index.sources[0]), "chat": True})
    index.save(tmp_path)
    assert not np.isin(RowStream([tmp_path], RULE, 64, 0, {}, infill=1.0).rows(200), SENTINELS).any()


def test_the_order_is_the_seeds_and_a_restored_stream_goes_on_with_the_next_row(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a": documents(30), "b": [text * 30 for text in documents(30, 1)]})

    def stream(seed: int = 0) -> RowStream:
        return RowStream([tmp_path], RULE, 64, seed, {}, infill=0.5)

    assert np.array_equal(stream().rows(40), stream().rows(40))
    assert not np.array_equal(stream().rows(40), stream(1).rows(40))
    begun = stream()
    begun.rows(37)
    state = json.loads(json.dumps(begun.state()))
    restored = stream()
    restored.restore(state)
    assert np.array_equal(restored.rows(40), begun.rows(40))
