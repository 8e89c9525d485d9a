"""Contracts and frames for the tests of the lake."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession

from platform_defs.contracts.contract import Column, Contract

HOURS = [f"2026-10-01T{hour:02d}" for hour in range(24)]
COLUMNS = (
    Column(name="track_id", type="STRING", description="It's the track's \\ id"),
    Column(name="starts", type="BIGINT", description="Tracks started"),
    Column(name="listener", type="BINARY", nullable=True, mark="person"),
    Column(name="heard_by", type="BIGINT", nullable=True, mark="people"),
    Column(name="at", type="TIMESTAMP", nullable=True),
)


def contract(key: str = "charts/skip_rate", columns: tuple[Column, ...] = COLUMNS, **given: Any) -> Contract:
    """An hourly endpoint, or what is given."""
    said: dict[str, Any] = {
        "kind": "endpoint",
        "key": key,
        "description": "Starts of each track.",
        "owner": "team:charts",
        "purpose": "product",
        "tier": "normal",
        "start": "2026-01-01",
        "retention_seconds": 400 * 86_400,
        "readers": (),
        "cadence": "hourly",
        "columns": columns,
        "unique": ("track_id",),
        "code_version": "1",
    }
    return Contract(**{**said, **given})


def rows(spark: SparkSession, hour: str, *starts: int, column: str = "hour") -> DataFrame:
    """One row a number, track ids t0, t1, ..."""
    data = [(f"t{i}", n, bytes(15) + bytes([i]), n, None, hour) for i, n in enumerate(starts)]
    return spark.createDataFrame(data, f"track_id string, starts bigint, listener binary, heard_by bigint, at timestamp, {column} string")


def found(frame: DataFrame) -> list[tuple[str, str, int]]:
    """(hour, track, starts) of all rows, sorted."""
    return sorted((r["hour"], r["track_id"], r["starts"]) for r in frame.select("hour", "track_id", "starts").collect())
