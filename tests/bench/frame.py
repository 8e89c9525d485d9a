"""What every benchmark has in common: its options, what it prints, and what it keeps. How a figure is made is in `figures`, the page in `report`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from resources.settings import checkout
from tests.bench.figures import Figure, said
from tests.bench.machine import machine, versions


@dataclass(frozen=True)
class Measured:
    """What a benchmark found.

    Attributes:
        figures: as `figure` makes them.
        profile: where the time goes, as this run measured it: Markdown below the table, written by the benchmark. Empty: nothing to say.
    """

    figures: list[Figure]
    profile: str = ""


@dataclass(frozen=True)
class Kept:
    """A benchmark's newest result that was kept: one file of docs/benchmarks.

    Attributes:
        name, about: of the command.
        command: what makes these figures.
        date: the day it ran (UTC).
    """

    name: str
    about: str
    command: str
    date: str
    versions: Mapping[str, str]
    machine: Mapping[str, float]
    figures: list[Figure] = field(default_factory=list)
    profile: str = ""

    def write(self) -> None:
        """Keeps it in the place of the one before."""
        folder = kept_folder()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=2) + "\n")


def kept_folder() -> Path:
    """Where results are kept."""
    return checkout() / "docs" / "benchmarks"


def read_kept() -> list[Kept]:
    """What is kept, by name."""
    return [Kept(**json.loads(file.read_text())) for file in sorted(kept_folder().glob("*.json"))]


def benchmark(*, rounds: int = 3) -> Callable[[Callable[..., Measured]], click.Command]:
    """Makes a click command of a function that measures: it gets `rounds` and the options declared on it; see this package's docstring.

    Args:
        rounds: how often each measurement is taken unless `--rounds` says otherwise.
    """

    def made(function: Callable[..., Measured]) -> click.Command:
        @click.pass_context
        def command(context: click.Context, /, file: Path | None, keep: bool, **options: Any) -> None:
            started = machine()
            measured = function(**options)
            for one in measured.figures:
                click.echo(said(one))
            if measured.profile:
                click.echo("\n" + measured.profile)
            if file is not None:
                file.write_text(json.dumps(measured.figures, indent=2) + "\n")
            if keep:
                _keep(context, measured, started)

        command.__doc__ = function.__doc__
        params = getattr(function, "__click_params__", [])
        shared = [
            click.Option(["--rounds"], default=rounds, show_default=True, type=click.IntRange(1), help="Rounds of each measurement, in turn with the rival's."),
            click.Option(["--json", "file"], type=click.Path(dir_okay=False, path_type=Path), help="Write the figures to this file too."),
            click.Option(["--keep"], is_flag=True, help="Keep the figures in docs/benchmarks and write docs/benchmarks.md anew."),
        ]
        return click.Command(function.__name__.strip("_"), callback=command, params=[*reversed(params), *shared], help=function.__doc__)

    return made


def _keep(context: click.Context, measured: Measured, started: Mapping[str, float]) -> None:
    from tests.bench.report import write_page

    about = (context.command.help or "").strip().splitlines()[0]
    Kept(
        name=str(context.info_name),
        about=about,
        command=_typed(context),
        date=datetime.now(UTC).date().isoformat(),
        versions=versions(),
        machine=started,
        figures=measured.figures,
        profile=measured.profile,
    ).write()
    write_page()


def _typed(context: click.Context) -> str:
    """The command line, without where its figures went."""
    words = ["./backline", "bench", str(context.info_name)]
    for option in context.command.params:
        if option.name in ("file", "keep") or context.get_parameter_source(str(option.name)) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[str(option.name)]
        if isinstance(value, bool):
            words.append(option.opts[0] if value else option.secondary_opts[0])
        else:
            each = value if isinstance(value, tuple | list) else (value,)
            words += [word for one in each for word in (option.opts[0], str(one))]
    return " ".join(words)
