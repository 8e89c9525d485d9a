"""`backline logs`: what a run or one of the platform's processes wrote."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import click


@click.command()
@click.argument("name", required=False)
@click.option("--lines", "-n", default=200, show_default=True, help="How many of the last lines of a process's log.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def logs(name: str | None, lines: int, as_json: bool) -> None:
    """Show the log of a run or of a process; without a name, which logs there are.

    Of a run it shows what Dagster captured of it, and what intake or a source kept to itself because it may hold raw values: that part is
    kept as long as landing and is never shown in the web pages.

    \b
    ./backline logs                                       which processes have logs
    ./backline logs spark -n 50
    ./backline logs 3f2b9c51                              a run; the beginning of its id is enough
    """
    from platform_defs.cli.speech import show_json
    from resources.settings import default_home

    home = default_home()
    folder = home / "logs"
    if as_json and name is not None:
        raise click.UsageError("a log is text: --json lists the names alone")
    if name is None:
        names = sorted(path.stem for path in folder.glob("*.log"))
        if as_json:
            show_json(names)
            return
        for each in names:
            click.echo(each)
        return
    path = folder / f"{name}.log"
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            click.echo("".join(deque(file, maxlen=lines)), nl=False)
        return
    shown = [_show(path, title) for path, title in run_files(home, name)]
    if not shown:
        known = ", ".join(sorted(path.stem for path in folder.glob("*.log"))) or "none yet"
        raise click.ClickException(
            f"{name} is neither a process with a log ({known}) nor a run that left one. Ids of runs: the web pages, or ./backline why DATASET PARTITION"
        )


def run_files(home: Path, run: str) -> list[tuple[Path, str]]:
    """Files that a run left, with what each holds: its private logs, then what Dagster captured."""
    found = [(path, "kept private: may hold raw values") for path in sorted((home / "logs" / "runs").glob(f"{run}*"))]
    for capture in sorted((home / "dagster" / "compute_logs").glob(f"{run}*")):
        found += [(path, "captured") for path in sorted(capture.rglob("*")) if path.is_file() and path.suffix in (".out", ".err") and path.stat().st_size]
    return found


def _show(path: Path, title: str) -> Path:
    click.echo(f"=== {path.name} ({title})")
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            click.echo(line, nl=False)
    return path
