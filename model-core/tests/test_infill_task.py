"""The task `infill`: the middle alone is scored, in the form that was trained, and who knows it gets everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_data import documents, write_corpus
from test_tasks import MadeModel
from tiny_artifact import CONTEXT, random_model, write_artifact

from stlm import evaluate
from stlm.evaluation import infill, suite
from stlm.evaluation.results import Results
from stlm.evaluation.scoring import open_scorer
from stlm.generate import Generator
from stlm.infill import Gap, infill_prompt
from stlm.patch import PatchRule
from stlm.runtime import Runtime
from stlm.sampling import Sampling

RULE = PatchRule.load()
GAPS = [Gap(b"The cat s", b"at on", b" the mat."), Gap(b"", b"On", b"ce more"), Gap(b"It was, ", b"in the end, n", b"")]


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model) -> Path:
    folder = tmp_path_factory.mktemp("artifact")
    write_artifact(folder, model, infill=True)
    return folder


@pytest.fixture(scope="module")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heldout")
    write_corpus(folder, {name: [b" ".join(documents(40, seed))] for seed, name in enumerate(("a", "b"))})
    return folder


def test_a_middle_is_scored_as_pytorch_does_after_prefix_and_suffix(folder: Path, model) -> None:
    scorer = open_scorer(folder)
    assert isinstance(scorer, infill.Infiller) and scorer.infills
    expected = []
    for gap in GAPS:
        prompt = infill_prompt(gap.prefix, gap.suffix, RULE)
        rows = RULE.rows(np.concatenate([prompt, [*gap.middle, RULE.specials["eod"]]]).astype(np.uint16))
        with torch.no_grad():
            logits, target = model(torch.from_numpy(rows[None].astype(np.int64)))
        chosen = logits.log_softmax(-1).gather(1, target[:, None])[:, 0]
        expected.append(chosen[-len(gap.middle) - 1 : -1].sum().item())
    np.testing.assert_allclose(scorer.gap_nats(GAPS), expected, atol=2e-3)


def test_what_is_written_into_a_gap_is_the_greedy_text_after_its_prompt(folder: Path) -> None:
    scorer = open_scorer(folder)
    assert isinstance(scorer, infill.Infiller)
    generator = Generator(Runtime(folder))
    for (text, ended), gap in zip(scorer.fill(GAPS, [9] * 3), GAPS, strict=True):
        ids = generator.continuation(infill_prompt(gap.prefix, gap.suffix, RULE), 10, Sampling())
        assert text == bytes(i for i in ids[:9] if i < 256)
        assert ended == (ids[-1] == RULE.specials["eod"])


def test_a_text_beyond_the_context_is_refused(folder: Path) -> None:
    scorer = open_scorer(folder)
    assert isinstance(scorer, infill.Infiller)
    with pytest.raises(ValueError, match=f"the context has {CONTEXT}"):
        scorer.gap_nats([Gap(b"word " * CONTEXT, b"word", b"")])


def test_gaps_have_text_around_them_and_lengths_of_their_class() -> None:
    random = np.random.default_rng(0)
    text = "Ünd – mit “Zeichen” 日本 ".encode() * 60
    for low, high in infill.CLASSES.values():
        for _ in range(100):
            gap = infill.cut_gap(text[: infill.PIECE_BYTES], low, high, random)
            assert low - 3 <= len(gap.middle) <= high + 4 and gap.middle
            assert len(gap.prefix) > 150 and len(gap.suffix) > 150
            gap.middle.decode()


class Filler(MadeModel):
    """Gives each byte of a middle one bit; `knows` writes it."""

    infills = True

    def __init__(self, *, knows: bool) -> None:
        super().__init__(lambda text: True)
        self.knows = knows

    def gap_nats(self, gaps: list[Gap]) -> list[float]:
        return [-np.log(2) * len(gap.middle) for gap in gaps]

    def fill(self, gaps: list[Gap], max_bytes: list[int]) -> list[tuple[bytes, bool]]:
        return [(gap.middle if self.knows else b"?" * most, self.knows) for gap, most in zip(gaps, max_bytes, strict=True)]


def figures(model: MadeModel, heldout: Path) -> dict[tuple[str, str], float]:
    results = Results(None, model.name, model.sha256)
    found = evaluate.evaluate_tasks([suite.TASKS["infill"]], model, heldout, 0, 0, results, heldout)["infill"]
    return {(row["metric"], row["part"]): row["value"] for row in found}


def test_who_knows_gets_everything_and_who_runs_on_nothing(heldout: Path) -> None:
    found = figures(Filler(knows=True), heldout)
    assert found["bits_per_byte", "between"] == 1 and found["bits_per_byte", "after the prefix"] == 0
    assert found["bits_saved_per_byte", "by the suffix"] == -1
    assert found["exact_match", infill.SHORT] == found["ended", infill.SHORT] == 1
    found = figures(Filler(knows=False), heldout)
    assert found["exact_match", infill.SHORT] == found["ended", infill.SHORT] == 0


def test_a_model_that_cannot_is_told_and_held_out_text_is_asked_for(heldout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert figures(MadeModel(lambda text: True), heldout) == {}
    assert "was trained to infill" in capsys.readouterr().err
    with pytest.raises(ValueError, match="--heldout: the task infill"):
        evaluate.evaluate_tasks([suite.TASKS["infill"]], Filler(knows=True), heldout, 0, 0, Results(None, "m", "0"), None)
