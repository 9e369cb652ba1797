"""TinyStories (Eldan & Li 2023): bits per byte on the start of its validation part, which runs on without marks between stories."""

from __future__ import annotations

from stlm.evaluation.runner import Run
from stlm.evaluation.sets import read_text
from stlm.evaluation.statistics import Measure, measure, ratio

FILE = "tinystories_val_sample.txt.xz"
PIECE_BYTES = 8192


def pieces(text: str) -> list[str]:
    """The text in pieces of at least 8 KiB that end at a paragraph's end, each scored as a document."""
    found, piece = [], ""
    for paragraph in text.strip().split("\n\n"):
        piece += paragraph + "\n\n"
        if len(piece.encode()) >= PIECE_BYTES:
            found.append(piece)
            piece = ""
    return [*found, piece] if piece else found


def run_tinystories(run: Run) -> list[Measure]:
    every = [piece.encode() for piece in pieces(read_text(run.data / FILE))]
    documents = run.sample(every)
    bits = run.document_bits("", documents)
    estimate = ratio(bits, [len(document) for document in documents])
    return [measure("tinystories", "bits_per_byte", estimate, len(documents), len(every), headline=True)]
