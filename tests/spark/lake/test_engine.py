"""Sessions by run, tags, interruption and take-over, against a real server."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from pyspark import TaskContext
from pyspark.errors import PySparkException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.connect.client import SparkConnectClient

from platform_defs.lake import delta_log
from platform_defs.lake.engine import EngineError
from platform_defs.lake.layout import Lake
from platform_defs.lake.tables import ensure_table, read_table
from platform_defs.running.spark_server import POOLS
from resources.spark import SparkEngine, SparkEngines, session_id
from resources.spark_plans import TIER_POOLS
from tests.fixtures.publishing import publish_frame
from tests.spark.lake.samples import HOURS, contract, found, rows


def pool_of(session: SparkSession) -> str | None:
    """The pool that a task of the session finds itself in."""

    def tell(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield pa.RecordBatch.from_pydict({"pool": pa.array([TaskContext.get().getLocalProperty("spark.scheduler.pool")], pa.string())})

    [row] = session.range(1).coalesce(1).mapInArrow(tell, "pool STRING").collect()
    return str(row.pool) if row.pool else None


# A client that publishes rows which take 0.3 s each to compute: killed in the middle, its write goes on in the server.
CLIENT = """
import sys
from pyspark.sql import functions as F
from platform_defs.lake.layout import Lake
from resources.spark import SparkEngine
from tests.fixtures.publishing import publish_frame
from tests.spark.lake.samples import HOURS, contract, rows
url, run, root = sys.argv[1:]
session = SparkEngine(url, "lake").session(run)
slow = rows(session, HOURS[0], *range(250)).coalesce(1).where(F.expr("java_method('java.lang.Thread', 'sleep', 300L) IS NULL OR true"))
slow = slow.withColumn("starts", F.expr("starts + length(coalesce(java_method('java.lang.System', 'getProperty', 'none'), ''))"))
print("goes", flush=True)
publish_frame(Lake(root), contract(), slow, HOURS[:1], run)
print("done", flush=True)
"""


@pytest.fixture
def engine(spark_server: str) -> SparkEngine:
    return SparkEngine(spark_server, "lake")


@pytest.fixture
def run_id(engine: SparkEngine) -> Iterator[str]:
    run = f"run-{uuid.uuid4()}"
    yield run
    engine.release(run)


def test_the_work_of_a_session_is_in_the_pool_of_its_tier(engine: SparkEngine, run_id: str) -> None:
    session, other = engine.session(run_id), engine.session(f"{run_id}-other")
    assert pool_of(session) is None  # Spark's `default`
    for tier in ("high", "low", "normal"):
        engine.ranked(session, tier)
        assert pool_of(session) == TIER_POOLS[tier]
        assert pool_of(other) is None
    engine.release(f"{run_id}-other")


def test_every_tier_has_a_pool_and_higher_ones_get_more() -> None:
    weights = {pool.attrib["name"]: int(pool.findtext("weight", "1")) for pool in ElementTree.parse(POOLS).getroot()}
    high, normal, low = (weights[TIER_POOLS[tier]] for tier in ("high", "normal", "low"))
    assert high > normal > low


def _until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.02)


def _busy(url: str, run: str) -> list[str]:
    """What the run's session does in the server, asked by somebody else: in a thread of its own, since who asks for a session has it as the active one."""
    from pyspark.sql.connect.proto import base_pb2

    def ask() -> list[str]:
        watcher = SparkEngine(url, "lake").session(run)
        statuses = watcher.client._get_operation_statuses().operation_statuses
        return [s.operation_id for s in statuses if s.state == base_pb2.GetStatusResponse.OperationStatus.OPERATION_STATE_RUNNING]

    with ThreadPoolExecutor(1) as somebody:
        return somebody.submit(ask).result()


def test_a_run_has_one_session_in_utc_known_by_its_id(engine: SparkEngine, run_id: str) -> None:
    session = engine.session(run_id)
    assert engine.session(run_id) is session
    assert session.client._session_id == session_id(run_id)
    assert session_id("another") != session_id(run_id)
    assert session.conf.get("spark.sql.session.timeZone") == "UTC"


def test_functions_and_udfs_find_the_session(engine: SparkEngine, run_id: str) -> None:
    session = engine.session(run_id)
    plus = F.udf(lambda n: n + 1, "long")
    assert [r[0] for r in session.range(3).select(plus("id")).collect()] == [1, 2, 3]


def test_functions_find_the_session_asked_for_last(engine: SparkEngine, run_id: str) -> None:
    """A run has one in each zone, and one whose server is gone may still be held."""
    another = engine.session(f"{run_id}-other")
    assert SparkSession.active() is another
    session = engine.session(run_id)
    assert SparkSession.active() is session
    assert engine.session(f"{run_id}-other") is SparkSession.active()
    engine.release(f"{run_id}-other")
    engine.session(run_id)
    assert SparkSession.active() is session


def test_tags_hold_for_the_block_and_leave_what_was_there(engine: SparkEngine, run_id: str) -> None:
    session = engine.session(run_id)
    session.addTag("mine")
    with engine.tagged(session, "mine", "charts/skip_rate", "2026-10-01T00,2026-10-01T01"):
        assert session.getTags() == {"mine", "charts/skip_rate", "2026-10-01T00+2026-10-01T01"}
    assert session.getTags() == {"mine"}


def test_interrupting_a_run_that_does_nothing_is_harmless(engine: SparkEngine, run_id: str) -> None:
    engine.session(run_id)
    assert engine.interrupt(run_id) == 0
    assert engine.interrupt(f"never-{uuid.uuid4()}") == 0
    assert engine.session(run_id).range(1).count() == 1


def test_an_interrupted_run_of_this_process_goes_on_afterwards(engine: SparkEngine, spark_server: str, run_id: str) -> None:
    session, ended = engine.session(run_id), []

    def work() -> None:
        try:
            session.range(60).coalesce(1).where("java_method('java.lang.Thread', 'sleep', 500L) IS NULL AND id < 0").count()
        except PySparkException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    _until(lambda: _busy(spark_server, run_id))
    assert engine.interrupt(run_id) == 1
    thread.join(20)
    assert len(ended) == 1
    assert session.range(2).count() == 2


def test_a_killed_clients_write_is_ended_and_nothing_more_comes_from_it(engines: SparkEngines, spark_server: str, spark: SparkSession, tmp_path: Path) -> None:
    lake, dead = Lake(str(tmp_path / "lake")), f"run-{uuid.uuid4()}"
    table = lake.table("charts/skip_rate")
    ensure_table(spark, lake, contract())
    client = subprocess.Popen([sys.executable, "-c", CLIENT, spark_server, dead, lake.root], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert client.stdout is not None
    assert client.stdout.readline() == b"goes\n"
    _until(lambda: _busy(spark_server, dead))
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    client.stdout.close()

    assert _busy(spark_server, dead)  # it goes on without its client
    assert engines.engine("lake").interrupt(dead) >= 1
    with pytest.raises(EngineError, match="took over its lease"):
        SparkEngine(spark_server, "lake").session(dead)
    commit = publish_frame(lake, contract(), rows(spark, HOURS[0], 5), HOURS[:1], "run-2", 2)
    assert commit.version == 1
    assert [e.signature["run"] for e in delta_log.entries(table, 0) if e.signature] == ["run-2"]
    assert found(read_table(spark, table, 1, HOURS[:1], "hour")) == [(HOURS[0], "t0", 5)]


def test_who_takes_over_from_a_run_at_the_same_moment_as_another_goes_on(spark_server: str, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a run of several datasets was killed: all that take over its leases end one session. Of 240 that did so at once the server told 3 this."""
    SparkEngine(spark_server, "lake").session(run_id)

    def raced(client: object) -> None:
        code = "SPARK_CONNECT_ILLEGAL_STATE.SESSION_MANAGEMENT_SESSION_ALREADY_CLOSED"
        raise SparkConnectGrpcException(f"[{code}] Session SessionKey(backline,{run_id}) is already closed.", errorClass=code)

    monkeypatch.setattr(SparkConnectClient, "release_session", raced)
    assert SparkEngine(spark_server, "lake").interrupt(run_id) == 0


def test_a_taken_over_client_that_still_lives_cannot_go_on(engine: SparkEngine, spark_server: str, run_id: str) -> None:
    alive_but_replaced = engine.session(run_id)
    assert alive_but_replaced.range(1).count() == 1
    SparkEngine(spark_server, "lake").interrupt(run_id)  # by another process
    with pytest.raises(PySparkException, match="SESSION_CLOSED"):
        alive_but_replaced.range(1).count()


def test_two_zones_have_two_sessions_of_the_same_run(engines: SparkEngines) -> None:
    run = f"run-{uuid.uuid4()}"
    intake, lake = engines.engine("intake"), engines.engine("lake")
    intake.session(run).conf.set("spark.sql.shuffle.partitions", "7")
    assert lake.session(run).conf.get("spark.sql.shuffle.partitions") != "7"
    assert [e.zone for e in engines.engines()] == ["intake", "lake"]
    intake.release(run)
    assert lake.session(run).range(1).count() == 1
    lake.release(run)


def test_an_engine_that_nobody_holds_is_not_kept_by_its_watch(spark_server: str) -> None:
    engine = SparkEngine(spark_server, "lake")
    engine.session(f"test-{uuid.uuid4()}")
    held = weakref.ref(engine)
    del engine
    _until(lambda: gc.collect() is not None and held() is None)


def test_a_server_that_is_not_there_is_told_soon() -> None:
    nobody = SparkEngine("sc://localhost:9/;token=x", "lake")
    assert not nobody.alive()
    begun = time.monotonic()
    with pytest.raises(EngineError, match=r"localhost:9 does not answer: .*backline"):
        nobody.session("run-1")
    assert time.monotonic() - begun < 120  # the deadline of a call to a server that does


def test_a_wrong_token_is_told(spark_server: str) -> None:
    with pytest.raises(EngineError, match="token"):
        SparkEngine(spark_server.rpartition("=")[0] + "=wrong", "lake").session("run-1")


def test_a_short_job_does_not_wait_for_all_tasks_of_a_long_one(engine: SparkEngine, spark_server: str, run_id: str) -> None:
    short, session = f"short-{uuid.uuid4()}", engine.session(run_id)

    def work() -> None:
        with pytest.raises(PySparkException):  # it would take half a minute
            session.range(0, 200, 1, 200).where("java_method('java.lang.Thread', 'sleep', 300L) IS NULL AND id < 0").count()

    thread = threading.Thread(target=work)
    thread.start()
    _until(lambda: _busy(spark_server, run_id))
    assert engine.session(short).range(3).count() == 3
    assert _busy(spark_server, run_id)
    engine.interrupt(run_id)
    thread.join(30)
    engine.release(short)
    assert not thread.is_alive()


def test_plans_over_many_rows_are_compiled_and_over_few_are_not(engine: SparkEngine) -> None:
    run = f"test-{uuid.uuid4()}"
    session = engine.session(run)

    def shown() -> str:
        return str(session.range(3).selectExpr("id + 1 AS one")._explain_string())  # type: ignore[operator]

    assert "*(" not in shown()
    for rows_seen, compiled in ((10, False), (5_000_000, True), (None, True), (10, False)):
        engine.sized(session, rows_seen)
        assert ("*(" in shown()) == compiled, rows_seen
    engine.release(run)
