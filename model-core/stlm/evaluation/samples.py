"""Does the text repeat itself? Sampled from fixed prompts, at fixed settings and seeds.

`repeated_4_words` and `repeated_4_bytes`: the share of 4-grams that came before in the same text. `distinct_n`: different
n-grams of words over all of them (Li et al. 2016). Both depend on length, so every text has the same number of bytes at most.
"""

from __future__ import annotations

from collections.abc import Sequence

from stlm.evaluation.runner import Run
from stlm.evaluation.statistics import Measure, mean, measure
from stlm.sampling import Sampling

BYTES = 400
TEMPERATURE, TOP_P = 0.8, 0.95
PROMPTS = (
    "Once upon a time there was a little girl who ",
    "The city is the capital of ",
    "He looked at the letter, and then ",
    "Photosynthesis is the process by which ",
    "Hi, how are you today?\n",
    "The old house stood at the end of ",
    "In the year 1850, the ",
    "To make a good soup, first ",
    "\"I do not know,\" said the old man, ",
    "The river flows from the mountains to ",
    "She had never seen anything so ",
    "A computer program is ",
    "My favourite animal is ",
    "The war began when ",
    "It was raining, so the children ",
    "Water is made of ",
    "The king had three sons, and ",
    "When you apply for a passport, you must ",
    "The dog ran into the garden and ",
    "Music is one of the ",
)  # fmt: skip


def repeated(items: Sequence[object], n: int = 4) -> float:
    """Share of n-grams that came before; 0 for a text too short to have two."""
    grams = [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct(items: Sequence[object], n: int) -> float:
    """Different n-grams over all; 0 for a text that has none."""
    return 1 - repeated(items, n) if len(items) >= n else 0.0


def run_samples(run: Run) -> list[Measure]:
    measures = []
    greedy, sampled = Sampling(seed=run.seed), Sampling(TEMPERATURE, TOP_P, seed=run.seed)
    for name, sampling in (("sampled", sampled), ("greedy", greedy)):
        texts = run.continuations(name, [prompt.encode() for prompt in PROMPTS], BYTES, [], sampling)
        words = [text.split() for text in texts]
        values = {
            "repeated_4_words": [repeated(w) for w in words],
            "repeated_4_bytes": [repeated(text) for text in texts],
            **{f"distinct_{n}": [distinct(w, n) for w in words] for n in (1, 2, 3)},
        }
        for metric, found in values.items():
            headline = metric in ("repeated_4_words", "distinct_2") and name == "sampled"
            measures.append(measure("samples", metric, mean(found), len(texts), len(PROMPTS), part=name, headline=headline))
    return measures
