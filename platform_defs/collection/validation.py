"""What the receiver makes of a body: a verdict per event, the accepted ones as landing's lines, the rejected ones with their bytes and a typed reason.

Pure: bytes, contracts and instants in, verdicts out. HTTP, tokens and the log are elsewhere. A batch is parsed and validated by one call of
pydantic-core (3.8 us an event of 320 bytes); only rejected events are looked at one by one. No message holds a value of an event.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import GenericAlias
from typing import Annotated, Any, Literal, TypedDict, Union, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import from_json, to_json

from platform_defs.collection.record import Group, Reason, Rejected
from platform_defs.collection.splitting import Slice, Splitter
from platform_defs.contracts.contract import Contract, WireField
from platform_defs.contracts.partitions import key_of, start_of
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


class Verdict(TypedDict):
    """The answer about one event, in the order sent."""

    id: str | None
    status: Literal["accepted", "rejected"]
    reason: Reason | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A body taken apart."""

    verdicts: list[Verdict]
    groups: tuple[Group, ...]
    rejected: tuple[Rejected, ...]

    @property
    def unknown(self) -> bool:
        """Whether some event's type is in no contract (a newer registry may know it)."""
        return any(one.reason == "unknown_type" for one in self.rejected)


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


class _Known(_Envelope):
    """An event of a type that has a contract; `data` is narrowed to the contract's model."""

    type: str
    data: Any


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


class Judge:
    """Verdicts under one state of the registry.

    Args:
        contracts: of the registry; only event types are used.
        limits: what a sender may send.
        before: a judge whose models are taken over where the contract is the same (building one takes a millisecond a field).
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
        self._models: dict[str, type[_Known]] = {}
        for key, contract in self.contracts.items():
            if before is not None and before.contracts.get(key) == contract:
                self._models[key] = before._models[key]
            else:
                narrowed: dict[str, Any] = {"type": (Literal[key], ...), "data": (model_of(contract), ...)}
                self._models[key] = create_model("Event", __base__=_Known, **narrowed)
        every: Any = tuple(self._models.values())
        tagged: Any = Annotated[Union[every], Field(discriminator="type")] if len(every) > 1 else every[0] if every else Any  # noqa: UP007
        # What fits no contract comes out as plain data and its neighbours are kept.
        item: Any = Annotated[Union[tagged, Any], Field(union_mode="left_to_right")] if every else Any  # noqa: UP007
        self._many: TypeAdapter[list[Any]] = TypeAdapter(cast(Any, GenericAlias(list, (item,))))

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
        received, latest = rfc3339(received_at), rfc3339(received_at + self.limits.ahead)
        verdicts: list[Verdict] = []
        rejected: list[Rejected] = []
        groups: dict[tuple[str, str], list[bytes]] = {}
        earliest: dict[str, str] = {}
        for position, item in enumerate(items):
            refusal: _Refusal | None = None
            if check_all or not isinstance(item, _Known):
                slices = self._slices(text, len(items)) if slices is None else slices
                item, refusal = self._look(slices[position], item)
            if refusal is None:
                at = item.time if len(item.time) == 27 and item.time[10] == "T" and item.time[26] == "Z" else _canonical(item.time)
                place = (item.type, at[:13])
                lines = groups.get(place)
                if lines is None:
                    earliest[item.type] = self._earliest(item.type, received_at)
                    lines = groups[place] = []
                if earliest[item.type] <= at <= latest and (lines or (_is_day(at) and place not in self._gone)):
                    lines.append(to_json({"client": client, "id": item.id, "time": at, "received_at": received, "data": item.data}))
                    verdicts.append({"id": item.id, "status": "accepted", "reason": None, "detail": None})
                    continue
                refusal = _untimely(item, at, latest, gone=place in self._gone)
            slices = self._slices(text, len(items)) if slices is None else slices
            original = slices[position].body
            rejected.append(Rejected(refusal.event, refusal.reason, refusal.detail, original, len(original)))
            verdicts.append({"id": refusal.id, "status": "rejected", "reason": refusal.reason, "detail": refusal.detail})
        kept = tuple(Group(event, hour, len(lines), b"\n".join(lines) + b"\n") for (event, hour), lines in groups.items() if lines)
        return Judged(verdicts, kept, tuple(rejected))

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
        if isinstance(item, _Known):
            if size <= self.limits.event_bytes:
                return item, None
            return None, _Refusal(item.id, item.type, "too_large", f"{size} bytes, the limit is {self.limits.event_bytes}")
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
            return self._models[contract.key].model_validate_json(slice_.body), None
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


def _untimely(item: _Known, at: str, latest: str, *, gone: bool) -> _Refusal:
    if len(at) != 27 or not _is_day(at):
        return _Refusal(item.id, item.type, "malformed", "datetime_parsing: time")
    if gone:
        return _Refusal(item.id, item.type, "out_of_range", "landing_expired: time")
    return _Refusal(item.id, item.type, "out_of_range", "in_future: time" if at > latest else "too_old: time")


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
    """Error types and declared paths of the data."""
    return _joined([f"{kind}: {'.'.join(filter(None, ('data', declared_path(contract.fields, location[1:]))))}" for kind, location in _errors(error)])


def _errors(error: ValidationError) -> list[tuple[str, tuple[str | int, ...]]]:
    return [(found["type"], found["loc"]) for found in error.errors(include_url=False, include_context=False, include_input=False)]


def _joined(words: list[str]) -> str:
    said = list(dict.fromkeys(words))
    more = f"; and {len(said) - _MOST_ERRORS} more" if len(said) > _MOST_ERRORS else ""
    return "; ".join(said[:_MOST_ERRORS]) + more
