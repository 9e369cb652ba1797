"""The command line: every option of every command says what it is for, and Ctrl-C is no crash."""

from __future__ import annotations

import argparse
import importlib

import pytest

from stlm import __main__, plot


@pytest.mark.parametrize("command", __main__.COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    parser = argparse.ArgumentParser(prog=command)
    importlib.import_module(f"stlm.{command}").add_arguments(parser)
    assert [action.dest for action in parser._actions if not action.help] == []
    # Formats every text: a stray % in one is an error only here.
    assert parser.format_help()


def test_ctrl_c_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(args: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(plot, "main", interrupted)
    assert __main__.main(["plot", "metrics.jsonl", "--output", "loss.svg"]) == 130
    assert capsys.readouterr().err == "\nstlm plot: interrupted\n"
