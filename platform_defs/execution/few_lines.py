"""From landed lines to staged rows without Spark: partitions of few lines, in the run's own process. The same rows and counts as cleaning's, by test.

Most event types have a few hundred events an hour, and Spark takes longer to be told what to do (eight jobs, 1.7 s of processor time) than Pydantic takes to
judge 100,000 lines. Here every line is Pydantic's, and raw values do not leave the process: what is written is what is staged.
"""

from __future__ import annotations

import codecs
import gzip
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
from pydantic import ValidationError
from pydantic_core import from_json

from platform_defs.contracts.bounds import instant_text
from platform_defs.contracts.contract import Contract, WireField, WireType
from platform_defs.contracts.partitions import partition_column, window_of
from platform_defs.execution.batches import BAD, LATE, OTHER_PARTITION, Batch, Cleaned, check_lines, cleaned
from platform_defs.execution.steps import FAILED, LINE, SEGMENT, StepRun
from platform_defs.execution.validation import Judge, LineForm
from platform_defs.lake.landing import LandingStore, Segment
from platform_defs.lake.staging import write_frame
from platform_defs.privacy.encryption import FieldCipher
from platform_defs.privacy.identity import event_id
from platform_defs.privacy.pseudonyms import pseudonym
from platform_defs.privacy.vault import Person, Vault

MOST_LINES = 50_000
MOST_BYTES = 16 << 20
"""Of compressed segments: some 200 MB once read."""
_INSTANT = pa.timestamp("us", tz="UTC")


def are_few(batches: Sequence[Batch]) -> bool:
    """Whether these partitions together are better cleaned here than by Spark."""
    segments = [segment for batch in batches for segment in batch.segments]
    return sum(segment.rows for segment in segments) <= MOST_LINES and sum(segment.size for segment in segments) <= MOST_BYTES


@dataclass(slots=True)
class _Row:
    """One line and what is known of it.

    Attributes:
        values: of the fields by name, as JSON or as Pydantic has them; of a bad line those that are valid by themselves.
        told: the line in the one spelling, once it had to be judged.
        failed: the rules it breaks.
        verdict: why the row is dropped.
    """

    segment: str
    line: int
    raw: bytes
    parked: bool
    client: str | None
    identifier: str | None
    time: datetime | None
    received: datetime | None
    values: Mapping[str, Any]
    told: str | None = None
    failed: tuple[str, ...] = ()
    verdict: str | None = None
    event: bytes | None = None


class FewLines:
    """Cleans partitions of one contract.

    Args:
        vault: needed for events (their ids) and wherever a field is personal.
    """

    def __init__(self, contract: Contract, landing: LandingStore, vault: Vault | None) -> None:
        self._contract, self._landing, self._vault = contract, landing, vault
        self._event = contract.kind == "event"
        self._column = partition_column(contract.cadence)
        self._judge, self._form = Judge(contract), LineForm.of(contract)
        self._persons = [f for f in contract.fields if f.personal is not None and f.personal.of is None]
        self._values = [f for f in contract.fields if f.personal is not None and f.personal.of is not None]
        self._fields = {field.name: field for field in contract.fields}

    def clean(self, batches: Sequence[Batch], run: StepRun, name: str) -> dict[str, Cleaned]:
        """Stages the partitions, below a folder of this name.

        Raises:
            SegmentDamaged: a segment is not as its manifest says; nothing was staged.
            OSError, EOFError, zlib.error: a segment is no whole gzip file. Whatever the vault raises.
        """
        began = time.monotonic()
        rows = {batch.key: self._rows(batch) for batch in batches}
        if self._event:
            for each in rows.values():
                self._find_copies(each)
        kept = [row for each in rows.values() for row in each if row.verdict is None]
        people = self._people(kept)
        self._find_erased(kept, people)
        base = f"{run.staging}/{name}"
        staged = {batch.key: self._staged(batch.key, rows[batch.key], people, base) for batch in batches}
        seconds = (time.monotonic() - began) / max(1, len(batches))
        return {batch.key: cleaned(batch, base, *staged[batch.key], seconds) for batch in batches}

    # --- lines -----------------------------------------------------------------------------------------------------------------------------------

    def _rows(self, batch: Batch) -> list[_Row]:
        """Every line of the partition, in the order in which the first copy wins: by segment and line."""
        rows: list[_Row] = []
        window = window_of(batch.key)
        for segment in sorted(batch.segments, key=lambda each: each.path):
            lines = self._lines(segment)
            check_lines(segment, len(lines))
            parked = segment.path in batch.parked
            for number, raw in enumerate(lines, 1):
                row = self._row(segment.path, number, raw, parked)
                if self._event and row.time is not None and not window.start <= row.time < window.end:
                    row.failed = (*row.failed, OTHER_PARTITION)
                rows.append(row)
        return rows

    def _lines(self, segment: Segment) -> list[bytes]:
        text = gzip.decompress(Path(self._landing.path(segment.path)).read_bytes())
        lines = text.removeprefix(codecs.BOM_UTF8).split(b"\n")  # as Spark's reader does
        return lines[:-1] if not lines[-1] else lines

    def _row(self, segment: str, line: int, raw: bytes, parked: bool) -> _Row:
        try:
            good: Any = self._judge.model.model_validate_json(raw)
        except ValidationError:
            verdict = self._judge.judge(raw)
            known: dict[str, Any] = {} if verdict.line is None else from_json(verdict.line)
            at, received = (None if known.get(name) is None else datetime.fromisoformat(known[name]) for name in ("time", "received_at"))
            values = known.get("data", {})
            return _Row(segment, line, raw, parked, known.get("client"), known.get("id"), at, received, values, verdict.line, verdict.rules)
        return _Row(segment, line, raw, parked, good.client, good.id, good.time, good.received_at, good.data.__dict__)

    # --- rows ------------------------------------------------------------------------------------------------------------------------------------

    def _find_copies(self, rows: Sequence[_Row]) -> None:
        """Names the events, and drops all but the first copy of each that is good and not parked."""
        key, first = self._keys.event_key, dict[bytes, _Row]()
        for row in rows:
            if row.client is not None and row.identifier is not None:
                row.event = event_id(key, row.client, self._contract.key, row.identifier)
            if row.failed or row.parked or row.event is None:
                continue
            winner = first.setdefault(row.event, row)
            if winner is not row:
                row.verdict = "duplicate" if self._payload(row) == self._payload(winner) else "conflict"

    def _payload(self, row: _Row) -> tuple[datetime | None, str]:
        """What two copies have in common, or not: the line's text where it has the one spelling, else as Pydantic spells it."""
        text = row.raw.decode()
        if not self._form.spells(text):
            row.told = row.told or self._judge.judge(row.raw).line
            text = row.told or ""
        return row.time, text[text.index(',"data":') :]

    def _people(self, rows: Iterable[_Row]) -> dict[tuple[str, str], Person]:
        """Everybody who is named, known to the vault from now on, by (kind, id)."""
        if not self._persons:
            return {}
        named = list(dict.fromkeys(who for row in rows for person in self._persons if (who := _who(person, row)) is not None))
        return dict(zip(named, self._keys.people(named), strict=True))

    def _find_erased(self, rows: Iterable[_Row], people: Mapping[tuple[str, str], Person]) -> None:
        """Drops what happened before one of its people was erased."""
        if not any(person.erased_at for person in people.values()):
            return
        for row in rows:
            for person in self._persons:
                who = _who(person, row)
                at = None if who is None else people[who].erased_at
                if row.verdict is None and at is not None and row.time is not None and row.time < at:
                    row.verdict = "erased"

    # --- frames ----------------------------------------------------------------------------------------------------------------------------------

    def _staged(self, key: str, rows: Sequence[_Row], people: Mapping[tuple[str, str], Person], base: str) -> tuple[dict[str, int], int]:
        """Writes the partition's rows, and those for its late lane; counts, and values without their person."""
        folders: defaultdict[str, list[_Row]] = defaultdict(list)
        counts, lost = Counter[str](), 0
        for row in rows:
            if row.verdict is not None:
                counts[row.verdict] += 1
                continue
            late = row.parked and not row.failed
            counts["parked"] += late
            lost += sum(row.values.get(each.name) is not None and row.values.get(_owner(each)) is None for each in self._values)
            folders[f"{base}/_part={LATE if late else BAD if row.failed else ''}{key}"].append(row)
        for folder, mine in folders.items():
            write_frame(folder, self._frame(key, mine, people, apart=folder != f"{base}/_part={key}"))
        return {"landed": len(rows), **{name: count for name, count in counts.items() if count}}, lost

    def _frame(self, key: str, rows: Sequence[_Row], people: Mapping[tuple[str, str], Person], *, apart: bool) -> pa.Table:
        """The rows in the staged form (see steps). `apart`: they do not simply stay, so it is said where each came from and what it broke."""
        purpose, pseudonyms = self._contract.purpose, dict[tuple[str, str], bytes]()

        def known_as(who: tuple[str, str] | None) -> bytes | None:
            if who is None:
                return None
            if who not in pseudonyms:
                pseudonyms[who] = pseudonym(people[who], purpose)
            return pseudonyms[who]

        columns: dict[str, pa.Array] = {}
        for column in self._contract.columns:
            field = self._fields.get(column.name)
            if field is None:
                own = {"event_id": ("event", pa.binary()), "time": ("time", _INSTANT), "received_at": ("received", _INSTANT)}
                attribute, kind = own[column.name]
                columns[column.name] = pa.array([getattr(row, attribute) for row in rows], kind)
            elif field.personal is None:
                stored = _stored(field.type)
                values = (row.values.get(field.name) for row in rows)
                columns[field.name] = pa.array([None if value is None else stored(value) for value in values] if stored else list(values), _arrow(field.type))
            elif field.personal.of is None:
                columns[field.name] = pa.array([known_as(_who(field, row)) for row in rows], pa.binary())
            else:
                columns[field.name] = pa.array(list(self._encrypted(field, rows, people)), pa.binary())
        columns[self._column] = pa.array([key] * len(rows), pa.string())
        if apart:
            columns[FAILED] = pa.array([row.failed or None for row in rows], pa.list_(pa.string()))
            columns[SEGMENT] = pa.array([row.segment for row in rows], pa.string())
            columns[LINE] = pa.array([row.line for row in rows], pa.int64())
        return pa.table(columns)

    def _encrypted(self, field: WireField, rows: Iterable[_Row], people: Mapping[tuple[str, str], Person]) -> Iterator[bytes | None]:
        owner, known = self._fields[_owner(field)], dict[tuple[str, str, str], bytes]()
        for row in rows:
            who, text = _who(owner, row), _text(row.values.get(field.name))
            if who is None or text is None:
                yield None
                continue
            name = (*who, text)
            if name not in known:
                known[name] = FieldCipher(people[who].key, field.name).encrypt(int(text) if field.type.kind == "integer" else text)
            yield known[name]

    @property
    def _keys(self) -> Vault:
        if self._vault is None:
            raise RuntimeError(f"{self._contract.key} cannot be taken in without the vault: start it with ./backline up")
        return self._vault


def _owner(value: WireField) -> str:
    assert value.personal is not None
    assert value.personal.of is not None
    return value.personal.of


def _who(person: WireField, row: _Row) -> tuple[str, str] | None:
    """(kind, id) of the person that a row names in this field."""
    text = _text(row.values.get(person.name))
    assert person.personal is not None
    return None if text is None else (person.personal.kind, text)


def _text(value: Any) -> str | None:
    """A personal value as it is looked up and encrypted: as the line spells it."""
    if value is None or isinstance(value, str):
        return value
    return instant_text(value) if isinstance(value, datetime) else str(value)


def _stored(wire: WireType) -> Callable[[Any], Any] | None:
    """From a value, as Pydantic has it or as JSON, to what Arrow takes for the table; None if that is the same. Not asked of null."""
    match wire.kind:
        case "uuid":
            return lambda value: (value if isinstance(value, UUID) else UUID(value)).bytes
        case "datetime":
            return lambda value: value if isinstance(value, datetime) else datetime.fromisoformat(value)
        case "decimal":
            return lambda value: value if isinstance(value, Decimal) else Decimal(value)
        case "number":
            return float
        case "map":
            return lambda value: sorted(value.items())
        case "list":
            assert wire.item is not None
            item = _stored(wire.item)
            return (lambda value: [item(each) for each in value]) if item else None
        case "record":
            members = [(field.name, _stored(field.type)) for field in wire.fields or ()]
            return lambda value: {name: _member(value, name, stored) for name, stored in members}
        case _:
            return None


def _member(record: Any, name: str, stored: Callable[[Any], Any] | None) -> Any:
    value = record.get(name) if isinstance(record, dict) else getattr(record, name)
    return value if value is None or stored is None else stored(value)


def _arrow(wire: WireType) -> pa.DataType:
    """The table's type (`wire.spark_type`) in Arrow's words."""
    match wire.kind:
        case "decimal":
            return pa.decimal128(wire.digits, wire.places)
        case "list":
            assert wire.item is not None
            return pa.list_(_arrow(wire.item))
        case "record":
            return pa.struct([(field.name, _arrow(field.type)) for field in wire.fields or ()])
        case kind:
            return _PLAIN[kind]


_PLAIN = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "uuid": pa.binary(),
    "datetime": _INSTANT,
    "map": pa.map_(pa.string(), pa.string()),
}
