"""Contracts of a git ref, read from git alone."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from platform_defs.contracts import registry_file
from platform_defs.contracts.contract import Column
from platform_defs.contracts.errors import ContractErrors
from platform_defs.running.committed import Committed, NoSuchRef
from tests.fixtures.contracts import contract, event

ONE = contract("shop/sales", columns=(Column(name="a", type="INT"),))
TWO = contract("shop/sales", columns=(Column(name="b", type="INT"),))
OTHER = event("web/seen")

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    def run(*arguments: str) -> str:
        named = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", "-C", str(tmp_path), *named, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    run("init", "-q", "-b", "main")
    return run


@pytest.fixture
def assets(tmp_path: Path, git: Git) -> Path:
    """A checkout whose folder of domains changed twice."""
    folder = tmp_path / "below" / "assets"
    for contracts in ([ONE], [TWO, OTHER]):
        for each in contracts:
            (folder / each.domain).mkdir(parents=True, exist_ok=True)
            registry_file.write(folder / each.domain, [each])
        git("add", ".")
        git("commit", "-qm", "a change")
    return folder


def test_the_contracts_of_any_ref(assets: Path, git: Git) -> None:
    assert Committed(assets, "HEAD").contracts() == {"shop/sales": TWO, "web/seen": OTHER}
    assert Committed(assets, "main~1").contracts() == {"shop/sales": ONE}
    assert Committed(assets, git("rev-parse", "HEAD")).commit == git("rev-parse", "HEAD")


def test_what_keys_were_before(assets: Path) -> None:
    assert Committed(assets, "HEAD").earlier(["shop/sales", "web/seen", "none/here"]) == {"shop/sales": [ONE]}


def test_a_domain_that_was_removed_and_came_back(assets: Path, git: Git) -> None:
    git("rm", "-rq", "below/assets/shop")
    git("commit", "-qm", "gone")
    assert "shop/sales" not in Committed(assets, "HEAD").contracts()
    assert Committed(assets, "HEAD").earlier(["shop/sales"]) == {"shop/sales": [TWO, ONE]}


@pytest.mark.parametrize("ref", ["nowhere", "--help", "", "HEAD~99"])
def test_an_unknown_ref_is_named(assets: Path, ref: str) -> None:
    with pytest.raises(NoSuchRef, match=r"is no commit git knows; write `deployed` or a git ref, as in --against main"):
        Committed(assets, ref)


def test_outside_git_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoSuchRef, match="is in no git checkout"):
        Committed(tmp_path, "HEAD")


def test_a_file_that_holds_none_is_named(assets: Path, git: Git) -> None:
    (assets / "web" / "contracts.json").write_text("{}")
    git("commit", "-qam", "broken")
    with pytest.raises(ContractErrors, match=r"web/contracts\.json of [0-9a-f]{12}"):
        Committed(assets, "HEAD").contracts()
