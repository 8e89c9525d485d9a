"""`backline test`: pytest with what the platform's tests need around it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the tests: all of them, or what you name. Everything after `test` goes to pytest.

    Tests bring their own Postgres and Spark and leave a running Backline alone.

    \b
    ./backline test                              the whole suite
    ./backline test tests/assets/charts          one folder
    ./backline test tests/assets -k skip_rate -x
    ./backline test tests/unit                   what needs no services
    """
    from platform_defs.running.supervisor import CHECKOUT

    named = [argument for argument in arguments if not argument.startswith("-") and Path(argument.partition("::")[0]).exists()]
    command = [sys.executable, "-m", "pytest", "--rootdir", str(CHECKOUT), "-c", str(CHECKOUT / "pyproject.toml"), *arguments]
    if not named:
        command.append(str(CHECKOUT / "tests"))
    # Sessions that tests leave open say at the end that their server is gone: the closing line is to be the last.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:[RETRIES_EXCEEDED]:UserWarning")
    sys.stdout.flush()
    # In place of this process: pytest's exit code and its closing line are ours.
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter
