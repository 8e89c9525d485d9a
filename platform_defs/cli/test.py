"""`backline test`: pytest with what the platform's tests need around it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

# Most of the suite's minutes are waits for servers that compute in processes of their own: two workers keep two cores busy.
_WORKERS = "2"
# What shares a fixture stays on one worker, in the order that tests/fixtures/spreading.py finds.
_SPREAD = ("--dist", "loadscope")
# Who says one of these wants to see one test: workers have no terminal.
_WATCHING = ("--pdb", "--trace", "-s", "--capture")


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the tests: all of them, or what you name. Everything after `test` goes to pytest.

    Two processes run all of them, one what you name; `-n 4` says otherwise.
    Tests bring their own Postgres and Spark and leave a running Backline alone.

    \b
    ./backline test                              the whole suite
    ./backline test tests/assets/charts          one folder
    ./backline test tests/assets -k skip_rate -x
    ./backline test tests/unit                   what needs no services
    """
    from platform_defs.running.supervisor import CHECKOUT

    named = any(not argument.startswith("-") and Path(argument.partition("::")[0]).exists() for argument in arguments)
    watched = any(argument.partition("=")[0] in _WATCHING for argument in arguments)
    # Ours come first: of an option that is said twice pytest takes the last.
    command = [sys.executable, "-m", "pytest", "-n", "0" if named or watched else _WORKERS, *_SPREAD]
    command += ["--rootdir", str(CHECKOUT), "-c", str(CHECKOUT / "pyproject.toml"), *arguments]
    if not named:
        command.append(str(CHECKOUT / "tests"))
    # Sessions that tests leave open say at the end that their server is gone: the closing line is to be the last.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:[RETRIES_EXCEEDED]:UserWarning")
    sys.stdout.flush()
    # In place of this process: pytest's exit code and its closing line are ours.
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter
