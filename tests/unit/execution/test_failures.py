"""Whose an error is: the engine's troubles are tried again, the author's wait for new code."""

from __future__ import annotations

import grpc
import pytest
from pyspark.errors import AnalysisException
from pyspark.errors.exceptions.connect import AnalysisException as RemoteAnalysisException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException

from platform_defs.execution.failures import Blame, kind_of
from platform_defs.execution.results import FailureKind
from platform_defs.lake.engine import EngineError

BLAME = Blame("charts/plays", "assets.charts.plays.plays")


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_server_that_is_gone_is_not_the_authors(code: grpc.StatusCode) -> None:
    error = SparkConnectGrpcException(message="failed to connect to all addresses", grpc_status_code=code)
    assert kind_of(error) is FailureKind.ENGINE
    failure = BLAME.raised("2026-10-01T03", error)
    assert not failure.by_author
    assert "Spark failed" in failure.why
    assert "tried again" in failure.action


def test_an_engine_that_says_so_itself_is_not_the_authors() -> None:
    assert kind_of(EngineError("Spark does not answer")) is FailureKind.ENGINE


@pytest.mark.parametrize("error", [ValueError("no"), AnalysisException("[UNRESOLVED_COLUMN] no such column"), RemoteAnalysisException("no such column")])
def test_what_is_wrong_with_the_plan_is_the_authors(error: Exception) -> None:
    assert kind_of(error) is FailureKind.RAISED
    assert BLAME.raised("2026-10-01T03", error).by_author
