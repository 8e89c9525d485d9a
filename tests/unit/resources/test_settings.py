"""Settings: written in one piece for their owner alone, read back, overridden by the environment, silent about passwords."""

import stat
from pathlib import Path

import pytest

from resources.settings import NotRunning, Settings, SettingsWrong, run_file


def settings(home: Path) -> Settings:
    return Settings(
        home=home,
        landing=str(home / "landing"),
        lake=str(home / "lake"),
        ledger_url="postgresql+psycopg2://u:hunter2@/ledger",
        vault_url="postgresql+psycopg2://vault:hunter2@/vault",
        storage_url="postgresql+psycopg2://u:hunter2@/dagster",
        spark_intake="sc://localhost:1/;token=hunter2",
        spark_lake="sc://localhost:1/;token=hunter2",
        collector_url="http://127.0.0.1:2",
        assets=home / "assets",
    )


def test_written_settings_are_read_back_and_private(tmp_path: Path) -> None:
    written = settings(tmp_path)
    path = written.write()
    assert Settings.load(tmp_path, environ={}) == written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    settings(tmp_path).write()
    assert Settings.load(tmp_path, environ={"BACKLINE_LEDGER_URL": "postgresql+psycopg2://else/ledger"}).ledger_url == "postgresql+psycopg2://else/ledger"


def test_environment_alone_is_enough(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    environ = {f"BACKLINE_{name.upper()}": str(value) for name, value in wanted.model_dump(exclude={"home", "processes", "dagster_url"}).items()}
    assert Settings.load(tmp_path, environ=environ) == wanted


def test_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match=r"Backline is not running: start it with \./backline up"):
        Settings.load(tmp_path, environ={})


def test_forgotten_settings_are_gone(tmp_path: Path) -> None:
    settings(tmp_path).write()
    Settings.forget(tmp_path)
    Settings.forget(tmp_path)
    with pytest.raises(NotRunning):
        Settings.load(tmp_path, environ={})


@pytest.mark.parametrize("text", ["{", '{"landing": "x"}', '{"nonsense": 1}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    run_file(tmp_path).parent.mkdir()
    run_file(tmp_path).write_text(text)
    with pytest.raises(SettingsWrong, match=r"run\.json"):
        Settings.load(tmp_path, environ={})


def test_no_password_or_token_in_repr_or_errors(tmp_path: Path) -> None:
    assert "hunter2" not in repr(settings(tmp_path))
    settings(tmp_path).write()
    run_file(tmp_path).write_text(run_file(tmp_path).read_text().replace('"processes": {}', '"processes": "hunter2"'))
    with pytest.raises(SettingsWrong, match="processes") as caught:
        Settings.load(tmp_path, environ={})
    assert "hunter2" not in str(caught.value)
