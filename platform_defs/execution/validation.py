"""Is a landed line what its contract says? Asked twice, with one answer: by Spark for the many, by Pydantic for the few.

Landing holds one spelling, the receiver's. A line that has exactly this spelling (one regular expression made from the contract) and whose values keep
the contract's limits (column expressions) is good without a doubt: nothing of a JSON value is lost then by Spark's lenient reader, which by itself
cannot tell 5 from "5", null from missing, or a name it does not know from nothing. Every other line is given to Pydantic, whose word is final; it may
also be good (an older spelling, a field added since). So Spark's expressions need to be sound, not complete, and both verdicts are the same.

`LineForm` is Spark's part, `Judge` Pydantic's. Reading files, counting and what becomes of a row are intake's. No verdict carries a value.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, ValidationError, create_model
from pydantic_core import from_json, to_json
from pyspark.sql import Column
from pyspark.sql import functions as F

from platform_defs.contracts.bounds import INSTANT_RANGE, instant_text
from platform_defs.contracts.contract import Contract, WireField, WireType
from platform_defs.contracts.event import Record
from platform_defs.contracts.patterns import java_pattern
from platform_defs.contracts.wire import model_of, model_of_fields, spark_type

UNREADABLE = "<line>:json_invalid"
UNKNOWN_FIELD = "<unknown field>"
_CORRUPT = "_corrupt"
_ENVELOPE = (
    WireField(name="client", type=WireType(kind="string", min_length=1)),
    WireField(name="id", type=WireType(kind="string", min_length=1)),
    WireField(name="time", type=WireType(kind="datetime")),
    WireField(name="received_at", type=WireType(kind="datetime")),
)
# Possessive throughout: Java runs these without recursion, so that no text, however long, can exhaust a stack.
_TEXT = r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]|[dD][0-7])[0-9a-fA-F]{2})[^"\\\x00-\x1f]*+)*+"'
_WHOLE = r"-?+(?:0|[1-9][0-9]{0,18}+)"  # more digits are more than 64 bits; a number of 19 that is too large makes the record corrupt
_FLOAT = r"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+"
_UUID = r'"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"'
_INSTANT = r'"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"'
_END = r"\z"  # Java's; Python says \Z
SEPARATOR = r'(?:,(?=")|(?=\}))'
"""What stands between members of a record that may all be absent."""


@dataclass(frozen=True)
class LineForm:
    """A contract's line as Spark reads it.

    Attributes:
        pattern: matches the one spelling, for `rlike`.
        ddl: what `from_json` reads the line as; UUID, instants and decimals as text.
    """

    pattern: str
    ddl: str
    fields: tuple[WireField, ...]

    @classmethod
    def of(cls, contract: Contract) -> LineForm:
        """The form of an event type's or source's lines."""
        line = line_fields(contract)
        return cls(rf"\A{_record_pattern(line)}" + _END, f"STRUCT<{_members_ddl(line)}, {_CORRUPT}: STRING>", contract.fields)

    def spells(self, line: str) -> bool:
        """Whether the line has the one spelling."""
        return self._spelling.match(line) is not None

    @cached_property
    def _spelling(self) -> re.Pattern[str]:
        return re.compile(self.pattern.removesuffix(_END) + r"\Z")

    def parsed(self, line: Column) -> Column:
        """The line as a struct with the envelope's names, `data`, and `_corrupt`; null members where the text does not give them."""
        return F.from_json(line, self.ddl, {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT})

    def sure(self, line: Column, parsed: Column, instants: Mapping[str, Column]) -> Column:
        """True where the line is good beyond doubt; false, never null, where Pydantic must be asked.

        Args:
            instants: the envelope's, by name, as TIMESTAMP: columns, so that none is worked out twice.
        """
        checks = [
            F.is_valid_utf8(line),
            line.rlike(self.pattern),
            parsed[_CORRUPT].isNull(),
            *_checks(_ENVELOPE, parsed.getField, instants),
            *_checks(self.fields, parsed["data"].getField),
        ]
        together = checks[0]
        for check in checks[1:]:
            together = together & check
        return F.coalesce(together, F.lit(False))

    def columns(self, parsed: Column) -> dict[str, Column]:
        """The fields of `data` by name, in the table's types (personal ones still raw)."""
        return {field.name: _typed(parsed["data"][field.name], field.type) for field in self.fields}

    @staticmethod
    def payload(line: Column, parsed: Column) -> Column:
        """What follows the envelope of a line in the one spelling, as BINARY.

        `,"data":` cannot stand inside a text, whose quotes are escaped. Where nothing is escaped before it, its place is known; looking for it, character
        by character, took a tenth of the time of an intake's first stage.
        """
        before = '{"client":"","id":"","time":"2026-10-01T00:00:00.000000Z","received_at":"2026-10-01T00:00:00.000000Z"'
        raw, data = line.cast("binary"), ',"data":'
        place = F.octet_length(parsed["client"]) + F.octet_length(parsed["id"]) + F.lit(len(before) + 1)
        there = F.substring(raw, place, len(data)) == F.lit(data).cast("binary")
        return F.when(there, F.substr(raw, place)).otherwise(F.substr(line, F.locate(data, line)).cast("binary"))

    @staticmethod
    def instant(text: Column) -> Column:
        """An instant's text as TIMESTAMP."""
        return _typed(text, WireType(kind="datetime"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Pydantic says of a line.

    Attributes:
        line: in the one spelling; of a bad line with those fields only that are valid by themselves, None if it is no JSON object at all.
        rules: what is broken, `ms_played:less_than_equal`: declared names and Pydantic's error types, never a value. Empty if the line is good.
    """

    line: str | None
    rules: tuple[str, ...]


class Judge:
    """Pydantic's verdict on single lines of one contract."""

    def __init__(self, contract: Contract) -> None:
        parts: dict[str, Any] = {name: (Annotated[str, Field(min_length=1)], ...) for name in ("client", "id")}
        parts |= dict.fromkeys(("time", "received_at"), (datetime, ...))
        self.model = create_model("Line", __base__=Record, **parts, data=(model_of(contract), ...))
        self._fields = line_fields(contract)
        self._alone: dict[tuple[str, str], type[Record]] = {}

    def judge(self, line: bytes) -> Verdict:
        """The verdict on a line; never raises for what the line contains."""
        try:
            return Verdict(self.model.model_validate_json(line).model_dump_json(), ())
        except ValidationError as error:
            rules = tuple(
                dict.fromkeys(_rule(self._fields, e["loc"], e["type"]) for e in error.errors(include_url=False, include_context=False, include_input=False))
            )
        if rules == (UNREADABLE,):
            return Verdict(None, rules)
        return Verdict(self._salvaged(line), rules)

    def _salvaged(self, line: bytes) -> str | None:
        given = from_json(line)
        if not isinstance(given, dict):
            return None
        data = given.get("data")
        kept = self._valid("", _ENVELOPE, given)
        kept["data"] = self._valid("data", self._fields[-1].type.fields or (), data if isinstance(data, dict) else {})
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))

    def _valid(self, owner: str, fields: Sequence[WireField], given: Mapping[str, Any]) -> dict[str, Any]:
        """The canonical values of those fields that are given and valid."""
        kept: dict[str, Any] = {}
        for field in fields:
            if field.name not in given:
                continue
            known = (owner, field.name)
            if known not in self._alone:
                self._alone[known] = model_of_fields("alone", (field,))
            try:
                # As text again: of a strict model only JSON may give a UUID, an instant or a decimal.
                alone = self._alone[known].model_validate_json(to_json({field.name: given[field.name]}, inf_nan_mode="constants"))
            except (ValidationError, ValueError):
                continue
            kept |= json.loads(alone.model_dump_json())
        return kept


def line_fields(contract: Contract) -> tuple[WireField, ...]:
    """The members of a whole line: the envelope's, then `data` with the contract's fields."""
    return (*_ENVELOPE, WireField(name="data", type=WireType(kind="record", fields=contract.fields)))


def _rule(fields: Sequence[WireField], loc: Sequence[int | str], kind: str) -> str:
    """`path:type` of declared names alone: positions in a list and names in a map are values."""
    path: list[str] = []
    inner: Sequence[WireField] | None = fields
    for step in loc:
        if inner is None:  # within a map, or a label of the validator behind a plain value
            break
        if isinstance(step, int):
            continue
        field = next((field for field in inner if field.name == step), None)
        path.append(field.name if field else UNKNOWN_FIELD)
        wire = field.type if field else None
        while wire is not None and wire.item is not None:
            wire = wire.item
        inner = wire.fields if wire is not None else None
    if len(path) > 1 and path[0] == "data":
        del path[0]
    return f"{'.'.join(path) or '<line>'}:{kind}"


def _record_pattern(fields: Sequence[WireField]) -> str:
    """The one spelling of an object: declared order, no white space. A field whose absence means null may be absent, as in lines older than it."""
    lacking = [_may_lack(field) for field in fields]
    members = []
    for field in fields:
        value = _pattern(field.type)
        members.append(f'"{field.name}":' + (f"(?:null|{value})" if field.nullable else value))
    if all(lacking):
        return r"\{" + "".join(f"(?:{member}{SEPARATOR})?+" for member in members) + r"\}"
    # Commas go with what may be absent, so that none has to be looked ahead for: of a plain line's match it was a third of the time.
    last = len(fields) - 1 - lacking[::-1].index(False)
    before = [f"(?:{member},)?+" if absent else f"{member}," for member, absent in zip(members[:last], lacking, strict=False)]
    return r"\{" + "".join([*before, members[last], *(f"(?:,{member})?+" for member in members[last + 1 :])]) + r"\}"


def _may_lack(field: WireField) -> bool:
    return not field.required and field.nullable and field.default is None


def _pattern(wire: WireType) -> str:
    match wire.kind:
        case "string":
            return _TEXT
        case "integer":
            return _WHOLE
        case "number":
            return _FLOAT
        case "boolean":
            return "(?:true|false)"
        case "uuid":
            return _UUID
        case "datetime":
            return _INSTANT
        case "decimal":
            whole = (wire.digits or 0) - (wire.places or 0)
            before = rf"(?:0|[1-9][0-9]{{0,{whole - 1}}}+)" if whole else "0"
            return rf'"-?+{before}' + (rf'\.[0-9]{{{wire.places}}}"' if wire.places else '"')
        case "list":
            assert wire.item is not None
            item = _pattern(wire.item)
            return rf"\[(?:{item}(?:,{item})*+)?+\]"
        case "map":
            return rf"\{{(?:{_TEXT}:{_TEXT}(?:,{_TEXT}:{_TEXT})*+)?+\}}"
        case "record":
            return _record_pattern(wire.fields or ())


def _ddl(wire: WireType) -> str:
    match wire.kind:
        case "uuid" | "datetime" | "decimal":
            return "STRING"
        case "list":
            assert wire.item is not None
            return f"ARRAY<{_ddl(wire.item)}>"
        case "record":
            return f"STRUCT<{_members_ddl(wire.fields or ())}>"
        case _:
            return spark_type(wire)


def _members_ddl(fields: Sequence[WireField]) -> str:
    return ", ".join(f"`{field.name}`: {_ddl(field.type)}" for field in fields)


def _checks(fields: Sequence[WireField], get: Callable[[str], Column], instants: Mapping[str, Column] = MappingProxyType({})) -> Iterator[Column]:
    """What the pattern does not say of these fields' values, per field; null where a value is, and may not be, null."""
    for field in fields:
        value = get(field.name)
        check = _limits(value, field.type, instants.get(field.name))
        if check is not None:
            yield value.isNull() | check if field.nullable else check


def _limits(value: Column, wire: WireType, instant: Column | None = None) -> Column | None:
    """Whether a raw value that is not null keeps its limits; None if there are none. `instant`: it as TIMESTAMP, where that is known."""
    checks: list[Column] = []
    match wire.kind:
        case "string":
            checks += _between(F.length(value), wire.min_length, wire.max_length)
            if wire.pattern is not None:
                checks.append(value.rlike(java_pattern(wire.pattern)))
            if wire.choices is not None:
                checks.append(value.isin(*wire.choices))
        case "integer":
            checks += _compared(value, wire, int)
        case "number":
            checks += [F.abs(value) <= F.lit(sys.float_info.max), *_compared(value, wire, float)]
        case "decimal":
            exact = _typed(value, wire)
            checks += [exact.isNotNull(), *_compared(exact, wire, Decimal)]
        case "datetime":
            first, last = (instant_text(at) for at in INSTANT_RANGE)
            checks += [value >= F.lit(first), value <= F.lit(last), (_typed(value, wire) if instant is None else instant).isNotNull()]
        case "list":
            assert wire.item is not None
            checks += _between(F.size(value), wire.min_length, wire.max_length)
            item = wire.item
            if _limits(F.lit(None), item) is not None:
                checks.append(F.forall(value, lambda each: _certain(_limits(each, item))))
        case "map":
            # A name given twice is one entry for Pydantic and two for Spark.
            checks += [F.size(value) == F.size(F.array_distinct(F.map_keys(value))), *_between(F.size(value), wire.min_length, wire.max_length)]
        case "record":
            checks += _checks(wire.fields or (), value.getField)
        case "boolean" | "uuid":
            pass
    together: Column | None = None
    for check in checks:
        together = check if together is None else together & check
    return together


def _certain(check: Column | None) -> Column:
    assert check is not None
    return F.coalesce(check, F.lit(False))


def _between(size: Column, least: int | None, most: int | None) -> list[Column]:
    return [*([size >= F.lit(least)] if least is not None else []), *([size <= F.lit(most)] if most is not None else [])]


def _compared(value: Column, wire: WireType, number: Callable[[str], Any]) -> list[Column]:
    checks = []
    if wire.ge is not None:
        checks.append(value >= F.lit(number(wire.ge)))
    if wire.gt is not None:
        checks.append(value > F.lit(number(wire.gt)))
    if wire.le is not None:
        checks.append(value <= F.lit(number(wire.le)))
    if wire.lt is not None:
        checks.append(value < F.lit(number(wire.lt)))
    return checks


def _typed(value: Column, wire: WireType) -> Column:
    """A raw value in its table type. Never an error: what cannot be converted is null (and was not found good)."""
    match wire.kind:
        case "uuid":
            return F.unhex(F.replace(value, F.lit("-"), F.lit("")))
        case "datetime":
            # Without its Z, of which the spelling is certain: a zone costs a regular expression, and sessions are in UTC.
            return F.substring(value, 1, 26).try_cast("timestamp")
        case "decimal":
            return value.try_cast(spark_type(wire))
        case "list":
            assert wire.item is not None
            item = wire.item
            return F.transform(value, lambda each: _typed(each, item)) if _converts(item) else value
        case "record" if _converts(wire):
            members = [_typed(value[field.name], field.type).alias(field.name) for field in wire.fields or ()]
            return F.when(value.isNotNull(), F.struct(*members))
        case _:
            return value


def _converts(wire: WireType) -> bool:
    if wire.kind == "list" and wire.item is not None:
        return _converts(wire.item)
    if wire.kind == "record":
        return any(_converts(field.type) for field in wire.fields or ())
    return wire.kind in ("uuid", "datetime", "decimal")
