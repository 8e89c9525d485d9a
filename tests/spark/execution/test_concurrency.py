"""Two runs and one partition: one builds it, the other finds it built; a dead run's work is stopped first; a lost lease publishes nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sqlalchemy import text

from platform_defs.contracts import Schema, T, field
from platform_defs.contracts.loading import Declared
from platform_defs.execution.building import build
from platform_defs.execution.endpoints import EndpointStep
from platform_defs.execution.overlap import Overlap
from platform_defs.execution.platform import Cancelled, Trigger, Work
from platform_defs.execution.results import Failure, FailureKind, PartitionResult
from platform_defs.execution.steps import Planned, Staged, StepRun, Waiting
from platform_defs.lake import delta_log
from platform_defs.lake.engine import EngineError
from platform_defs.ledger.leases import Fence
from platform_defs.running.home import wait_until
from resources.spark import SparkEngine, SparkEngines
from tests.spark.execution.contracts import column
from tests.spark.execution.workshop import Workshop, same

H0, H1 = "2026-10-01T00", "2026-10-01T01"
KEY, EVENTS = "charts/plays", "listening/played"


class Plays(Schema):
    """Plays of each track."""

    track: T.StringType = field()
    plays: T.LongType = field(ge=1)


def counted(played: DataFrame) -> DataFrame:
    return played.groupBy("track").agg(F.count("*").alias("plays"))


@pytest.fixture
def plays(shop: Workshop) -> Declared:
    shop.input(EVENTS, column("track", "STRING"))
    made = shop.declare(counted, Plays, [same("played", EVENTS)])
    shop.fill(EVENTS, {H0: [("a",)], H1: [("b",), ("b",)]})
    return made


class Meddled(EndpointStep):
    """A step that lets a test do something once its frames are staged, before they are inspected and published."""

    def __init__(self, work: Work, shop: Workshop, meddle: Callable[[], object]) -> None:
        super().__init__(work, shop.platform)
        self._meddle = meddle

    def compute(self, planned: Sequence[Planned], run: StepRun) -> Mapping[str, Staged | Waiting | Failure]:
        staged = super().compute(planned, run)
        self._meddle()
        return staged


def meddled(shop: Workshop, work: Work, meddle: Callable[[], object], **more: Any) -> dict[str, PartitionResult]:
    return {result.key: result for result in build(work, shop.platform, Meddled(work, shop, meddle), **more)}


def commits(shop: Workshop) -> list[str]:
    """Runs that committed to the table, in order."""
    entries = delta_log.entries(shop.platform.lake.table(KEY))
    return [str((entry.signature or {}).get("run")) for entry in entries if entry.operation == "WRITE"]


def test_of_two_builds_of_one_range_one_builds_and_the_other_finds_it_built(shop: Workshop, plays: Declared) -> None:
    works = [shop.work(plays, H0, H1) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda work: build(work, shop.platform), works))
    outcomes = sorted(tuple(result.outcome for result in results) for results in answers)
    assert outcomes == [("published", "published"), ("skipped", "skipped")]
    assert len(commits(shop)) == 1
    (winner,) = commits(shop)
    skipped = next(results for results in answers if results[0].outcome == "skipped")
    assert {result.reason for result in skipped} == {f"current, built by run {winner}"}
    assert [row["plays"] for row in shop.rows()] == [1, 2]


def test_a_double_click_builds_once(shop: Workshop, plays: Declared) -> None:
    works = [shop.work(plays, H0, trigger="click") for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        answers = [results[0].outcome for results in pool.map(lambda work: build(work, shop.platform), works)]
    assert sorted(answers) == ["published", "skipped", "skipped"]
    assert len(commits(shop)) == 1


def test_of_two_backfills_a_schedule_and_a_click_on_one_range_one_builds_and_the_others_say_which(shop: Workshop, plays: Declared) -> None:
    triggers: list[Trigger] = ["command", "range", "schedule", "click"]
    works = {trigger: shop.work(plays, H0, H1, trigger=trigger) for trigger in triggers}
    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(works, pool.map(lambda work: build(work, shop.platform), works.values()), strict=True))
    (winner,) = commits(shop)
    for trigger, work in works.items():
        told = {(result.outcome, result.reason) for result in answers[trigger]}
        by = f"current, built by run {winner}" + (" after this was asked for" if trigger == "click" else "")
        assert told == {("published", "") if work.run_id == winner else ("skipped", by)}
    assert [row["plays"] for row in shop.rows()] == [1, 2]


def test_overlapping_ranges_share_the_work(shop: Workshop, plays: Declared) -> None:
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(shop.build, plays, *keys) for keys in ((H0,), (H0, H1))]
        answers = [future.result() for future in futures]
    assert all(result.good for results in answers for result in results.values())
    built = [key for results in answers for key, result in results.items() if result.outcome == "published"]
    assert sorted(built) == [H0, H1]


def test_what_nobody_holds_is_built_before_what_somebody_does_is_waited_for(shop: Workshop, plays: Declared) -> None:
    leases = shop.platform.ledger.leases
    other = leases.acquire(KEY, [H0], "other-run")
    assert isinstance(other, Fence)
    results = {result.key: result for result in build(shop.work(plays, H0, H1), shop.platform, wait_seconds=0.3)}
    assert (results[H0].outcome, results[H0].waiting_for) == ("waiting", ("run other-run",))
    assert results[H1].outcome == "published"
    leases.release(other)
    assert shop.build(plays, H0, H1)[H0].outcome == "published"


def test_a_dead_runs_work_is_stopped_before_anything_is_computed(shop: Workshop, plays: Declared) -> None:
    """A killed client's write goes on in the server; here it is a slow query in the session of a run that was declared ended."""
    leases, engine = shop.platform.ledger.leases, shop.platform.engines.engine("lake")
    dead = "dead-run"
    assert isinstance(leases.acquire(KEY, [H0], dead), Fence)
    session = engine.session(dead)
    ended: list[str] = []

    def linger() -> None:
        try:
            session.range(1_000_000_000_000).selectExpr("sum(id * id % 7)").collect()
        except Exception as error:  # noqa: BLE001 - how it ends is what is looked at
            ended.append(type(error).__name__)

    thread = threading.Thread(target=linger)
    thread.start()
    assert wait_until(lambda: bool(session.client._get_operation_statuses().operation_statuses), 60)  # type: ignore[attr-defined]
    leases.end_run(dead)
    assert shop.build(plays, H0)[H0].outcome == "published"
    thread.join(30)
    assert not thread.is_alive()
    assert ended
    assert leases.abandoned() == []


# A builder whose rows take half a second each to be written: killed meanwhile, its write goes on in the server.
KILLED = """
import sys
from pathlib import Path
from pyspark.sql import functions as F
from platform_defs.execution import endpoints
from platform_defs.ledger import Ledger
from resources.spark import SparkEngines
from tests.spark.execution.test_concurrency import EVENTS, H0, Plays, counted
from tests.spark.execution.workshop import Workshop, same
spark, ledger, folder, run = sys.argv[1:]
shop = Workshop.at(Path(folder), SparkEngines(spark, spark), Ledger(ledger))
shop.contracts.update(shop.platform.ledger.registry.current())
plays = shop.declare(counted, Plays, [same("played", EVENTS)])
writer = endpoints.kept_writer

def slowly(frame):
    slow = "plays + length(coalesce(java_method('java.lang.Thread', 'sleep', 500L), ''))"
    print("writes", flush=True)
    return writer(frame.coalesce(1).withColumn("plays", F.expr(slow)))

endpoints.kept_writer = slowly
shop.build(plays, H0, run=run)
print("done", flush=True)
"""


def fence_of(shop: Workshop) -> int:
    """Of the lease that is held on the first hour."""
    with shop.platform.ledger.store.engine.connect() as connection:
        return int(connection.execute(text("SELECT fence FROM leases")).scalar_one())


def test_a_builder_killed_while_it_writes_is_waited_for_until_nothing_of_it_runs(shop: Workshop, plays: Declared, spark_server: str, tmp_path: Path) -> None:
    leases, dead = shop.platform.ledger.leases, f"run-{uuid.uuid4()}"
    shop.fill(EVENTS, {H0: [(f"t{number:03}",) for number in range(200)]})
    url = shop.platform.ledger.store.engine.url.render_as_string(hide_password=False)
    arguments = [sys.executable, "-c", KILLED, spark_server, url, str(tmp_path), dead]
    killed = subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"writes\n"
    with ThreadPoolExecutor(1) as somebody:  # who asks for a session has it as the active one of his thread
        watching: Any = somebody.submit(SparkEngine(spark_server, "lake").session, dead).result()

        def writes() -> bool:
            return any(each.state == each.OPERATION_STATE_RUNNING for each in watching.client._get_operation_statuses().operation_statuses)

        try:
            assert wait_until(lambda: writes() or killed.poll() is not None, 60)
            assert killed.poll() is None, "the builder ended before its write was seen"
        finally:
            killed.kill()
            killed.wait()
            killed.stdout.close()
        former = fence_of(shop)

        # Nobody has said that it has ended: it is waited for. Then somebody has, and its write goes on still.
        waited = build(shop.work(plays, H0), shop.platform, wait_seconds=0.2)[0]
        assert (waited.outcome, waited.waiting_for) == ("waiting", (f"run {dead}",))
        assert writes()
        leases.end_run(dead)
        work = shop.work(plays, H0)
        (result,) = build(work, shop.platform)
    assert result.outcome == "published"
    with pytest.raises(EngineError, match="took over its lease"):  # its session is ended: nothing can come from it any more
        SparkEngine(spark_server, "lake").session(dead)
    (entry,) = [entry for entry in delta_log.entries(shop.platform.lake.table(KEY)) if entry.operation == "WRITE"]
    assert entry.signature is not None
    assert (entry.signature["run"], entry.signature["keys"]) == (work.run_id, [H0])
    assert entry.signature["fence"] > former
    version = shop.platform.ledger.partitions.published(KEY, [H0])[H0]
    assert (version.run_id, version.version, version.rows) == (work.run_id, entry.version, 200)
    assert [row["plays"] for row in shop.rows()] == [1] * 200
    assert (leases.abandoned(), leases.of_run(work.run_id)) == ([], {})


# A builder that is killed between its two steps of a commit: its files are in the table's folder, and no commit names them.
KILLED_AT_COMMIT = (
    KILLED.partition("writer = ")[0]
    + """
import os, signal
from platform_defs.lake import tables
tables.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
shop.build(plays, H0, run=run)
"""
)


def test_a_builder_killed_at_its_commit_leaves_files_that_are_no_part_of_the_table(shop: Workshop, plays: Declared, spark_server: str, tmp_path: Path) -> None:
    leases, dead = shop.platform.ledger.leases, f"run-{uuid.uuid4()}"
    shop.fill(EVENTS, {H0: [("t1",), ("t2",)]})
    url = shop.platform.ledger.store.engine.url.render_as_string(hide_password=False)
    arguments = [sys.executable, "-c", KILLED_AT_COMMIT, spark_server, url, str(tmp_path), dead]
    assert subprocess.run(arguments, cwd=Path(__file__).parents[3], timeout=120, check=False).returncode == -signal.SIGKILL
    table = Path(shop.platform.lake.table(KEY))
    (left,) = [file for file in table.rglob("*.parquet") if "_delta_log" not in file.parts]
    assert shop.rows() == []
    leases.end_run(dead)
    assert shop.build(plays, H0)[H0].outcome == "published"
    assert sorted(row["track"] for row in shop.rows()) == ["t1", "t2"]
    assert left.exists()  # until the table is swept
    assert leases.abandoned() == []


def test_a_lease_lost_after_computing_publishes_nothing_and_finds_what_the_other_built(shop: Workshop, plays: Declared) -> None:
    work, other = shop.work(plays, H0), shop.work(plays, H0)

    def taken() -> None:
        leases = shop.platform.ledger.leases
        fence = leases.take_over(KEY, [H0], other.run_id, force=True)
        assert isinstance(fence, Fence)
        leases.stopped(fence)
        assert build(other, shop.platform)[0].outcome == "published"

    result = meddled(shop, work, taken)[H0]
    assert (result.outcome, result.reason) == ("skipped", f"current, built by run {other.run_id}")
    assert commits(shop) == [other.run_id]


def test_a_lease_lost_to_a_run_that_is_still_at_it_is_waited_for(shop: Workshop, plays: Declared) -> None:
    def taken() -> None:
        assert isinstance(shop.platform.ledger.leases.take_over(KEY, [H0], "other-run", force=True), Fence)

    result = meddled(shop, shop.work(plays, H0), taken, wait_seconds=0.2)[H0]
    assert (result.outcome, result.waiting_for) == ("waiting", ("run other-run",))
    assert commits(shop) == []


def test_a_run_that_was_declared_ended_publishes_nothing(shop: Workshop, plays: Declared) -> None:
    work = shop.work(plays, H0)

    def ended() -> None:
        leases = shop.platform.ledger.leases
        leases.end_run(work.run_id)
        assert isinstance(leases.take_over(KEY, [H0], "other-run"), Fence)

    result = meddled(shop, work, ended)[H0]
    assert result.failure is not None
    assert (result.outcome, result.failure.kind) == ("failed", FailureKind.INTERRUPTED)
    assert commits(shop) == []
    assert shop.platform.ledger.troubles.all() == {}


def test_a_force_cancelled_run_that_wakes_after_another_published_is_refused(shop: Workshop, plays: Declared) -> None:
    """Dagster declares a run ended at once; its process computes on, and wakes when the next run has published."""
    work, other = shop.work(plays, H0), shop.work(plays, H0, trigger="click")

    def cancelled() -> None:
        shop.platform.ledger.leases.end_run(work.run_id)
        assert build(other, shop.platform)[0].outcome == "published"

    result = meddled(shop, work, cancelled)[H0]
    assert (result.outcome, result.reason) == ("skipped", f"current, built by run {other.run_id}")
    assert commits(shop) == [other.run_id]
    assert shop.platform.ledger.partitions.published(KEY, [H0])[H0].run_id == other.run_id
    assert shop.platform.ledger.leases.abandoned() == []


def test_a_crash_between_commit_and_record_is_built_again(shop: Workshop, plays: Declared, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ConnectionError("the ledger went away")

    with monkeypatch.context() as patch:
        patch.setattr(shop.platform.ledger.partitions, "record", crash)
        with pytest.raises(ConnectionError):
            shop.build(plays, H0, H1)
    assert [row["plays"] for row in shop.rows()] == [1, 2]
    assert [each.outcome for each in shop.build(plays, H0, H1).values()] == ["published", "published"]
    assert [row["plays"] for row in shop.rows()] == [1, 2]
    assert [each.outcome for each in shop.build(plays, H0, H1).values()] == ["skipped", "skipped"]


def test_a_cancelled_build_leaves_nothing_behind(shop: Workshop, plays: Declared) -> None:
    def cancel() -> None:
        raise KeyboardInterrupt

    work = shop.work(plays, H0)
    with pytest.raises(KeyboardInterrupt):
        meddled(shop, work, cancel)
    assert commits(shop) == []
    assert shop.platform.ledger.leases.of_run(work.run_id) == {}
    assert shop.build(plays, H0)[H0].outcome == "published"


def test_an_engine_that_is_gone_fails_for_now(shop: Workshop, plays: Declared) -> None:
    gone = replace(shop.platform, engines=SparkEngines("sc://localhost:9/;token=x", "sc://localhost:9/;token=x"))
    (result,) = build(shop.work(plays, H0), gone)
    assert result.failure is not None
    assert (result.outcome, result.failure.kind) == ("failed", FailureKind.ENGINE)
    trouble = shop.platform.ledger.troubles.all()[KEY, H0]
    assert trouble.state == "failed"
    assert trouble.next_try is not None
    assert shop.build(plays, H0)[H0].outcome == "published"
    assert shop.platform.ledger.troubles.all() == {}


def test_a_cancelled_run_stops_all_its_builds_and_tells_nobody(shop: Workshop, plays: Declared) -> None:
    """Two builds of one run, both in the middle of a Spark job: no commit, no lease, nothing that runs, and not a failure in the ledger."""
    engine = shop.platform.engines.engine("lake")

    def endless(played: DataFrame) -> DataFrame:
        rows = played.sparkSession.range(1_000_000_000_000).selectExpr("sum(id * id % 7) AS plays")
        return rows.select(F.lit("a").alias("track"), "plays")

    slow = [shop.declare(endless, Plays, [same("played", EVENTS)], key=key) for key in (KEY, "charts/others")]
    run = "cancelled-run"
    works = [shop.work(declared, H0, run=run) for declared in slow]

    def step() -> None:
        with pytest.raises(Cancelled):
            overlap.results(works[0], lambda: works, build)

    with Overlap(shop.platform) as overlap:
        asked = threading.Thread(target=step)
        asked.start()
        client: Any = engine.session(run).client  # type: ignore[attr-defined]

        def computing() -> int:
            return sum(status.state == status.OPERATION_STATE_RUNNING for status in client._get_operation_statuses().operation_statuses)

        assert wait_until(lambda: computing() == len(works), 60)
        overlap.close()
        asked.join(30)
        assert not asked.is_alive()
        assert computing() == 0
    assert commits(shop) == []
    assert shop.platform.ledger.leases.of_run(run) == {}
    assert shop.platform.ledger.troubles.all() == {}
