"""How much of a reference a free answer has: token F1 as SQuAD defines it (Rajpurkar et al. 2016), ROUGE-L (Lin 2004)."""

from __future__ import annotations

import re
from collections import Counter


def tokens(text: str) -> list[str]:
    """Lower case, letters and digits."""
    return re.findall(r"[a-z0-9]+", text.lower())


def token_f1(answer: str, reference: str) -> float:
    """0 to 1; articles are left out, as SQuAD's script does, and two texts without a token are the same."""
    a, b = ([word for word in tokens(text) if word not in ("a", "an", "the")] for text in (answer, reference))
    return _f1((Counter(a) & Counter(b)).total(), len(a), len(b))


def rouge_l(answer: str, reference: str) -> float:
    """F-measure of the longest common subsequence of tokens, articles included, 0 to 1; an empty answer has 0."""
    a, b = tokens(answer), tokens(reference)
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for j, other in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return _f1(row[-1], len(a), len(b)) if a else 0.0


def _f1(common: int, first: int, second: int) -> float:
    return 2 * common / (first + second) if first + second else 1.0
