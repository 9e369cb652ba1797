"""FairytaleQA and QMSum: questions about a story or a meeting.

The passage is what stands up to the end of the part that is asked about, its last `PASSAGE_BYTES`, so that a small context
holds the part that matters and every model reads the same. Measured: bits per byte of the reference answer (of the first
one, where there are several), and the overlap of the greedy answer with it (the best of several).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from stlm.evaluation.overlap import rouge_l, token_f1
from stlm.evaluation.runner import Run
from stlm.evaluation.sets import DamagedSetError, Record, read_lines
from stlm.evaluation.statistics import Measure, mean, measure, ratio

FAIRYTALEQA, QMSUM = "fairytaleqa_test.jsonl.xz", "qmsum_test.jsonl.xz"
PASSAGE_BYTES = 2000


@dataclass(frozen=True)
class Reading:
    passage: str
    question: str
    references: tuple[str, ...]

    def prompt(self) -> bytes:
        """The passage's last part from a word's start on, then the question."""
        tail = self.passage.encode()[-PASSAGE_BYTES:]
        if len(self.passage.encode()) > PASSAGE_BYTES:
            tail = tail.partition(b" ")[2]
        return tail + f"\n\nQuestion: {self.question}\nAnswer:".encode()


def fairytaleqa(path: Path) -> list[Reading]:
    readings = []
    for story in read_lines(path):
        sections = story.texts("sections")
        for question in story.records("questions"):
            numbers = [int(n) for n in question.text("cor_section").replace(",", " ").split() if n.isdigit()]
            if not numbers or not 1 <= max(numbers) <= len(sections):
                raise DamagedSetError(f"{question.place}: field 'cor_section' names no section of the story")
            passage = "\n\n".join(sections[: max(numbers)]).replace("\n\n", "\0").replace("\n", " ").replace("\0", "\n\n")
            answers = [question[f"answer{i}"].strip() for i in range(1, 7) if question.get(f"answer{i}")]
            answers = tuple(dict.fromkeys(answer for answer in answers if answer))
            if not answers:
                raise DamagedSetError(f"{question.place}: field 'answer1' is empty")
            readings.append(Reading(passage, question.text("question").strip(), answers))
    return readings


def qmsum(path: Path) -> list[Reading]:
    readings = []
    for meeting in read_lines(path):
        turns = [f"{turn.text('speaker')}: {turn.text('content')}" for turn in meeting.records("meeting_transcripts")]
        for query in [*meeting.records("general_query_list"), *meeting.records("specific_query_list")]:
            passage = "\n".join(turns[: _last_turn(query, len(turns))])
            readings.append(Reading(passage, query.text("query").strip(), (query.text("answer").strip(),)))
    return readings


def _last_turn(query: Record, turns: int) -> int:
    """How many turns stand up to the end of the last span asked about; all of them for a general query."""
    spans = query.get("relevant_text_span") or [["0", str(turns - 1)]]
    return 1 + max(int(last) for _, last in spans)


def run_fairytaleqa(run: Run) -> list[Measure]:
    return _measures(run, fairytaleqa(run.data / FAIRYTALEQA), max_bytes=80)


def run_qmsum(run: Run) -> list[Measure]:
    return _measures(run, qmsum(run.data / QMSUM), max_bytes=240)


def _measures(run: Run, every: list[Reading], max_bytes: int) -> list[Measure]:
    readings = run.sample(every)
    prompts = [reading.prompt() for reading in readings]
    answers = [f" {reading.references[0]}".encode() for reading in readings]
    bits = -run.log_probabilities("reference", list(zip(prompts, answers, strict=True))) / math.log(2)
    texts = [text.decode("utf-8", "replace") for text in run.continuations("answer", prompts, max_bytes, [b"\n"])]
    counts = len(readings), len(every)
    measures = [measure(run.task, "bits_per_byte", ratio(bits, [len(answer) for answer in answers]), *counts, headline=True)]
    for metric, overlap in (("token_f1", token_f1), ("rouge_l", rouge_l)):
        values = [max(overlap(text, reference) for reference in reading.references) for text, reading in zip(texts, readings, strict=True)]
        measures.append(measure(run.task, metric, mean(values), *counts, headline=True))
    return measures
