"""The Hugging Face tokenizer: any text is its bytes and back, and the committed files are what the command writes."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from stlm import tokenizer
from stlm.patch import PatchRule

COMMITTED = Path(__file__).parent.parent / "tokenizer"


@pytest.fixture(scope="module")
def loaded() -> Tokenizer:
    return Tokenizer.from_file(str(COMMITTED / tokenizer.FILE))


def arbitrary_text(seed: int) -> str:
    """Characters of all planes but surrogates, which UTF-8 cannot hold."""
    draw = random.Random(seed)
    ranges = [(0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]
    return "".join(chr(draw.randrange(*draw.choice(ranges))) for _ in range(draw.randrange(200)))


TEXTS = ["", " ", "\n\n  leading", "two  spaces ", "naïve 日本語 🙂", "\x00\x7f\ufeff", "<|bod|> is text, <|eod|> too", "Ġ", "x" * 20_000]


@pytest.mark.parametrize("text", [*TEXTS, *(arbitrary_text(seed) for seed in range(50))])
def test_any_text_is_its_bytes_and_back(loaded: Tokenizer, text: str) -> None:
    ids = loaded.encode(text).ids
    assert bytes(ids) == text.encode()
    assert loaded.decode(ids) == text


def test_a_batch_is_its_texts(loaded: Tokenizer) -> None:
    assert [bytes(encoding.ids) for encoding in loaded.encode_batch(TEXTS)] == [text.encode() for text in TEXTS]


def test_specials_have_their_ids() -> None:
    loaded, rule = Tokenizer.from_file(str(COMMITTED / tokenizer.FILE)), PatchRule.load()
    assert {name: loaded.token_to_id(f"<|{name}|>") for name in rule.specials} == rule.specials
    assert loaded.get_vocab_size() == 256 + len(rule.specials)
    config = json.loads((COMMITTED / tokenizer.CONFIG).read_text())
    assert [loaded.token_to_id(config[name]) for name in ("bos_token", "eos_token")] == [256, 257]


def test_the_committed_files_are_what_the_command_writes(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    tokenizer.add_arguments(parser)
    assert tokenizer.main(parser.parse_args([str(tmp_path)])) == 0
    for name in (tokenizer.FILE, tokenizer.CONFIG):
        assert (tmp_path / name).read_bytes() == (COMMITTED / name).read_bytes()
