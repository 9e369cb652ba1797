"""Byte-pair encoding for the control: the "traditional model" that reads tokens of a fixed vocabulary.

Text is handed to the `tokenizers` package as Latin-1, one character a byte, so that any bytes are covered and come back as
they were, whether they are UTF-8 or not. Words are cut before merging as GPT-2 cuts them; bytes >= 0x80 count as letters.
The last three ids are specials that no text holds: start and end of document, padding.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Split
from tokenizers.trainers import BpeTrainer

from stlm import options
from stlm.data import CONTEXT_ONLY, LANES, RowStream, Source, factor
from stlm.patch import PatchRule, document_ids
from stlm.shards import ShardIndex, iterate_documents

VOCABULARY = 32_768
SAMPLE_BYTES = 24_000_000
SPECIALS = ("bod", "eod", "pad")
_WORDS = " ?[A-Za-z'\x80-\xff]+| ?[0-9]+| ?[^\t-\r A-Za-z0-9'\x80-\xff]+|[\t-\r ]+(?![^\t-\r ])|[\t-\r ]+"
_PIECE = 8192
"""Bytes of a document that are tokenised at once: a lane would else wait for the whole of a book."""


@dataclass(frozen=True)
class TokenRule:
    """How the control cuts text: rows of one token. `source` is the JSON of the trained tokenizer, which a checkpoint keeps."""

    source: str
    cap = 1

    @staticmethod
    def load(path: Path) -> TokenRule:
        """Raises OSError, or ValueError for a file that is no tokenizer."""
        rule = TokenRule(path.read_text(encoding="utf-8"))
        try:
            rule.tokenizer.get_vocab_size()
        except Exception as error:  # the package raises bare Exceptions
            raise ValueError(f"{path}: not a tokenizer of `python -m stlm bpe` ({error})") from error
        return rule

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_str(self.source)

    @cached_property
    def vocabulary(self) -> int:
        return self.tokenizer.get_vocab_size() + len(SPECIALS)

    @cached_property
    def specials(self) -> dict[str, int]:
        return {name: self.vocabulary - len(SPECIALS) + i for i, name in enumerate(SPECIALS)}

    @cached_property
    def rule_hash(self) -> str:
        return hashlib.sha256(self.source.encode()).hexdigest()

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """int64 [vocabulary]: raw bytes that an id stands for; 0 for the specials."""
        lengths = np.zeros(self.vocabulary, np.int64)
        for token, number in self.tokenizer.get_vocab().items():
            lengths[number] = len(token)
        return lengths

    def encode(self, text: bytes) -> np.ndarray:
        """uint16 [tokens]."""
        return np.array(self.tokenizer.encode(text.decode("latin-1")).ids, np.uint16)

    def decode(self, ids: np.ndarray) -> bytes:
        """The bytes of tokens; specials have none."""
        tokens = (self.tokenizer.id_to_token(int(i)) for i in ids if i < self.specials["bod"])
        return "".join(token or "" for token in tokens).encode("latin-1")

    def rows(self, ids: np.ndarray, previous: int | None = None) -> np.ndarray:
        """uint16 [tokens, 1]: every token is a row."""
        return ids.astype(np.uint16)[:, None]

    def document_rows(self, text: bytes) -> np.ndarray:
        """uint16 [tokens + 2, 1] of a whole document, with its start and end."""
        return self.rows(document_ids(text, self))


TextRule = PatchRule | TokenRule
"""How a model cuts text into rows of ids."""


class TokenSource(Source):
    """A source read as tokens: documents are cut at spaces into pieces of about 8 KiB, each with a start and an end."""

    rule: TokenRule

    def __init__(
        self,
        folder: Path,
        index: ShardIndex,
        name: str,
        rule: TokenRule,
        seed: int,
        *,
        masked: bool = False,
        infill: float = 0.0,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        """Raises ValueError for a chat source: its specials have no token."""
        super().__init__(folder, index, name, rule, seed, masked=masked, infill=infill, part=part)
        if self.chat:
            raise ValueError(f"{name}: a BPE control reads no chats; leave it out with --mix {name}=0")
        self.tokens = lru_cache(maxsize=2 * LANES)(self.encode_piece)

    def find_documents(self) -> list[tuple[int, int]]:
        """(shard, place of the piece in it): the piece's first byte, before its ends are moved to spaces."""
        return [
            (number, start)
            for number, (_, offsets) in enumerate(self.shards)
            for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
            for start in range(begin, max(end, begin + 1), _PIECE)
        ]

    def document(self, number: int) -> np.ndarray:
        """uint16 tokens of the `number`-th piece of the order."""
        return self.tokens(number % len(self.order))

    def encode_piece(self, number: int) -> np.ndarray:
        shard, start = self.documents[self.order[number]]
        data, offsets = self.shards[shard]
        begin, end = (int(offsets[np.searchsorted(offsets, start, side="right") + i]) for i in (-1, 0))
        return self.rule.encode(data[_space(data, start, begin, end) : _space(data, start + _PIECE, begin, end)].tobytes())


def _space(data: np.ndarray, place: int, begin: int, end: int) -> int:
    """The first space from `place` on, where a document's piece may end; the document's own ends where there is none."""
    if place <= begin or place >= end:
        return min(max(place, begin), end)
    spaces = np.flatnonzero(data[place : min(place + _PIECE, end)] == ord(" "))
    return place + int(spaces[0]) if len(spaces) else min(place + _PIECE, end)


class TokenStream(RowStream):
    """A `RowStream` of tokens: rows [patches + 1, 1]."""

    source_type = TokenSource


def sample(folder: Path, size: int, mix: dict[str, float]) -> Iterator[str]:
    """Documents of all sources as Latin-1, about `size` bytes of text in the shares of the training mix."""
    index = ShardIndex.load(folder)
    shares = {s.name: s.bytes * s.weight * factor(s.name, mix) for s in index.sources}
    for name, share in shares.items():
        left = int(size * share / sum(shares.values()))
        for document in iterate_documents(folder, index.shards_of(name)):
            if left <= 0:
                break
            # No more than 64 KiB of one document, or a few books would be all of a source.
            taken = document[: min(left, 65_536)]
            left -= len(taken)
            yield taken.tobytes().decode("latin-1")


def train_tokenizer(texts: Iterator[str], vocabulary: int) -> TokenRule:
    """A tokenizer of at most `vocabulary` ids, the specials included. Raises ValueError where rows could not hold them."""
    if vocabulary > CONTEXT_ONLY:
        raise ValueError(f"--vocabulary {vocabulary}: rows hold ids below {CONTEXT_ONLY}")
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Split(Regex(_WORDS), "isolated")  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = [chr(byte) for byte in range(256)]
    trainer = BpeTrainer(
        vocab_size=vocabulary - len(SPECIALS), initial_alphabet=alphabet, limit_alphabet=256, special_tokens=[], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return TokenRule(tokenizer.to_str())


def save(rule: TokenRule, path: Path) -> None:
    """Writes the tokenizer in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(rule.source, encoding="utf-8")
    part.replace(path)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of prepared shards")
    parser.add_argument("--output", type=Path, required=True, help="the tokenizer's .json")
    parser.add_argument("--vocabulary", type=options.whole_number(300), default=VOCABULARY, help=f"ids at most (default {VOCABULARY})")
    parser.add_argument("--bytes", type=options.whole_number(1), default=SAMPLE_BYTES, help=f"text to learn from (default {SAMPLE_BYTES})")
    parser.add_argument("--mix", action="append", default=[], metavar="SOURCE=FACTOR", help="as for train; repeatable")


def main(args: argparse.Namespace) -> int:
    try:
        rule = train_tokenizer(sample(args.data, args.bytes, options.mix(args.mix)), args.vocabulary)
        save(rule, args.output)
    except (ValueError, OSError) as error:
        print(f"stlm bpe: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {rule.vocabulary:,} ids, the longest of {rule.byte_lengths.max()} bytes")
    return 0
