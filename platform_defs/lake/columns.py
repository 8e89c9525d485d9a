"""A contract's columns in Spark's words: DDL of each lane's table, the schema staged files are read with, statistics, quoting. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import partition_column
from platform_defs.lake.layout import Lane

FAILED = "_failed"
SEGMENT = "_segment"
LINE = "_line"
NEVER_TWICE = ("event_id", "time", "received_at")
"""Columns of which hardly a value comes twice: a dictionary of them would be made, looked through for every value, and thrown away."""
_MEASURED = re.compile(r"TINYINT|SMALLINT|INT|INTEGER|BIGINT|FLOAT|DOUBLE|DATE|TIMESTAMP|DECIMAL(\(.*\))?", re.IGNORECASE)


@dataclass(frozen=True)
class TableColumn:
    """One column of one lane's table; `type` is Spark DDL."""

    name: str
    type: str
    nullable: bool
    comment: str


def lanes_of(contract: Contract) -> tuple[Lane, ...]:
    """The lanes an endpoint has: quarantine where rows can be kept out of a publish, late for event types."""
    if contract.kind == "event":
        return ("table", "quarantine", "late")
    if contract.kind == "source" or any(column.on_fail == "quarantine" for column in contract.columns):
        return ("table", "quarantine")
    return ("table",)


def table_columns(contract: Contract, lane: Lane = "table") -> tuple[TableColumn, ...]:
    """All columns of a lane's table, the platform's partition column last.

    Beside the table, everything may be null: a quarantined row may lack what it was refused for.
    """
    strict = lane == "table"
    columns = [TableColumn(c.name, c.type, c.nullable or not strict, c.description) for c in contract.columns]
    if lane == "quarantine":
        columns.append(TableColumn(FAILED, "ARRAY<STRING>", True, "Rules the row broke"))
    if not strict:
        columns.append(TableColumn(SEGMENT, "STRING", True, "Landing segment the row came from"))
        columns.append(TableColumn(LINE, "BIGINT", True, "Its line there"))
    what = "hour" if contract.cadence == "hourly" else "day"
    columns.append(TableColumn(partition_column(contract.cadence), "STRING", False, f"The {what} of event time, UTC"))
    return tuple(columns)


def staged_ddl(contract: Contract, *, failed: bool = False, origin: bool = False) -> str:
    """Schema to read staged files with. The partition is a STRING: left to itself Spark makes a DATE of `day=2026-10-01`."""
    parts = [f"{name(c.name)} {c.type}" for c in contract.columns]
    if failed:
        parts.append(f"{FAILED} ARRAY<STRING>")
    if origin:
        parts += [f"{SEGMENT} STRING", f"{LINE} BIGINT"]
    return ", ".join([*parts, f"{partition_column(contract.cadence)} STRING"])


def lane_ddl(contract: Contract, lane: Lane) -> str:
    """Schema of a lane's table, to read files with that will go there."""
    return ", ".join(f"{name(column.name)} {column.type}" for column in table_columns(contract, lane))


def measured_columns(contract: Contract) -> tuple[str, ...]:
    """Columns whose least and greatest value may stand in the table's log: unmarked numbers and times. A minimum is a value."""
    return tuple(c.name for c in contract.columns if c.mark is None and _MEASURED.fullmatch(c.type.strip()))


def name(identifier: str) -> str:
    """An identifier quoted for SQL; a path as well (`delta.` + name(path))."""
    return "`" + identifier.replace("`", "``") + "`"


def text(value: str) -> str:
    """A string literal for SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
