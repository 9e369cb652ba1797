"""Evaluation sets read from `<folder>/<name>.xz`, in the form they were published. Every error names the file and the field."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


class DamagedSetError(ValueError):
    """A set that cannot be read, or whose record lacks a field."""


class Record(Mapping[str, Any]):
    """A record that knows where it stands, so that a missing field is one clear line."""

    def __init__(self, content: Mapping[str, Any], place: str) -> None:
        self._content = content
        self.place = place

    def __getitem__(self, field: str) -> Any:
        if field not in self._content:
            raise DamagedSetError(f"{self.place}: no field {field!r}")
        return self._content[field]

    def get(self, field: str, default: Any = None) -> Any:
        """For fields that a record need not have."""
        return self._content.get(field, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def text(self, field: str) -> str:
        value = self[field]
        if not isinstance(value, str):
            raise DamagedSetError(f"{self.place}: field {field!r} is no text")
        return value

    def records(self, field: str) -> list[Record]:
        value = self[field]
        if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
            raise DamagedSetError(f"{self.place}: field {field!r} is no list of records")
        return [Record(entry, f"{self.place}, {field} {i + 1}") for i, entry in enumerate(value)]

    def texts(self, field: str) -> list[str]:
        value = self[field]
        if not isinstance(value, list) or not value or not all(isinstance(entry, str) for entry in value):
            raise DamagedSetError(f"{self.place}: field {field!r} is no list of texts")
        return value

    def index(self, field: str, options: Sequence[object]) -> int:
        value = self[field]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(options):
            raise DamagedSetError(f"{self.place}: field {field!r} is {value!r}, not one of the {len(options)} options")
        return value


def read_text(path: Path) -> str:
    """Raises FileNotFoundError, or DamagedSetError."""
    try:
        return lzma.decompress(path.read_bytes()).decode("utf-8")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: this evaluation set is missing (--eval-data names the folder)") from error
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise DamagedSetError(f"{path}: damaged ({error})") from error


def read_lines(path: Path) -> list[Record]:
    """One JSON record a line."""
    return [_record(path, line, f"line {i + 1}") for i, line in enumerate(read_text(path).split("\n")) if line.strip()]


def read_list(path: Path) -> list[Record]:
    """One JSON list of records."""
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DamagedSetError(f"{path}: not JSON ({error})") from error
    return Record({"content": content}, str(path)).records("content")


def _record(path: Path, line: str, place: str) -> Record:
    try:
        content = json.loads(line)
    except json.JSONDecodeError as error:
        raise DamagedSetError(f"{path}, {place}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DamagedSetError(f"{path}, {place}: not a record")
    return Record(content, f"{path}, {place}")
