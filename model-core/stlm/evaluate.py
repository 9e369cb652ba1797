"""`python -m stlm evaluate`: how good a model is, measured from the file that is served.

Bits per byte on held-out text by domain, and the tasks of `stlm/evaluation/suite.py`: grammar, multiple choice, reading,
arithmetic, code, learning from examples, noise, repetition. Greedy or seeded, whole sets unless `--limit` says otherwise,
each figure with its 95 % interval. With `--json`, a run that was interrupted goes on from where it was.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from stlm import options
from stlm.baseline import DomainBaseline, load_baselines
from stlm.evaluation.documents import evaluate_domains, mean_of
from stlm.evaluation.results import Results
from stlm.evaluation.runner import Journal, Run, Task, task_key
from stlm.evaluation.scoring import Scorer, open_scorer
from stlm.evaluation.statistics import Measure
from stlm.evaluation.suite import HELDOUT, TASKS, choose
from stlm.manifest import DomainBits, Evaluation, TaskFigure, save_manifest
from stlm.measure import measure_golden, measure_latency
from stlm.runtime import Runtime


def evaluate_tasks(
    tasks: list[Task], scorer: Scorer, data: Path, limit: int, seed: int, results: Results, heldout: Path | None = None
) -> dict[str, list[Measure]]:
    """Measures of each task by its name; those that `results` holds already are not measured again.

    Raises FileNotFoundError or ValueError for a set that is missing or damaged, before any task is run where it is missing.
    """
    keys = {task.name: task_key(task, scorer, data, limit, seed, heldout) for task in tasks}
    journal = Journal(results.path and results.path.with_name(f"{results.path.name}.unfinished"))
    found = {}
    for task in tasks:
        key = keys[task.name]
        measures = results.measures(task.name, key)
        if measures is None:
            started, used = time.monotonic(), time.process_time()
            measures = task.run(Run(task.name, scorer, data, limit, seed, key, journal, heldout))
            results.add_task(task.name, key, measures)
            journal.forget(key)
            # Both, because another process on the same cores makes the first one longer and not the second.
            spent = f"{time.monotonic() - started:.1f} s, {time.process_time() - used:.1f} s of processor"
            print(f"{task.name}: {spent}", file=sys.stderr)
        found[task.name] = measures
    return found


def print_domains(rows: list[DomainBits], compared: dict[str, DomainBaseline]) -> None:
    """One line a domain, beside its baselines where there are any."""
    print(f"{'domain':<24}{'bytes':>12}{'bits/byte':>11}" + (f"{'xz -9e':>9}{'n-gram':>9}" if compared else ""))
    for row in rows:
        line = f"{row['domain']:<24}{row['bytes']:>12,}{row['bitsPerByte']:>11.4f}"
        if other := compared.get(row["domain"]):
            line += f"{other['xz']:>9.4f}{other['ngram']:>9.4f}"
            line += "" if other["bytes"] == row["bytes"] else f"  (baselines on {other['bytes']:,} bytes)"
        print(line)
    print(f"{'mean over domains':<36}{mean_of(rows):>11.4f}")


def print_tasks(found: dict[str, list[Measure]]) -> None:
    """The headline figures: value, 95 % interval, chance, items."""
    print(f"\n{'task':<44}{'metric':<18}{'value':>8}  {'95 % interval':<18}{'chance':>7}  items")
    for row in (row for measures in found.values() for row in measures if row["headline"]):
        name = f"{row['task']}, {row['part']}" if row["part"] else row["task"]
        chance = f"{row['chance']:.3f}" if "chance" in row else ""
        items = f"{row['items']:,}" + ("" if row["items"] == row["of"] else f" of {row['of']:,}")
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"{name:<44}{row['metric']:<18}{row['value']:>8.3f}  {interval:<18}{chance:>7}  {items}")


def figures_of(found: dict[str, list[Measure]]) -> list[TaskFigure]:
    """The headline figures as the manifest keeps them."""
    figures = []
    for row in (row for measures in found.values() for row in measures if row["headline"]):
        figure: TaskFigure = {
            "task": f"{row['task']}, {row['part']}" if row["part"] else row["task"],
            "metric": row["metric"], "value": row["value"], "low": row["low"], "high": row["high"], "items": row["items"],
        }  # fmt: skip
        if row["of"] != row["items"]:
            figure["of"] = row["of"]
        if "chance" in row:
            figure["chance"] = row["chance"]
        figures.append(figure)
    return figures


def updated(earlier: Evaluation | None, rows: list[DomainBits], figures: list[TaskFigure], command: str, date: str) -> Evaluation:
    """The evaluation with the new figures. What was not measured now keeps its figures, its command and its date."""
    if rows or earlier is None:
        evaluation: Evaluation = {"command": command, "date": date, "bitsPerByte": rows, "mean": mean_of(rows)}
    else:
        rows, command_then, date_then = earlier["bitsPerByte"], earlier["command"], earlier["date"]
        evaluation = {"command": command_then, "date": date_then, "bitsPerByte": rows, "mean": earlier["mean"]}
    measured = {figure["task"].partition(",")[0] for figure in figures}
    kept = [figure for figure in (earlier or {}).get("tasks", []) if figure["task"].partition(",")[0] not in measured]
    commands, dates = [command] if figures else [], [date] if figures else []
    if earlier and kept:
        commands = [*dict.fromkeys([*earlier.get("tasksCommand", earlier["command"]).split("\n"), *commands])]
        dates = [earlier.get("tasksDate", earlier["date"]), *dates]
    if figures or kept:
        # A task that exists no longer stands last.
        places = {name: place for place, name in enumerate(TASKS)}
        evaluation["tasks"] = sorted([*kept, *figures], key=lambda figure: places.get(figure["task"].partition(",")[0], len(places)))
        evaluation["tasksCommand"], evaluation["tasksDate"] = "\n".join(commands), dates[-1]
    return evaluation


def write_figures(runtime: Runtime, rows: list[DomainBits], found: dict[str, list[Measure]], threads: int) -> None:
    """Puts figures, golden text and latency seed into the manifest. `rows` may be empty where it has held-out figures."""
    command, date = shlex.join(["python", "-m", "stlm", *sys.argv[1:]]), datetime.now(UTC).date().isoformat()
    runtime.manifest["evaluation"] = updated(runtime.manifest.get("evaluation"), rows, figures_of(found), command, date)
    runtime.manifest["golden"] = measure_golden(runtime)
    runtime.manifest["latencySeed"] = measure_latency(runtime.folder, threads)
    save_manifest(runtime.folder, runtime.manifest)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="artifact folder (manifest.json and model files), or a checkpoint ending in .pt")
    parser.add_argument("--tasks", default="standard", help=f"standard (default), all, or names: {', '.join([HELDOUT, *TASKS])}")
    parser.add_argument("--heldout", type=Path, default=None, help="prepared shards, a source a domain (tasks heldout and infill)")
    parser.add_argument("--eval-data", type=Path, default=Path("data/eval"), help="folder of the evaluation sets (default data/eval)")
    parser.add_argument("--limit", type=options.whole_number(0), default=0, help="items a task, a seeded sample; 0 (default): all")
    parser.add_argument("--seed", type=options.whole_number(0), default=0, help="of samples, generated items and noise (default 0)")
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
        names = choose(args.tasks)
        if HELDOUT in names and args.heldout is None:
            raise ValueError("--heldout: the task heldout needs a folder of prepared shards; or name other tasks with --tasks")
        scorer = open_scorer(args.model, args.precision, args.threads)
        runtime: Runtime | None = getattr(scorer, "runtime", None)
        if args.write and (runtime is None or runtime.file["precision"] != runtime.manifest["defaultPrecision"]):
            raise ValueError("--write: the manifest speaks of an artifact's default precision only")
        earlier = runtime.manifest.get("evaluation") if runtime else None
        if args.write and HELDOUT not in names and not (earlier and earlier["bitsPerByte"]):
            raise ValueError("--write: the manifest has no held-out figures yet; give --heldout and the task heldout")
        compared = load_baselines(args.baselines)["bitsPerByte"] if args.baselines else []
        results = Results(args.json, scorer.name, scorer.sha256)
        tasks = [TASKS[name] for name in names if name != HELDOUT]
        for task in tasks:
            task_key(task, scorer, args.eval_data, args.limit, args.seed, args.heldout)  # a set that is missing is named before the work
        rows = evaluate_domains(scorer, args.heldout, args.bytes_per_domain, results) if HELDOUT in names else []
        if rows:
            print_domains(rows, {row["domain"]: row for row in compared})
        found = evaluate_tasks(tasks, scorer, args.eval_data, args.limit, args.seed, results, args.heldout)
        if found:
            print_tasks(found)
        if args.write and runtime:
            write_figures(runtime, rows, found, args.threads)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"stlm evaluate: {error}", file=sys.stderr)
        return 1
    return 0
