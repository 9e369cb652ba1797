"""`python -m stlm ablate SPEC.toml`: train every arm with every seed, judge them, write a report. Run again, it goes on.

The report is `reports/<name of the spec>.md` and `.svg`. `jobs` runs stand side by side with `threads` threads each: give every
run the same share of the machine and nothing else to share it with.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

from stlm import bpe, options
from stlm.ablation import report, scaling
from stlm.ablation.run import Call, in_a_process, run_all, runs_of
from stlm.ablation.spec import Spec
from stlm.ablation.speed import Speed, measure
from stlm.shards import ShardIndex, iterate_documents

_SPEED = "speed.json"
_SPOKEN_BYTES = 1024
"""Of each document of the text that all arms are timed on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, help="TOML file of arms, e.g. runs/ablations.toml")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs; finished ones are kept")
    parser.add_argument("--reports", type=Path, default=Path("reports"), help="folder for the report (default reports)")
    parser.add_argument("--only", help="names of arms, with commas between; default: all")
    parser.add_argument("--seconds", type=options.positive, help="of training a run, in place of the spec's")
    parser.add_argument("--jobs", type=options.whole_number(1), help="runs side by side, in place of the spec's")
    parser.add_argument("--threads", type=options.whole_number(1), help="threads of each run, in place of the spec's")
    parser.add_argument("--data", type=Path, help="shards to train on, in place of the spec's")
    parser.add_argument("--heldout", type=Path, help="shards to judge on, in place of the spec's")
    parser.add_argument("--blimp", type=Path, help="blimp.jsonl.xz, in place of the spec's")
    parser.add_argument("--report-only", action="store_true", help="train nothing, measure nothing: write the report of what is there")


def specify(args: argparse.Namespace) -> Spec:
    """The spec with the command line's changes. Raises OSError or ValueError as `Spec.load` and `Spec.only` do."""
    spec = Spec.load(args.spec)
    given = {name: getattr(args, name) for name in ("seconds", "jobs", "threads", "data", "heldout") if getattr(args, name) is not None}
    spec = replace(spec, **given)
    if args.blimp:
        spec = replace(spec, evaluation=replace(spec.evaluation, blimp=args.blimp))
    if spec.evaluation.blimp and not spec.evaluation.blimp.exists():
        raise FileNotFoundError(f"{spec.evaluation.blimp}: no such file; name it with --blimp")
    return spec.only(args.only.split(",")) if args.only else spec


def ensure_tokenizer(spec: Spec) -> None:
    """Trains the tokenizer of the controls where there is none yet. Raises as its training does."""
    if spec.tokenizer and not spec.tokenizer.exists() and any(arm.tier.startswith("bpe") for arm in spec.arms):
        print(f"training {spec.tokenizer}", file=sys.stderr)
        rule = bpe.train_tokenizer(bpe.sample(spec.data, bpe.SAMPLE_BYTES, spec.mix), bpe.VOCABULARY)
        bpe.save(rule, spec.tokenizer)


def speeds_of(spec: Spec, out: Path, *, measured: bool) -> dict[str, Speed | str]:
    """Of every arm with a checkpoint, all measured together; those of an earlier time when nothing is missing or `measured` is off."""
    path = out / _SPEED
    known: dict[str, Speed | str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    checkpoints = {run.arm.name: run.checkpoint for run in runs_of(spec, out) if run.result()}
    if not measured or not set(checkpoints) - set(known):
        return known
    documents = iterate_documents(spec.heldout, ShardIndex.load(spec.heldout).shards)
    known |= measure(checkpoints.items(), b"".join(d[:_SPOKEN_BYTES].tobytes() for d in islice(documents, 8)))
    part = path.with_suffix(".part")
    part.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
    return known


def scaling_section(spec: Spec, out: Path, picture: Path) -> str:
    """The report's section of curves and fits, or why there is none: the table above it is not lost for that."""
    try:
        return scaling.write(spec, out, picture)
    except ValueError as error:
        return f"\n## Scaling\n\nNo fit: {error}.\n"


def main(args: argparse.Namespace, call: Call = in_a_process) -> int:
    try:
        spec = specify(args)
        failures: dict[str, str] = {}
        if not args.report_only:
            ensure_tokenizer(spec)
            failures = run_all(spec, args.out, call)
        rows = report.rows_of(spec, args.out, speeds_of(spec, args.out, measured=not args.report_only))
        if not rows:
            print("stlm ablate: no arm has a result", file=sys.stderr)
            return 1
        args.reports.mkdir(parents=True, exist_ok=True)
        written = args.reports / f"{args.spec.stem}.md"
        command = f"python -m stlm ablate {shlex.quote(str(args.spec))} --out {shlex.quote(str(args.out))}"
        text = report.table(spec, rows, failures, command)
        if spec.kind == "scaling":
            text += scaling_section(spec, args.out, written.with_suffix(".svg"))
        else:
            report.draw(spec, rows, written.with_suffix(".svg"))
        written.write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        print(f"stlm ablate: {error}", file=sys.stderr)
        return 1
    print(written)
    return 1 if failures else 0
