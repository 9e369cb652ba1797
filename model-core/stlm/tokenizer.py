"""The bytes as a Hugging Face tokenizer, for harnesses that want one: a token is a byte, its id the byte's value.

Ids from 256 on are the specials of patch.json, named `<|bod|>`, `<|eod|>` and so on. They are no text: the same characters in a text
are bytes like any other.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from stlm.patch import PatchRule

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"


def byte_characters() -> list[str]:
    """The character that stands for each byte in byte-level files (GPT-2's): itself where it is visible, else the next one from 256 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters = {byte: chr(byte) for byte in visible}
    for byte in range(256):
        characters.setdefault(byte, chr(256 + len(characters) - len(visible)))
    return [characters[byte] for byte in range(256)]


def byte_tokenizer(rule: PatchRule) -> Tokenizer:
    """BPE without a merge. The specials are in its vocabulary only: added tokens would be found in texts."""
    vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
    vocabulary |= {f"<|{name}|>": id_ for name, id_ in rule.specials.items()}
    tokenizer = Tokenizer(BPE(vocabulary, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = ByteLevelDecoder()  # pyright: ignore[reportAttributeAccessIssue]
    return tokenizer


def tokenizer_config() -> dict[str, object]:
    """For `transformers`, which makes added tokens of the two named here; `split_special_tokens` keeps it from finding them in texts."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|bod|>",
        "eos_token": "<|eod|>",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", type=Path, help=f"folder to write {FILE} and {CONFIG} to")


def main(args: argparse.Namespace) -> int:
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        (args.output / FILE).write_text(byte_tokenizer(PatchRule.load()).to_str(pretty=True) + "\n", encoding="utf-8")
        (args.output / CONFIG).write_text(json.dumps(tokenizer_config(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"stlm tokenizer: {error}", file=sys.stderr)
        return 1
    print(f"{args.output / FILE}: a token a byte")
    return 0
