"""`backline bench builds`: what the whole way of a partition costs beside a plain PySpark loop in the same warm session server (`hours`)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from platform_defs.contracts import Schema
from platform_defs.contracts.partitions import keys_between
from tests.bench.figures import Figure, figure
from tests.bench.frame import Measured, benchmark
from tests.bench.hours import Bench, Heard, Plays, bench, heard_longer, plays
from tests.bench.memory import peak_memory
from tests.bench.profile import Place, Profile

_PHASES: Mapping[Place, str] = {
    ("execution/endpoints.py", "compute"): "compute and stage",
    ("quality/inspect.py", "inspect"): "inspect",
    ("lake/tables.py", "publish"): "publish",
    ("ledger/partitions.py", "record"): "ledger: write",
    ("ledger/partitions.py", "published"): "ledger: read",
    ("ledger/leases.py", "acquire"): "lease",
    ("ledger/leases.py", "release"): "lease",
    ("ledger/leases.py", "holds"): "lease",
    ("lake/records.py", "write_record"): "record beside the lake",
    ("resources/spark.py", "session"): "open the session",
    ("resources/spark.py", "release"): "end the session",
    ("lake/staging.py", "staging_folder"): "staging folder",
    ("execution/building.py", "_look"): "plan",
    ("execution/calling.py", "compiled_of"): "compile the contract",
}


_ONE_BY_ONE = 12


@dataclass(frozen=True)
class _Case:
    """One kind of endpoint.

    Attributes:
        hours: built by ranges; the first 12 of them one by one, and by the loop: what an hour costs is the same for all.
        ranges, singles: the ratio that is asked of each way.
    """

    name: str
    words: str
    function: Callable[..., Any]
    schema: type[Schema]
    hours: Sequence[str]
    rows: int
    tracks: int
    ranges: float
    singles: float


_CASES = {
    "small": _Case("small", "48 hours of 10,000 rows, grouped", plays, Plays, keys_between("2026-10-01T00", "2026-10-02T23"), 10_000, 500, 0.5, 1.6),
    "grouped": _Case("grouped", "an hour of 1 M rows, 10,000 out", plays, Plays, keys_between("2026-10-01T00", "2026-10-01T05"), 1_000_000, 10_000, 1.1, 1.1),
    "copied": _Case("copied", "an hour of 1 M rows, 1 M out", heard_longer, Heard, keys_between("2026-10-01T00", "2026-10-01T05"), 1_000_000, 10_000, 1.4, 1.4),
}


@dataclass
class _Taken:
    """Seconds and megabytes of one way, a value a round."""

    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)


@benchmark(rounds=3)
@click.option("--case", "names", multiple=True, type=click.Choice(list(_CASES)), help="This one only; may be said again. Without it, all.")
def builds(rounds: int, names: tuple[str, ...]) -> Measured:
    """Hours of an endpoint, by range and one by one, beside a plain PySpark loop in the same warm server.

    \b
    ./backline bench builds
    ./backline bench builds --case small --rounds 5
    """
    figures: list[Figure] = []
    profiles: list[str] = []
    for name in names or _CASES:
        found, profile = _measured(_CASES[name], rounds)
        figures += found
        profiles.append(profile)
    return Measured(figures, "\n".join(profiles))


def _measured(case: _Case, rounds: int) -> tuple[list[Figure], str]:
    """A server of its own for each case: what one left in memory is no other's."""
    with bench() as made:
        click.echo(f"{case.words}: filling", err=True)
        made.fill(case.hours, case.rows, case.tracks)
        declared = made.declare(case.function, case.schema)
        profile = Profile(_PHASES)

        few = case.hours[:_ONE_BY_ONE]

        def singles() -> None:
            with profile.watching():
                made.singles(declared, few)

        ways: dict[str, tuple[int, Callable[[], None]]] = {
            "ranges": (len(case.hours), lambda: made.ranges(declared, case.hours)),
            "singles": (len(few), singles),
            "loop": (len(few), lambda: made.loop(declared, few)),
        }
        for first in (case.hours[:2], case.hours[:4]):  # warm: classes loaded, files cached
            made.ranges(declared, first)
            made.singles(declared, first)
            made.loop(declared, first)
        profile.samples.clear()
        taken = {name: _Taken() for name in ways}
        for number in range(rounds):
            for name, (hours, way) in ways.items():
                _take(made, way, taken[name], hours)
            click.echo(f"{case.words}: round {number + 1} of {rounds}: " + ", ".join(f"{n} {t.seconds[-1] * 1000:.0f} ms" for n, t in taken.items()), err=True)
    loop = taken["loop"]
    told = {"ranges": (f"by ranges of {min(24, len(case.hours))}", case.ranges), "singles": ("each in a run of its own", case.singles)}
    figures = [
        figure(
            f"{case.words}: {words}", "s an hour", taken[name].seconds, loop.seconds, target, more_is_better=False, against="PySpark loop",
            memory=taken[name].megabytes, rival_memory=loop.megabytes, cause=_CAUSES.get((case.name, name)),
        )
        for name, (words, target) in told.items()
    ]  # fmt: skip
    middle = sorted(taken["singles"].seconds)[rounds // 2]
    return figures, f"{case.words}, each in a run of its own:\n\n{profile.table(middle, 'hour')}"


_CAUSES = {
    ("grouped", "singles"): "staging and inspection, which the loop has not, and a second read of what was staged; the commit itself costs both the same",
    ("copied", "singles"): "every row is written twice, once staged to be inspected and once published: nothing is published that was not inspected as it is",
}


def _take(made: Bench, way: Callable[[], None], taken: _Taken, hours: int) -> None:
    assert made.server.pid is not None
    with peak_memory(made.server.pid, os.getpid()) as peak:
        begun = time.monotonic()
        way()
        taken.seconds.append((time.monotonic() - begun) / hours)
    taken.megabytes.append(peak.megabytes)
