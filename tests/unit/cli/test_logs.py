"""`backline logs`: of a process its last lines, of a run all it left, and what to write where there is neither."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from platform_defs.cli.main import cli


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKLINE_HOME", str(tmp_path))
    (tmp_path / "logs" / "runs").mkdir(parents=True)
    (tmp_path / "logs" / "spark.log").write_text("".join(f"line {number}\n" for number in range(300)))
    (tmp_path / "logs" / "collector.log").write_text("sealed\n")
    return tmp_path


def logs(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, ["logs", *words])
    assert done.exit_code == code, done.output
    return done.output


def test_the_last_lines_of_a_process(home: Path) -> None:
    assert logs() == "collector\nspark\n"
    assert logs("spark", "-n", "2") == "line 298\nline 299\n"
    assert logs("spark").startswith("line 100\n")


def test_a_run_is_found_by_the_beginning_of_its_id(home: Path) -> None:
    (home / "logs" / "runs" / "3f2b9c51-aaaa.log").write_text("what intake kept to itself\n")
    captured = home / "dagster" / "compute_logs" / "3f2b9c51-aaaa" / "compute_logs"
    captured.mkdir(parents=True)
    (captured / "step.out").write_text("printed\n")
    (captured / "step.err").touch()
    assert logs("3f2b9c51").splitlines() == [
        "=== 3f2b9c51-aaaa.log (kept private: may hold raw values)",
        "what intake kept to itself",
        "=== step.out (captured)",
        "printed",
    ]


def test_what_is_neither_is_answered_with_what_there_is(home: Path) -> None:
    assert "nosuch is neither a process with a log (collector, spark) nor a run that left one" in logs("nosuch", code=1)
