"""`python -m stlm report`: evaluations side by side, as Markdown tables and charts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stlm.evaluation.charts import draw
from stlm.evaluation.results import read_report
from stlm.evaluation.tables import write_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reports", type=Path, nargs="+", help="JSON reports of `stlm evaluate --json`, one a model")
    parser.add_argument("--output", type=Path, default=Path("reports"), help="folder for evaluation.md and .svg (default reports)")
    parser.add_argument("--format", choices=("svg", "png"), default="svg", help="of the charts (default svg)")


def main(args: argparse.Namespace) -> int:
    try:
        reports = [read_report(path) for path in args.reports]
        if not any(report["tasks"] or report["bitsPerByte"] for report in reports):
            raise ValueError("nothing was measured in these reports")
        args.output.mkdir(parents=True, exist_ok=True)
        tables, charts = args.output / "evaluation.md", args.output / f"evaluation.{args.format}"
        draw(reports, charts)
        tables.write_text(write_tables(reports, charts.name), encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:
        print(f"stlm report: {error}", file=sys.stderr)
        return 1
    print(tables, charts, sep="\n")
    return 0
