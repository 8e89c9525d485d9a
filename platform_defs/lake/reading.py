"""Rows of a table as a person reads them: `backline read`, and what tests compare. Where pipelines read is tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import partition_column
from platform_defs.lake import delta_log
from platform_defs.lake.layout import Lake, Lane

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HIDDEN = "***"


def read_rows(
    session: SparkSession, lake: Lake, contract: Contract, first: str | None = None, last: str | None = None, limit: int | None = None, lane: Lane = "table"
) -> Iterator[dict[str, Any]]:
    """Rows of the partitions from `first` to `last` (both included) of the table as it is now, in order of partition and key, as plain Python.

    UUIDs and pseudonyms are shown as UUIDs, encrypted personal values as `***`. Raises NoTable.
    """
    from pyspark.sql import functions as F

    path, column = lake.lane(contract.key, lane), partition_column(contract.cadence)
    if delta_log.newest(path) is None:
        raise delta_log.NoTable(f"{contract.table} has no table at {path}: run `backline apply`")
    frame = session.read.format("delta").load(path)
    if first is not None:
        frame = frame.where(F.col(column) >= first)
    if last is not None:
        frame = frame.where(F.col(column) <= last)
    frame = frame.orderBy(column, *contract.unique)
    if limit is not None:
        frame = frame.limit(limit)
    personal = {c.name for c in contract.columns if c.mark == "personal"}
    for row in frame.toLocalIterator():
        yield shown(row.asDict(recursive=True), personal)


def shown(row: Mapping[str, Any], personal: Collection[str] = ()) -> dict[str, Any]:
    """A row with its 16-byte values as UUIDs and its encrypted ones hidden."""
    return {name: (None if value is None else HIDDEN) if name in personal else _shown(value) for name, value in row.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return str(UUID(bytes=bytes(value))) if len(value) == 16 else bytes(value).hex()
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(inner) for inner in value]
    return value
