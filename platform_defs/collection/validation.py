"""What the receiver makes of a body: a verdict per event, the accepted ones as landing's lines, the rejected ones with their bytes and a typed reason.

Pure: bytes, contracts and instants in, verdicts out. HTTP, tokens and the log are elsewhere. A batch is parsed and validated by one call of
pydantic-core into plain dicts (3.0 us an event of 320 bytes; 4.3 into models, which also take twice as long to write); only rejected events are looked
at one by one. No message holds a value of an event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, SchemaSerializer, SchemaValidator, core_schema, from_json, to_json

from platform_defs.collection.record import Group, Reason, Rejected
from platform_defs.collection.splitting import Slice, Splitter
from platform_defs.collection.verdicts import Judged, plain_text
from platform_defs.contracts.contract import Contract, WireField
from platform_defs.contracts.partitions import key_of, start_of
from platform_defs.contracts.plain import plain_schema
from platform_defs.contracts.wire import model_of

Form = Literal["batch", "single", "either"]

_DEFAULT_LANDING = timedelta(days=7)
# RFC 3339 with an offset. Pydantic's own datetime would also take a text of digits as seconds since 1970.
_TIME = (
    r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)
_NAIVE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?\Z")
_MOST_ERRORS = 8
_SPACE = b" \t\r\n"
_END = b"}\n"  # of a line, behind its data


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sender may send.

    Attributes:
        batch_bytes, event_bytes: bytes as sent. nesting: levels of brackets.
        ahead: how far a client's clock may be in front.
        history: events older than landing is kept are taken too, as far back as the type's partitions are kept.
    """

    batch_bytes: int = 5 << 20
    event_bytes: int = 256 << 10
    nesting: int = 32
    ahead: timedelta = timedelta(minutes=5)
    history: bool = False


@dataclass(frozen=True, slots=True)
class _Refusal:
    id: str | None
    event: str | None
    reason: Reason
    detail: str


class BodyMalformed(Exception):
    """The body as a whole is no events: its text says why, without any of it."""


class _Envelope(BaseModel):
    """CloudEvents 1.0. Extension attributes may be there as the standard has them, scalars, and are dropped."""

    model_config = ConfigDict(strict=True, extra="allow", hide_input_in_errors=True, protected_namespaces=())
    __pydantic_extra__: dict[str, str | bool | int | None] = Field(init=False)
    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1, max_length=200)]
    time: Annotated[str, Field(pattern=_TIME)]


class _AnyType(_Envelope):
    """Any event, for what can be said before its type is known."""

    type: str
    data: Any = None


def rfc3339(at: datetime) -> str:
    """The one spelling of an instant: UTC, microseconds, Z."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def declared_path(fields: Sequence[WireField], location: Sequence[str | int]) -> str:
    """Where in the data an error is, in declared names only: `albums[2].name`, `<unknown field>`, `labels.<key>`."""
    path, scope, kind, item = "", {field.name: field for field in fields}, "record", None
    for part in location:
        if kind == "record":
            field = scope.get(part) if isinstance(part, str) else None
            path += ("." if path else "") + (field.name if field else "<unknown field>")
            if field is None:
                return path
            wire = field.type
        elif kind == "list" and isinstance(part, int) and item is not None:
            path, wire = f"{path}[{part}]", item
        elif kind == "map":
            return path + ".<key>"
        else:
            return path  # a label of the validator behind a plain value
        kind, item = wire.kind, wire.item
        scope = {inner.name: inner for inner in wire.fields or ()}
    return path


@dataclass(frozen=True, slots=True)
class _Type:
    """An event type, ready to judge with. `event`: schema of a whole event. `spell`: writes an event's data."""

    event: CoreSchema
    spell: Callable[[Any], bytes]


@dataclass(slots=True)
class _Open:
    """A group being filled: what its type needs, and the parts of its lines: head, data, end."""

    spell: Callable[[Any], bytes]
    earliest: str
    takes: bool
    parts: list[bytes] = field(default_factory=list)


class Judge:
    """Verdicts under one state of the registry.

    Args:
        contracts: of the registry; only event types are used.
        limits: what a sender may send.
        before: a judge whose types are taken over where the contract is the same (building one takes a millisecond a field).
        gone: (event type, hour) of which landing has lost segments: they cannot be built whole any more and take nothing.
    """

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        limits: Limits | None = None,
        before: Judge | None = None,
        gone: Collection[tuple[str, str]] = frozenset(),
    ) -> None:
        self.limits = limits or Limits()
        self._gone = gone
        self.contracts = {key: contract for key, contract in contracts.items() if contract.kind == "event"}
        self._splitter = Splitter(self.limits.nesting)
        self._any_type = TypeAdapter(_AnyType)
        self._types: dict[str, _Type] = {
            key: before._types[key] if before is not None and before.contracts.get(key) == contract else _type_of(contract)
            for key, contract in self.contracts.items()
        }
        # What fits no contract comes out as None and its neighbours are kept.
        item: CoreSchema = core_schema.no_info_plain_validator_function(_nothing)
        if self._types:
            known = core_schema.tagged_union_schema({key: one.event for key, one in self._types.items()}, "type")
            self._one = SchemaValidator(known)
            item = core_schema.union_schema([known, item], mode="left_to_right")
        self._many = SchemaValidator(core_schema.list_schema(item))

    def judge(self, body: bytes, form: Form, client: str, received_at: datetime) -> Judged:
        """Verdicts on all events of a body.

        Args:
            form: an array (`batch`), one event (`single`) or whichever it is.
            client: who sent it.
            received_at: aware; goes into the lines, and decides what is out of range.

        Raises:
            BodyMalformed: the body is not JSON, or not of this form.
        """
        array = form == "batch" or (form == "either" and body.lstrip(_SPACE)[:1] == b"[")
        text = body if array else b"[" + body + b"]"
        items, slices = self._parse(text, array)
        check_all = len(text) > self.limits.event_bytes
        latest = rfc3339(received_at + self.limits.ahead)
        before_id = f'{{"client":{to_json(client).decode()},"id":"'
        before_data = f'","received_at":"{rfc3339(received_at)}","data":'
        plain = plain_text(item["id"] for item in items if item is not None)
        ids: list[str | None] = []
        rejected: list[Rejected] = []
        places: list[int] = []
        groups: dict[tuple[str, str], _Open] = {}
        for position, item in enumerate(items):
            refusal: _Refusal | None = None
            if check_all or item is None:
                slices = self._slices(text, len(items)) if slices is None else slices
                item, refusal = self._look(slices[position], item)
            if refusal is None:
                id_, at, event = item["id"], item["time"], item["type"]
                if len(at) != 27 or at[10] != "T" or at[26] != "Z":
                    at = _canonical(at)
                group = groups.get((event, at[:13]))
                if group is None:
                    group = groups[event, at[:13]] = self._open(event, at, received_at)
                if group.takes and group.earliest <= at <= latest:
                    spelled = id_ if plain else to_json(id_).decode()[1:-1]
                    group.parts += (f'{before_id}{spelled}","time":"{at}{before_data}'.encode(), group.spell(item["data"]), _END)
                    ids.append(id_)
                    continue
                refusal = _untimely(id_, event, at, latest, gone=(event, at[:13]) in self._gone)
            slices = self._slices(text, len(items)) if slices is None else slices
            original = slices[position].body
            rejected.append(Rejected(refusal.event, refusal.reason, refusal.detail, original, len(original)))
            places.append(position)
            ids.append(refusal.id)
        kept = tuple(Group(event, hour, len(group.parts) // 3, b"".join(group.parts)) for (event, hour), group in groups.items() if group.parts)
        return Judged(ids, kept, tuple(rejected), tuple(places))

    def _open(self, event: str, at: str, received_at: datetime) -> _Open:
        takes = _is_day(at) and (event, at[:13]) not in self._gone
        return _Open(self._types[event].spell, self._earliest(event, received_at), takes)

    def _parse(self, text: bytes, array: bool) -> tuple[list[Any], list[Slice] | None]:
        """The elements of an array: events where they fit, else anything. With their bytes if it could not be read in one go."""
        try:
            items = self._many.validate_json(text)
        except ValidationError as error:
            slices = self._splitter.split(text)
            if slices is None or (not array and not (len(slices) == 1 and slices[0].deep)):
                raise BodyMalformed(error.errors(include_url=False, include_input=False)[0]["msg"]) from None
            return [None] * len(slices), slices
        if not array and len(items) != 1:
            raise BodyMalformed("one event was announced, the body holds several or none: send an array as application/cloudevents-batch+json")
        return items, None

    def _slices(self, text: bytes, count: int) -> list[Slice]:
        slices = self._splitter.split(text)
        if slices is None or len(slices) != count:  # both read the same grammar; if ever not, the sender's bytes are kept whole
            raise BodyMalformed("the array's elements cannot be told apart")
        return slices

    def _look(self, slice_: Slice, item: Any) -> tuple[Any, _Refusal | None]:
        """One event that did not come through with the others: the event after all, or why not."""
        size = len(slice_.body)
        if item is not None:
            if size <= self.limits.event_bytes:
                return item, None
            return None, _Refusal(item["id"], item["type"], "too_large", f"{size} bytes, the limit is {self.limits.event_bytes}")
        try:
            value = from_json(slice_.body)
        except ValueError as error:
            deep = "recursion limit" in str(error)
            return None, _Refusal(None, None, "too_large" if deep else "malformed", self._deep if deep else f"no JSON: {error}")
        given = value if isinstance(value, dict) else {}
        id_ = given.get("id")
        sender_id = id_ if isinstance(id_, str) and 0 < len(id_) <= 200 else None
        type_ = given.get("type")
        contract = self.contracts.get(type_) if isinstance(type_, str) else None
        event = contract.key if contract else None
        if size > self.limits.event_bytes:
            return None, _Refusal(sender_id, event, "too_large", f"{size} bytes, the limit is {self.limits.event_bytes}")
        if slice_.deep:
            return None, _Refusal(sender_id, event, "too_large", self._deep)
        if not isinstance(value, dict):
            return None, _Refusal(None, None, "malformed", "an event is a JSON object")
        try:
            self._any_type.validate_json(slice_.body)
        except ValidationError as error:
            return None, _Refusal(sender_id, event, "malformed", _envelope_words(error, given))
        if contract is None:
            return None, _Refusal(sender_id, None, "unknown_type", "no contract has this type")
        try:
            return self._one.validate_json(slice_.body), None
        except ValidationError as error:
            return None, _Refusal(sender_id, event, "schema", _data_words(error, contract))

    @property
    def _deep(self) -> str:
        return f"nested deeper than {self.limits.nesting}"

    def _earliest(self, event: str, received_at: datetime) -> str:
        """First instant taken for a type: its start, or as far back as landing is kept (its twins could not be found behind that).

        Of history, as far back as partitions are kept: nobody could build what is older.
        """
        contract = self.contracts[event]
        kept = timedelta(seconds=contract.lateness.landing_seconds) if contract.lateness else _DEFAULT_LANDING
        if not self.limits.history:
            return rfc3339(max(start_of(contract.start), received_at - kept))
        oldest = start_of(key_of("hourly", received_at - timedelta(seconds=contract.retention_seconds)))
        return rfc3339(max(start_of(contract.start), oldest))


def _type_of(contract: Contract) -> _Type:
    data, envelope = plain_schema(model_of(contract)), plain_schema(_Envelope)
    narrowed = {"type": core_schema.literal_schema([contract.key]), "data": data}
    fields = {**envelope["fields"], **{name: core_schema.typed_dict_field(schema, required=True) for name, schema in narrowed.items()}}
    return _Type({**envelope, "fields": fields}, SchemaSerializer(data).to_json)


def _nothing(value: object) -> None:
    """Whatever it is."""


def _canonical(time: str) -> str:
    """A text that fits _TIME in the one spelling; the text itself if it is no day of the calendar or leaves the calendar in UTC."""
    try:
        return rfc3339(datetime.fromisoformat(time.upper()))
    except (ValueError, OverflowError):
        return time


def _is_day(at: str) -> bool:
    try:
        date.fromisoformat(at[:10])
    except ValueError:
        return False
    return True


def _untimely(id_: str, event: str, at: str, latest: str, *, gone: bool) -> _Refusal:
    if len(at) != 27 or not _is_day(at):
        return _Refusal(id_, event, "malformed", "datetime_parsing: time")
    if gone:
        return _Refusal(id_, event, "out_of_range", "landing_expired: time")
    return _Refusal(id_, event, "out_of_range", "in_future: time" if at > latest else "too_old: time")


def _envelope_words(error: ValidationError, given: Mapping[str, Any]) -> str:
    """Error types and attribute names of the envelope."""
    words = []
    for found in _errors(error):
        name = found[1][0] if found[1] and found[1][0] in _AnyType.model_fields else "<unknown attribute>"
        kind = found[0]
        if name == "time" and kind == "string_pattern_mismatch":
            kind = "timezone_aware" if _NAIVE.match(given["time"]) else "datetime_parsing"
        words.append(f"{kind}: {name}")
    return _joined(words)


def _data_words(error: ValidationError, contract: Contract) -> str:
    """Error types and declared paths of the data; a location begins with the event's type and `data`."""
    return _joined([f"{kind}: {'.'.join(filter(None, ('data', declared_path(contract.fields, location[2:]))))}" for kind, location in _errors(error)])


def _errors(error: ValidationError) -> list[tuple[str, tuple[str | int, ...]]]:
    return [(found["type"], found["loc"]) for found in error.errors(include_url=False, include_context=False, include_input=False)]


def _joined(words: list[str]) -> str:
    said = list(dict.fromkeys(words))
    more = f"; and {len(said) - _MOST_ERRORS} more" if len(said) > _MOST_ERRORS else ""
    return "; ".join(said[:_MOST_ERRORS]) + more
