"""Reads documents out of corpus files: .txt, .jsonl (both also .xz) and .parquet, a piece at a time.

Every reader yields the raw bytes of one document, or None for a record that holds no text, so that the caller can
count what it lost. Memory is bounded by the largest document.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from stlm.chat import Turn
from stlm.dialogue import record_turns

DOCUMENT_SEPARATOR = b"\n<|doc|>\n"
SUFFIXES = (".txt", ".txt.xz", ".jsonl", ".jsonl.xz", ".parquet")
# A text file without separators is one document; it is cut at this size so that memory stays bounded.
MAX_DOCUMENT_BYTES = 16 * 2**20
_CHUNK_BYTES = 2**20

Progress = Callable[[int], object]
"""Called with the number of input (compressed) bytes consumed since the last call."""


class CorpusError(Exception):
    """A corpus file that cannot be read: truncated, of another format, or without permission."""


def corpus_suffix(path: Path) -> str | None:
    """The supported suffix a file name ends with (`.txt.xz`), or None."""
    return next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)


def read_documents(path: Path, *, join_prompts: bool, progress: Progress) -> Iterator[bytes | None]:
    """Yields the documents of one corpus file; None stands for a record without text.

    `join_prompts` turns a record of `prompt` and `response` into the document "prompt\\nresponse".
    Raises CorpusError when the file cannot be read to its end.
    """
    suffix = corpus_suffix(path)
    try:
        if suffix == ".parquet":
            yield from _read_parquet(path, progress)
        elif suffix in (".jsonl", ".jsonl.xz"):
            yield from _read_jsonl(path, join_prompts, progress)
        elif suffix in (".txt", ".txt.xz"):
            yield from _read_text(path, progress)
        else:
            raise CorpusError(f"{path.name}: none of {', '.join(SUFFIXES)}")
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise CorpusError(f"{path.name}: {error}") from error


def read_chats(path: Path, *, progress: Progress) -> Iterator[list[Turn] | None]:
    """Yields the turns of each chat record of a .jsonl file; None stands for a record of another form (see dialogue.py).

    Raises CorpusError when the file is of another kind or cannot be read to its end.
    """
    if corpus_suffix(path) not in (".jsonl", ".jsonl.xz"):
        raise CorpusError(f"{path.name}: chats are read from .jsonl and .jsonl.xz")
    try:
        for record in _read_records(path, progress):
            yield None if record is None else record_turns(record)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise CorpusError(f"{path.name}: {error}") from error


def _chunks(path: Path, progress: Progress) -> Iterator[bytes]:
    with open(path, "rb") as raw, lzma.open(raw) if path.name.endswith(".xz") else nullcontext(raw) as stream:
        position = 0
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk
            progress(raw.tell() - position)
            position = raw.tell()


def _read_text(path: Path, progress: Progress) -> Iterator[bytes]:
    rest = b""
    for chunk in _chunks(path, progress):
        *documents, rest = (rest + chunk).split(DOCUMENT_SEPARATOR)
        yield from documents
        while len(rest) > MAX_DOCUMENT_BYTES:
            cut = rest.rfind(b"\n", 0, MAX_DOCUMENT_BYTES) + 1 or MAX_DOCUMENT_BYTES
            yield rest[:cut]
            rest = rest[cut:]
    yield rest


def _read_jsonl(path: Path, join_prompts: bool, progress: Progress) -> Iterator[bytes | None]:
    for record in _read_records(path, progress):
        yield None if record is None else _record_text(record, join_prompts)


def _read_records(path: Path, progress: Progress) -> Iterator[dict[str, Any] | None]:
    """The JSON object of each line that is not blank; None for a line that is none."""
    rest = b""
    for chunk in _chunks(path, progress):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (_parse_record(line) for line in lines if line.strip())
    if rest.strip():
        yield _parse_record(rest)


def _parse_record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _record_text(record: dict[str, Any], join_prompts: bool) -> bytes | None:
    text = record.get("text")
    if text is None and join_prompts:
        prompt, response = record.get("prompt"), record.get("response")
        if isinstance(prompt, str) and isinstance(response, str):
            text = f"{prompt}\n{response}"
    # JSON may escape half a surrogate pair, which UTF-8 cannot hold.
    return text.encode("utf-8", "replace") if isinstance(text, str) else None


def _read_parquet(path: Path, progress: Progress) -> Iterator[bytes | None]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CorpusError(f"{path.name}: reading parquet needs the package pyarrow") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            if "text" not in table.schema_arrow.names:
                raise CorpusError(f"{path.name}: no column `text`")
            for batch in table.iter_batches(batch_size=1024, columns=["text"]):
                for text in batch.column(0).to_pylist():
                    yield text.encode("utf-8", "replace") if isinstance(text, str) else None
    except pyarrow.ArrowException as error:
        raise CorpusError(f"{path.name}: {error}") from error
    progress(path.stat().st_size)
