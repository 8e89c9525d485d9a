"""`backline test`: what pytest is started with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from platform_defs.cli.main import cli
from platform_defs.running.supervisor import CHECKOUT


class Started(BaseException):
    """Stands for the end of this process: pytest runs in its place."""


def started(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """The command line of pytest for these words."""
    found: list[str] = []

    def execv(_: str, command: list[str]) -> None:
        found.extend(command)
        raise Started

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setenv("PYTHONWARNINGS", "")
    with pytest.raises(Started):
        CliRunner().invoke(cli, ["test", *words], standalone_mode=False)
    return found


def workers(command: list[str]) -> str:
    """How many pytest starts: of an option that is said twice it takes the last."""
    return [command[place + 1] for place, word in enumerate(command) if word == "-n"][-1]


@pytest.mark.parametrize("words", [(), ("-x",), ("-k", "skip_rate")])
def test_the_whole_suite_has_two_workers(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    command = started(monkeypatch, *words)
    assert workers(command) == "2"
    assert command[-1 - len(words) :] == [*words, str(CHECKOUT / "tests")]


@pytest.mark.parametrize(("words", "expected"), [(("-n", "4"), "4"), (("--pdb",), "0"), (("-s", "-x"), "0"), (("--capture=no",), "0")])
def test_a_persons_own_word_wins(words: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers(started(monkeypatch, *words)) == expected


def test_what_is_named_runs_in_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = started(monkeypatch, f"{tmp_path}::test_one")
    assert workers(command) == "0"
    assert command[-1] == f"{tmp_path}::test_one"
