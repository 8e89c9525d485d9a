"""The command line of the Spark server, as far as it depends on the machine and on how long the server is for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from platform_defs.running.java import Java
from platform_defs.running.spark_server import SparkServerSettings, command

FIRST_ONLY = "-XX:TieredStopAtLevel=1"


def options(tmp_path: Path, *, brief: bool) -> list[str]:
    settings = SparkServerSettings(folder=tmp_path, log=tmp_path / "spark.log", cores=2, brief=brief)
    return command(settings, Java(tmp_path / "java", 21, "JAVA_HOME"), tmp_path, [], 1234)


@pytest.mark.parametrize(
    ("cores", "brief", "first_only", "late"),
    [(2, True, True, False), (2, False, False, True), (64, True, False, False), (64, False, False, False)],
)
def test_few_cores_are_spared_the_second_compiler_for_minutes_and_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, brief: bool, first_only: bool, late: bool
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    given = options(tmp_path, brief=brief)
    assert (FIRST_ONLY in given) == first_only
    assert any(option.startswith("-XX:Tier4") for option in given) == late
