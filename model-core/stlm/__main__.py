"""`python -m stlm COMMAND`: one subcommand a module; each module declares its own options and does its own work."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

COMMANDS = {
    "prepare": "folders of text to memory-mapped byte shards",
    "bpe": "train the tokenizer of the BPE control",
    "train": "train a tier on shards, within a time budget",
    "restore": "artifact back to a checkpoint, to train on from it",
    "grow": "start a larger tier from a smaller one without changing what it computes",
    "export": "checkpoint to an fp32 ONNX graph",
    "quantize": "checkpoint to an int4 or uint8 artifact with its manifest",
    "evaluate": "how good an artifact or a checkpoint is: held-out text, grammar, questions, arithmetic, code, noise",
    "report": "tables and charts of evaluations side by side",
    "tokenizer": "the bytes as a Hugging Face tokenizer, for evaluation harnesses",
    "generate": "text from an artifact",
    "baseline": "byte 5-gram (Kneser-Ney) and xz on the same text",
    "card": "the model card of an artifact",
    "ablate": "train and judge the arms of a specification, write the report",
    "plot": "loss curve from a run's metrics",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stlm", description="Train, export and judge super-tiny byte models.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    given = sys.argv[1:] if argv is None else argv
    # Large tensors in huge pages (PyTorch reads this once, when it is imported). Without, the kernel clears every 4 KiB page of every
    # tensor of every step: a third of the processor time of training on a CPU (LOG.md, 2026-11-24).
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    for name, text in COMMANDS.items():
        # Modules import torch, onnx or matplotlib: only the one asked for is loaded, so --help stays quick.
        subparser = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if given[:1] == [name]:
            module = importlib.import_module(f"stlm.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.main)
    args = parser.parse_args(given)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print(f"\nstlm {args.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
