"""`python -m stlm evaluate`: bits per byte of an exported tier on held-out text, by domain.

Protocol. A document is [bod] bytes [eod], cut into patches. It is scored in windows of `context` patches with an empty
past; the first begins at [bod], each later one half a window further on and scores its second half only. So every byte
has at least half a window of context, or its document's whole past. Bits are loss / ln 2 over raw bytes: the bits of
[eod] are left out, and so are specials in the byte count. With a byte limit, documents are taken in the held-out order,
each up to its share of the limit but at least 8 KiB, so that long documents do not crowd out the others.
A uint8 file rounds activations by a scale over the whole batch, so its figure can move a little with the batch.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import numpy as np
from tqdm import tqdm

from stlm import options
from stlm.baseline import DomainBaseline, load_baselines
from stlm.manifest import DomainBits, Evaluation, save_manifest
from stlm.measure import measure_golden, measure_latency
from stlm.patch import document_ids
from stlm.runtime import FORCED, Runtime
from stlm.shards import ShardIndex, iterate_documents

_EXCERPT_BYTES = 8192
# Patches in one run: bounds the noise input (272 x 12 floats a scored patch) at 27 MB.
_RUN_PATCHES = 2048


@dataclass(frozen=True)
class Window:
    """`rows` [n + 1, cap]: patches 1..n can be predicted from those before them; `before` [cap] stands in front of row 0.
    The first `skip` of them were scored by the window before this one and are only context here."""

    rows: np.ndarray
    before: np.ndarray
    skip: int


class Report(TypedDict):
    """What `--json` holds; its `config` tells a resumed run whether the finished domains are still valid."""

    config: dict[str, str | int]
    bitsPerByte: list[DomainBits]


def windows_of(rows: np.ndarray, context: int, no_patch: np.ndarray) -> Iterator[Window]:
    """Cuts a document's patches [n, cap] into windows that predict each patch but the first exactly once."""
    start = scored = 0
    while scored < len(rows) - 1:
        end = min(start + context, len(rows) - 1)
        yield Window(rows[start : end + 1], rows[start - 1] if start else no_patch, scored - start)
        scored = end
        start = end - context // 2


def excerpt(documents: list[np.ndarray], limit: int) -> list[np.ndarray]:
    """The documents, or the starts of documents, that make up `limit` bytes; 0 is everything."""
    if limit == 0:
        return documents
    share = max(_EXCERPT_BYTES, -(-limit // len(documents)))
    taken, left = [], limit
    for document in documents:
        if left > 0:
            taken.append(document[: min(share, left)])
            left -= len(taken[-1])
    return taken


def batches_of(windows: list[Window]) -> Iterator[list[Window]]:
    """Windows of similar length together, so that little of a batch is padding."""
    batch: list[Window] = []
    for window in sorted(windows, key=lambda w: -len(w.rows)):
        if batch and (len(batch) + 1) * (len(batch[0].rows) - 1) > _RUN_PATCHES:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


class Scorer:
    """Bits of windows by one scoring run of the graph each batch."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        rule = runtime.rule
        patches = max(_RUN_PATCHES, runtime.context)
        # Reused: clearing the forced ids after a run is cheaper than a fresh 27 MB.
        self._noise = np.zeros((rule.cap, patches, rule.vocabulary), np.float32)

    def bits(self, batch: list[Window]) -> tuple[float, int]:
        """Bits and number of the raw bytes that the windows score. Raises RuntimeError if the graph strays."""
        runtime, cap = self.runtime, self.runtime.rule.cap
        lengths = [len(window.rows) - 1 for window in batch]
        rows = np.full((len(batch), max(lengths), cap), runtime.pad, np.uint16)
        for i, window in enumerate(batch):
            rows[i, : lengths[i]] = window.rows[:-1]
        targets = np.concatenate([window.rows[1 + window.skip :] for window in batch])
        sel = np.concatenate([i * max(lengths) + np.arange(w.skip, len(w.rows) - 1) for i, w in enumerate(batch)])
        row, place = np.nonzero(targets != runtime.pad)
        # A contiguous slice of the flat buffer, so that onnxruntime reads it without a copy.
        noise = self._noise.reshape(-1)[: cap * len(targets) * self._noise.shape[2]]
        noise = noise.reshape(cap, len(targets), -1)
        noise[place, row, targets[row, place]] = FORCED
        decoded = runtime.run(
            rows,
            np.stack([window.before for window in batch]),
            runtime.empty_past(len(batch), max(lengths)),
            0,
            sel=sel,
            noise=noise,
            steps=cap,
        )
        noise[place, row, targets[row, place]] = 0
        if not np.array_equal(decoded.toks[place, row], targets[row, place]):
            raise RuntimeError(f"{runtime.file['name']}: the graph did not follow the forced bytes")
        raw = targets[row, place] < 256
        return -float(decoded.lp[place, row][raw].sum(dtype=np.float64)) / math.log(2), int(raw.sum())


def evaluate_domain(scorer: Scorer, documents: list[np.ndarray], name: str) -> DomainBits:
    """Bits per byte of one domain's documents, each uint8 [bytes]."""
    runtime = scorer.runtime
    windows = []
    for document in documents:
        rows = runtime.rule.rows(document_ids(document.tobytes(), runtime.rule))
        windows.extend(windows_of(rows, runtime.context, runtime.no_patch))
    bits, scored = 0.0, 0
    total = sum(len(document) for document in documents)
    with tqdm(total=total, unit="B", unit_scale=True, desc=name, disable=None) as bar:
        for batch in batches_of(windows):
            batch_bits, batch_bytes = scorer.bits(batch)
            bits += batch_bits
            scored += batch_bytes
            bar.update(batch_bytes)
    if scored != total:
        raise RuntimeError(f"{name}: scored {scored} of {total} bytes")
    return {"domain": name, "bytes": total, "bitsPerByte": round(bits / total, 4)}


def evaluate(runtime: Runtime, heldout: Path, bytes_per_domain: int, report_path: Path | None) -> list[DomainBits]:
    """Every domain of `heldout`. With `report_path`, finished domains are kept there and not measured again.

    Raises ValueError when there is nothing to measure or `report_path` holds something else.
    """
    index = ShardIndex.load(heldout)
    report: Report = {
        "config": {"sha256": runtime.file["sha256"], "bytesPerDomain": bytes_per_domain, "heldout": _identity(index)},
        "bitsPerByte": [],
    }
    if report_path and report_path.exists():
        earlier = read_report(report_path)
        if earlier["config"] == report["config"]:
            report = earlier
    done = {row["domain"] for row in report["bitsPerByte"]}
    scorer = Scorer(runtime)
    for source in index.sources:
        if source.name in done:
            continue
        documents = list(iterate_documents(heldout, index.shards_of(source.name)))
        report["bitsPerByte"].append(evaluate_domain(scorer, excerpt(documents, bytes_per_domain), source.name))
        if report_path:
            report_path.parent.mkdir(parents=True, exist_ok=True)
            part = report_path.with_name(f"{report_path.name}.part")
            part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            part.replace(report_path)
    if not report["bitsPerByte"]:
        raise ValueError(f"{heldout}: no documents to measure")
    return report["bitsPerByte"]


def read_report(path: Path) -> Report:
    """Raises ValueError when the file is no report, so that nothing else is overwritten."""
    try:
        report: Report = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(report["config"], dict) or not all(DomainBits.__required_keys__ <= set(row) for row in report["bitsPerByte"]):
            raise TypeError("of another shape")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a report of `stlm evaluate`; name another file") from error
    return report


def _identity(index: ShardIndex) -> str:
    return " ".join(f"{shard.name}:{shard.idx_sha256[:12]}" for shard in index.shards)


def mean_of(rows: list[DomainBits]) -> float:
    """The unweighted mean over domains."""
    return round(sum(row["bitsPerByte"] for row in rows) / len(rows), 4)


def print_table(rows: list[DomainBits], compared: dict[str, DomainBaseline]) -> None:
    """One line a domain, beside its baselines where there are any."""
    print(f"{'domain':<24}{'bytes':>12}{'bits/byte':>11}" + (f"{'xz -9e':>9}{'n-gram':>9}" if compared else ""))
    for row in rows:
        line = f"{row['domain']:<24}{row['bytes']:>12,}{row['bitsPerByte']:>11.4f}"
        if other := compared.get(row["domain"]):
            line += f"{other['xz']:>9.4f}{other['ngram']:>9.4f}"
            line += "" if other["bytes"] == row["bytes"] else f"  (baselines on {other['bytes']:,} bytes)"
        print(line)
    print(f"{'mean over domains':<36}{mean_of(rows):>11.4f}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, help="artifact folder (manifest.json and model files)")
    parser.add_argument("--heldout", type=Path, required=True, help="folder of prepared shards, a source a domain")
    parser.add_argument("--precision", choices=("fp32", "int4", "uint8"), default=None, help="default: the manifest's")
    parser.add_argument(
        "--bytes-per-domain", type=options.whole_number(0), default=65536, help="from each domain at most; 0: everything (default 65536)"
    )
    parser.add_argument("--baselines", type=Path, default=None, help="report of `stlm baseline` to print beside")
    parser.add_argument("--json", type=Path, default=None, help="report; a run that was interrupted goes on from it")
    parser.add_argument("--threads", type=options.whole_number(1), default=1, help="cores to use (default 1)")
    parser.add_argument("--write", action="store_true", help="put the figures, the golden text and the latency seed into the manifest")


def main(args: argparse.Namespace) -> int:
    try:
        runtime = Runtime(args.artifact, args.precision, args.threads)
        if args.write and runtime.file["precision"] != runtime.manifest["defaultPrecision"]:
            raise ValueError("--write: the manifest speaks of the default precision only")
        compared = load_baselines(args.baselines)["bitsPerByte"] if args.baselines else []
        rows = evaluate(runtime, args.heldout, args.bytes_per_domain, args.json)
        print_table(rows, {row["domain"]: row for row in compared})
        if args.write:
            evaluation: Evaluation = {
                "command": shlex.join(["python", "-m", "stlm", *sys.argv[1:]]),
                "date": datetime.now(UTC).date().isoformat(),
                "bitsPerByte": rows,
                "mean": mean_of(rows),
            }
            runtime.manifest["evaluation"] = evaluation
            runtime.manifest["golden"] = measure_golden(runtime)
            runtime.manifest["latencySeed"] = measure_latency(args.artifact, args.threads)
            save_manifest(args.artifact, runtime.manifest)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"stlm evaluate: {error}", file=sys.stderr)
        return 1
    return 0
