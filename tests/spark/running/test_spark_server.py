"""The server's start and end: private, quiet, without leftovers. Servers of its own: it stops them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from pyspark.errors import PySparkException

from platform_defs.execution.failures import kind_of
from platform_defs.execution.results import FailureKind
from platform_defs.lake.engine import EngineError
from platform_defs.running.home import accepts, wait_until
from platform_defs.running.run_process import started_at
from platform_defs.running.services import greets
from platform_defs.running.spark_server import SparkServer, SparkServerError, SparkServerSettings
from resources import spark
from resources.spark import SparkEngine

CANARY = "canary.name@example.org"
STARTER = """
import sys, time
from pathlib import Path
from platform_defs.running.spark_server import SparkServer, SparkServerSettings
server = SparkServer(SparkServerSettings(folder=Path(sys.argv[1]), log=Path(sys.argv[2]), heap="700m"))
server.start()
print(server.pid, server.url, flush=True)
time.sleep(600)
"""


def _settings(folder: Path, **given: str) -> SparkServerSettings:
    return SparkServerSettings(**{"folder": folder / "server", "log": folder / "spark.log", "heap": "700m", **given})  # type: ignore[arg-type]


def _gone(pid: int) -> bool:
    return started_at(pid) is None


def test_a_killed_starters_server_ends_and_the_next_leaves_nothing(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(settings.folder), str(settings.log)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert starter.stdout is not None
    left, old_url = starter.stdout.readline().split()
    assert os.getpgid(int(left)) != os.getpgid(starter.pid)  # a terminal's Ctrl-C does not reach it
    assert SparkEngine(old_url, "lake").alive()
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    end = time.monotonic() + 30
    while not _gone(int(left)):
        assert time.monotonic() < end
        time.sleep(0.05)
    settings.local.mkdir(exist_ok=True)
    (settings.local / "left").write_text(CANARY)

    with SparkServer(settings) as server:
        assert server.pid is not None
        java = psutil.Process(server.pid)
        engine = SparkEngine(server.url, "lake")
        session = engine.session("run-1")

        assert not (settings.local / "left").exists()
        assert [oct(p.stat().st_mode & 0o777) for p in (settings.folder, settings.local, settings.log)] == ["0o700", "0o700", "0o600"]
        token = server.url.rpartition("=")[2]
        assert token not in " ".join(java.cmdline())
        assert {c.laddr.ip.removeprefix("::ffff:") for c in java.net_connections() if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        assert not SparkEngine(server.url.replace(token, "guess"), "lake").alive()

        with pytest.raises(PySparkException) as raised:  # whoever asked learns the value; the log does not
            session.sql(f"SELECT CAST(concat('{CANARY}', id) AS INT) FROM range(2)").collect()
        assert CANARY in str(raised.value)
        assert "JVM stacktrace" not in str(raised.value)

        from pyspark.sql import functions as F

        double = F.udf(lambda n: 2 * n, "long")
        assert session.range(2).select(double("id")).count() == 2
        workers = [p.pid for p in java.children(recursive=True)]
    assert _gone(java.pid)
    assert [pid for pid in workers if not _gone(pid)] == []
    assert not (settings.local).exists()
    assert CANARY not in settings.log.read_text()
    assert not server.running()
    server.stop()  # again: harmless


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    settings = _settings(tmp_path, heap="1k")
    with pytest.raises(SparkServerError, match=r"did not start: .*heap.*spark\.log; memory asked for: 1k"):
        SparkServer(settings).start()
    assert list(settings.folder.iterdir()) == []


def test_a_client_of_a_stopped_or_killed_server_is_told_and_its_next_try_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process keeps its connections: no call of its clients ends by itself."""
    monkeypatch.setattr(spark, "_WATCH_SECONDS", 0.2)
    monkeypatch.setattr(spark, "_WATCH_ANSWER_SECONDS", 1.0)
    server = SparkServer(_settings(tmp_path))
    server.start()
    try:
        assert server.pid is not None
        engine = SparkEngine(server.url, "lake")
        engine.session("run-1")
        with _ended_call(engine, "run-1") as ended:
            os.kill(server.pid, signal.SIGSTOP)
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        assert accepts(("127.0.0.1", port))
        assert not greets(port, 0.5)  # by which the supervisor finds and ends it, and `status` names it
        assert kind_of(ended[0]) is FailureKind.ENGINE
        with pytest.raises(EngineError, match="has stopped answering though its process is there"):
            engine.session("run-1")
        engine.close()
        os.kill(server.pid, signal.SIGCONT)
        assert wait_until(lambda: greets(port), 60)

        engine = SparkEngine(server.url, "lake")
        engine.session("run-2")
        with _ended_call(engine, "run-2") as ended:
            os.kill(server.pid, signal.SIGKILL)
        assert kind_of(ended[0]) is FailureKind.ENGINE
        engine.close()

        server.start()
        engine = SparkEngine(server.url, "lake")
        assert engine.session("run-3").range(3).count() == 3
        engine.close()
    finally:
        server.stop()


@contextmanager
def _ended_call(engine: SparkEngine, run: str) -> Iterator[list[Exception]]:
    """The error of a query that is in the middle of its work when the body does something to the server; within half a minute, or it hangs."""
    session, errors = engine.session(run), []

    def ask() -> None:
        try:
            session.range(1_000_000_000_000).selectExpr("sum(id * id % 7)").collect()
        except Exception as error:  # noqa: BLE001 - how it ends is what is looked at
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert wait_until(lambda: bool(session.client._get_operation_statuses().operation_statuses), 60)  # type: ignore[attr-defined]
    yield errors
    thread.join(30)
    assert not thread.is_alive()
    assert errors
