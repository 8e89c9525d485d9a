"""`backline bench all`: every benchmark, one after another, each in a process of its own; one that fails does not stop the rest."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from platform_defs.cli.bench import SUBS

_NO_BENCHMARKS = ("all", "report")


@click.command("all")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures to this file too.")
@click.option("--keep", is_flag=True, help="Keep the figures in docs/benchmarks and write docs/benchmarks.md anew.")
@click.option("--rounds", type=click.IntRange(1), help="Rounds of each measurement; without it, what each benchmark takes by itself.")
@click.option("--but", multiple=True, type=click.Choice([name for name in SUBS if name not in _NO_BENCHMARKS]), help="Leave this one out; may be said again.")
def everything(file: Path | None, keep: bool, rounds: int | None, but: tuple[str, ...]) -> None:
    """Run every benchmark, each in a process of its own: an hour or two.

    \b
    ./backline bench all --keep --json figures.json
    ./backline bench all --rounds 1 --but planning

    Exit code 1 if one of them failed; the others' figures are there all the same.
    """
    figures: list[dict[str, Any]] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as folder:
        for name in [name for name in SUBS if name not in _NO_BENCHMARKS and name not in but]:
            told = Path(folder, f"{name}.json")
            click.echo(f"--- {name}", err=True)
            begun = time.monotonic()
            options = ["--json", str(told), *(["--keep"] if keep else []), *(["--rounds", str(rounds)] if rounds else [])]
            done = subprocess.run([sys.executable, "-m", "platform_defs.cli", "bench", name, *options], check=False)
            click.echo(f"--- {name}: {'done' if not done.returncode else f'failed ({done.returncode})'} after {time.monotonic() - begun:.0f} s", err=True)
            if done.returncode or not told.exists():
                failed.append(name)
            else:
                figures += json.loads(told.read_text())
            if file is not None:
                file.write_text(json.dumps(figures, indent=2) + "\n")
    if failed:
        raise click.ClickException(f"{', '.join(failed)} failed; the others' figures are whole")
