"""Applied copies: a saved file changes nothing until it is activated, and then all at once."""

import os
from pathlib import Path

import pytest

from platform_defs.build.snapshot import KEPT, activate, applied, applied_domains, snapshot, withdraw


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    folder = tmp_path / "assets" / "music"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "domain.py").write_text("domain = 1\n")
    (folder / "__pycache__" / "domain.pyc").write_bytes(b"x")
    return tmp_path / "assets"


def test_a_copy_is_in_force_only_once_activated(assets: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    taken = snapshot(home, assets, "music")
    assert applied(home, "music") is None
    assert applied_domains(home) == []
    activate(home, taken)
    assert applied(home, "music") == taken
    assert applied_domains(home) == ["music"]
    assert sorted(path.name for path in taken.folder.iterdir()) == ["domain.py"]
    assert (taken.root / "assets" / "__init__.py").is_file()


def test_a_saved_file_changes_nothing_that_is_in_force(assets: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    activate(home, snapshot(home, assets, "music"))
    (assets / "music" / "domain.py").write_text("domain = \n")
    broken = snapshot(home, assets, "music")
    now = applied(home, "music")
    assert now is not None
    assert now.digest != broken.digest
    assert (now.folder / "domain.py").read_text() == "domain = 1\n"


def test_the_same_files_are_one_copy(assets: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert snapshot(home, assets, "music") == snapshot(home, assets, "music")
    assert len(list((home / "applied" / "music").iterdir())) == 1


def test_content_cannot_hide_in_names(assets: Path, tmp_path: Path) -> None:
    one = snapshot(tmp_path / "home", assets, "music")
    (assets / "music" / "domain.py").write_text("domain = 1")
    (assets / "music" / "domain.pyx").write_text("\n")
    assert snapshot(tmp_path / "home", assets, "music") != one


def test_the_last_few_copies_stay_and_older_ones_go(assets: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for number in range(KEPT + 3):
        (assets / "music" / "domain.py").write_text(f"domain = {number}\n")
        taken = snapshot(home, assets, "music")
        activate(home, taken)
        os.utime(taken.root, (number, number))
    left = [path for path in (home / "applied" / "music").iterdir() if path.is_dir()]
    assert KEPT <= len(left) <= KEPT + 1
    assert taken.root in left


def test_a_missing_domain_is_named(assets: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="backline new domain video"):
        snapshot(tmp_path / "home", assets, "video")


@pytest.mark.parametrize("name", ["../x", "a/b", ""])
def test_a_name_cannot_leave_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a domain"):
        withdraw(tmp_path, name)


def test_a_withdrawn_domain_is_gone(assets: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    activate(home, snapshot(home, assets, "music"))
    withdraw(home, "music")
    withdraw(home, "music")
    assert applied_domains(home) == []
