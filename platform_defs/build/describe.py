"""What the catalogue says of an asset: schema, owner, table, inputs with their windows, promises. A contract in, plain Dagster metadata out; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from platform_defs.contracts.contract import AsOfInput, Check, Column, Contract, Input
from platform_defs.contracts.partitions import partition_column
from platform_defs.planning.deadlines import ON_TIME

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")

CHECK_WORDS: Mapping[str, str] = {
    "contract": "Columns, types, keys and the contract's own checks",
    "volume": "Rows against the median of the same hour of day on the last 28 days; warns outside median ± 6 MAD",
    "accounting": "Landed = good + duplicate + conflict + quarantined + parked + pending + erased",
    "complete": "Every input, receiver and segment that should be in it is in it",
    ON_TIME: "There before its deadline (ready within); past it, what it waits for and what to do",
}


def checks_of(contract: Contract) -> tuple[str, ...]:
    """Names of the checks each partition gets. Only what comes out of the landing has something to account for, only some have a deadline."""
    built = ("contract", "volume", "complete") if contract.kind == "endpoint" else ("contract", "volume", "accounting", "complete")
    return built if contract.ready_within_seconds is None else (*built, ON_TIME)


def column_schema(contract: Contract) -> dg.TableSchema:
    """The table's columns as Dagster shows them, the platform's partition column first."""
    hour = dg.TableColumn(
        name=partition_column(contract.cadence),
        type="STRING",
        description=f"The partition: the {'hour' if contract.cadence == 'hourly' else 'day'} in UTC, by event time",
        constraints=dg.TableColumnConstraints(nullable=False),
    )
    return dg.TableSchema(
        columns=[hour, *(_column(column, contract.unique) for column in contract.columns)],
        constraints=dg.TableConstraints(other=[f"unique within a partition: {', '.join(contract.unique)}"] if contract.unique else []),
    )


def metadata_of(contract: Contract) -> dict[str, Any]:
    """The asset's standing metadata."""
    said: dict[str, Any] = {
        "dagster/column_schema": column_schema(contract),
        "dagster/table_name": contract.table,
        "dagster/storage_kind": "deltalake",
        "inputs": dg.MetadataValue.json([input_words(read) for read in contract.inputs]),
        "tier": contract.tier,
        "purpose": contract.purpose,
        "readers": ", ".join(contract.readers) or "the owning team",
        "retention": duration_words(contract.retention_seconds),
        "start": contract.start,
    }
    if contract.ready_within_seconds is not None:
        said["ready within"] = duration_words(contract.ready_within_seconds)
    if contract.corrections_seconds is not None:
        said["corrections"] = duration_words(contract.corrections_seconds)
    if contract.lateness is not None:
        ages = [duration_words(seconds) for seconds in contract.lateness.settle_seconds]
        held = "for ever" if contract.lateness.hold_seconds is None else duration_words(contract.lateness.hold_seconds)
        said["lateness"] = f"settles at {', '.join(ages)}; rebuilt from {contract.lateness.share:.1%} late rows; holds {held}"
    if contract.secrets:
        said["secrets"] = ", ".join(f"{name}: ***" for name in contract.secrets)
    return said


def tags_of(contract: Contract) -> dict[str, str]:
    """What the catalogue can be filtered by."""
    return {name: _UNSAFE.sub("-", value)[:63] for name, value in (("tier", contract.tier), ("purpose", contract.purpose), ("cadence", contract.cadence))}


def kinds_of(contract: Contract) -> set[str]:
    """Event, source or endpoint; and what its table is."""
    return {contract.kind, "spark", "deltalake"}


def group_of(contract: Contract) -> str:
    """The asset's group in its location."""
    return {"event": "events", "source": "sources", "endpoint": "endpoints"}[contract.kind]


def input_words(read: Input) -> str:
    """One input and its window, as an author would write it."""
    if isinstance(read, AsOfInput):
        return f'{read.param} = as_of("{read.endpoint}", within="{duration_words(read.within_seconds)}")'
    if read.first == 0 and read.last == 0:
        return f'{read.param} = "{read.endpoint}"'
    return f'{read.param} = window("{read.endpoint}", {read.unit}=({read.first}, {read.last}))'


def duration_words(seconds: int) -> str:
    """`400d`, `72h`, `90s`: the largest unit that says it exactly."""
    span = timedelta(seconds=seconds)
    for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1))):
        if span >= size and not span % size:
            return f"{span // size}{unit}"
    return f"{seconds}s"


def _column(column: Column, unique: tuple[str, ...]) -> dg.TableColumn:
    marks = {"person": "holds a pseudonym", "people": "counts persons", "personal": "encrypted personal value"}
    other = [_check_words(check) + ("" if column.on_fail == "refuse" else f" (else {column.on_fail})") for check in column.checks]
    if column.mark is not None:
        other.append(marks[column.mark])
    return dg.TableColumn(
        name=column.name,
        type=column.type,
        description=column.description or None,
        constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=unique == (column.name,), other=other),
        tags={"personal": column.mark} if column.mark else {},
    )


def _check_words(check: Check) -> str:
    return f"{check.name}({', '.join(f'{name}={value}' for name, value in check.args.items())})"
