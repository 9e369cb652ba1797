"""The patch rule: where a stream of byte ids is cut into patches.

One JSON file (`patch.json`) holds the class of each of the 272 ids; Python and TypeScript read the same file.
An id ends its patch iff it is a special, or a separator right after a word byte, or the patch has reached `cap` ids.
The rule is prefix-stable: whether a patch ends at id t depends on ids <= t only, so text can be streamed.
Follows SpaceByte (arXiv 2404.14408) with two changes: bytes >= 0x80 count as word bytes, so that no character of a
non-English word is cut at a boundary, and the apostrophe is a word byte ("don't " is one patch).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stlm.bpe import TextRule

PATCH_FILE = Path(__file__).with_name("patch.json")


@dataclass(frozen=True)
class PatchRule:
    """Class of every id ('s' separator, 'w' word, 'x' special) and the longest patch allowed, in ids."""

    cap: int
    classes: str
    vocabulary: int
    version: int
    specials: dict[str, int]

    @staticmethod
    def load(path: Path = PATCH_FILE) -> PatchRule:
        """Raises ValueError if the table does not cover the vocabulary or has an unknown class."""
        rule = PatchRule(**json.loads(path.read_text()))
        if len(rule.classes) != rule.vocabulary or set(rule.classes) - set("swx"):
            raise ValueError(f"{path}: 'classes' must hold {rule.vocabulary} characters of 's', 'w', 'x'")
        return rule

    @staticmethod
    def of(cap: int, *, fixed_stride: bool = False) -> PatchRule:
        """The rule of patch.json with another cap, or cut every `cap` bytes whatever they are (specials still end a patch)."""
        rule = PatchRule.load()
        classes = re.sub("[^x]", "s", rule.classes) if fixed_stride else rule.classes
        return replace(rule, cap=cap, classes=classes)

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """int64 [vocabulary]: raw bytes that an id stands for."""
        return (np.arange(self.vocabulary) < 256).astype(np.int64)

    def encode(self, text: bytes) -> np.ndarray:
        """uint16 [bytes]: an id is its byte."""
        return np.frombuffer(text, np.uint8).astype(np.uint16)

    def decode(self, ids: np.ndarray) -> bytes:
        """The bytes among the ids; specials have none."""
        return ids[ids < 256].astype(np.uint8).tobytes()

    def document_rows(self, text: bytes) -> np.ndarray:
        """uint16 [patches, cap] of a whole document."""
        return self.rows(document_ids(text, self))

    @cached_property
    def rule_hash(self) -> str:
        """sha256 of what decides a boundary; an artifact and its server must agree on it."""
        table = {"cap": self.cap, "classes": self.classes, "version": self.version, "vocabulary": self.vocabulary}
        return hashlib.sha256(json.dumps(table, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def class_table(self) -> np.ndarray:
        """uint8 [vocabulary]: 0 separator, 1 word, 2 special."""
        return np.array(["swx".index(c) for c in self.classes], dtype=np.uint8)

    def ends(self, ids: np.ndarray, previous: int | None = None) -> np.ndarray:
        """bool [n]: True where the id at that place ends its patch.

        `ids` int [n] is a stream from its start, or from the start of a patch with `previous` the id before it.
        """
        classes = self.class_table[ids]
        first = 0 if previous is None else self.class_table[previous]
        before = np.concatenate([np.array([first], np.uint8), classes[:-1]])
        natural = (classes == 2) | ((classes == 0) & (before == 1))
        # Between two natural ends, a patch is cut every `cap` ids.
        end_at = np.flatnonzero(natural)
        run_start = np.zeros(len(ids), dtype=np.int64)
        run_start[end_at[end_at + 1 < len(ids)] + 1] = end_at[end_at + 1 < len(ids)] + 1
        offset = np.arange(len(ids)) - np.maximum.accumulate(run_start)
        return natural | (offset % self.cap == self.cap - 1)

    def split(self, ids: np.ndarray) -> list[np.ndarray]:
        """The patches of a stream; the last one may be unfinished."""
        if len(ids) == 0:
            return []
        pieces = np.split(ids, np.flatnonzero(self.ends(ids)) + 1)
        return pieces if len(pieces[-1]) else pieces[:-1]

    def rows(self, ids: np.ndarray, previous: int | None = None) -> np.ndarray:
        """uint16 [patches, cap], padded: the stream as the model reads it; an unfinished last patch is dropped."""
        ends = np.flatnonzero(self.ends(ids, previous))
        rows = np.full((len(ends), self.cap), self.specials["pad"], dtype=np.uint16)
        if len(ends) == 0:
            return rows
        starts = np.concatenate([[0], ends[:-1] + 1])
        index = np.repeat(np.arange(len(ends)), ends - starts + 1)
        used = ids[: ends[-1] + 1]
        rows[index, np.arange(len(used)) - starts[index]] = used
        return rows


def document_ids(text: bytes, rule: TextRule) -> np.ndarray:
    """A document as the model sees it: [bod] ids [eod], uint16."""
    return np.concatenate([[rule.specials["bod"]], rule.encode(text), [rule.specials["eod"]]]).astype(np.uint16)
