"""`python -m stlm baseline`: bits per byte that compression and counting reach on the held-out text.

Two baselines a domain: `xz -9e` over the domain's text alone, and a byte n-gram with Kneser-Ney smoothing of the same
training text as the models.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
from tqdm import tqdm

from stlm.ngram import MAX_ORDER, KneserNey
from stlm.prepare import parse_bytes
from stlm.shards import ShardIndex, iterate_documents


class DomainBaseline(TypedDict):
    domain: str
    bytes: int
    xz: float
    ngram: float


class BaselineReport(TypedDict):
    """What `--json` holds."""

    command: str
    ngram: dict[str, int | str]
    bitsPerByte: list[DomainBaseline]
    mean: dict[str, float]


def load_baselines(path: Path) -> BaselineReport:
    """Raises FileNotFoundError, or ValueError when the file is no report of `stlm baseline`."""
    try:
        report: BaselineReport = json.loads(path.read_text(encoding="utf-8"))
        if not all(DomainBaseline.__required_keys__ <= set(row) for row in report["bitsPerByte"]):
            raise KeyError("bitsPerByte")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a report of `stlm baseline`") from error
    return report


def xz_bits_per_byte(text: bytes) -> float:
    """Size of `xz -9e` output in bits per byte of `text`."""
    return 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text)


def training_documents(folder: Path, max_bytes: int | None) -> Iterator[np.ndarray]:
    """Every training document; with `max_bytes`, the first part of each source, in proportion to its size."""
    index = ShardIndex.load(folder)
    total = sum(source.bytes for source in index.sources)
    share = min(1.0, max_bytes / total) if max_bytes else 1.0
    with tqdm(total=int(total * share), unit="B", unit_scale=True, desc="counting", disable=None) as bar:
        for source in index.sources:
            left = source.bytes * share
            for document in iterate_documents(folder, index.shards_of(source.name)):
                if left <= 0:
                    break
                left -= len(document)
                yield document
                bar.update(len(document))


def measure(model: KneserNey, heldout: Path) -> list[DomainBaseline]:
    """Both baselines for every held-out domain."""
    index = ShardIndex.load(heldout)
    rows: list[DomainBaseline] = []
    for source in index.sources:
        documents = list(iterate_documents(heldout, index.shards_of(source.name)))
        text = b"".join(document.tobytes() for document in documents)
        bits = sum(model.bits(document) for document in documents)
        rows.append(
            {
                "domain": source.name,
                "bytes": len(text),
                "xz": round(xz_bits_per_byte(text), 4),
                "ngram": round(bits / len(text), 4),
            }
        )
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--train", type=Path, required=True, help="folder of prepared shards to count")
    parser.add_argument("--heldout", type=Path, required=True, help="folder of prepared shards, a source a domain")
    parser.add_argument("--order", type=int, default=5, help=f"bytes in an n-gram, 1 to {MAX_ORDER} (default 5)")
    parser.add_argument("--max-bytes", type=parse_bytes, default=None, help="train on this much, e.g. 100MB")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")


def main(args: argparse.Namespace) -> int:
    started = time.perf_counter()
    try:
        model = KneserNey(training_documents(args.train, args.max_bytes), args.order)
        rows = measure(model, args.heldout)
    except (OSError, ValueError) as error:
        print(f"stlm baseline: {error}", file=sys.stderr)
        return 1
    name = f"KN{args.order}"
    print(f"{'domain':<24}{'bytes':>12}{'xz -9e':>10}{name:>10}")
    for row in rows:
        print(f"{row['domain']:<24}{row['bytes']:>12,}{row['xz']:>10.4f}{row['ngram']:>10.4f}")
    mean = {key: round(sum(row[key] for row in rows) / len(rows), 4) for key in ("xz", "ngram")}
    print(f"{'mean over domains':<24}{sum(row['bytes'] for row in rows):>12,}{mean['xz']:>10.4f}{mean['ngram']:>10.4f}")
    print(f"{model.training_bytes:,} training bytes, {time.perf_counter() - started:.0f} s")
    if args.json:
        report: BaselineReport = {
            "command": shlex.join(["python", "-m", "stlm", *sys.argv[1:]]),
            "ngram": {
                "order": args.order,
                "smoothing": "interpolated modified Kneser-Ney",
                "trainingBytes": model.training_bytes,
            },
            "bitsPerByte": rows,
            "mean": mean,
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0
