"""The proof that a ranged function may be called once for many partitions: on generated rows it must answer what it answers for each partition alone.

Used by tests only, over every endpoint that says `ranged=True`. What a single partition of a test is, is in testing.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any

from platform_defs.contracts.contract import AsOfInput, Column, Contract, Input, WireField
from platform_defs.contracts.endpoints import EndpointDef
from platform_defs.contracts.example import NoExample, drawn, example_row
from platform_defs.contracts.partitions import partition_column
from platform_defs.execution.calling import blame_of, compiled_of, shaped
from platform_defs.execution.results import Failure
from platform_defs.planning.windows import keys_read

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from platform_defs.execution.testing import Build

HOURS = ("2026-10-01T10", "2026-10-01T11", "2026-10-01T12")
DAYS = ("2026-10-01", "2026-10-02", "2026-10-03")
# Few values a column, so that rows of different inputs and partitions meet in joins and groups.
_POOL = 3
_MOST_ROWS = 6
_NULLS = 0.2
# Sums of doubles depend on the order of their parts from here on.
_DIGITS = 12


class RangedDiffers(AssertionError):
    """A ranged function answered differently for a range than for its partitions; the message names endpoint, seed and partition, with the rows."""


def prove_ranged(build: Build, endpoint: EndpointDef[Any], seed: int) -> int:
    """Calls the function for three partitions together and one by one on the same generated rows.

    Args:
        seed: what rows are generated; the same seed gives the same rows.

    Returns:
        how many rows the partitions have together.

    Raises:
        RangedDiffers: a partition's rows differ.
        NoExample: a column of an input that no value can be drawn for.
    """
    declared = build.declared(endpoint)
    contract = declared.contract
    keys = HOURS if contract.cadence == "hourly" else DAYS
    column = partition_column(contract.cadence)
    given = {item.param: _rows(build, item, contract, keys, _luck(seed, item)) for item in contract.inputs}

    def answer(asked: Sequence[str]) -> Counter[str]:
        frames = {item.param: _read(build, item, contract, asked, given[item.param]) for item in contract.inputs}
        frame = shaped(endpoint.fn(**frames), contract, compiled_of(declared), blame_of(declared), asked[0], ranged=True)
        if isinstance(frame, Failure):
            raise RangedDiffers(frame.words)
        return Counter(_words(row.asDict(recursive=True)) for row in frame.select(*(each.name for each in contract.columns), column).collect())

    together, alone = answer(keys), reduce(lambda one, other: one + other, (answer([key]) for key in keys))
    if together != alone:
        raise RangedDiffers(
            f"{contract.key}: its function, called once for {keys[0]} to {keys[-1]}, answers otherwise than called for each (seed {seed}). "
            f"Only together: {_some(together - alone)}. Only one by one: {_some(alone - together)}. "
            f"Keep {column} in every grouping, join and window of it, or remove ranged=True"
        )
    return together.total()


def _luck(seed: int, item: Input) -> random.Random:
    return random.Random(f"{seed} {item.param}")  # noqa: S311 - rows of a test, the same for the same seed


def _rows(build: Build, item: Input, reader: Contract, keys: Sequence[str], luck: random.Random) -> dict[str, list[dict[str, Any]]]:
    """Rows of every partition of an input that any of the keys reads; of snapshots of one that all of them may read."""
    read = build.contract(item.endpoint, reader)
    windows = [keys_read(item, key, read.cadence) for key in keys]
    parts = sorted({part for window in windows for part in window})
    if isinstance(item, AsOfInput):
        parts = [part for part in parts if all(part in window for window in windows)][:1]
    pools = {name: list(_pool(draw)) for name, draw in _columns(read).items()}
    nullable = {column.name for column in read.columns if column.nullable}
    return {
        part: [
            {name: None if name in nullable and luck.random() < _NULLS else luck.choice(pool) for name, pool in pools.items()}
            for _ in range(luck.randrange(_MOST_ROWS))
        ]
        for part in parts
    }


def _read(build: Build, item: Input, reader: Contract, asked: Sequence[str], rows: Mapping[str, list[dict[str, Any]]]) -> DataFrame:
    read = build.contract(item.endpoint, reader)
    wanted = {part for key in asked for part in keys_read(item, key, read.cadence)}
    return build.frame(read, {part: group for part, group in rows.items() if part in wanted})


def _columns(read: Contract) -> dict[str, Column | WireField]:
    """What says most of a column's values: the field of an event or a source row, else the table's column."""
    fields: dict[str, Column | WireField] = {field.name: field for field in read.fields}
    given = ("event_id", "time", "received_at") if read.kind == "event" else ()
    return {column.name: fields.get(column.name, column) for column in read.columns if column.name not in given}


def _pool(of: Column | WireField) -> Iterator[Any]:
    for number in range(1, _POOL + 1):
        if isinstance(of, Column):
            whole = of.model_copy(update={"nullable": False})
            yield example_row([whole], {})[of.name]
        elif of.type.choices is not None:
            yield of.type.choices[number % len(of.type.choices)]
        else:
            try:
                yield drawn(of.type, number, of.name, of.personal.kind if of.personal else "text")
            except NoExample:
                if not of.nullable:
                    raise
                yield None


def _words(row: Mapping[str, Any]) -> str:
    """A row as text, equal for equal rows."""
    return ", ".join(f"{name}={_rounded(value)!r}" for name, value in sorted(row.items()))


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return float(f"{value:.{_DIGITS}g}")
        case Decimal():
            return value.normalize()
        case bytearray():
            return bytes(value)
        case dict():
            return sorted((key, _rounded(each)) for key, each in value.items())
        case list():
            return [_rounded(each) for each in value]
    return value


def _some(rows: Counter[str]) -> str:
    return "; ".join(f"{number} x ({row})" for row, number in sorted(rows.items())[:3]) or "none"
