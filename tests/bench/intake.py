"""`backline bench intake`: a day of events from sealed segments to a published, checked table, against DuckDB and Polars scripts up to Parquet.

Ours is a run's process beside the platform's warm Spark and Postgres, theirs a process each; in turn, on the same files, with two threads each. The counts
that come out are compared with what was landed. Then the same day with a person and an e-mail in each event: first with a vault that knows nobody, then
with one that knows all.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from platform_defs.contracts.contract import Contract
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.running.spark_server import SparkServer, SparkServerSettings
from tests.bench.figures import Figure, figure
from tests.bench.frame import Measured, benchmark
from tests.bench.intake_landing import PERSONAL, PLAIN, Expected, land
from tests.bench.intake_ours import CONTRACTS, Installation, Setting
from tests.bench.memory import Ran, run
from tests.bench.profile import Profile

_SEALS = {"plain": 1, "personal": 2}
_MOST_MEGABYTES = 6000.0
_CAUSE = "Keyed ids, quarantine, staging, inspection and a table, which the scripts do not have"
_PEOPLE_CAUSE = (
    "All cores are busy: each person's key is looked up by the vault's index, opened, and made into a pseudonym and a ciphertext, one call of a library "
    "after another, and a line has two more fields; without people an event costs less than that in all"
)


@benchmark(rounds=3)
@click.option("--events", default=5_000_000, show_default=True, help="Events of the day, copies included.")
@click.option("--people", type=int, help="People they name; 0 leaves that half out.  [default: nine tenths of the events]")
def intake(rounds: int, events: int, people: int | None) -> Measured:
    """A day of events taken in, against DuckDB and Polars; the same with people.

    \b
    ./backline bench intake
    ./backline bench intake --events 250000 --rounds 1
    """
    people = events * 9 // 10 if people is None else people
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as name, services(Path(name), [PLAIN, PERSONAL]) as at:
        figures, words = without_people(at, events, rounds)
        if people:
            more, told = with_people(at, events, people, rounds, figures[0]["median"])
            figures, words = figures + more, f"{words}\n{told}"
    return Measured(figures, words)


@dataclass(frozen=True)
class Services:
    """What runs, and where its address is written.

    Attributes:
        postgres: the process whose memory is ours beside that of our children.
    """

    folder: Path
    setting: Path
    installation: Installation
    postgres: int


@contextmanager
def services(folder: Path, contracts: Sequence[Contract]) -> Iterator[Services]:
    """Spark and Postgres as the platform starts them, with these contracts' tables."""
    postgres = EmbeddedPostgres(folder / "pg")
    postgres.start()
    try:
        with SparkServer(SparkServerSettings(folder=folder / "spark", log=folder / "spark.log")) as server:
            setting = Setting(spark=server.url, ledger=postgres.uri("ledger"), vault=postgres.uri("vault"), folder=folder)
            path = folder / "setting.json"
            path.touch(0o600)
            path.write_text(setting.model_dump_json())
            installation = Installation.of(setting)
            installation.apply(contracts)
            pid = int((folder / "pg" / "data" / "postmaster.pid").read_text().splitlines()[0])
            yield Services(folder, path, installation, pid)
            installation.close()
    finally:
        postgres.stop()


def without_people(at: Services, events: int, rounds: int) -> tuple[list[Figure], str]:
    """Ours and the scripts, in turn; where our time goes."""
    expected = _land(at, PLAIN, events)
    segments = at.folder / "landing" / "segments" / PLAIN.key
    ways: dict[str, Callable[[], Ran]] = {
        "ours": lambda: _ours(at, "plain", expected),
        "DuckDB": lambda: _rival("duckdb", segments, at.folder / "out", expected),
        "Polars": lambda: _rival("polars", segments, at.folder / "out", expected),
    }
    _ours(at, "plain", expected)  # the server's first day: its classes are loaded and compiled
    runs: dict[str, list[Ran]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            runs[name].append(way())
            click.echo(f"round {number + 1}: {name} {runs[name][-1].seconds:.1f} s", err=True)
    shutil.rmtree(segments)
    seconds = {name: [each.seconds for each in found] for name, found in runs.items()}
    memory = {name: [each.megabytes for each in found] for name, found in runs.items()}
    what = f"intake of {events:,} events"
    figures = [
        figure(
            what, "s", seconds["ours"], seconds[rival], target, more_is_better=False, against=rival,
            memory=memory["ours"], rival_memory=memory[rival], cause=_CAUSE,
        )
        for rival, target in (("DuckDB", 3.0), ("Polars", None))
    ]  # fmt: skip
    figures.append(figure(f"{what}, most memory", "MB", memory["ours"], target=_MOST_MEGABYTES, more_is_better=False))
    return figures, _where(what, runs["ours"])


def with_people(at: Services, events: int, people: int, rounds: int, plain: float) -> tuple[list[Figure], str]:
    """The day with people: first sight, then known; where the time goes."""
    expected = _land(at, PERSONAL, events, people)
    first = _ours(at, "personal", expected)
    click.echo(f"first sight of {people:,} people: {first.seconds:.1f} s", err=True)
    known: list[Ran] = []
    for number in range(rounds):
        known.append(_ours(at, "personal", expected))
        click.echo(f"round {number + 1}: known people {known[-1].seconds:.1f} s", err=True)
    seconds, memory = [each.seconds for each in known], [each.megabytes for each in known]
    what = f"intake of {events:,} events of {people:,} people"
    figures = [
        figure(f"{what}, all known", "s", seconds, [plain], 2.0, more_is_better=False, against="without people", memory=memory, cause=_PEOPLE_CAUSE),
        figure(f"{what}, at first sight", "s", [first.seconds], memory=[first.megabytes]),
        figure(f"{what}, most memory", "MB", [first.megabytes, *memory], target=_MOST_MEGABYTES, more_is_better=False),
    ]
    return figures, _where(what, known)


def _where(what: str, runs: Sequence[Ran]) -> str:
    profile = Profile({})
    for each in runs:
        profile.add(json.loads(each.said)["samples"])
    return f"{what}:\n\n{profile.table(sorted(each.seconds for each in runs)[len(runs) // 2], 'day')}"


def _land(at: Services, contract: Contract, events: int, people: int = 0) -> Expected:
    click.echo(f"landing {events:,} events of {contract.key}", err=True)
    segments, expected = land(at.folder / "landing", contract, events, people)
    at.installation.seal(_SEALS[contract.key.partition("/")[2]], segments)
    return expected


def _ours(at: Services, which: str, expected: Expected) -> Ran:
    ran = run([sys.executable, "-m", "tests.bench.intake_ours", str(at.setting), which], beside=(os.getpid(), at.postgres))
    counts = json.loads(ran.said)
    _same({name: counts[name] for name in ("landed", "good", "duplicate", "conflict", "quarantined")}, expected, CONTRACTS[which].key)
    return ran


def _rival(which: str, segments: Path, out: Path, expected: Expected) -> Ran:
    shutil.rmtree(out, ignore_errors=True)
    ran = run([sys.executable, "-m", "tests.bench.intake_rivals", which, str(segments), str(out)])
    _same(json.loads(ran.said), expected, which)
    return ran


def _same(counts: Mapping[str, int], expected: Expected, who: str) -> None:
    wrong = {name: count for name, count in counts.items() if count != getattr(expected, name)}
    if wrong:
        raise click.ClickException(f"{who} counted {wrong} where {expected} was landed: the figures would compare different work")
