"""A contract's landed lines as Arrow reads them: many at a time, in this process. What `LineForm` is to Spark, with the same promise (see validation).

Which lines are good without a doubt, and the values of those and of lines that Pydantic has spelled: that belongs here. Arrow's reader takes a whole text
or none of it, so it is only shown lines that have the one spelling. Files, copies, people and what becomes of a row are in_process's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from pydantic_core import from_json

from platform_defs.contracts.bounds import INSTANT_RANGE, instant_text
from platform_defs.contracts.contract import Contract, WireField, WireType
from platform_defs.contracts.patterns import java_pattern
from platform_defs.execution.validation import SEPARATOR, LineForm, line_fields

INSTANT = pa.timestamp("us", tz="UTC")
_POSSESSIVE = re.compile(r"(?<=[*+?}])\+")  # RE2 never goes back, and does not know the mark that forbids it
_LENIENT = ",?"  # RE2 does not look ahead either: what it lets through with a comma too many or too few is no JSON, so that the reader refuses it
_BLOCK = 1 << 20  # of text, what a processor's cache holds: of 64 kB and of 64 MB the reader took a third longer
_FEW = 32  # lines; of so many with a bad one the good ones are not looked for: Pydantic is asked about all
_NO_UUID = "0" * 32


@dataclass(frozen=True)
class ArrowForm:
    """A contract's line.

    Attributes:
        line_form: the same as Spark has it.
        pattern: matches the one spelling and the line's end, for RE2.
        record: the type a line is read as; UUID, instants and decimals as text.
        quick: whether Arrow can tell good lines. It has no maps, RE2 refuses large repetitions of groups, and decimals of 38 digits have no limits with other
            places: then no line is sure.
    """

    line_form: LineForm
    pattern: str
    record: Any
    fields: tuple[WireField, ...]
    quick: bool

    @classmethod
    def of(cls, contract: Contract) -> ArrowForm:
        """The form of an event type's or source's lines."""
        fields, form = line_fields(contract), LineForm.of(contract)
        pattern = _POSSESSIVE.sub("", form.pattern.removesuffix(r"\z").replace(SEPARATOR, _LENIENT)) + r"\n\z"
        record = _read_as(WireType(kind="record", fields=fields))
        return cls(form, pattern, record, fields, _knows(pattern, fields, record))

    def sure(self, lines: Any) -> tuple[Any, Any]:
        """Which lines are good beyond doubt, and what they say.

        Args:
            lines: an Arrow array of BINARY, each with its end.

        Returns:
            booleans, none of them null, and for the true ones, in order, an array of `record`.
        """
        spelled = np.asarray(pc.match_substring_regex(lines, self.pattern)) if self.quick and len(lines) else np.zeros(len(lines), bool)
        spelled &= _is_utf8(lines)
        if not spelled.any():
            return spelled, pa.array([], self.record)
        parts = list(self._judged(lines if spelled.all() else lines.filter(pa.array(spelled))))
        spelled[spelled] = np.concatenate([fine for fine, _ in parts])
        return spelled, pa.concat_arrays([records for _, records in parts])

    def spells(self, line: bytes) -> bool:
        """Whether a line, without its end, has the one spelling."""
        return _decodes(line) and self.line_form.spells(line.decode())

    def told(self, texts: Sequence[str]) -> Any:
        """What lines say that Pydantic has spelled: an array of `record`, null members where a line lacks them."""
        if not texts:
            return pa.array([], self.record)
        if self.quick:
            return self._table("".join(f"{text}\n" for text in texts).encode(), max(map(len, texts)) * 4)
        return pa.array([from_json(text) for text in texts], self.record)

    def columns(self, records: Any) -> dict[str, Any]:
        """The fields of `data` by name, in the table's types; personal ones as the line spells them."""
        data = member(records, "data")
        columns = {}
        for field in self.fields[-1].type.fields or ():
            raw = member(data, field.name)
            columns[field.name] = raw.cast(pa.string()) if field.personal is not None else typed(raw, field.type)
        return columns

    def _judged(self, lines: Any) -> Iterator[tuple[Any, Any]]:
        """Of spelled lines, in pieces: which keep what the pattern does not say of their values, and the records of those.

        Of a few lines with one that has no value here, a number of too many digits, none does.
        """
        try:
            records = self._table(_text_of(lines), int(pc.max(pc.binary_length(lines)).as_py()))
        except pa.ArrowInvalid:
            if len(lines) <= _FEW:
                yield np.zeros(len(lines), bool), pa.array([], self.record)
            else:
                half = len(lines) // 2
                yield from (*self._judged(lines[:half]), *self._judged(lines[half:]))
            return
        fine = np.asarray(pc.fill_null(_all(_checks(self.fields, records)), False))
        yield fine, records if fine.all() else records.filter(pa.array(fine))

    def _table(self, text: Any, longest: int) -> Any:
        return _parsed(text, self.record, max(_BLOCK, 2 * longest))


def split(text: bytes) -> Any:
    """The lines of a text, each with its end, as an Arrow array of BINARY over the same memory; the last gets an end if it has none.

    Raises ValueError for 2 GB of text and more.
    """
    if text and not text.endswith(b"\n"):
        text += b"\n"
    if len(text) >= 1 << 31:
        raise ValueError(f"{len(text)} bytes of text at once: segments are far smaller")
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")).astype(np.int32) + 1
    offsets = np.concatenate([np.zeros(1, np.int32), ends])
    return pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(text)])


def member(records: Any, name: str) -> Any:
    """A field of records, null where the record is: Arrow's own `field` has an empty text there, or a zero."""
    return pc.struct_field(records, name)


def instants(texts: Any) -> Any:
    """TIMESTAMP of texts in the spelling of instants; null for null and for a day that no calendar has."""
    try:
        return texts.cast(INSTANT)
    except pa.ArrowInvalid:
        return pa.array([_instant(text) for text in texts.to_pylist()], INSTANT)


def typed(raw: Any, wire: WireType) -> Any:
    """Values as they were read, in the table's type. They are valid: of good lines, or by themselves."""
    match wire.kind:
        case "uuid":
            return _uuids(raw)
        case "datetime":
            return instants(raw)
        case "decimal":
            return raw.cast(pa.decimal128(wire.digits, wire.places))
        case "list":
            assert wire.item is not None
            return pa.ListArray.from_arrays(raw.offsets, typed(raw.values, wire.item), mask=raw.is_null())
        case "record":
            fields = wire.fields or ()
            return pa.StructArray.from_arrays([typed(member(raw, f.name), f.type) for f in fields], [f.name for f in fields], mask=raw.is_null())
        case _:
            return raw


_READ_AS = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "map": pa.map_(pa.string(), pa.string()),
}


def _read_as(wire: WireType) -> Any:
    match wire.kind:
        case "list":
            assert wire.item is not None
            return pa.list_(_read_as(wire.item))
        case "record":
            return pa.struct([(field.name, _read_as(field.type)) for field in wire.fields or ()])
        case kind:
            return _READ_AS.get(kind, pa.string())


def _knows(pattern: str, fields: Sequence[WireField], record: Any) -> bool:
    """Whether Arrow takes the record, the pattern and all limits."""
    try:
        _parsed(b"{}\n", record, _BLOCK)
        list(_checks(fields, pa.array([], record)))
        for each in (pattern, *(found for field in fields for found in _patterns(field.type))):
            pc.match_substring_regex(pa.array([""]), each)  # of nothing, no pattern is read
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _parsed(text: Any, record: Any, block: int) -> Any:
    """The records of a text; no object may be longer than the block."""
    read = pj.ReadOptions(use_threads=False, block_size=block)
    parse = pj.ParseOptions(explicit_schema=pa.schema(list(record)), unexpected_field_behavior="error")
    return pj.read_json(pa.BufferReader(text), read_options=read, parse_options=parse).to_struct_array().combine_chunks()


def _patterns(wire: WireType) -> Iterator[str]:
    """All patterns of values, those within others too."""
    if wire.pattern is not None:
        yield java_pattern(wire.pattern)
    for inner in (*((wire.item,) if wire.item else ()), *(field.type for field in wire.fields or ())):
        yield from _patterns(inner)


def _is_utf8(lines: Any) -> Any:
    """Which lines are UTF-8, as numpy has it."""
    try:
        lines.cast(pa.string())
    except pa.ArrowInvalid:
        return np.array([_decodes(line) for line in lines.to_pylist()], bool)
    return np.ones(len(lines), bool)


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text_of(lines: Any) -> Any:
    """The memory that lines which follow each other lie in."""
    offsets = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return lines.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


def _uuids(texts: Any) -> Any:
    digits = pc.fill_null(pc.replace_substring(texts, "-", ""), _NO_UUID)
    packed = bytes.fromhex("".join(digits.to_pylist()))
    values = pa.Array.from_buffers(pa.binary(16), len(texts), [None, pa.py_buffer(packed)]).cast(pa.binary())
    return values if texts.null_count == 0 else pc.if_else(texts.is_valid(), values, None)


def _checks(fields: Sequence[WireField], records: Any) -> Iterator[Any]:
    """What the pattern does not say of these fields' values, per field: arrays of booleans, null where a value is, and may not be, null."""
    for field in fields:
        values = member(records, field.name)
        check = _all(_limits(values, field.type))
        if check is not None:
            yield pc.or_kleene(values.is_null(), check) if field.nullable else check


def _limits(values: Any, wire: WireType) -> Iterator[Any]:
    """Whether values keep their limits, an array a limit; of those that are null nobody asks."""
    match wire.kind:
        case "string":
            yield from _between(pc.utf8_length, values, wire)
            if wire.pattern is not None:
                yield pc.match_substring_regex(values, java_pattern(wire.pattern))
            if wire.choices is not None:
                yield pc.is_in(values, pa.array(wire.choices, pa.string()))
        case "integer":
            yield from _compared(values, wire, int)
        case "number":
            yield pc.less_equal(pc.abs(values), sys.float_info.max)
            yield from _compared(values, wire, float)
        case "decimal":
            yield from _compared(typed(values, wire), wire, lambda text: pa.scalar(Decimal(f"{Decimal(text):f}")))
        case "datetime":
            first, last = (instant_text(at) for at in INSTANT_RANGE)
            yield from (pc.greater_equal(values, first), pc.less_equal(values, last), instants(values).is_valid())
        case "list":
            assert wire.item is not None
            yield from _between(pc.list_value_length, values, wire)
            check = _all(_limits(pc.list_flatten(values), wire.item))
            if check is not None:
                fine = np.ones(len(values), bool)
                fine[np.asarray(pc.list_parent_indices(values))[~np.asarray(pc.fill_null(check, False))]] = False
                yield pa.array(fine)
        case "record":
            yield from _checks(wire.fields or (), values)
        case _:
            pass


def _all(checks: Iterator[Any]) -> Any | None:
    together: Any | None = None
    for check in checks:
        together = check if together is None else pc.and_kleene(together, check)
    return together


def _between(size: Callable[[Any], Any], values: Any, wire: WireType) -> Iterator[Any]:
    if wire.min_length is not None:
        yield pc.greater_equal(size(values), wire.min_length)
    if wire.max_length is not None:
        yield pc.less_equal(size(values), wire.max_length)


def _compared(values: Any, wire: WireType, number: Callable[[str], Any]) -> Iterator[Any]:
    for limit, holds in ((wire.ge, pc.greater_equal), (wire.gt, pc.greater), (wire.le, pc.less_equal), (wire.lt, pc.less)):
        if limit is not None:
            yield holds(values, number(limit))
