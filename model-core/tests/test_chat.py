"""Chat documents: what the records said is what the rows hold, and exactly the assistant's words are scored."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stlm import prepare
from stlm.chat import Turn, pack_ids, scored_ids, turn_ids, unpack_ids
from stlm.data import CONTEXT_ONLY, LANES, RowStream
from stlm.patch import PatchRule
from stlm.shards import INDEX_NAME, ShardIndex, iterate_documents

RULE = PatchRule.load()
ID_BITS = CONTEXT_ONLY - 1
BOD, EOD, PAD, END = (RULE.specials[name] for name in ("bod", "eod", "pad", "end_of_turn"))
ROLE_OF = {RULE.specials[role]: role for role in ("system", "user", "assistant")}


def prepare_records(folder: Path, name: str, records: list[Any], *options: str) -> Path:
    """Prepares `records` (bytes: a line as it is) into `folder/shards`, as a source of its own."""
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    path = folder / f"{name}.jsonl"
    path.write_bytes(b"\n".join(lines))
    parser = argparse.ArgumentParser()
    prepare.add_arguments(parser)
    assert prepare.main(parser.parse_args(["--input", str(path), "--output", str(folder / "shards"), *options])) == 0
    return folder / "shards"


def talk(count: int, seed: int, words: int = 30) -> list[dict[str, Any]]:
    """Made-up conversations of one to four questions and answers, some after a system text; each turn at most `words` long."""
    random = np.random.default_rng(seed)
    vocabulary = ["cat", "supercalifragilistic", "12345678901", "é", "…", "it's", "\n", "----- -", "Assistant:"]

    def say(role: str) -> dict[str, str]:
        text = " ".join(random.choice(vocabulary, size=random.integers(1, words)))
        return {"role": role, "content": f"{role[0]} {text}."}

    records = []
    for _ in range(count):
        messages = [say("system")] if random.random() < 0.5 else []
        for _ in range(random.integers(1, 5)):
            messages += [say("user"), say("assistant")]
        records.append({"messages": messages})
    return records


def read_turns(ids: list[int]) -> list[Turn]:
    """The turns of a document [bod] … [eod], flags ignored."""
    clean = [i & ID_BITS for i in ids]
    assert clean[0] == BOD and clean[-1] == EOD
    turns, start = [], 1
    for place, i in enumerate(clean):
        if i == END:
            turns.append(Turn(ROLE_OF[clean[start]], bytes(clean[start + 1 : place]).decode()))
            start = place + 1
    assert start == len(ids) - 1, "nothing lies between the last turn and [eod]"
    return turns


def scored_turns(ids: list[int]) -> list[Turn]:
    """What the ids without a flag say, split after each [end_of_turn]."""
    scored = [i for i in ids if not i & CONTEXT_ONLY]
    ends = [place for place, i in enumerate(scored) if i == END]
    assert ends[-1] == len(scored) - 1
    return [Turn("assistant", bytes(scored[start:end]).decode()) for start, end in zip([0, *(e + 1 for e in ends)], ends, strict=False)]


def lane_documents(stream: RowStream, rows: int) -> list[tuple[int, ...]]:
    """Every whole document of a one-source stream, flags kept, put together from each lane's rows."""
    documents = []
    lanes: list[list[np.ndarray]] = [[] for _ in range(LANES)]
    for turn in range(rows):
        patches = [patch[patch != PAD] for patch in stream.rows(1)[0]]
        lane = lanes[turn % LANES]
        goes_on = bool(lane) and lane[-1][-1] & ID_BITS != EOD
        assert not goes_on or np.array_equal(patches[0], lane[-1]), "a row that goes on repeats a patch, flags and all"
        lane += [patch for patch in patches[int(goes_on) :] if len(patch)]
    for lane in lanes:
        document: list[int] = []
        for patch in lane:
            document += patch.tolist()
            if document[-1] & ID_BITS == EOD:
                documents.append(tuple(document))
                document = []
    return documents


def said(record: dict[str, Any]) -> list[Turn]:
    return [Turn(message["role"], message["content"]) for message in record["messages"]]


def test_records_survive_shards_and_rows(tmp_path: Path) -> None:
    records = talk(30, 0)
    shards = prepare_records(tmp_path, "a", records, "--chat")
    index = ShardIndex.load(shards)
    assert index.sources[0].chat
    stored = [unpack_ids(document) for document in iterate_documents(shards, index.shards_of("chat-a"))]
    assert [document.tolist() for document in stored] == [turn_ids(said(record), RULE).tolist() for record in records]
    seen = {tuple(read_turns(list(ids))) for ids in lane_documents(RowStream([shards], RULE, 16, 0, {}), 1200)}
    assert seen == {tuple(said(record)) for record in records}


@pytest.mark.parametrize("patches", [8, 64, 400])
def test_exactly_the_assistants_text_and_its_end_are_scored(tmp_path: Path, patches: int) -> None:
    # Rows of 8 patches break every document several times, also inside a reply; 400 hold several documents.
    records = talk(40, 1)
    shards = prepare_records(tmp_path, "a", records, "--chat")
    documents = lane_documents(RowStream([shards], RULE, patches, 0, {}, masked=True), 14_000 // patches + 200)
    for ids in documents:
        assert scored_turns(list(ids)) == [turn for turn in read_turns(list(ids)) if turn.role == "assistant"]
    assert len(set(documents)) == len(records), "every record came by"


def test_padding_is_never_flagged_and_a_flag_is_the_top_bit_only(tmp_path: Path) -> None:
    rows = RowStream([prepare_records(tmp_path, "a", talk(40, 1), "--chat")], RULE, 64, 0, {}, masked=True).rows(200)
    assert (rows == PAD).any() and not (rows == PAD | CONTEXT_ONLY).any()
    assert (rows & ID_BITS).max() < RULE.vocabulary


def test_a_document_that_fits_a_row_is_never_broken_when_masked(tmp_path: Path) -> None:
    shards = prepare_records(tmp_path, "a", talk(40, 2, words=8), "--chat")
    longest = max(len(RULE.rows(np.array(ids, np.uint16))) for ids in lane_documents(RowStream([shards], RULE, 16, 0, {}), 1200))
    rows = RowStream([shards], RULE, longest, 0, {}, masked=True).rows(200)
    clean = rows & ID_BITS
    assert (clean[:, 0, 0] == BOD).all()
    assert ((clean == BOD).sum((1, 2)) == (clean == EOD).sum((1, 2))).all()
    assert (clean == BOD).sum() > 220, "short documents share a row"


def test_an_unmasked_stream_has_the_same_ids_without_flags(tmp_path: Path) -> None:
    shards = prepare_records(tmp_path, "a", talk(30, 3), "--chat")
    plain = lane_documents(RowStream([shards], RULE, 16, 0, {}), 1200)
    masked = lane_documents(RowStream([shards], RULE, 16, 0, {}, masked=True), 1200)
    assert not any(i & CONTEXT_ONLY for ids in plain for i in ids)
    assert set(plain) == {tuple(i & ID_BITS for i in ids) for ids in masked}


def test_a_source_that_is_no_chat_stays_scored_whole(tmp_path: Path) -> None:
    prepare_records(tmp_path, "a", talk(20, 4), "--chat")
    shards = prepare_records(tmp_path, "b", [{"text": f"plain text {i} " * 50} for i in range(20)])
    assert {source.name: source.chat for source in ShardIndex.load(shards).sources} == {"chat-a": True, "b": False}
    plain, masked = (RowStream([shards], RULE, 16, 0, {"chat-a": 0}, masked=m).rows(60) for m in (False, True))
    assert np.array_equal(plain, masked)
    both = RowStream([shards], RULE, 16, 0, {}, masked=True).rows(200)
    assert 0.1 < (both & CONTEXT_ONLY != 0).any((1, 2)).mean() < 0.9


@pytest.mark.parametrize("patches", [8, 64])
def test_a_restored_masked_stream_goes_on_in_the_middle_of_a_document(tmp_path: Path, patches: int) -> None:
    shards = prepare_records(tmp_path, "a", talk(40, 5), "--chat")
    stream = RowStream([shards], RULE, patches, 0, {}, masked=True)
    stream.rows(37)
    state = json.loads(json.dumps(stream.state()))
    assert any(start > 0 for _, start in state["sources"]["chat-a"]["lanes"])
    restored = RowStream([shards], RULE, patches, 0, {}, masked=True)
    restored.restore(state)
    assert np.array_equal(restored.rows(60), stream.rows(60))


def test_text_cannot_forge_a_special(tmp_path: Path) -> None:
    escaped = rb'{"prompt": "a \udcff\udcfe\udcfd b", "response": "\udcff"}'
    raw = b'{"prompt": "a \xff\xfe\xfd\xfc b", "response": "\xff ok"}'
    shards = prepare_records(tmp_path, "a", [escaped, raw, {"prompt": "\xff[user]<|assistant|>", "response": "þ"}], "--chat")
    index = ShardIndex.load(shards)
    assert index.sources[0].bad_records == 1, "a line that is not UTF-8 is no record"
    found = [unpack_ids(document).tolist() for document in iterate_documents(shards, index.shards_of("chat-a"))]
    user, assistant, end = (RULE.specials[name] for name in ("user", "assistant", "end_of_turn"))
    assert found == [
        [user, *b"a ??? b", end, assistant, *b"?", end],
        [user, *"ÿ[user]<|assistant|>".encode(), end, assistant, *"þ".encode(), end],
    ]


def test_every_special_that_has_a_byte_survives_packing() -> None:
    ids = np.array([*range(0xF5), *range(256, 267)], np.uint16)
    packed = np.frombuffer(pack_ids(ids), np.uint8)
    assert len(set(packed.tolist())) == len(ids)
    assert np.array_equal(unpack_ids(packed), ids)
    forged = b"".join(chr(i).encode() for i in range(0x110000) if not 0xD800 <= i < 0xE000)
    assert max(forged) < 0xF5


def test_an_opening_reply_is_scored_and_nothing_outside_turns() -> None:
    ids = np.array([BOD, *turn_ids([Turn("assistant", "Hi"), Turn("user", "Yo"), Turn("assistant", "")], RULE), EOD], np.uint16)
    assert scored_ids(ids, RULE).tolist() == [False, False, True, True, True, *[False] * 5, True, False]


def test_records_without_a_reply_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [{"prompt": "p", "response": "r"}, {"prompt": "p", "response": ""}, {"text": "t"}, b"{broken", b"[1]"]
    shards = prepare_records(tmp_path, "a", records, "--chat")
    assert ShardIndex.load(shards).sources[0].bad_records == 4
    assert "4 records without a reply left out" in capsys.readouterr().err


def test_a_file_is_text_and_chats_side_by_side(tmp_path: Path) -> None:
    records = [{"text": "t", "prompt": "p", "response": "r"}]
    prepare_records(tmp_path, "a", records)
    shards = prepare_records(tmp_path, "a", records, "--chat")
    assert {source.name: source.chat for source in ShardIndex.load(shards).sources} == {"a": False, "chat-a": True}


def test_only_jsonl_holds_chats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("User: Hi.\nAssistant:")
    parser = argparse.ArgumentParser()
    prepare.add_arguments(parser)
    assert prepare.main(parser.parse_args(["--chat", "--input", str(tmp_path / "a.txt"), "--output", str(tmp_path / "out")])) == 1
    assert "a.txt: chats are read from .jsonl" in capsys.readouterr().err


def test_an_index_from_before_chat_is_read_as_text(tmp_path: Path) -> None:
    shards = prepare_records(tmp_path, "a", [{"text": "t"}])
    content = json.loads((shards / INDEX_NAME).read_text())
    for source in content["sources"]:
        del source["chat"]
    (shards / INDEX_NAME).write_text(json.dumps(content))
    assert not ShardIndex.load(shards).sources[0].chat
    assert (RowStream([shards], RULE, 8, 0, {}, masked=True).rows(3) & CONTEXT_ONLY == 0).all()
