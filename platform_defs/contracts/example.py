"""Example instances and rows for authors' tests: what a test does not care about is drawn from a running count, so ids differ and runs repeat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

from pydantic_core import to_jsonable_python

from platform_defs.contracts.contract import Column, WireField, WireType
from platform_defs.contracts.event import Record
from platform_defs.contracts.patterns import PatternError, example_text
from platform_defs.contracts.reading import read_fields

R = TypeVar("R", bound=Record)
_BASE = datetime(2026, 1, 1, tzinfo=UTC)
_count: ContextVar[Iterator[int] | None] = ContextVar("backline_examples", default=None)


class NoExample(ValueError):
    """A value that cannot be drawn; the message names the field to give."""


@contextmanager
def counting_examples() -> Iterator[None]:
    """Inside, examples are drawn from 1 on: what the `build` fixture opens for each test."""
    token = _count.set(count(1))
    try:
        yield
    finally:
        _count.reset(token)


def example_of(cls: type[R], given: dict[str, Any]) -> R:
    """A valid instance: given values, then defaults, then drawn ones. Raises pydantic.ValidationError or NoExample."""
    n = _next()
    values: dict[str, Any] = {}
    for field in _fields(cls):
        if field.name not in given and field.required:
            values[field.name] = drawn(field.type, n, f"{cls.__name__}.{field.name}", field.personal.kind if field.personal else "text")
    # by way of JSON, which is how values of the declared types come in, nested records and enums included
    return cls.model_validate_json(json.dumps(to_jsonable_python({**values, **given})))


@lru_cache(maxsize=256)
def _fields(cls: type[Record]) -> tuple[WireField, ...]:
    return read_fields(cls)[0]  # 20 ms for a class of 17 fields: too long for each of a generator's events


def example_row(columns: Iterable[Column], given: dict[str, Any]) -> dict[str, Any]:
    """A row of a table: given values, then drawn ones that fit type and checks; null where null is allowed."""
    n = _next()
    columns = list(columns)
    if strange := sorted(set(given) - {column.name for column in columns}):
        raise NoExample(f"no column is named {', '.join(strange)}: it has {', '.join(column.name for column in columns)}")
    return {column.name: given[column.name] if column.name in given else _cell(column, n) for column in columns}


def _next() -> int:
    counter = _count.get()
    if counter is None:  # outside a test of ours, one count for this thread or task
        counter = count(1)
        _count.set(counter)
    return next(counter)


def drawn(wire: WireType, n: int, where: str, word: str = "text") -> Any:
    """A Python value of that type, other ones for other `n`."""
    match wire.kind:
        case "string":
            return _string(wire, n, where, word)
        case "integer":
            low = int(wire.ge) if wire.ge is not None else int(wire.gt) + 1 if wire.gt is not None else None
            high = int(wire.le) if wire.le is not None else int(wire.lt) - 1 if wire.lt is not None else None
            return _between(low, high, n)
        case "number":
            return _number(wire, n)
        case "decimal":
            unit = Decimal(1).scaleb(-(wire.places or 0))
            scaled = {key: None if text is None else Decimal(text) / unit for key, text in (("ge", wire.ge), ("gt", wire.gt), ("le", wire.le), ("lt", wire.lt))}
            low = int(scaled["ge"]) if scaled["ge"] is not None else int(scaled["gt"]) + 1 if scaled["gt"] is not None else None
            high = int(scaled["le"]) if scaled["le"] is not None else int(scaled["lt"]) - 1 if scaled["lt"] is not None else None
            return _between(low, 10 ** (wire.digits or 1) - 1 if high is None else high, n) * unit
        case "boolean":
            return n % 2 == 1
        case "uuid":
            return UUID(int=n, version=4)
        case "datetime":
            return _BASE + timedelta(seconds=n)
        case "list":
            assert wire.item is not None
            return [drawn(wire.item, n + i, where, word) for i in range(wire.min_length or 0)]
        case "map":
            return {f"key_{i}": f"{word}-{n}" for i in range(wire.min_length or 0)}
        case "record":
            return {field.name: drawn(field.type, n, f"{where}.{field.name}") for field in wire.fields or () if field.required}


def _string(wire: WireType, n: int, where: str, word: str) -> str:
    if wire.choices is not None:
        return wire.choices[0]
    if wire.pattern is not None:
        try:
            for places in (4, 3, 2, 1, 0, 8, 16, 32, 64):
                text = example_text(wire.pattern, n, places)
                if (wire.min_length or 0) <= len(text) <= (len(text) if wire.max_length is None else wire.max_length):
                    return text
        except PatternError as error:
            raise NoExample(f"no example of {where} can be drawn ({error}): give {where.rpartition('.')[2]}=...") from None
        raise NoExample(f"no example of {where} fits both its pattern and its lengths: give {where.rpartition('.')[2]}=...")
    text = f"{word}-{n:06d}"
    if wire.max_length is not None:
        text = text[max(0, len(text) - wire.max_length) :]
    return text.rjust(wire.min_length or 0, "x")


def _between(low: int | None, high: int | None, n: int) -> int:
    if low is None and high is None:
        return n
    if low is None:
        assert high is not None
        return min(n, high)
    return low + n % (high - low + 1) if high is not None else low + n


def _number(wire: WireType, n: int) -> float:
    low = float(wire.ge) if wire.ge is not None else float(wire.gt) if wire.gt is not None else None
    high = float(wire.le) if wire.le is not None else float(wire.lt) if wire.lt is not None else None
    if low is not None and high is not None:
        return low if low == high else low + (high - low) * ((n % 998) + 1) / 1000
    if low is not None:
        return low + n
    return high - n if high is not None else float(n)


def _cell(column: Column, n: int) -> Any:
    checks = {check.name: check.args for check in column.checks}
    if column.nullable and checks.keys() - {"greater_than_or_equal_to", "isin"}:
        return None
    if "isin" in checks:
        return checks["isin"]["allowed_values"][n % len(checks["isin"]["allowed_values"])]
    if "str_matches" in checks:
        try:
            return example_text(checks["str_matches"]["pattern"], n)
        except PatternError as error:
            raise NoExample(f"no example of column {column.name} can be drawn ({error}): give {column.name}=...") from None
    low = checks.get("greater_than_or_equal_to", checks.get("in_range", {})).get("min_value")
    kind = column.type.partition("(")[0].partition("<")[0]
    match kind:
        case "STRING":
            return f"{column.name}-{n:06d}"
        case "BINARY":
            return n.to_bytes(16, "big")
        case "BOOLEAN":
            return n % 2 == 1
        case "TINYINT" | "SMALLINT" | "INT" | "BIGINT":
            return int(low or 0) + (n % 100 if kind == "TINYINT" else n)
        case "FLOAT" | "DOUBLE":
            return float(low or 0) + n
        case "DECIMAL":
            return Decimal(str(low or 0)) + n
        case "DATE":
            return date(2026, 1, 1) + timedelta(days=n)
        case "TIMESTAMP":
            return _BASE + timedelta(seconds=n)
        case "ARRAY":
            return []
        case "MAP":
            return {}
    raise NoExample(f"no example of column {column.name} ({column.type}) can be drawn: give {column.name}=...")
