"""`python -m stlm.ablation.judge`: what a finished run is judged by, as JSON on stdout. A process of its own, like the training.

Bits per byte of the first bytes of each held-out domain; BLiMP (Warstadt et al., TACL 2020): a pair is right when the
acceptable sentence is likelier, ties are wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from stlm import options
from stlm.evaluation.blimp import MinimalPair, read_pairs
from stlm.evaluation.documents import excerpt
from stlm.evaluation.torch_scorer import TorchScorer
from stlm.shards import ShardIndex, iterate_documents

_EXCERPT_BYTES = 4096


def excerpts(folder: Path, name: str, index: ShardIndex, limit: int) -> list[bytes]:
    """The starts of a domain's documents, in order, about `limit` bytes in all."""
    documents = list(iterate_documents(folder, index.shards_of(name)))
    return [document.tobytes() for document in excerpt(documents, limit, _EXCERPT_BYTES)]


def bits_per_byte(scorer: TorchScorer, folder: Path, limit: int) -> dict[str, float]:
    """By domain."""
    index = ShardIndex.load(folder)
    texts = {source.name: excerpts(folder, source.name, index, limit) for source in index.sources}
    return {name: sum(scorer.document_bits(domain)) / sum(map(len, domain)) for name, domain in texts.items()}


def blimp(scorer: TorchScorer, path: Path, pairs: int) -> dict[str, int]:
    """'right' and 'pairs' over the first `pairs` pairs of every paradigm."""
    by_paradigm: dict[str, list[MinimalPair]] = {}
    for pair in read_pairs(path):
        by_paradigm.setdefault(pair.paradigm, []).append(pair)
    chosen = [pair for group in by_paradigm.values() for pair in group[:pairs]]
    # Whole sentences: where two begin alike, a tokenizer may still cut their beginnings differently.
    texts = [(b"", text.encode()) for pair in chosen for text in (pair.good, pair.bad)]
    scores = np.array(scorer.log_probabilities(texts)).reshape(-1, 2)
    return {"right": int((scores[:, 0] > scores[:, 1]).sum()), "pairs": len(chosen)}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stlm.ablation.judge", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--heldout", type=Path, required=True)
    parser.add_argument("--bytes-per-domain", type=options.whole_number(1), required=True)
    parser.add_argument("--window", type=options.whole_number(2), help="rows of context; longer ones than it was trained on flatter none")
    parser.add_argument("--blimp", type=Path, help="blimp.jsonl.xz; none: not judged by it")
    parser.add_argument("--blimp-pairs", type=options.whole_number(1), default=1)
    args = parser.parse_args(argv)
    try:
        scorer = TorchScorer(args.checkpoint, args.window)
        domains = bits_per_byte(scorer, args.heldout, args.bytes_per_domain)
        result = {
            "parameters": scorer.model.parameters_by_part(),  # pyright: ignore[reportCallIssue]
            "bits_per_byte": sum(domains.values()) / len(domains),
            "domains": domains,
            "blimp": blimp(scorer, args.blimp, args.blimp_pairs) if args.blimp else None,
        }
    except (ValueError, OSError) as error:
        print(f"stlm.ablation.judge: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
