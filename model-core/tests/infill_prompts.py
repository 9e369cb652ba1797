"""Writes test/fixtures/infill-prompts.json: gaps and the ids that ask for their middles, for the TypeScript tests.

Run after a change of `infill_prompt`: `.venv/bin/python tests/infill_prompts.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

from stlm.infill import infill_prompt
from stlm.patch import PatchRule

PROMPTS = Path(__file__).parents[2] / "test" / "fixtures" / "infill-prompts.json"
GAPS = [
    ("", ""),
    ("", "the end"),
    ("unfini", "shed."),
    ("one ", "two"),
    ("one two thr", "ee."),
    ("a b ", " c"),
    ("  \n", "\n"),
    ("It's naïve – “日本", "語” said one."),
    ("antidisestablishmentarianis", "m"),
    ("def f(x):\n    return ", "\n\nprint(f(2))"),
    ("antidisestab ", "…"),
]


def prompts() -> str:
    rule = PatchRule.load()
    cases = [{"prefix": p, "suffix": s, "ids": infill_prompt(p.encode(), s.encode(), rule).tolist()} for p, s in GAPS]
    return "[\n " + ",\n ".join(map(json.dumps, cases)) + "\n]\n"


if __name__ == "__main__":
    PROMPTS.write_text(prompts(), encoding="utf-8")
