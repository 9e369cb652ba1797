"""Corpus files to shards: what comes out is what went in, whatever the format, the interruption or the damage."""

from __future__ import annotations

import argparse
import json
import lzma
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stlm import prepare
from stlm.corpus import MAX_DOCUMENT_BYTES
from stlm.shards import INDEX_NAME, ShardIndex, iterate_documents, open_shard


def run(output: Path, *arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    prepare.add_arguments(parser)
    return prepare.main(parser.parse_args([*map(str, arguments), "--output", str(output)]))


def documents(output: Path, source: str) -> list[bytes]:
    index = ShardIndex.load(output)
    return [document.tobytes() for document in iterate_documents(output, index.shards_of(source))]


def write_text(path: Path, *texts: str) -> Path:
    content = "\n<|doc|>\n".join(texts).encode()
    path.write_bytes(lzma.compress(content) if path.suffix == ".xz" else content)
    return path


def test_documents_of_every_format_survive(tmp_path: Path) -> None:
    texts = ["First document.\n\nTwo paragraphs.", "Zweites: äöü €", "third"]
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    write_text(corpus / "plain.txt", *texts)
    write_text(corpus / "packed.txt.xz", *texts)
    lines = "\n".join(json.dumps({"text": text}) for text in texts)
    (corpus / "lines.jsonl").write_text(lines)
    (corpus / "packedlines.jsonl.xz").write_bytes(lzma.compress(lines.encode()))
    pq.write_table(pa.table({"text": texts}), corpus / "table.parquet")
    (corpus / "notes.md").write_text("not a corpus file")

    assert run(tmp_path / "out", "--input", corpus) == 0
    for source in ("plain", "packed", "lines", "packedlines", "table"):
        assert documents(tmp_path / "out", source) == [text.encode() for text in texts]
    assert len(ShardIndex.load(tmp_path / "out").sources) == 5


def test_separator_split_over_two_reads_still_separates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stlm.corpus._CHUNK_BYTES", 3)
    write_text(tmp_path / "a.txt", "one", "two", "three")
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt") == 0
    assert documents(tmp_path / "out", "a") == [b"one", b"two", b"three"]


def test_shards_end_at_document_boundaries(tmp_path: Path) -> None:
    texts = [letter * 40 for letter in "abcdefg"]
    write_text(tmp_path / "a.txt", *texts)
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt", "--shard-bytes", "100B") == 0
    index = ShardIndex.load(tmp_path / "out")
    assert [(shard.name, shard.documents, shard.bytes) for shard in index.shards] == [
        ("a-0000", 2, 80),
        ("a-0001", 2, 80),
        ("a-0002", 2, 80),
        ("a-0003", 1, 40),
    ]
    assert documents(tmp_path / "out", "a") == [text.encode() for text in texts]
    data, offsets = open_shard(tmp_path / "out", index.shards[0])
    assert data.dtype == np.uint8
    assert offsets.tolist() == [0, 40, 80]


def test_limit_keeps_whole_documents(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "a" * 40, "b" * 40, "c" * 40)
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt", "--max-bytes-per-source", "100") == 0
    assert documents(tmp_path / "out", "a") == [b"a" * 40, b"b" * 40]


def test_endless_document_is_cut_at_a_line(tmp_path: Path) -> None:
    line = b"x" * 99 + b"\n"
    (tmp_path / "a.txt").write_bytes(line * (MAX_DOCUMENT_BYTES // 100 + 2**15))
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt") == 0
    parts = documents(tmp_path / "out", "a")
    assert len(parts) == 2
    assert all(len(part) <= MAX_DOCUMENT_BYTES and part.endswith(b"x" * 99) for part in parts)


def test_unreadable_files_are_reported_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small reads, so that the truncated file gives documents before its damage shows.
    monkeypatch.setattr("stlm.corpus._CHUNK_BYTES", 4096)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    good = write_text(corpus / "good.txt.xz", *(f"document {i} " + os.urandom(200).hex() for i in range(200)))
    (corpus / "truncated.txt.xz").write_bytes(good.read_bytes()[:-5000])
    (corpus / "noise.txt.xz").write_bytes(os.urandom(500))
    (corpus / "broken.parquet").write_bytes(b"PAR1 no it is not")
    (corpus / "empty.txt").write_bytes(b"")

    assert run(tmp_path / "out", "--input", corpus) == 0
    captured = capsys.readouterr()
    assert "4 files skipped" in captured.out
    for name in ("truncated.txt.xz", "noise.txt.xz", "broken.parquet", "empty.txt"):
        assert f"skipped {name}" in captured.err
    assert [source.name for source in ShardIndex.load(tmp_path / "out").sources] == ["good"]
    # Nothing of a skipped file stays behind.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "good-0000.bin",
        "good-0000.idx.npy",
        INDEX_NAME,
    ]


def test_nothing_usable_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "noise.txt.xz").write_bytes(os.urandom(500))
    assert run(tmp_path / "out", "--input", tmp_path / "noise.txt.xz") == 1


def test_missing_input_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "out", "--input", tmp_path / "absent") == 1
    assert "no such file or folder" in capsys.readouterr().err


def test_a_folder_without_corpus_files_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "inner").mkdir()
    write_text(tmp_path / "inner" / "a.txt", "text")
    assert run(tmp_path / "out", "--input", tmp_path) == 1
    assert f"{tmp_path}: holds no .txt" in capsys.readouterr().err


def test_invalid_utf8_is_repaired_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\n<|doc|>\nbad \xff\xfe tail\n<|doc|>\n\xef\xbb\xbfmark")
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt") == 0
    assert documents(tmp_path / "out", "a") == [b"good", "bad �� tail".encode(), b"mark"]
    assert ShardIndex.load(tmp_path / "out").sources[0].invalid_utf8_documents == 1


def test_records_without_text_are_counted(tmp_path: Path) -> None:
    lines = ['{"text": "yes"}', "{broken", "[" * 200_000, '{"text": 5}', "[1]", '{"prompt": "p", "response": "r"}', ""]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert run(tmp_path / "out", "--input", tmp_path / "a.jsonl") == 0
    assert documents(tmp_path / "out", "a") == [b"yes"]
    assert ShardIndex.load(tmp_path / "out").sources[0].bad_records == 5


def test_prompt_and_response_become_a_document_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "Q?", "response": "A."}')
    assert run(tmp_path / "without", "--input", tmp_path / "a.jsonl") == 1
    assert run(tmp_path / "with", "--input", tmp_path / "a.jsonl", "--join-prompts") == 0
    assert documents(tmp_path / "with", "a") == [b"Q?\nA."]


def test_finished_sources_are_not_read_again(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    write_text(corpus / "a.txt", "aaa")
    assert run(tmp_path / "out", "--input", corpus) == 0
    before = (tmp_path / "out" / "a-0000.bin").stat().st_mtime_ns
    write_text(corpus / "b.txt", "bbb")
    assert run(tmp_path / "out", "--input", f"{corpus}=2") == 0
    assert (tmp_path / "out" / "a-0000.bin").stat().st_mtime_ns == before
    assert {s.name: s.weight for s in ShardIndex.load(tmp_path / "out").sources} == {"a": 2.0, "b": 2.0}


def test_changed_file_of_equal_size_is_prepared_again(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "old text")
    assert run(tmp_path / "out", "--input", path) == 0
    write_text(path, "new text")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    assert run(tmp_path / "out", "--input", path) == 0
    assert documents(tmp_path / "out", "a") == [b"new text"]


def test_interrupted_source_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.txt", "one", "two", "three")

    def interrupted(raw: bytes) -> tuple[bytes, bool]:
        if raw == b"three":
            raise KeyboardInterrupt
        return raw, True

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "clean_document", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "out", "--input", tmp_path / "a.txt")
    assert ShardIndex.load(tmp_path / "out").sources == []
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt") == 0
    assert documents(tmp_path / "out", "a") == [b"one", b"two", b"three"]


def test_source_that_turned_bad_leaves_the_index(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt.xz", "one")
    write_text(tmp_path / "b.txt", "two")
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt.xz", "--input", tmp_path / "b.txt") == 0
    (tmp_path / "a.txt.xz").write_bytes(b"damaged meanwhile")
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt.xz", "--input", tmp_path / "b.txt") == 0
    assert [source.name for source in ShardIndex.load(tmp_path / "out").sources] == ["b"]


def test_other_settings_prepare_again(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "one", "two")
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt") == 0
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt", "--max-bytes-per-source", "4B") == 0
    assert documents(tmp_path / "out", "a") == [b"one"]


def test_later_mention_sets_the_weight_and_names_stay_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_text(tmp_path / folder / "chat.txt", folder)
    write_text(tmp_path / "x" / "only.txt", "only")
    inputs = prepare.find_inputs([f"{tmp_path}/x", f"{tmp_path}/y=0.5", f"{tmp_path}/x/only.txt=3"], chat=False)
    assert {item.name: item.weight for item in inputs} == {"x.chat": 1.0, "only": 3.0, "y.chat": 0.5}
    with pytest.raises(ValueError, match="positive number"):
        prepare.find_inputs([f"{tmp_path}/x=-1"], chat=False)


def test_licence_comes_from_the_manifest_above(tmp_path: Path) -> None:
    (tmp_path / "pretrain").mkdir()
    write_text(tmp_path / "pretrain" / "a.txt", "text")
    (tmp_path / "MANIFEST.json").write_text('{"files": [{"file": "pretrain/a.txt", "licence": "CC0-1.0"}]}')
    assert run(tmp_path / "out", "--input", tmp_path / "pretrain") == 0
    assert ShardIndex.load(tmp_path / "out").sources[0].licence == "CC0-1.0"


def test_damaged_shard_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "one", "two")
    assert run(tmp_path / "out", "--input", tmp_path / "a.txt") == 0
    shard = ShardIndex.load(tmp_path / "out").shards[0]
    with open(tmp_path / "out" / "a-0000.bin", "ab") as data:
        data.write(b"more")
    with pytest.raises(ValueError, match="10 bytes"):
        open_shard(tmp_path / "out", shard)
    np.save(tmp_path / "out" / "a-0000.idx.npy", np.array([0, 10]))
    with pytest.raises(ValueError, match="hash differs"):
        open_shard(tmp_path / "out", shard)


@pytest.mark.parametrize(("text", "size"), [("64MiB", 2**26), ("10 MB", 10**7), ("4096", 4096), ("1b", 1)])
def test_sizes(text: str, size: int) -> None:
    assert prepare.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-5", "5XB", "0"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        prepare.parse_bytes(text)
