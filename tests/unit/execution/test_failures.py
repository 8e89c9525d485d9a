"""Whose an error is: the engine's troubles are tried again, the author's wait for new code."""

from __future__ import annotations

import errno
import re
from http.client import IncompleteRead
from pathlib import Path

import grpc
import httpx
import pytest
from pyspark.errors import AnalysisException
from pyspark.errors.exceptions.connect import AnalysisException as RemoteAnalysisException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException, SparkException

from platform_defs.execution.failures import Blame, kind_of
from platform_defs.execution.results import FailureKind
from platform_defs.execution.sources import of_vendor
from platform_defs.execution.withheld import RunLog
from platform_defs.lake.commits import Disturbed, NotCommitted, NotOfTable
from platform_defs.lake.engine import EngineError

BLAME = Blame("charts/plays", "assets.charts.plays.plays")


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_server_that_is_gone_is_not_the_authors(code: grpc.StatusCode) -> None:
    error = SparkConnectGrpcException(message="failed to connect to all addresses", grpc_status_code=code)
    assert kind_of(error) is FailureKind.ENGINE
    failure = BLAME.raised("2026-10-01T03", error)
    assert not failure.lasting
    assert "Spark failed" in failure.why
    assert "tried again" in failure.action


def test_an_engine_that_says_so_itself_is_not_the_authors() -> None:
    assert kind_of(EngineError("Spark does not answer")) is FailureKind.ENGINE


FULL = [
    OSError(errno.ENOSPC, "No space left on device", "/lake/secret"),
    OSError(errno.EROFS, "Read-only file system"),
    # As Spark 4.2 tells it: the cause is in the server's trace alone.
    SparkException(
        "[TASK_WRITE_FAILED] Task failed while writing rows to file:/lake/secret. SQLSTATE: 58030",
        errorClass="TASK_WRITE_FAILED",
        server_stacktrace="org.apache.spark.SparkException\nCaused by: java.io.IOException: No space left on device",
    ),
    SparkException("Job aborted due to stage failure: java.io.IOException: Mkdirs failed to create file:/lake/secret (exists=false)"),
]


@pytest.mark.parametrize("error", FULL)
def test_a_disk_that_takes_nothing_is_not_the_authors_and_says_what_to_do(error: Exception, tmp_path: Path) -> None:
    assert kind_of(error) is FailureKind.DISK
    withheld = RunLog(tmp_path, "run-1").failure("l/played", "intake", "2026-10-01T03", error)
    for failure in (BLAME.raised("2026-10-01T03", error), BLAME.publishing("2026-10-01T03", error), BLAME.inspecting("2026-10-01T03", error), withheld):
        assert (failure.kind, failure.lasting) == (FailureKind.DISK, False)
        assert re.search(r"a disk takes nothing: (No space left on device|Read-only file system|no folder can be made)", failure.why)
        assert "backline retention --dry-run" in failure.action
    assert "secret" not in withheld.words


def test_an_intake_that_had_no_memory_is_tried_again() -> None:
    failure = RunLog(None, "run-1").failure("a/b", "intake", "2026-10-01T03", MemoryError())
    assert not failure.lasting
    assert "MemoryError" in failure.why


def test_other_errors_of_files_are_the_authors() -> None:
    assert kind_of(FileNotFoundError(errno.ENOENT, "No such file or directory")) is FailureKind.RAISED


@pytest.mark.parametrize("error", [ValueError("no"), AnalysisException("[UNRESOLVED_COLUMN] no such column"), RemoteAnalysisException("no such column")])
def test_what_is_wrong_with_the_plan_is_the_authors(error: Exception) -> None:
    assert kind_of(error) is FailureKind.RAISED
    assert BLAME.raised("2026-10-01T03", error).lasting


CONCURRENT = SparkConnectGrpcException("[DELTA_CONCURRENT_APPEND] another writer was first", errorClass="DELTA_CONCURRENT_APPEND")
NOT_OURS = SparkException("[FAILED_READ_FILE] a file could not be read", errorClass="FAILED_READ_FILE")


@pytest.mark.parametrize(
    "error", [CONCURRENT, NOT_OURS, EngineError("Spark does not answer"), TimeoutError("no answer"), Disturbed("raced"), NotCommitted("storage")]
)
def test_a_commit_that_was_disturbed_is_tried_again(error: Exception) -> None:
    assert not BLAME.publishing("2026-10-01T03", error).lasting


@pytest.mark.parametrize("error", [RemoteAnalysisException("[DELTA_SCHEMA_MISMATCH] column rate"), KeyError("rate"), NotOfTable("2 rows have no rate")])
def test_a_commit_that_the_table_or_the_platform_cannot_make_is_not_tried_again(error: Exception) -> None:
    failure = BLAME.publishing("2026-10-01T03", error)
    assert (failure.kind, failure.lasting) == (FailureKind.NOT_TAKEN, True)
    assert "build the partition again" in failure.remembered


@pytest.mark.parametrize("error", [httpx.ReadTimeout("slow"), ConnectionResetError(), TimeoutError(), FileNotFoundError("a.csv"), IncompleteRead(b"")])
def test_errors_that_speak_of_a_vendor(error: Exception) -> None:
    assert of_vendor(error)
    wrapped = RuntimeError("the vendor's client gave up")
    wrapped.__cause__ = error
    assert of_vendor(wrapped)


@pytest.mark.parametrize("error", [KeyError("place"), ValueError("not JSON"), ZeroDivisionError()])
def test_errors_that_speak_of_the_sources_code(error: Exception) -> None:
    assert not of_vendor(error)
