"""Tasks: a model that knows gets everything, one that cannot choose gets nothing, and a stopped run ends as an unstopped one."""

from __future__ import annotations

import argparse
import json
import lzma
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import random_model, write_artifact

from stlm import evaluate
from stlm.evaluation import choices, documents, few_shot, noise, overlap, robustness, runner, samples, stories, suite
from stlm.evaluation.results import Results
from stlm.evaluation.scoring import Pair
from stlm.evaluation.statistics import Measure
from stlm.manifest import DomainBits, TaskFigure, load_manifest
from stlm.sampling import Sampling

PLAIN = [{"question": f"Why {i}?", "choices": ["because", f"so it is {i}", "no", f"yes {i}"], "label": 1 + 2 * (i % 2)} for i in range(6)]
HUMANEVAL = {
    "task_id": "0", "prompt": "def one():\n", "entry_point": "one", "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}  # fmt: skip
SETS: dict[str, object] = {
    "blimp.jsonl.xz": [
        {"sentence_good": f"The cats {i} sleep.", "sentence_bad": f"The cats {i} sleeps.", "field": field, "UID": uid}
        for i in range(3) for field, uid in (("morphology", "agreement"), ("syntax/semantics", "tough_vs_raising"))
    ],
    "hellaswag_val.txt.xz": "Cooking: [header] She\n2\nis\nflies a plane.\ncooks an egg.\nno\nHe\n0\nruns.\nis\nhas\nas\n",
    "piqa_valid.jsonl.xz": [{"goal": "cut bread", "sol1": "with a knife", "sol2": "with a spoon", "label": 0}],
    "arc_easy_test.jsonl.xz": PLAIN, "arc_challenge_test.jsonl.xz": PLAIN, "openbookqa_test.jsonl.xz": PLAIN,
    "mmlu_dev.jsonl.xz": [{"subject": "abstract_algebra", **PLAIN[0]}],
    "winogrande_dev.jsonl.xz": [{"question": "Ann beat Bea so _ won the cup.", "choices": ["Ann", "Bea"], "label": 0}],
    "commonsenseqa_dev.jsonl.xz": [
        {"answerKey": "B", "question": {
            "stem": f"What is {i}?", "choices": [{"label": "A", "text": "a door"}, {"label": "B", "text": f"no {i}"}]}}
        for i in range(4)
    ],
    "tinystories_val_sample.txt.xz": "Spot ran.\n\nHe was happy.\n",
    "fairytaleqa_test.jsonl.xz": [
        {"story": "s", "sections": ["A king\nlived.", "He died."], "questions": [
            {"cor_section": "1", "question": "Who lived?", "answer1": "a king", "answer2": "the king", "answer4": ""}]}
    ],
    "qmsum_test.jsonl.xz": [
        {"meeting_transcripts": [{"speaker": "A", "content": "Hello."}, {"speaker": "B", "content": "Bye."}],
         "general_query_list": [{"query": "Sum it up.", "answer": "They greeted."}],
         "specific_query_list": [{"query": "What did A say?", "answer": "Hello.", "relevant_text_span": [["0", "0"]]}]}
    ],
    "svamp.json.xz": [{"Body": "He has 3 of 1,200 nuts", "Question": "How many are left?", "Answer": 1197.0}],
    "gsm8k_test.jsonl.xz": [{"question": "How many?", "answer": "2+2=<<2+2=4>>4\n#### 1,004"}],
    "humaneval.jsonl.xz": [HUMANEVAL],
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eval")
    for name, content in SETS.items():
        write_set(folder / name, content)
    return folder


def write_set(path: Path, content: object) -> None:
    if isinstance(content, list):
        text = json.dumps(content) if path.name == "svamp.json.xz" else "\n".join(map(json.dumps, content)) + "\n"
    else:
        text = str(content)
    path.write_bytes(lzma.compress(text.encode()))


class MadeModel:
    """Gives `good` texts probability 1 and all others little; writes what `answer` says."""

    name, sha256, context, rule_hash = "made", "0" * 64, 256, "f" * 64

    def __init__(self, good: Callable[[bytes], bool], answer: Callable[[bytes], bytes] = lambda prompt: b"") -> None:
        self.good, self.answer = good, answer
        self.scored = 0

    def log_probabilities(self, pairs: Sequence[Pair]) -> list[float]:
        self.scored += len(pairs)
        return [0.0 if self.good(before + after) else -100.0 for before, after in pairs]

    def document_bits(self, documents: Sequence[bytes], progress: Callable[[int], object] | None = None) -> list[float]:
        return [2.0 * len(document) for document in documents]

    def continuations(self, prompts: Sequence[bytes], max_bytes: int, stops: Sequence[bytes], sampling: Sampling) -> list[bytes]:
        return [self.answer(prompt)[:max_bytes] for prompt in prompts]


def measures(name: str, model: MadeModel, data: Path, limit: int = 0) -> list[Measure]:
    return evaluate.evaluate_tasks([suite.TASKS[name]], model, data, limit, 0, Results(None, model.name, model.sha256))[name]


def right_options(data: Path) -> set[bytes]:
    texts = set()
    for found in choices.CHOICE_SETS.values():
        for problem in found.read(data / found.file):
            before, after = problem.pairs()[problem.label]
            texts.add(before + after)
    return texts


@pytest.mark.parametrize("name", choices.CHOICE_SETS)
def test_multiple_choice_is_1_for_who_knows_and_0_for_who_cannot_choose(data: Path, name: str) -> None:
    right = right_options(data)
    for row in measures(name, MadeModel(right.__contains__), data):
        assert row["value"] == row["high"] == 1.0 and row["low"] < 1
        assert row["items"] == row["of"]
    # By the sum all options tie; per byte the longest would win, so only the sum is asked for.
    [raw, *_] = measures(name, MadeModel(lambda text: True), data)
    assert (raw["metric"], raw["value"]) == ("accuracy", 0.0)
    assert raw["chance"] == {"piqa": 0.5, "winogrande": 0.5, "winogrande_full": 0.5, "commonsenseqa": 0.5}.get(name, 0.25)


def test_formats_are_those_of_the_field(data: Path) -> None:
    first = {name: found.read(data / found.file)[0].pairs() for name, found in choices.CHOICE_SETS.items()}
    assert first["arc_easy"][0] == (b"Question: Why 0?\nAnswer:", b" because")
    assert first["piqa"][1] == (b"Question: cut bread\nAnswer:", b" with a spoon")
    assert first["hellaswag"][2] == (b"Cooking: She", b" cooks an egg.")
    assert first["winogrande"] == [(b"Ann beat Bea so Ann", b" won the cup."), (b"Ann beat Bea so Bea", b" won the cup.")]
    assert first["winogrande_full"][1] == (b"", b"Ann beat Bea so Bea won the cup.")
    assert first["mmlu"][0][0].startswith(b"The following are questions (with answers) about abstract algebra.\n\nQuestion: Why")


@pytest.mark.parametrize("kind", noise.KINDS)
@pytest.mark.parametrize(
    ("good", "bad"), [("The old cats sleep in a box.", "The old cats sleeps in a box."), ("What a b c", "What b c a"), ("aa", "aaa")]
)
def test_a_pair_differs_under_noise_where_it_did_before(kind: str, good: str, bad: str) -> None:
    random = np.random.default_rng(0)
    marked = robustness.with_noise_around(good, bad, lambda text: b"<" + noise.add_noise(text, kind, 0.5, random) + b">")
    found = [re.fullmatch(rb"(?s)(<.*?>)(.*)(<.*>)", text) for text in marked]
    (first, middle, end), (other_first, other_middle, other_end) = (match.groups() for match in found if match)
    assert first == other_first and end == other_end and middle != other_middle
    # The differing words are as they were, and nothing around them is lost.
    clean = robustness.with_noise_around(good, bad, str.encode)
    assert clean == (good.encode(), bad.encode())
    assert middle in good.encode() and other_middle in bad.encode()


def test_noise_stays_before_the_options(data: Path) -> None:
    found = choices.CHOICE_SETS["winogrande"]
    [problem] = found.read(data / found.file)
    noisy = problem.pairs(lambda text: text.upper().encode())
    assert noisy == [(b"ANN BEAT BEA SO Ann", b" won the cup."), (b"ANN BEAT BEA SO Bea", b" won the cup.")]


def test_the_space_before_an_option_is_not_of_its_length(data: Path) -> None:
    class Short(MadeModel):
        def log_probabilities(self, pairs: Sequence[Pair]) -> list[float]:
            return [-3.0 if after == b" no" else -7.0 for _, after in pairs]

    # -3 / 2 is less than -7 / 5; with the space counted, -3 / 3 would be more than -7 / 6.
    run = runner.Run("t", Short(bool), data, 0, 0, "", runner.Journal(None))
    problem = choices.question("Why?", ["no", "it is"], 1)
    raw, normalised = choices.answer(run, "", [problem], [problem.pairs()])
    assert (raw.tolist(), normalised.tolist()) == ([False], [True])


def test_blimp_ties_are_wrong_and_paradigms_count_alike(data: Path) -> None:
    assert {row["value"] for row in measures("blimp", MadeModel(lambda text: True), data)} == {0.0}
    knows = measures("blimp", MadeModel(lambda text: text.endswith(b"sleep.")), data)
    assert {row["value"] for row in knows} == {1.0}
    parts = [row["part"] for row in knows]
    assert parts == ["", "field morphology", "field syntax_semantics", "paradigm agreement", "paradigm tough_vs_raising"]
    assert knows[0]["high"] == 1.0 and 0.5 < knows[0]["low"] < 1


def arithmetic_answer(prompt: bytes) -> bytes:
    return f" {eval(re.search(rb'What is (.*)[?]', prompt)[1])}.".encode()  # type: ignore[index]


def string_answer(prompt: bytes) -> bytes:
    asked = prompt.decode()
    if found := re.search(r"Spell (\w+)", asked):
        return f" {'-'.join(found[1])}".encode()
    if found := re.search(r"the word (\w+) backwards", asked):
        return f" {found[1][::-1]}".encode()
    if found := re.search(r"How many letters are in the word (\w+)", asked):
        return f" There are {len(found[1])}.".encode()
    found = re.search(r"does (\w) appear in (\w+)", asked)
    return f" {found[2].count(found[1])}".encode()  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "metric", "answer"),
    [
        ("arithmetic", "exact_match", arithmetic_answer),
        ("strings", "exact_match", string_answer),
        ("svamp", "exact_match", lambda prompt: b" 1,197 nuts"),
        ("gsm8k", "exact_match", lambda prompt: b" First 3, then 5.\n#### 1004"),
        ("humaneval", "pass@1", lambda prompt: b"    return 1\n"),
        ("fairytaleqa", "token_f1", lambda prompt: b" The king!"),
        ("qmsum", "rouge_l", lambda prompt: b" Hello." if b"What did" in prompt else b" They greeted."),
    ],
)
def test_written_answers_are_compared(data: Path, name: str, metric: str, answer: Callable[[bytes], bytes]) -> None:
    known = [row for row in measures(name, MadeModel(lambda text: True, answer), data, limit=5) if row["metric"] == metric]
    assert known and {row["value"] for row in known} == {1.0}
    wrong = [
        row for row in measures(name, MadeModel(lambda text: True, lambda prompt: b" nothing"), data, limit=5) if row["metric"] == metric
    ]
    assert {row["value"] for row in wrong} == {0.0}


def test_always_the_same_answer_about_letters_is_worth_its_chance(data: Path) -> None:
    for kind, answers, most in (("count letters", range(3, 11), 0.13), ("count a letter", range(4), 0.25)):
        for answer in answers:
            rows = measures("strings", MadeModel(bool, lambda prompt, answer=answer: b" %d" % answer), data)
            [row] = [row for row in rows if row["part"] == kind]
            assert row["chance"] == most and row["value"] in (most, round(most - 0.01, 2))
    assert all(row["chance"] < 0.1 for row in measures("strings", MadeModel(bool), data) if not row["part"].startswith("count"))


def test_reading_asks_after_the_part_it_is_about(data: Path) -> None:
    asked = []
    measures("qmsum", MadeModel(lambda text: True, lambda prompt: asked.append(prompt) or b"x"), data)
    assert asked[1] == b"A: Hello.\n\nQuestion: What did A say?\nAnswer:" and b"B: Bye." in asked[0]
    asked.clear()
    measures("fairytaleqa", MadeModel(lambda text: True, lambda prompt: asked.append(prompt) or b"x"), data)
    assert asked == [b"A king lived.\n\nQuestion: Who lived?\nAnswer:"]


def test_bits_per_byte_of_stories(data: Path) -> None:
    [row] = measures("tinystories", MadeModel(lambda text: True), data)
    assert (row["metric"], row["value"]) == ("bits_per_byte", 2.0)
    text = "\n\n".join(f"Paragraph {i} of a story." for i in range(3000))
    assert "".join(stories.pieces(text)).strip() == text
    assert all(len(piece) >= stories.PIECE_BYTES for piece in stories.pieces(text)[:-1])


def test_patterns_show_solved_examples_and_no_word_twice(data: Path) -> None:
    prompt, (expected, *wrong) = few_shot.pattern_prompt(
        "swap", 4, runner.Run("t", MadeModel(bool), data, 0, 0, "", runner.Journal(None)).random("x")
    )
    examples = re.findall(r"Input: (\w+) (\w+)\nOutput: (\w+) (\w+)\n\n", prompt)
    assert len(examples) == 4 and all((a, b) == (d, c) for a, b, c, d in examples)
    [asked] = re.findall(r"Input: (\w+ \w+)\nOutput:$", prompt)
    assert expected.split() == asked.split()[::-1] and len({expected, *wrong}) == 4
    words = [word for a, b, _, _ in examples for word in (a, b)] + asked.split()
    assert len(set(words)) == len(words) and len(set(few_shot.WORDS)) == len(few_shot.WORDS) >= 27


def test_patterns_are_chosen_and_written_by_who_knows_them(data: Path) -> None:
    rows = measures("patterns", MadeModel(lambda text: True, lambda prompt: b""), data, limit=2)
    assert {row["value"] for row in rows} == {0.0}

    def twice(text: bytes) -> bool:
        return re.search(rb"Input: (\w+)\nOutput: \1 \1$", text) is not None

    knows = MadeModel(twice, lambda prompt: b" " + re.findall(rb"\w+", prompt)[-2])
    found = {(row["part"], row["metric"]): row["value"] for row in measures("patterns", knows, data, limit=2)}
    assert found["twice, 4 shots", "accuracy_norm"] == 1.0 and found["swap, 4 shots", "accuracy_norm"] == 0.0
    assert found["copy, 1 shots", "exact_match"] == 1.0 and found["twice, 1 shots", "exact_match"] == 0.0


def test_shots_are_other_items_of_the_set(data: Path) -> None:
    seen: list[bytes] = []
    rows = measures("few_shot", MadeModel(lambda text: seen.append(text) or text.rpartition(b"Question: ")[2] in endings(data)), data)
    assert {row["value"] for row in rows} == {1.0}
    for text in seen:
        questions = re.findall(rb"Question: (.*)\n", text)
        assert len(set(questions)) == len(questions)
    assert max(text.count(b"Question:") for text in seen) == 6  # five others in the set of six


def endings(data: Path) -> set[bytes]:
    return {text.removeprefix(b"Question: ") for text in right_options(data)}


def test_robustness_keeps_all_without_harm_and_little_with(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "SETS", ("arc_easy",))
    # A set of six is too small to be above chance.
    monkeypatch.setattr(choices, "read_lines", lambda path, read=choices.read_lines: read(path) * 20)
    right = right_options(data)
    rows = {(r["part"], r["metric"]): r for r in measures("robustness", MadeModel(right.__contains__), data)}
    assert rows["arc_easy", "accuracy"]["value"] == 1.0
    # The made model knows clean text only, and a tie is wrong: what is noisy is lost.
    noisy, kept = rows["arc_easy, case 10%", "accuracy"]["value"], rows["arc_easy, case 10%", "kept"]["value"]
    assert noisy < 1 and kept == pytest.approx((noisy - 0.25) / 0.75, abs=1e-4)
    assert rows["arc_easy, case 1%", "kept"]["value"] > kept
    assert {part.partition(", ")[2] for part, _ in rows} == {"", *(f"{k} {r:.0%}" for k in noise.KINDS for r in noise.RATES)}


def test_repetition_and_distinct() -> None:
    assert samples.repeated(["a", "b", "c", "d", "a", "b", "c", "d"]) == pytest.approx(1 / 5)
    assert samples.repeated(["a", "b", "c"]) == 0.0
    assert samples.distinct(["a", "a", "a", "b"], 1) == 0.5 and samples.distinct(["a", "b"], 3) == 0.0
    assert overlap.rouge_l("the cat sat on a mat", "a cat on the mat") == pytest.approx(2 * 3 / 11)
    assert overlap.rouge_l("", "") == overlap.rouge_l("...", "a cat") == 0.0 and overlap.rouge_l("the", "the") == 1.0
    assert overlap.token_f1("a cat", "the cat") == 1.0
    assert overlap.token_f1("mat cat", "cat mat dog") == pytest.approx(0.8)


def settings(tmp_path: Path, data: Path, name: str = "report.json") -> tuple[Path, Callable[[MadeModel], None]]:
    path = tmp_path / name
    tasks = [suite.TASKS[task] for task in ("blimp", "arc_easy", "samples")]
    return path, lambda model: evaluate.evaluate_tasks(tasks, model, data, 0, 0, Results(path, model.name, model.sha256)) and None


def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_PAIRS", 5)

    class Stopping(MadeModel):
        def log_probabilities(self, pairs: Sequence[Pair]) -> list[float]:
            if self.scored >= 20:
                raise KeyboardInterrupt
            return super().log_probabilities(pairs)

    def good(text: bytes) -> bool:
        return sum(text) % 3 > 0

    whole, run_whole = settings(tmp_path, data, "whole.json")
    run_whole(MadeModel(good))
    path, run = settings(tmp_path, data)
    first = Stopping(good)
    with pytest.raises(KeyboardInterrupt):
        run(first)
    # A kill in the middle of a line costs that line only.
    journal = tmp_path / "report.json.unfinished"
    journal.write_text(journal.read_text() + '{"key": "cut')
    second = MadeModel(good)
    run(second)
    assert first.scored == 20 and second.scored == 12 + 24 - first.scored
    assert path.read_bytes() == whole.read_bytes()
    assert not journal.exists()
    third = MadeModel(good)
    run(third)
    assert third.scored == 0


def test_a_chunk_holds_whole_questions() -> None:
    pairs = [(question, b"%d" % i) for question in (b"a", b"b", b"c") for i in range(4)] + [(b"d", b"%d" % i) for i in range(9)]
    chunks = runner.whole_questions(pairs, 6)
    assert [len(chunk) for chunk in chunks] == [4, 4, 4, 9] and [pair for chunk in chunks for pair in chunk] == pairs
    assert [len(chunk) for chunk in runner.whole_questions(pairs, 8)] == [8, 4, 9]
    assert [len(chunk) for chunk in runner.whole_questions([(b"", b"whole")] * 9, 4)] == [4, 4, 1]
    assert runner.whole_questions([], 4) == []


def test_another_file_or_another_set_is_measured_again(tmp_path: Path, data: Path) -> None:
    path, run = settings(tmp_path, data)
    run(MadeModel(lambda text: True))
    other = MadeModel(lambda text: True)
    other.sha256 = "1" * 64
    run(other)
    assert other.scored == 36
    assert json.loads(path.read_text())["model"]["sha256"] == other.sha256
    copy = tmp_path / "sets"
    copy.mkdir()
    for file in data.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    write_set(copy / "arc_easy_test.jsonl.xz", PLAIN[:2])
    _, run_copy = settings(tmp_path, copy)
    changed = MadeModel(lambda text: True)
    changed.sha256 = other.sha256
    run_copy(changed)
    assert changed.scored == 8


def test_the_same_file_read_otherwise_is_measured_again(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, run = settings(tmp_path, data)
    first, other_context, other_rule, other_protocol = (MadeModel(lambda text: True) for _ in range(4))
    run(first)
    other_context.context = 128
    run(other_context)
    other_rule.rule_hash = "e" * 64
    run(other_rule)
    monkeypatch.setattr(runner, "PROTOCOL", runner.PROTOCOL + 1)
    run(other_protocol)
    assert [model.scored for model in (first, other_context, other_rule, other_protocol)] == [36] * 4


def test_a_limit_takes_a_seeded_sample_of_every_paradigm(data: Path) -> None:
    rows = measures("arc_easy", MadeModel(lambda text: True), data, limit=2)
    assert {(row["items"], row["of"]) for row in rows} == {(2, 6)}
    assert next((row["items"], row["of"]) for row in measures("blimp", MadeModel(bool), data, limit=2)) == (2, 6)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("piqa_valid.jsonl.xz", [{"goal": "g", "sol1": "a", "label": 0}], "piqa_valid.jsonl.xz, line 1: no field 'sol2'"),
        ("piqa_valid.jsonl.xz", [{"goal": "g", "sol1": "a", "sol2": "b", "label": 2}], "line 1: field 'label' is 2"),
        ("piqa_valid.jsonl.xz", [{"goal": 3, "sol1": "a", "sol2": "b", "label": 0}], "line 1: field 'goal' is no text"),
        ("piqa_valid.jsonl.xz", "{", "line 1: not JSON"),
        ("hellaswag_val.txt.xz", "one\n2\n", "hellaswag_val.txt.xz: 2 lines, not six an item"),
        ("winogrande_dev.jsonl.xz", [{"question": "none", "choices": ["a", "b"], "label": 0}], "field 'question' has no blank"),
    ],
)
def test_a_damaged_set_is_one_clear_line(tmp_path: Path, file: str, content: object, complaint: str) -> None:
    write_set(tmp_path / file, content)
    task = next(task for task in suite.TASKS.values() if task.files == (file,))
    with pytest.raises(ValueError, match=re.escape(complaint)):
        measures(task.name, MadeModel(bool), tmp_path)
    (tmp_path / file).write_bytes(b"no xz")
    with pytest.raises(ValueError, match=f"{file}: damaged"):
        measures(task.name, MadeModel(bool), tmp_path)


def command(*given: object) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.main(parser.parse_args([*map(str, given)]))


def test_the_command_measures_writes_and_refuses(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_artifact(tmp_path, random_model())
    folder = ["--eval-data", data]
    for given, complaint in (
        (["--tasks", "blump", *folder], "no task 'blump'"),
        (["--tasks", ",", *folder], "names no task"),
        (["--tasks", "heldout", *folder], "--heldout"),
        (["--tasks", "blimp", "--eval-data", tmp_path], f"{tmp_path}/blimp.jsonl.xz: this evaluation set is missing (task blimp"),
        (["--tasks", "blimp", "--write", *folder], "no held-out figures yet"),
    ):
        assert command(tmp_path, *given) == 1
        captured = capsys.readouterr()
        assert complaint in captured.err and captured.out == "", "refused before the work"
    manifest = load_manifest(tmp_path)
    manifest["evaluation"] = {"command": "c", "date": "d", "bitsPerByte": [{"domain": "a", "bytes": 9, "bitsPerByte": 2.0}], "mean": 2.0}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(evaluate, "measure_golden", lambda runtime: {"prompt": "p", "ids": [97]})
    assert command(tmp_path, "--tasks", "arc_easy,winogrande", "--write", *folder) == 0
    assert "arc_easy" in capsys.readouterr().out
    assert all("of" not in figure for figure in load_manifest(tmp_path)["evaluation"]["tasks"])
    assert command(tmp_path, "--tasks", "blimp", "--write", "--limit", "2", *folder) == 0
    evaluation = load_manifest(tmp_path)["evaluation"]
    assert [figure["task"] for figure in evaluation["tasks"]] == ["blimp", "arc_easy", "arc_easy", "winogrande"]
    assert (evaluation["tasks"][0]["items"], evaluation["tasks"][0]["of"]) == (2, 6), "a sample says so"
    assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in evaluation["tasks"])
    assert documents.mean_of(evaluation["bitsPerByte"]) == 2.0
    assert (evaluation["command"], evaluation["date"]) == ("c", "d"), "held-out text was not measured again"


def test_figures_keep_the_command_that_measured_them() -> None:
    rows: list[DomainBits] = [{"domain": "a", "bytes": 9, "bitsPerByte": 2.0}]

    def figure(task: str) -> TaskFigure:
        return {"task": task, "metric": "accuracy", "value": 0.5, "low": 0.4, "high": 0.6, "items": 9}

    first = evaluate.updated(None, rows, [figure("piqa")], "all", "day 1")
    assert (first["command"], first["tasksCommand"], first["tasksDate"]) == ("all", "all", "day 1")
    second = evaluate.updated(first, [], [figure("blimp")], "blimp", "day 2")
    assert (second["command"], second["date"]) == ("all", "day 1")
    assert (second["tasksCommand"], second["tasksDate"]) == ("all\nblimp", "day 2")
    third = evaluate.updated(second, rows, [], "heldout", "day 3")
    assert (third["command"], third["date"]) == ("heldout", "day 3")
    assert (third["tasksCommand"], third["tasksDate"]) == ("all\nblimp", "day 2")
    assert evaluate.updated(second, [], second["tasks"], "tasks", "day 3")["tasksCommand"] == "tasks"


def test_figures_of_a_task_that_exists_no_longer_stand_last() -> None:
    rows: list[DomainBits] = [{"domain": "a", "bytes": 9, "bitsPerByte": 2.0}]
    gone: TaskFigure = {"task": "gone, x", "metric": "accuracy", "value": 0.5, "low": 0.4, "high": 0.6, "items": 9}
    earlier = evaluate.updated(None, rows, [gone], "c", "d")
    assert [f["task"] for f in evaluate.updated(earlier, [], [{**gone, "task": "samples"}], "c", "d")["tasks"]] == ["samples", "gone, x"]
