"""Schemas of endpoints: pandera models for Spark frames with what a contract adds. The one module of contracts that needs pandera and pyspark."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Literal

import pandera.pyspark as pa
from pandera.api.pyspark.model_config import BaseConfig
from pandera.errors import SchemaInitError
from pyspark.sql import types as T

from platform_defs.contracts.contract import Check, Column, OnFail
from platform_defs.contracts.errors import ContractError
from platform_defs.contracts.places import place_of
from platform_defs.contracts.reading import NAME

METADATA = "backline"
_ON_FAIL = ("refuse", "quarantine", "warn")
_KNOWN = frozenset(inspect.signature(pa.Field).parameters) - {"kwargs", "unique", "title"}
_PEOPLE = ("BIGINT", "INT")
_PLAIN = {
    T.StringType: "STRING",
    T.BinaryType: "BINARY",
    T.BooleanType: "BOOLEAN",
    T.ByteType: "TINYINT",
    T.ShortType: "SMALLINT",
    T.IntegerType: "INT",
    T.LongType: "BIGINT",
    T.FloatType: "FLOAT",
    T.DoubleType: "DOUBLE",
    T.DateType: "DATE",
    T.TimestampType: "TIMESTAMP",
}


class Schema(pa.DataFrameModel):  # type: ignore[type-arg]
    """What every partition of an endpoint must look like: exactly these columns, not null unless said, each with its checks."""

    class Config(BaseConfig):
        """Of these, authors set `unique`: the columns that are the key within a partition."""

        strict = True

    @classmethod
    def example(cls, **given: Any) -> dict[str, Any]:  # type: ignore[override]
        """A row that fits the columns; what is not given is drawn from the running count, so keys differ and runs repeat."""
        from platform_defs.contracts.example import example_row

        return example_row(read_schema(cls)[0], given)


def field(*, on_fail: OnFail = "refuse", nullable: bool = False, description: str | None = None, **checks: Any) -> Any:
    """pandera's `Field` and what a failing check does.

    Args:
        on_fail: `refuse` keeps the partition's last good version; `quarantine` takes the failing rows out; `warn` only tells. Null in a
            column that is not nullable counts as a failing check.
        nullable, description: as in pandera.
        checks: pandera's own: ge, gt, le, lt, eq, ne, in_range, isin, notin, str_matches, str_length, str_startswith, ...
    """
    return _field(None, on_fail, nullable, description, checks)


def person(*, on_fail: OnFail = "refuse", nullable: bool = False, description: str | None = None, **checks: Any) -> Any:
    """A column that holds a person's pseudonym (`T.BinaryType`); arguments as in `field`."""
    return _field("person", on_fail, nullable, description, checks)


def people(*, on_fail: OnFail = "refuse", nullable: bool = False, description: str | None = None, **checks: Any) -> Any:
    """A column that counts persons (`T.LongType`); arguments as in `field`."""
    return _field("people", on_fail, nullable, description, checks)


def _field(mark: Literal["person", "people"] | None, on_fail: OnFail, nullable: bool, description: str | None, checks: dict[str, Any]) -> Any:
    for name in checks:
        if name not in _KNOWN and name not in pa.Check.REGISTERED_CUSTOM_CHECKS:
            near = get_close_matches(name, _KNOWN, 1)
            raise ContractError(f"field({name}=)", f"pandera has no check {name}", f"Write {near[0]}=" if near else f"Known are {', '.join(sorted(_KNOWN))}")
    metadata = {**(checks.pop("metadata", None) or {}), METADATA: {"on_fail": on_fail, "mark": mark}}
    return pa.Field(nullable=nullable, description=description, metadata=metadata, **checks)


def read_schema(cls: type[Schema]) -> tuple[tuple[Column, ...], tuple[str, ...], list[ContractError]]:
    """Columns and key of a schema, and what is wrong with it; wrong columns are left out."""
    try:
        schema = cls.to_schema()
    except (TypeError, AttributeError, SchemaInitError, ValueError) as error:
        about = str(error).splitlines()[0] if str(error) else type(error).__name__
        return (), (), [ContractError(place_of(cls), f"pandera cannot read it: {about}", "Give each column one of T's types and pandera's checks")]
    problems: list[ContractError] = []
    if schema.strict is not True or schema.coerce:
        problems.append(ContractError(place_of(cls, "Config"), "it changes strict or coerce, and a contract is closed and converts nothing", "Remove them"))
    columns: list[Column] = []
    for name, column in schema.columns.items():
        try:
            if cls.__fields__.get(name) and cls.__fields__[name][0].arg is T.DecimalType and not cls.__fields__[name][0].metadata:
                raise ValueError("a decimal needs its digits and places", "Write Annotated[T.DecimalType, 12, 2]")
            columns.append(_column(name, column))
        except ValueError as error:
            why, write = error.args
            problems.append(ContractError(place_of(cls, name), why, write))
    if not schema.columns:
        problems.append(ContractError(place_of(cls), "it has no column", "Write e.g. track_id: T.StringType = field()"))
    unique = tuple([schema.unique] if isinstance(schema.unique, str) else schema.unique or ())
    for name in unique:
        if name not in schema.columns:
            have = ", ".join(schema.columns)
            problems.append(ContractError(place_of(cls, "Config.unique"), f"{name} is no column of it", f"Name some of: {have}"))
    return tuple(columns), unique, problems


def _column(name: str, column: Any) -> Column:
    ours = (column.metadata or {}).get(METADATA) or {"on_fail": "refuse", "mark": None}
    if name in ("hour", "day"):
        raise ValueError(f"{name} is the platform's column and is added by itself", "Remove it from the schema")
    if not NAME.fullmatch(name):
        raise ValueError("a column's name does not fit", "Use lower case letters, digits and _, beginning with a letter, at most 63")
    if ours["on_fail"] not in _ON_FAIL:
        raise ValueError(f"on_fail={ours['on_fail']!r} is none of the three", f"Write one of {', '.join(_ON_FAIL)}")
    if column.regex or not column.required or column.coerce:
        raise ValueError("a column of a contract is always there, under its own name and type", "Remove regex, required=False, Optional and coerce")
    kind = ddl_of(getattr(column.dtype, "type", None))
    if ours["mark"] == "person" and kind != "BINARY":
        raise ValueError(f"person() holds a pseudonym, which is BINARY, not {kind}", "Write user_id: T.BinaryType = person()")
    if ours["mark"] == "people" and kind not in _PEOPLE:
        raise ValueError(f"people() counts persons, in BIGINT, not {kind}", "Write listeners: T.LongType = people(ge=0)")
    if any(check.raise_warning for check in column.checks):
        raise ValueError("raise_warning is pandera's word", 'Write on_fail="warn"')
    return Column(
        name=name,
        type=kind,
        nullable=bool(column.nullable),
        description=column.description or "",
        mark=ours["mark"],
        on_fail=ours["on_fail"],
        checks=tuple(Check(name=check.name, args={key: _plain(value) for key, value in (check.statistics or {}).items()}) for check in column.checks),
    )


def ddl_of(kind: Any) -> str:
    """Spark's DDL text of a type, upper case; raises ValueError(why, write) for types a contract does not hold."""
    match kind:
        case T.DecimalType():
            return f"DECIMAL({kind.precision},{kind.scale})"
        case T.ArrayType():
            return f"ARRAY<{ddl_of(kind.elementType)}>"
        case T.MapType():
            return f"MAP<{ddl_of(kind.keyType)}, {ddl_of(kind.valueType)}>"
        case T.StructType():
            return f"STRUCT<{', '.join(f'{part.name}: {ddl_of(part.dataType)}' for part in kind.fields)}>"
    name = _PLAIN.get(type(kind))
    if name is None:
        raise ValueError(
            f"{kind} is no type of a contract", f"Use one of T's: {', '.join(sorted(t.__name__ for t in _PLAIN))}, DecimalType, ArrayType, MapType"
        )
    return name


def _plain(value: Any) -> Any:
    """A check's argument as JSON: sets sorted, instants and decimals as text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted((_plain(member) for member in value), key=lambda member: (str(type(member)), member))
    if hasattr(value, "pattern"):
        return value.pattern
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(member) for member in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
