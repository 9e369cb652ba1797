"""`python -m stlm card`: the model card (README.md) of an artifact, from its manifest and its own text."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from stlm.baseline import BaselineReport, DomainBaseline, load_baselines
from stlm.evaluation.tables import LOWER_IS_BETTER, title
from stlm.generate import Generator
from stlm.manifest import DataSource, Evaluation, Manifest, TaskFigure
from stlm.runtime import Runtime
from stlm.sampling import Sampling

SAMPLE_PROMPTS = (
    "Once upon a time there was a little girl who ",
    "The city is the capital of ",
    "He looked at the letter, and then ",
    "Photosynthesis is the process by which ",
    "Hi, how are you today?\n",
)
SAMPLE_BYTES = 320
SAMPLING = Sampling(temperature=0.8, top_p=0.95)


def introduction(manifest: Manifest) -> str:
    """What the tier is and what it costs to run, in a paragraph."""
    parameters, trunk, context = manifest["parameters"], manifest["trunk"], manifest["context"]["patches"]
    per_patch = manifest["bytesPerPatch"]
    if "chat" in manifest:
        kind = "It was tuned to chat: given the turns of a conversation, it writes the next one. Any other text it continues."
    else:
        kind = "It is a base model: it continues text. It was not tuned to follow instructions or to chat."
    if manifest.get("infill"):
        kind += " It was trained to write between a prefix and a suffix as well; the figures of `infill` below say how well it does."
    return (
        f"A language model of English with {parameters['unique'] / 1e6:.3g} million weights that reads and writes bytes. It has no "
        f"tokenizer: text is cut into patches, about a word each (at most {manifest['patch']['cap']} bytes, {per_patch:.3g} on average), "
        f"and a trunk of {trunk['layers']} blocks of width {trunk['width']} works once a patch instead of once a byte. "
        f"{parameters['embedding'] / 1e6:.3g} million of the weights are tables that are looked up, not multiplied. It remembers "
        f"{context} patches, about {context * per_patch / 1000:.2g} kB of text.\n\n{kind}"
    )


def usage(manifest: Manifest) -> str:
    name = manifest["id"]
    command = f'python -m stlm generate artifacts/{name} --prompt "Once upon a ti" --seed 0'
    if "chat" in manifest:
        command += f'\npython -m stlm generate artifacts/{name} --chat "What is the capital of France?"'
    if manifest.get("infill"):
        command += f'\npython -m stlm generate artifacts/{name} --prompt "The cat sat on " --suffix " and slept." --max-bytes 20'
    return f"From `model-core/`, without the server (a prompt may end anywhere, inside a word too):\n\n```sh\n{command}\n```"


def evaluation_table(manifest: Manifest, baselines: dict[str, DomainBaseline], order: int | str) -> str:
    """Bits per byte by domain beside the baselines, with the commands that measured them."""
    evaluation = manifest.get("evaluation")
    if evaluation is None:
        raise ValueError("the manifest has no evaluation: run `stlm evaluate --write` first")
    lines = [
        f"Bits per byte on held-out text (lower is better), measured from the {manifest['defaultPrecision']} file that is served, "
        f"on {evaluation['date']}. Beside it, what `xz -9e` makes of the same text, and a byte {order}-gram with Kneser-Ney "
        "smoothing that counted the whole training text.\n",
        f"| domain | bytes | this model | {order}-gram | xz -9e |",
        "|---|---:|---:|---:|---:|",
    ]
    whole = True
    for row in evaluation["bitsPerByte"]:
        other = baselines.get(row["domain"])
        compared = f"{other['ngram']:.3f} | {other['xz']:.3f}" if other else "– | –"
        whole = whole and (other is None or other["bytes"] == row["bytes"])
        lines.append(f"| {row['domain'].replace('_', ' ')} | {row['bytes']:,} | **{row['bitsPerByte']:.3f}** | {compared} |")
    lines.append(f"| mean over domains | | **{evaluation['mean']:.3f}** | | |\n")
    if not whole:
        lines.append(
            "The model read the first parts of each domain, in the number of bytes given; the baselines are of the whole domain.\n"
        )
    lines.append(f"```sh\n{evaluation['command']}\n```\n\nThe protocol is in `stlm/evaluation/windows.py`.")
    return "\n".join(lines)


def task_table(evaluation: Evaluation, figures: list[TaskFigure]) -> str:
    """What the tasks of `stlm evaluate` found, each figure with its interval and what guessing scores, and the commands for it."""
    command, date = evaluation.get("tasksCommand", evaluation["command"]), evaluation.get("tasksDate", evaluation["date"])
    lines = [
        f"From the same file, measured until {date}, greedy or seeded. None of the items was trained on; training splits of some of "
        "these sets may be among the sources below. In brackets the 95 % interval. *Slanted*: no better than guessing, as far as the "
        "interval can tell. Arrows point to where better is. The tasks are in `stlm/evaluation/`.\n",
        "| task | metric | this model | guessing | items |",
        "|---|---|---:|---:|---:|",
    ]
    for row in figures:
        name, _, part = row["task"].partition(", ")
        name = f"{title(name)}, {part}" if part else title(name)
        chance = row.get("chance")
        mark = "*" if chance is not None and row["low"] <= chance else "**"
        value = f"{mark}{row['value']:.3f}{mark} ({row['low']:.3f}–{row['high']:.3f})"
        metric = row["metric"].replace("_", " ") + (" ↓" if row["metric"] in LOWER_IS_BETTER else " ↑")
        guessing = "" if chance is None else f"{chance:.3f}"
        items = f"{row['items']:,}" + (f" of {row['of']:,}" if "of" in row else "")
        lines.append(f"| {name.replace('_', ' ')} | {metric} | {value} | {guessing} | {items} |")
    lines.append(f"\n```sh\n{command}\n```")
    return "\n".join(lines)


def weakest_sentence(manifest: Manifest) -> str:
    rows = sorted(manifest.get("evaluation", {"bitsPerByte": []})["bitsPerByte"], key=lambda row: row["bitsPerByte"])
    best, worst = rows[0], rows[-1]
    return (
        f"It predicts {best['domain'].replace('_', ' ')} best ({best['bitsPerByte']:.2f} bits per byte) and "
        f"{worst['domain'].replace('_', ' ')} worst ({worst['bitsPerByte']:.2f})"
        + ("; no verse or play was in its training text." if worst["domain"] == "unseen_poetry_drama" else ".")
    )


def fenced(text: str) -> str:
    """A code block whose fence is longer than any in the text."""
    ticks = max([2, *(len(run) for run in re.findall(r"`+", text))]) + 1
    return f"{'`' * ticks}text\n{text}\n{'`' * ticks}"


def samples(runtime: Runtime) -> str:
    """Five continuations, seeds 0 to 4, as they came."""
    generator = Generator(runtime)
    parts = [
        f"Five prompts with seeds 0 to 4, temperature {SAMPLING.temperature}, top-p {SAMPLING.top_p}, cut after "
        f"{SAMPLE_BYTES} bytes. Not picked: the first run of each. The prompt stands before the bar (▏)."
    ]
    for seed, prompt in enumerate(SAMPLE_PROMPTS):
        text = generator.text(prompt.encode(), SAMPLE_BYTES, replace(SAMPLING, seed=seed))
        parts.append(f"Seed {seed}:\n\n{fenced(f'{prompt}▏{text}')}")
    return "\n\n".join(parts)


def sources_table(sources: list[DataSource]) -> str:
    """Data sources with their licences; the parts of one source (`-00`, `-01`) share a line."""
    grouped = {(re.sub(r"-\d\d$", "", source["name"]), source["licence"]): None for source in sources}
    lines = [f"| {name} | {licence.replace('|', '/')} |" for name, licence in grouped]
    return "\n".join(["| source | licence |", "|---|---|", *lines])


def training(manifest: Manifest, command: str) -> str:
    trained = manifest["training"]
    return (
        f"{trained['bytesSeen'] / 1e6:,.0f} MB of text seen, counted with those of the smaller tiers it grew from, if any; seed "
        f"{trained['seed']}, code at commit `{trained['commit'][:12]}`. The command, from `model-core/`:\n\n```sh\n{command}\n```\n\n"
        f"{sources_table(trained['sources'])}\n\nThe Creative Commons licences ask for credit to the authors: keep this table with copies."
    )


def limits(manifest: Manifest) -> str:
    return (
        "What it states as fact is often wrong: a model of this size learns how English sounds before it learns what is true. Do not "
        f"use it where a wrong sentence does harm. {weakest_sentence(manifest)} It knows English only. Much of its reading is fiction "
        "from before 1960, with the manners and the prejudices of that time, and it was not trained to avoid them. Text longer than its "
        "context is forgotten from the front."
    )


def files_table(manifest: Manifest) -> str:
    lines = [f"| {file['name']} | {file['precision']} | {file['bytes']:,} | `{file['sha256']}` |" for file in manifest["files"]]
    return "\n".join(["| file | weights | bytes | sha256 |", "|---|---|---:|---|", *lines])


def write_card(runtime: Runtime, report: BaselineReport, command: str) -> str:
    """The card's Markdown. Raises ValueError before the tier was evaluated."""
    manifest = runtime.manifest
    baselines = {row["domain"]: row for row in report["bitsPerByte"]}
    predicts = evaluation_table(manifest, baselines, report["ngram"]["order"])
    evaluation = manifest.get("evaluation")
    figures = evaluation.get("tasks") if evaluation else None
    sections = {
        "How well it predicts": predicts,
        **({"What it can do": task_table(evaluation, figures)} if evaluation and figures else {}),
        "What it writes": samples(runtime),
        "How it was made": training(manifest, command),
        "What it cannot do": limits(manifest),
        "Files": files_table(manifest),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"# {manifest['id']}\n\n{introduction(manifest)}\n\n{usage(manifest)}\n\n{body}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, help="artifact folder, evaluated with `evaluate --write`")
    parser.add_argument("--baselines", type=Path, default=Path("reports/baselines.json"), help="report of `stlm baseline`")
    parser.add_argument("--trained-with", default="runs/tiers.sh", help="the command that reproduces the training")


def main(args: argparse.Namespace) -> int:
    try:
        card = write_card(Runtime(args.artifact), load_baselines(args.baselines), args.trained_with)
        (args.artifact / "README.md").write_text(card, encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:
        print(f"stlm card: {error}", file=sys.stderr)
        return 1
    print(args.artifact / "README.md")
    return 0
