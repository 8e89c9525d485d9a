"""`backline bench backfill`: a typical endpoint through the whole running platform, beside vanilla Dagster with PySpark (`vanilla`) on the same machine.

Ours: everything that `up` starts; a real backfill, by ranges of 24 hours as Dagster cuts them; then each hour as a run of its own, tagged as a schedule's.
All of it is forced: nothing is skipped. The rival: `dagster dev`, its own code location, default launcher and executor, one run a partition.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
import httpx
from pyspark.sql import functions as F

from platform_defs.contracts.partitions import keys_between
from platform_defs.lake.layout import Lake
from platform_defs.ledger import Ledger
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.planning.facts import Published
from platform_defs.running import jars, java
from platform_defs.running.dagster_client import DagsterClient, DagsterRefused
from platform_defs.running.home import free_port, wait_until
from platform_defs.running.supervisor import CHECKOUT, Supervisor
from resources.settings import Settings
from resources.spark import SparkEngines
from sensors.run_tags import FORCE, LANE, RANGE_END, RANGE_START, TRIGGER, backfill_tags
from tests.bench.figures import Figure, figure
from tests.bench.frame import Measured, benchmark
from tests.bench.memory import peak_memory
from tests.fixtures.publishing import publish_frame

HOURS = keys_between("2026-10-01T00", "2026-10-02T23")
ROWS, TRACKS = 10_000, 500
HEARD, PLAYS = "bench/track_heard", "bench/plays"
_PATIENCE = 900.0
_JOB = {"repositoryName": "__repository__", "repositoryLocationName": "bench", "jobName": "bench_hourly"}
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}

_DOMAIN = {
    "domain.py": """
        from platform_defs.contracts import Domain

        domain = Domain(owner="team:bench", purpose="product", tier="normal", start="2026-10-01", retention="4000d", readers=["group:bench"])
        """,
    "events.py": '''
        from pydantic import Field

        from platform_defs.contracts import Event


        class TrackHeard(Event):
            """A track was heard."""

            track: int = Field(ge=0)
            ms: int = Field(ge=0)
        ''',
    "hours.py": '''
        from pyspark.sql import DataFrame
        from pyspark.sql import functions as F

        from platform_defs.contracts import Schema, T, endpoint, field


        class Plays(Schema):
            """Plays by track."""

            track: T.LongType = field(ge=0)
            plays: T.LongType = field(ge=1)
            ms: T.LongType = field(ge=0)

            class Config(Schema.Config):
                unique = ["track"]


        @endpoint(schema=Plays, partitions="hourly", inputs={"heard": "bench/track_heard"})
        def plays(heard: DataFrame) -> DataFrame:
            """Plays and milliseconds of each track."""
            return heard.groupBy("track").agg(F.count("*").alias("plays"), F.sum("ms").alias("ms"))
        ''',
}
_RUNS = (
    """query($filter: RunsFilter) { runsOrError(filter: $filter, limit: 1000) { ... on Runs { results { runId status creationTime startTime endTime } } } }"""
)
_RUN = """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


@dataclass
class _Taken:
    """Partitions a minute and megabytes, a value a round."""

    speeds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)


@benchmark(rounds=2)
@click.option(
    "--rival-hours", default=6, show_default=True, type=click.IntRange(1, len(HOURS)), help="Partitions the rival builds: its rate is the same for all."
)
def backfill(rounds: int, rival_hours: int) -> Measured:
    """48 hours through the running platform, by a backfill and each in a run of its own, beside vanilla Dagster with PySpark.

    \b
    ./backline bench backfill
    ./backline bench backfill --rounds 1 --rival-hours 4
    """
    with tempfile.TemporaryDirectory(prefix="backline-bench-") as name, _platform(Path(name)) as ours, _rival(Path(name), ours.settings) as rival:
        ways: dict[str, tuple[Callable[[], float], Callable[[], list[int]]]] = {
            "backfill": (ours.backfill, ours.pids),
            "scheduled": (ours.scheduled, ours.pids),
            "rival": (lambda: rival.backfill(rival_hours), rival.pids),
        }
        click.echo("once to be warm", err=True)
        ours.backfill()
        taken = {name: _Taken() for name in ways}
        for number in range(rounds):
            for name, (way, pids) in ways.items():
                with peak_memory(*pids()) as peak:
                    taken[name].speeds.append(way())
                taken[name].megabytes.append(peak.megabytes)
            click.echo(f"round {number + 1} of {rounds}: " + ", ".join(f"{n} {t.speeds[-1]:.0f} a minute" for n, t in taken.items()), err=True)
    return Measured([_figure(words, taken[name], taken["rival"], target) for name, words, target in _ASKED])


_ASKED = (
    ("backfill", "48 hours of 10,000 rows, one backfill", 50.0),
    ("scheduled", "48 hours of 10,000 rows, each in a run of its own", 10.0),
)


def _figure(words: str, ours: _Taken, rival: _Taken, target: float) -> Figure:
    return figure(
        words, "partitions a minute", ours.speeds, rival.speeds, target, against="Dagster + PySpark", memory=ours.megabytes, rival_memory=rival.megabytes
    )  # fmt: skip


class _Ours:
    """The running platform with one filled input."""

    def __init__(self, settings: Settings, client: DagsterClient, ledger: Ledger) -> None:
        self.settings, self._client, self._ledger = settings, client, ledger

    def pids(self) -> list[int]:
        """Of all its processes."""
        return list(self.settings.processes.values())

    def backfill(self) -> float:
        """All hours by one backfill, from the question to the end of its last run; partitions a minute."""
        begun = time.time()  # runs say by the clock when they ended
        found = self._client.backfill({PLAYS: (HOURS[0], HOURS[-1])}, title="bench", tags=backfill_tags(force=True))
        _until(lambda: self._client.backfill_status(found).ended, "the backfill ends")
        return self._speed(begun, _runs(self._client, {"tags": [{"key": "dagster/backfill", "value": found}]}))

    def scheduled(self) -> float:
        """Each hour by a run tagged as a schedule's, all asked for at once; from the first question to the last end; partitions a minute."""
        begun = time.time()
        ids = [self._launched(hour) for hour in HOURS]
        _until(lambda: all(run["status"] in _ENDED for run in _runs(self._client, {"runIds": ids})), "the runs end")
        return self._speed(begun, _runs(self._client, {"runIds": ids}))

    def _speed(self, begun: float, runs: Sequence[Mapping[str, Any]]) -> float:
        self._hold({run["runId"] for run in runs})
        return len(HOURS) * 60 / (max(run["endTime"] for run in runs) - begun)

    def _launched(self, hour: str) -> str:
        tags = {RANGE_START: hour, RANGE_END: hour, LANE: "cadence", TRIGGER: "schedule", FORCE: "yes"}
        params = {
            "selector": {**_JOB, "assetSelection": [{"path": PLAYS.split("/")}]},
            "executionMetadata": {"tags": [{"key": name, "value": value} for name, value in tags.items()]},
        }  # fmt: skip
        answer = self._client.query(_RUN, p=params)["launchPipelineExecution"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise click.ClickException(f"a run was not launched: {answer}")
        return str(answer["run"]["runId"])

    def _hold(self, runs: set[str]) -> None:
        """That each hour was published by one of these runs, with all its rows."""
        found = self._ledger.partitions.published(PLAYS, HOURS)
        wrong = [hour for hour in HOURS if hour not in found or found[hour].run_id not in runs or found[hour].rows != TRACKS]
        if wrong:
            raise click.ClickException(f"{len(wrong)} hours were not built, {wrong[0]} first: {found.get(wrong[0])}")


class _Rival:
    """A `dagster dev` with the rival's asset."""

    def __init__(self, url: str, pid: int) -> None:
        self._client, self._pid = DagsterClient(url), pid

    def pids(self) -> list[int]:
        """Of all its processes."""
        return [self._pid]

    def backfill(self, hours: int) -> float:
        """So many hours; partitions a minute from its first run's creation to its last one's end: what its daemon waits before is left out."""
        keys = [hour.replace("T", "-") + ":00" for hour in HOURS[:hours]]
        found = self._client.backfill({"plays": (keys[0], keys[-1])}, title="bench")
        _until(lambda: self._client.backfill_status(found).ended, "the rival's backfill ends")
        runs = _runs(self._client, {"tags": [{"key": "dagster/backfill", "value": found}]})
        if len(runs) != hours or any(run["status"] != "SUCCESS" for run in runs):
            raise click.ClickException(f"the rival's runs: {[run['status'] for run in runs]}")
        return hours * 60 / (max(run["endTime"] for run in runs) - min(run["creationTime"] for run in runs))


@contextmanager
def _platform(folder: Path) -> Iterator[_Ours]:
    domain = folder / "assets" / "bench"
    domain.mkdir(parents=True)
    for name, text in _DOMAIN.items():
        (domain / name).write_text(dedent(text).lstrip())
    click.echo("starting the platform", err=True)
    with Supervisor(folder / "home", folder / "assets", tell=lambda told: None, web_port=0, collector_port=0) as supervisor:
        settings = supervisor.settings
        ledger = Ledger(settings.ledger_url)
        with DagsterClient(str(settings.dagster_url)) as client:
            client.stop_schedule("bench", "bench_hourly")  # it would build the hours since
            _fill(settings, ledger)
            yield _Ours(settings, client, ledger)
        ledger.close()


def _fill(settings: Settings, ledger: Ledger) -> None:
    """Publishes the input's hours, as its intake would have, and makes the rival's empty table."""
    lake, contract = Lake(settings.lake), ledger.registry.current()[HEARD]
    engine, run, now = SparkEngines(settings.spark_intake, settings.spark_lake).engine("lake"), f"fill-{uuid.uuid4()}", datetime.now(UTC)
    session = engine.session(run)
    number, hour = F.col("id") % ROWS, F.element_at(F.array(*map(F.lit, HOURS)), (F.col("id") / ROWS).cast("int") + 1)
    at = F.to_timestamp(F.concat(hour, F.lit(":00:00")))
    frame = session.range(0, ROWS * len(HOURS), 1, len(HOURS)).select(
        hour.alias("hour"), F.unhex(F.lpad(F.hex(F.col("id")), 32, "0")).alias("event_id"), at.alias("time"), at.alias("received_at"),
        (number * 7919 % TRACKS).alias("track"), (F.lit(30_000) + number).alias("ms"),
    )  # fmt: skip
    version = publish_frame(lake, contract, frame, HOURS, run, 0).version
    said = [Outcome(HEARD, key, "published", published=Published(key.encode(), b"i" * 16, ROWS, version, contract.code_version, now, run)) for key in HOURS]
    ledger.partitions.record(said, RunInfo(run, "command", now, now))
    session.sql(
        f"CREATE TABLE delta.`{settings.home}/vanilla` (track BIGINT, plays BIGINT, ms BIGINT, hour STRING) USING DELTA PARTITIONED BY (hour)"
    ).collect()
    engine.release(run)


@contextmanager
def _rival(folder: Path, settings: Settings) -> Iterator[_Rival]:
    home = folder / "vanilla"
    home.mkdir()
    (home / "dagster.yaml").write_text(json.dumps({"telemetry": {"enabled": False}}))
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("BACKLINE_", "DAGSTER_", "SPARK_", "PYSPARK_"))},
        "DAGSTER_HOME": str(home),
        "PYTHONPATH": str(CHECKOUT),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "VANILLA_HEARD": Lake(settings.lake).table(HEARD),
        "VANILLA_PLAYS": str(settings.home / "vanilla"),
        **_java(folder),
    }
    # The commands that `dagster dev` starts are looked up on the path.
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', '')}"
    port = free_port()
    with (folder / "vanilla.log").open("wb") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", "dagster", "dev", "-f", str(Path(__file__).with_name("vanilla.py")), "-h", "127.0.0.1", "-p", str(port.number)),
            cwd=home, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        rival = _Rival(f"http://127.0.0.1:{port.number}", process.pid)
        _until(lambda: process.poll() is not None or _answers(rival), "the rival starts")
        if process.poll() is not None:
            raise click.ClickException(f"the rival did not start: {(folder / 'vanilla.log').read_text()[-2000:]}")
        yield rival
    finally:
        port.close()
        for number in (signal.SIGINT, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    continue


def _java(folder: Path) -> dict[str, str]:
    """The same Java and jars as ours, for Spark's own launcher, which asks for a module that slim Javas lack: a script leaves that word out."""
    import pyspark

    chosen = java.choose(os.environ)
    home = folder / "java"
    (home / "bin").mkdir(parents=True)
    script = home / "bin" / "java"
    skip = '[ "$word" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$word"'
    script.write_text(f'#!/bin/sh\ncount=$#\nwhile [ $count -gt 0 ]; do word=$1; shift; count=$((count - 1)); {skip}; done\nexec "{chosen.executable}" "$@"\n')
    script.chmod(0o755)
    delta = jars.ensure(chosen, Path(pyspark.__file__).parent, os.environ)
    return {"JAVA_HOME": str(home), "VANILLA_JARS": ",".join(map(str, delta))}


def _answers(rival: _Rival) -> bool:
    try:
        return bool(rival._client.query("{ assetNodes { id } }")["assetNodes"])
    except (httpx.HTTPError, DagsterRefused, ValueError):
        return False


def _runs(client: DagsterClient, chosen: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.query(_RUNS, filter=chosen)["runsOrError"]["results"]
    return found


def _until(happened: Callable[[], bool], what: str) -> None:
    if not wait_until(happened, _PATIENCE):
        raise click.ClickException(f"{what}: not within {_PATIENCE:.0f} s")
