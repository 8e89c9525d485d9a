"""What an apply refuses: breaking changes of what is in use, unless somebody decided; the rest it says in words."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from platform_defs.contracts.contract import Column, Contract
from platform_defs.running.applying import ApplyRefused, compared, git_ref
from tests.fixtures.contracts import contract

OLD = contract("a/x", columns=(Column(name="id", type="BIGINT"), Column(name="n", type="BIGINT")))
NARROWER = contract("a/x", columns=(Column(name="id", type="BIGINT"),))
WIDER = contract("a/x", columns=(*OLD.columns, Column(name="more", type="STRING", nullable=True)))


def judged(written: list[Contract], *allowed: str, used: bool = True) -> list[str]:
    return compared(written, {OLD.key: OLD}, allowed, lambda _: used)


def test_the_same_again_is_no_change() -> None:
    assert judged([OLD]) == []


def test_an_addition_is_told() -> None:
    assert judged([WIDER]) == ["a/x columns.more: added: null in partitions built before"]


@pytest.mark.parametrize(("written", "words"), [([NARROWER], r"a/x columns\.n: removed"), ([], "a/x it is no longer declared")])
def test_what_breaks_is_refused_with_the_way_to_decide_it(written: list[Contract], words: str) -> None:
    with pytest.raises(ApplyRefused, match=rf"Nothing was applied[\s\S]*{words}[\s\S]*apply --allow a/x$"):
        judged(written)


@pytest.mark.parametrize("written", [[NARROWER], []])
def test_what_is_decided_or_was_never_used_may_break(written: list[Contract]) -> None:
    assert judged(written, "a/x")
    assert judged(written, used=False)


def test_a_column_that_comes_back_as_something_else_is_refused() -> None:
    """Two harmless looking applies would leave a table whose column is of another type."""
    back = contract("a/x", columns=(*NARROWER.columns, Column(name="n", type="STRING")))

    def earlier(keys: Iterable[str]) -> dict[str, list[Contract]]:
        return {key: [OLD] for key in keys if key == OLD.key}

    with pytest.raises(ApplyRefused, match=r"a/x columns\.n: comes back as something else than the table holds: was BIGINT, is STRING"):
        compared([back], {OLD.key: NARROWER}, (), lambda _: True, earlier)
    with pytest.raises(ApplyRefused, match=r"a/x columns\.n: was BIGINT, is STRING"):
        compared([back], {}, (), lambda _: True, earlier)
    assert compared([OLD], {}, (), lambda _: True, earlier) == []


@pytest.mark.parametrize(
    "given", [{"retention_seconds": 1}, {"readers": ("group:x",)}, {"shared": True}, {"unique": ("id",)}, {"columns": (OLD.columns[0],)}], ids=str
)
def test_every_breaking_change_is_refused_unless_it_is_named(given: dict[str, object]) -> None:
    changed = OLD.model_copy(update=given)
    with pytest.raises(ApplyRefused, match=r"backline apply --allow a/x$"):
        judged([changed])
    assert judged([changed], "a/x")


def test_what_is_allowed_must_be_there() -> None:
    with pytest.raises(ApplyRefused, match=r"--allow a/y names no dataset; did you mean a/x\?"):
        judged([NARROWER], "a/y")


def test_git_ref_tells_commit_and_whether_the_files_differ(tmp_path: Path) -> None:
    assert git_ref(tmp_path) == "unversioned"

    def git(*arguments: str) -> str:
        named = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", "-C", str(tmp_path), *named, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "--short=12", "HEAD")
    assert git_ref(tmp_path) == commit
    (tmp_path / "file").write_text("2")
    assert git_ref(tmp_path) == f"{commit}+"
