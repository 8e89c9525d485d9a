"""The command line as a whole: every command explains itself, errors name what to do, exit codes are 0, 1, 2, and `--help` is quick."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from platform_defs.cli.main import SUBS, LazyGroup, cli, main

# What `--help` may import beside the standard library. Each of the others costs more than the whole of it.
HEAVY = ("dagster", "pyspark", "pandera", "sqlalchemy", "pydantic", "rich", "psycopg2")


def commands() -> Iterator[tuple[str, click.Command]]:
    def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                inner = command.get_command(click.Context(command), name)
                assert inner is not None
                yield from walk(f"{path} {name}".strip(), inner)

    return walk("", cli)


@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0] or "backline") for each in commands()])
def test_every_command_shows_an_example(path: str, command: click.Command) -> None:
    shown = CliRunner().invoke(cli, [*path.split(), "--help"])
    assert shown.exit_code == 0
    if not isinstance(command, LazyGroup) or path == "":
        assert "backline" in shown.output.partition("Usage:")[2].partition("\n")[2]
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, f"{path} {parameter.name} says nothing of itself"


def test_help_lists_every_command_and_imports_none_of_them() -> None:
    script = (
        f"import sys; from platform_defs.cli.main import cli; cli.main(['--help'], standalone_mode=False); print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert all(f"\n  {name} " in shown for name in SUBS)


def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    from platform_defs.running.supervisor import CHECKOUT

    environment = {"BACKLINE_HOME": str(home), "PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}
    return subprocess.run([sys.executable, "-m", "platform_defs.cli", *arguments], capture_output=True, text=True, env=environment, cwd=CHECKOUT, check=False)


@pytest.mark.parametrize("command", [("status",), ("apply",), ("read", "charts/skip_rate"), ("send", "charts/x", "/dev/null")])
def test_what_needs_services_says_how_to_start_them(command: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*command, home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: Backline is not running: start it with ./backline up\n"


def test_down_without_anything_running_is_no_error(tmp_path: Path) -> None:
    done = run("down", home=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"Nothing runs in {tmp_path}.\n")


def test_what_is_not_understood_exits_with_2(tmp_path: Path) -> None:
    assert run("nonsense", home=tmp_path).returncode == 2
    assert run("read", home=tmp_path).returncode == 2


def test_an_unforeseen_error_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(cli, "main", broken)
    with pytest.raises(KeyError, match="nobody foresaw this"):
        main()


@pytest.fixture
def short_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home in force; pytest's own folders, named after the test, are near the longest path that a home may have."""
    with tempfile.TemporaryDirectory(prefix="backline-") as folder:
        monkeypatch.setenv("BACKLINE_HOME", folder)
        yield Path(folder)


def test_secrets_are_kept_private_and_never_shown(short_home: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(cli, ["secret", "set", "vendor"], input='{"user": "u", "password": "hunter2"}')
    assert done.exit_code == 0
    assert (short_home / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((short_home / "secrets.json").read_text()) == {"vendor": {"user": "u", "password": "hunter2"}}
    listed = runner.invoke(cli, ["secret", "list"])
    assert listed.output == "vendor\n"
    assert "hunter2" not in done.output + listed.output
    for wrong in ("hunter2", "[]", "{}", '"hunter2"'):
        refused = runner.invoke(cli, ["secret", "set", "other"], input=wrong)
        assert refused.exit_code == 1
        assert "hunter2" not in refused.output
    assert runner.invoke(cli, ["secret", "remove", "vendor"]).exit_code == 0
    assert runner.invoke(cli, ["secret", "remove", "vendor"]).exit_code == 1


def test_a_token_is_shown_once_and_kept_as_a_hash(short_home: Path) -> None:
    token = CliRunner().invoke(cli, ["collector", "token", "web"]).output.strip()
    assert len(token) >= 40
    assert token not in (short_home / "clients.json").read_text()
    assert CliRunner().invoke(cli, ["collector", "token", "NOT A NAME"]).exit_code == 2
    assert CliRunner().invoke(cli, ["collector", "revoke", "web"]).exit_code == 0
