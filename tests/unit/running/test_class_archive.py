"""Where the archive of Spark's classes is and when a server is told of it. That Java takes it is shown by the benchmark of starts, not here."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from platform_defs.running import class_archive
from platform_defs.running.java import Java


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of jars; archives are kept below it."""
    monkeypatch.setattr(class_archive, "folder", lambda: tmp_path / "classes")
    (tmp_path / "jars").mkdir()
    for name in ("a", "b"):
        (tmp_path / "jars" / f"{name}.jar").write_text(name)
    return tmp_path


def classpath(place: Path) -> str:
    return f"{place}/jars/*{os.pathsep}{place}/more.jar"


def java(place: Path, script: str = "") -> Java:
    """A Java that does what the script says."""
    executable = place / "java"
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o700)
    return Java(executable, 21, "JAVA_HOME")


DUMP = r"""
for argument in "$@"; do case "$argument" in
  -XX:SharedArchiveFile=*) touch "${argument#*=}" ;;
  -XX:SharedClassListFile=*) wc -l < "${argument#*=}" > "$0.lines" ;;
esac; done
"""


def test_a_server_is_told_of_the_archive_once_it_is_made(place: Path) -> None:
    chosen = java(place, DUMP)
    assert class_archive.options(chosen, classpath(place), {}) == []
    assert class_archive.make(chosen, classpath(place), [])
    archive = class_archive.archive_of(chosen, classpath(place))
    assert f"-XX:SharedArchiveFile={archive}" in class_archive.options(chosen, classpath(place), {})
    assert int((place / "java.lines").read_text()) > 15_000
    assert [entry.name for entry in (place / "classes").iterdir()] == [archive.name]


def test_other_jars_need_another_archive_and_the_old_one_goes(place: Path) -> None:
    chosen = java(place, DUMP)
    assert class_archive.make(chosen, classpath(place), [])
    before = class_archive.archive_of(chosen, classpath(place))
    (place / "jars" / "a.jar").write_text("another")
    assert class_archive.options(chosen, classpath(place), {}) == []
    assert class_archive.make(chosen, classpath(place), [])
    assert not before.exists()
    assert class_archive.archive_of(chosen, classpath(place)).exists()


def test_a_dump_that_fails_leaves_nothing(place: Path) -> None:
    assert not class_archive.make(java(place, "exit 1"), classpath(place), [])
    assert list((place / "classes").iterdir()) == []


def test_what_a_killed_maker_left_goes(place: Path) -> None:
    left, now_at_it = place / "classes" / ".making-old", place / "classes" / ".making-now"
    for folder in (left, now_at_it):
        folder.mkdir(parents=True)
    os.utime(left, (0, 0))
    assert class_archive.make(java(place, DUMP), classpath(place), [])
    assert not left.exists()
    assert now_at_it.exists()


def test_recording_takes_the_place_of_the_archive(place: Path) -> None:
    chosen = java(place, DUMP)
    assert class_archive.make(chosen, classpath(place), [])
    assert class_archive.options(chosen, classpath(place), {class_archive.RECORD_VARIABLE: "/tmp/list"}) == ["-XX:DumpLoadedClassList=/tmp/list"]


def test_the_list_names_what_a_write_needs() -> None:
    classes = gzip.decompress(class_archive.CLASSES.read_bytes()).decode()
    for name in ("org/apache/spark/sql/connect/service/SparkConnectServer", "org/apache/spark/sql/delta/OptimisticTransaction", "io/delta/"):
        assert name in classes
