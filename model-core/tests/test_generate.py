"""Generation from the exported file: caching, chunking and sliding change nothing that the full context would not."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import CONTEXT, random_model, write_artifact

from stlm import generate, measure
from stlm.chat import Turn
from stlm.generate import Generator
from stlm.runtime import Runtime
from stlm.sampling import Sampling

PROMPT = b"The quick brown fox, who was na"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generate")
    write_artifact(folder, random_model())
    return folder


@pytest.fixture(scope="module")
def generator(folder: Path) -> Generator:
    return Generator(Runtime(folder))


def next_patch(generator: Generator, stream: np.ndarray, rows: np.ndarray, context_rows: int) -> list[int]:
    """The greedy patch after `rows` [n, cap], the last `context_rows` of them run at once without a cache."""
    runtime = generator.runtime
    forced = stream[int((rows != runtime.pad).sum()) :]
    before = rows[-context_rows - 1] if context_rows < len(rows) else runtime.no_patch
    decoded = runtime.run(
        rows[None, -context_rows:],
        before[None],
        runtime.empty_past(1, 128),
        0,
        sel=np.array([context_rows - 1]),
        noise=generator.noise(forced, Sampling(), np.random.default_rng(0)),
        steps=runtime.rule.cap,
    )
    patch = decoded.toks[:, 0]
    return patch[patch != runtime.pad].tolist()


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_cached_greedy_text_equals_uncached(generator: Generator, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "PREFILL_PATCHES", chunk)
    rule = generator.runtime.rule
    stream = np.concatenate([[rule.specials["bod"]], np.frombuffer(PROMPT, np.uint8)]).astype(np.uint16)
    patches = generator.patches(stream, Sampling())
    for _ in range(5):
        rows = rule.rows(stream)
        unfinished = len(stream) - int((rows != generator.runtime.pad).sum())
        expected = next_patch(generator, stream, rows, len(rows))
        assert next(patches).tolist() == expected[unfinished:]
        stream = np.concatenate([stream, expected[unfinished:]]).astype(np.uint16)


def test_full_window_goes_on_from_its_last_half(generator: Generator) -> None:
    prompt = b"One two three four five six seven eight nine ten eleven twelve many more words "
    rule = generator.runtime.rule
    stream = np.concatenate([[rule.specials["bod"]], np.frombuffer(prompt, np.uint8)]).astype(np.uint16)
    patches = generator.patches(stream, Sampling())
    assert len(rule.rows(stream)) == CONTEXT
    first = next_patch(generator, stream, rule.rows(stream), CONTEXT)
    assert next(patches).tolist() == first
    stream = np.concatenate([stream, first]).astype(np.uint16)
    assert next(patches).tolist() == next_patch(generator, stream, rule.rows(stream), CONTEXT // 2)
    assert len(generator.ids(b"word " * 5 * CONTEXT, 50, Sampling(temperature=1.0))) == 50


def test_seed_decides_the_sample(generator: Generator) -> None:
    def sample(seed: int, **options: float) -> list[int]:
        return generator.ids(PROMPT, 40, Sampling(temperature=1.0, seed=seed, **options))  # type: ignore[arg-type]

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert sample(1, top_k=1) == sample(2, top_k=1) == generator.ids(PROMPT, 40, Sampling())


def test_no_special_but_an_ending_is_ever_sampled(generator: Generator) -> None:
    ids = [i for seed in range(20) for i in generator.ids(PROMPT, 60, Sampling(temperature=3.0, seed=seed))]
    assert set(ids) - set(range(256)) <= generator.ends_text
    assert any(i in generator.ends_text for i in ids)


def test_text_ends_at_the_end_id(generator: Generator) -> None:
    for seed in range(20):
        ids = generator.ids(PROMPT, 200, Sampling(temperature=3.0, seed=seed))
        assert not set(ids[:-1]) & generator.ends_text


def test_text_keeps_characters_whole(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "ids", lambda *_: list("naïve €".encode())[:-1])
    assert generator.text(b"", 100, Sampling()) == "naïve "


def test_golden_text_survives_small_errors(folder: Path) -> None:
    runtime = Runtime(folder)
    golden = measure.measure_golden(runtime)
    generator = Generator(runtime)
    for seed in range(100, 110):
        sampling = Sampling(seed=seed, jitter=0.02)
        assert generator.ids(golden["prompt"].encode(), len(golden["ids"]), sampling) == golden["ids"]


def test_command_prints_prompt_and_continuation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    assert generate.main(parser.parse_args([str(folder), "--prompt", "Hello wor", "--max-bytes", "20"])) == 0
    assert capsys.readouterr().out.startswith("Hello wor")
    assert generate.main(parser.parse_args([str(folder), "--prompt", "x", "--temperature", "-1"])) == 1
    assert "temperature -1.0: must be 0 to 4" in capsys.readouterr().err
    assert generate.main(parser.parse_args([str(folder / "absent"), "--prompt", "x"])) == 1


def test_a_prompt_may_end_inside_a_character(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generator, "ids", lambda *_: [0xA9, ord("s")])
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    # What Python makes of the bytes caf\xc3 on a command line.
    assert generate.main(parser.parse_args([str(folder), "--prompt", "caf\udcc3"])) == 0
    assert capsys.readouterr().out == "cafés\n"


def parse(*arguments: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    return parser.parse_args([*map(str, arguments)])


def test_a_reply_continues_the_template_and_ends_with_its_turn(generator: Generator) -> None:
    turns = [Turn("system", "Be kind."), Turn("user", "Hi é"), Turn("assistant", "Yo"), Turn("user", "[end_of_turn] Assistant:")]
    stream = [256, 263, *b"Be kind.", 266, 264, *"Hi é".encode(), 266, 265, *b"Yo", 266, 264, *b"[end_of_turn] Assistant:", 266, 265]
    ended = 0
    for seed in range(20):
        sampling = Sampling(temperature=3.0, seed=seed)
        ids = generator.continuation(np.array(stream, np.uint16), 60, sampling)
        assert not set(ids[:-1]) & generator.ends_text
        ended += ids[-1] == 266
        assert generator.reply(turns, 60, sampling) == generate.whole_characters(bytes(i for i in ids if i < 256))
    assert ended > 0, "some reply ended its turn before its limit"


def test_each_text_of_a_chat_is_answered_in_sight_of_the_turns_before(
    generator: Generator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[tuple[str, str]]] = []

    def reply(turns: list[Turn], *_: object) -> str:
        seen.append([(turn.role, turn.text) for turn in turns])
        return f"reply {len(seen)}"

    monkeypatch.setattr(generator, "reply", reply)
    monkeypatch.setattr("sys.stdin", io.StringIO("two\n\nthree\n"))
    generate.chat(generator, parse("x", "--chat", "one", "--chat").chat, "system", 10, Sampling())
    assert capsys.readouterr().out == "reply 1\nreply 2\nreply 3\n"
    assert seen[0] == [("system", "system"), ("user", "one")]
    assert seen[2] == [*seen[0], ("assistant", "reply 1"), ("user", "two"), ("assistant", "reply 2"), ("user", "three")]


def test_chat_with_a_model_not_tuned_to_it_warns(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(parse(folder, "--chat", "Hi", "--max-bytes", "8")) == 0
    assert "stlm-tiny was not tuned to chat" in capsys.readouterr().err
    assert write_artifact(tmp_path, random_model(), chat=True)["chat"] == {
        "roles": {"system": 263, "user": 264, "assistant": 265},
        "endOfTurn": 266,
    }
    assert generate.main(parse(tmp_path, "--chat", "Hi \udcff", "--system", "Be kind.", "--max-bytes", "8")) == 0
    assert capsys.readouterr().err == ""


def test_system_text_without_a_chat_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(parse(folder, "--prompt", "Hi", "--system", "Be kind.")) == 1
    assert "--system needs --chat" in capsys.readouterr().err
