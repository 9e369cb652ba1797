"""Multiple choice: the option to which the model gives most probability after the question.

`accuracy` compares sums of log-probability, `accuracy_norm` sums per byte of the option, without the space that sets it off
(lm-evaluation-harness, `acc` and `acc_norm`). A tie for the best is wrong, here as in BLiMP, so a model that gives everything
the same probability scores 0 and not chance. Formats follow lm-evaluation-harness; CommonsenseQA and MMLU are asked in its
cloze form (the options are scored, not their letters), which is the one that small models can do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stlm.evaluation.runner import Run
from stlm.evaluation.scoring import Pair
from stlm.evaluation.sets import DamagedSetError, Record, read_lines, read_text
from stlm.evaluation.statistics import Measure, measure, proportion

Noise = Callable[[str], bytes]


@dataclass(frozen=True)
class Problem:
    """`text` is what is read; it stands between `lead` and a tail, one for all options or one for each."""

    text: str
    options: tuple[str, ...]
    label: int
    lead: str = ""
    tails: tuple[str, ...] = ("",)

    def pairs(self, noise: Noise = str.encode, before: bytes = b"") -> list[Pair]:
        """One an option. `noise` goes into the text that is read, not into the frame nor the options."""
        text = noise(self.text)
        read = [before + self.lead.encode() + text + tail.encode() for tail in self.tails]
        return [(read[i % len(read)], option.encode()) for i, option in enumerate(self.options)]


@dataclass(frozen=True)
class ChoiceSet:
    """`same_ending`: all options score the same bytes, so `accuracy_norm` says nothing new and is left out."""

    name: str
    file: str
    read: Callable[[Path], list[Problem]]
    same_ending: bool = False

    def chance(self, problems: list[Problem]) -> float:
        return float(np.mean([1 / len(problem.options) for problem in problems]))


def question(text: str, options: list[str], label: int, lead: str = "Question: ", tail: str = "\nAnswer:") -> Problem:
    return Problem(text.strip(), tuple(f" {option.strip()}" for option in options), label, lead, (tail,))


def plain_questions(path: Path, lead: str = "Question: ", tail: str = "\nAnswer:") -> list[Problem]:
    """ARC, OpenBookQA: question, choices, label."""
    return [_plain(record, lead, tail) for record in read_lines(path)]


def _plain(record: Record, lead: str, tail: str) -> Problem:
    options = record.texts("choices")
    return question(record.text("question"), options, record.index("label", options), lead, tail)


def openbookqa(path: Path) -> list[Problem]:
    """The stem is a sentence that an option completes."""
    return plain_questions(path, "", "")


def mmlu(path: Path) -> list[Problem]:
    """Of the development part, zero-shot, the subject named first."""
    lead = "The following are questions (with answers) about {}.\n\nQuestion: "
    return [_plain(record, lead.format(record.text("subject").replace("_", " ")), "\nAnswer:") for record in read_lines(path)]


def piqa(path: Path) -> list[Problem]:
    problems = []
    for record in read_lines(path):
        options = [record.text("sol1"), record.text("sol2")]
        problems.append(question(record.text("goal"), options, record.index("label", options)))
    return problems


def commonsenseqa(path: Path) -> list[Problem]:
    problems = []
    for record in read_lines(path):
        content = Record(record["question"], record.place)
        choices = content.records("choices")
        labels = [choice.text("label") for choice in choices]
        if record.text("answerKey") not in labels:
            raise DamagedSetError(f"{record.place}: field 'answerKey' is none of the choices")
        options = [choice.text("text") for choice in choices]
        problems.append(question(content.text("stem"), options, labels.index(record["answerKey"])))
    return problems


def hellaswag(path: Path) -> list[Problem]:
    """Six lines an item: context, label, four endings."""
    lines = read_text(path).removesuffix("\n").split("\n")
    if len(lines) % 6:
        raise DamagedSetError(f"{path}: {len(lines)} lines, not six an item")
    problems = []
    for i in range(0, len(lines), 6):
        if lines[i + 1] not in ("0", "1", "2", "3"):
            raise DamagedSetError(f"{path}, line {i + 2}: label {lines[i + 1]!r} is no number from 0 to 3")
        endings = [_without_brackets(line) for line in lines[i + 2 : i + 6]]
        problems.append(question(_without_brackets(lines[i]), endings, int(lines[i + 1]), "", ""))
    return problems


def _without_brackets(text: str) -> str:
    """WikiHow's marks out, as lm-evaluation-harness does it."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _blanks(path: Path) -> list[tuple[str, str, list[str], int]]:
    """WinoGrande: before the blank, after it, options, label."""
    items = []
    for record in read_lines(path):
        before, blank, after = record.text("question").partition("_")
        if not blank:
            raise DamagedSetError(f"{record.place}: field 'question' has no blank")
        options = record.texts("choices")
        items.append((before, after.rstrip(), options, record.index("label", options)))
    return items


def winogrande_partial(path: Path) -> list[Problem]:
    """The text after the blank is scored, given each option in it (Trinh & Le 2018). What is read is the text before the blank."""
    return [Problem(before, (after,) * len(options), label, tails=tuple(options)) for before, after, options, label in _blanks(path)]


def winogrande_full(path: Path) -> list[Problem]:
    """The whole sentence is scored."""
    return [Problem("", tuple(before + option + after for option in options), label) for before, after, options, label in _blanks(path)]


CHOICE_SETS = {
    choice_set.name: choice_set
    for choice_set in (
        ChoiceSet("hellaswag", "hellaswag_val.txt.xz", hellaswag),
        ChoiceSet("piqa", "piqa_valid.jsonl.xz", piqa),
        ChoiceSet("arc_easy", "arc_easy_test.jsonl.xz", plain_questions),
        ChoiceSet("arc_challenge", "arc_challenge_test.jsonl.xz", plain_questions),
        ChoiceSet("winogrande", "winogrande_dev.jsonl.xz", winogrande_partial, same_ending=True),
        ChoiceSet("winogrande_full", "winogrande_dev.jsonl.xz", winogrande_full),
        ChoiceSet("openbookqa", "openbookqa_test.jsonl.xz", openbookqa),
        ChoiceSet("commonsenseqa", "commonsenseqa_dev.jsonl.xz", commonsenseqa),
        ChoiceSet("mmlu", "mmlu_dev.jsonl.xz", mmlu),
    )
}


def answer(run: Run, part: str, problems: list[Problem], asked: list[list[Pair]]) -> tuple[np.ndarray, np.ndarray]:
    """Which problems come out right by the sum and by the mean over bytes, each bool [problems]."""
    values = run.log_probabilities(part, [pair for pairs in asked for pair in pairs])
    raw, normalised, start = [], [], 0
    for problem, pairs in zip(problems, asked, strict=True):
        sums = values[start : start + len(pairs)]
        start += len(pairs)
        raw.append(picks(sums, problem.label))
        normalised.append(picks(sums / [len(after.removeprefix(b" ")) or 1 for _, after in pairs], problem.label))
    return np.array(raw, bool), np.array(normalised, bool)


def picks(scores: np.ndarray, label: int) -> bool:
    """Whether the label's score is above every other; a tie is wrong."""
    return bool(scores[label] > np.delete(scores, label).max())


def run_choices(choice_set: ChoiceSet, run: Run) -> list[Measure]:
    every = choice_set.read(run.data / choice_set.file)
    problems = run.sample(every, name=choice_set.name)
    raw, normalised = answer(run, "", problems, [problem.pairs() for problem in problems])
    chance = choice_set.chance(problems)
    found = [("accuracy", raw)] if choice_set.same_ending else [("accuracy", raw), ("accuracy_norm", normalised)]
    return [
        measure(choice_set.name, metric, proportion(right), len(problems), len(every), chance=chance, headline=True)
        for metric, right in found
    ]
