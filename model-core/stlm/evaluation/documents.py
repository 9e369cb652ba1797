"""Bits per byte on held-out text, by domain: the documents of prepared shards, a source a domain.

The protocol is in `windows.py`. Bits are loss / ln 2 over raw bytes: those of specials are left out, and so are specials in
the byte count. With a byte limit, documents are taken in the held-out order, each up to its share of the limit but at
least 8 KiB, so that long documents do not crowd out the others. A uint8 file rounds activations by a scale over the whole
batch, so its figure can move a little with the batch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from stlm.evaluation.results import Results
from stlm.evaluation.runner import PROTOCOL
from stlm.evaluation.scoring import Scorer, identity
from stlm.manifest import DomainBits
from stlm.shards import ShardIndex, iterate_documents

_EXCERPT_BYTES = 8192


def excerpt(documents: list[np.ndarray], limit: int, least: int = _EXCERPT_BYTES) -> list[np.ndarray]:
    """The documents, or the starts of documents (of `least` bytes or more), that make up `limit` bytes; 0 is everything."""
    if limit == 0:
        return documents
    share = max(least, -(-limit // max(1, len(documents))))
    taken, left = [], limit
    for document in documents:
        if left > 0:
            taken.append(document[: min(share, left)])
            left -= len(taken[-1])
    return taken


def evaluate_domain(scorer: Scorer, documents: list[np.ndarray], name: str) -> DomainBits:
    """Bits per byte of one domain's documents, each uint8 [bytes]."""
    total = sum(len(document) for document in documents)
    with tqdm(total=total, unit="B", unit_scale=True, desc=name, disable=None) as bar:
        bits = sum(scorer.document_bits([document.tobytes() for document in documents], bar.update))
    return {"domain": name, "bytes": total, "bitsPerByte": round(bits / total, 4)}


def evaluate_domains(scorer: Scorer, heldout: Path, bytes_per_domain: int, results: Results | None = None) -> list[DomainBits]:
    """Every domain of `heldout`; those that `results` holds already are not measured again.

    Raises ValueError when there is nothing to measure.
    """
    results = results or Results(None, scorer.name, scorer.sha256)
    index = ShardIndex.load(heldout)
    shards = " ".join(f"{shard.name}:{shard.idx_sha256[:12]}" for shard in index.shards)
    results.start_domains({**identity(scorer), "bytesPerDomain": bytes_per_domain, "heldout": shards, "protocol": PROTOCOL})
    done = {row["domain"] for row in results.domains}
    for source in index.sources:
        if source.name not in done:
            documents = list(iterate_documents(heldout, index.shards_of(source.name)))
            results.add_domain(evaluate_domain(scorer, excerpt(documents, bytes_per_domain), source.name))
    if not results.domains:
        raise ValueError(f"{heldout}: no documents to measure")
    return results.domains


def mean_of(rows: list[DomainBits]) -> float:
    """The unweighted mean over domains."""
    return round(sum(row["bitsPerByte"] for row in rows) / len(rows), 4)
