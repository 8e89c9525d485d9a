"""Lines for the intake's tests: a contract that has every kind of value, valid data for any contract, and ways to spoil or respell a line."""

# ruff: noqa: E501
from __future__ import annotations

import functools
import json
import random
import string
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from platform_defs.contracts.contract import Column, Contract, LatenessPolicy, WireField, WireType
from platform_defs.contracts.patterns import example_text
from platform_defs.contracts.wire import model_of, spark_type

START = datetime(2026, 10, 1, 2, tzinfo=UTC)


@functools.cache
def _model(contract: str) -> type[BaseModel]:
    return model_of(Contract.model_validate_json(contract))


class Raw(str):
    """JSON text that stands for itself."""

    __slots__ = ()


def dumps(value: Any) -> str:
    """Compact JSON in which `Raw` parts are kept as they are; `Pairs` keep repeated names."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{dumps(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dumps(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def field(name: str, kind: Any, **about: Any) -> WireField:
    names = set(WireField.model_fields)
    own = {k: v for k, v in about.items() if k in names}
    return WireField(name=name, type=WireType(kind=kind, **{k: v for k, v in about.items() if k not in names}), **own)


def contract_of(fields: Sequence[WireField], key: str = "listening/track_played", kind: Any = "event", **about: Any) -> Contract:
    """A contract with these fields and the columns that follow from them."""
    columns = (
        []
        if kind == "source"
        else [Column(name="event_id", type="BINARY"), Column(name="time", type="TIMESTAMP"), Column(name="received_at", type="TIMESTAMP")]
    )
    for one in fields:
        personal = one.personal
        mark = None if personal is None else "person" if personal.of is None else "personal"
        nullable = one.nullable or mark == "personal"
        columns.append(Column(name=one.name, type="BINARY" if mark else spark_type(one.type), nullable=nullable, mark=mark))
    given = {
        "kind": kind, "key": key, "description": "a test's", "owner": "team:test", "purpose": "product", "tier": "normal", "start": "2026-01-01",
        "retention_seconds": 400 * 86400, "readers": (), "cadence": "hourly", "fields": tuple(fields), "columns": tuple(columns),
        "unique": ("event_id",) if kind == "event" else (), "code_version": "1",
        "lateness": LatenessPolicy(settle_seconds=(3600, 6 * 3600, 86400, 3 * 86400), hold_seconds=7200, share=0.01, landing_seconds=7 * 86400),
    }  # fmt: skip
    return Contract(**{**given, **about})


POINT = (
    field("x", "number"),
    field("at", "datetime", nullable=True),
    field("tags", "list", item=WireType(kind="string", max_length=3), required=False, default=[]),
)
EVERYTHING = contract_of(
    (
        field("play_id", "uuid"),
        field("track_id", "string", pattern=r"^trk_[a-z0-9]{8}$"),
        field("title", "string", min_length=1, max_length=5),
        field("note", "string", nullable=True, required=False),
        field("platform", "string", choices=("ios", 'and"roid', "wéb")),
        field("ms", "integer", ge="0", le="86400000"),
        field("big", "integer", nullable=True),
        field("share", "number", gt="-1.5", lt="1e300", nullable=True),
        field("price", "decimal", digits=6, places=2, ge="-10.5", nullable=True),
        field("units", "decimal", digits=3, places=0),
        field("part", "decimal", digits=2, places=2),
        field("ok", "boolean"),
        field("at", "datetime"),
        field("ended", "datetime", nullable=True, required=False),
        field("rate", "integer", required=False, default=7),
        field("spot", "record", fields=POINT),
        field("route", "list", item=WireType(kind="record", fields=POINT), max_length=3),
        field("scores", "list", item=WireType(kind="integer", lt="100"), min_length=1, nullable=True),
        field("ids", "list", item=WireType(kind="uuid")),
        field("grid", "list", item=WireType(kind="list", item=WireType(kind="decimal", digits=4, places=1))),
        field("labels", "map", max_length=3),
    )
)

TEXTS = ("a", "é", "日本", "😀", "a\tb", 'q"q', "b\\s", "\u2028", "", "\x1f", "\x7f", "ab\nc", "longer than five", "{}", "null", "\ufeffx")


def text(rng: random.Random) -> str:
    return rng.choice([*TEXTS, "".join(rng.choices(string.printable + "äß😀", k=rng.randint(0, 8)))])


def valid(wire: WireType, rng: random.Random) -> Any:
    """A JSON value that mostly fits (lengths and limits may be missed: the judge decides)."""
    match wire.kind:
        case "string" if wire.choices:
            return rng.choice(wire.choices)
        case "string" if wire.pattern:
            return example_text(wire.pattern, rng.randint(0, 10**9))
        case "string":
            while len(made := text(rng)) > (wire.max_length or 99) or len(made) < (wire.min_length or 0):
                pass
            return made
        case "integer":
            low, high = int(wire.ge or -(2**63)), min(int(wire.le or 2**63 - 1), int(wire.lt or 2**63) - 1)
            return rng.choice([low, high, min(max(rng.randint(-50, 99), low), high)])
        case "number":
            return rng.choice([0.5, 1.0, -1.25, 3, 1e-7, 1e16, 123456.789, 5e-324, 1e299, -0.0, 2.0e-3, 1 / 3, 10**15])
        case "decimal":
            whole = (wire.digits or 0) - (wire.places or 0)
            return (
                f"{rng.choice(['', '-']) if wire.ge is None else ''}{rng.randint(0, 10**whole - 1)}.{rng.randint(0, 10 ** (wire.places or 0) - 1):0{wire.places}d}".rstrip(
                    ".0" if not wire.places else "\0"
                )
                or "0"
            )
        case "boolean":
            return rng.random() < 0.5
        case "uuid":
            h = f"{rng.getrandbits(128):032x}"
            return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
        case "datetime":
            return (START + timedelta(microseconds=rng.randint(-(10**15), 10**15))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case "list":
            assert wire.item is not None
            return [valid(wire.item, rng) for _ in range(rng.randint(wire.min_length or 0, min(wire.max_length or 3, 3)))]
        case "map":
            return {text(rng): text(rng) for _ in range(rng.randint(0, 3))}
        case "record":
            return {one.name: None if one.nullable and rng.random() < 0.3 else valid(one.type, rng) for one in wire.fields or ()}


def data_of(contract: Contract, rng: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = valid(WireType(kind="record", fields=contract.fields), rng)
    return made


def line_of(data: Any, rng: random.Random, **envelope: Any) -> str:
    given = {"client": "web", "id": f"id-{rng.getrandbits(64)}", "time": "2026-10-01T02:12:45.123456Z", "received_at": "2026-10-01T02:12:46.000001Z"}
    return dumps({**given, **envelope, "data": data})


def canonical(contract: Contract, rng: random.Random) -> str:
    """A line as the receiver writes it."""
    while True:
        try:
            data = _model(contract.canonical_json()).model_validate_json(dumps(data_of(contract, rng)))
        except ValueError:  # a length or a limit was missed
            continue
        return line_of(Raw(data.model_dump_json()), rng)


JUNK = tuple(
    map(Raw, ["null", "true", "1", "0", "-0", "-1", "1.0", "1.5", "1e2", "1E+2", "01", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "1" * 19, "1" * 30, "12345678901234567.5", "0." + "1" * 40, "1" * 400, "0.1e1", "100000000",
    '""', '"1"', '"1.0"', '"-1"', '"1.5"', '"1.50"', '"01.50"', '"1e2"', '"+1.5"', '" 1.5"', '"1_0.5"', '".5"', '"5."', '"0.05"', '"-0.00"', '"9999.99"', '"99999.9"', '"NaN"', '"Infinity"', '"0.005"', '"1,5"', '"12345678.9"',
    '"true"', '"ios"', '"IOS"', '"and\\"roid"', '"w\\u00e9b"', '"we\\u0301b"', '"trk_abcdefgh"', '"trk_abcdefgh\\n"', '"trk_abcdefg"', '"xtrk_abcdefgh"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\udc00x"', '"\\u0000"', '"\\/"', '"\\x"', '"\t"',
    '"12345"', '"123456"', '"😀😀😀😀😀"', '"😀😀😀😀😀😀"', '"e\u0301e\u0301e"',
    '"01234567-89ab-cdef-0123-456789abcdef"', '"01234567-89AB-cdef-0123-456789abcdef"', '"0123456789abcdef0123456789abcdef"', '"{01234567-89ab-cdef-0123-456789abcdef}"', '"urn:uuid:01234567-89ab-cdef-0123-456789abcdef"', '"01234567-89ab-cdef-0123-456789abcdeg"', '"01234567-89ab-cdef-0123-456789abcde"', '"00000000-0000-0000-0000-000000000000"',
    '"2026-10-01T03:12:45.123456Z"', '"2026-10-01T03:12:45Z"', '"2026-10-01T03:12:45.1Z"', '"2026-10-01T03:12:45.1234567Z"', '"2026-10-01T05:12:45.123456+02:00"', '"2026-10-01T03:12:45.123456"', '"2026-10-01 03:12:45.123456Z"', '"2026-10-01t03:12:45.123456z"', '"2026-10-01"', '"2026-02-30T03:12:45.123456Z"', '"2026-10-01T24:00:00.000000Z"', '"2026-10-01T23:59:60.000000Z"', '"2026-10-01T03:60:00.000000Z"', '"2026-13-01T03:00:00.000000Z"', '"0000-01-01T00:00:00.000000Z"', '"1599-12-31T23:59:59.999999Z"', '"1600-01-01T00:00:00.000000Z"', '"9999-12-30T00:00:00.000000Z"', '"9999-12-30T00:00:00.000001Z"', '"9999-12-31T23:59:59.999999Z"', '"2024-02-29T00:00:00.000000Z"', '"1900-02-29T00:00:00.000000Z"', '"1700000000"', "1700000000", "1700000000.5", '"2026-10-01T03:12:45.123456+00:00"', '"2026-10-01T03:12:45.12345６Z"',
    "[]", "{}", "[null]", "[1]", '["a"]', "[1,2,3,4]", "[100]", '["1"]', "[1.0]", '{"a":1}', '{"a":null}', '{"a":"b"}', '{"a":"b","a":"c"}', '{"b":"1","a":"2"}', '{"a":"1","b":"2","c":"3","d":"4"}', '[["1.5"]]', '[["1.55"]]', "[[]]", "[[null]]",
    '{"x":1.5,"at":null,"tags":[]}', '{"x":1.5,"at":null}', '{"x":1.5}', '{"x":null,"at":null,"tags":[]}', '{"x":1,"at":null,"tags":["abcd"]}', '{"x":1,"at":null,"tags":["abc"],"y":1}', '{"at":null,"x":1.0,"tags":[]}', '[{"x":1.5,"at":null,"tags":[]}]', '[{"x":"1.5","at":null,"tags":[]}]', '[null,{"x":1.5,"at":null,"tags":[]}]', '{"x":1e400,"at":null,"tags":[]}', '{"x":1.5,"at":"2026-02-30T03:12:45.123456Z","tags":[]}'])
)  # fmt: skip


def spoiled(contract: Contract, rng: random.Random) -> bytes:
    """A canonical line with something done to it that may or may not make it bad."""
    line = canonical(contract, rng)
    whole = json.loads(line, parse_float=lambda t: Raw(t), parse_int=lambda t: Raw(t))
    data = whole["data"]
    name = rng.choice(list(data))
    inner = data["spot"] if "spot" in data and rng.random() < 0.2 else data
    changes: list[Callable[[], Any]] = [
        *[lambda: data.__setitem__(name, rng.choice(JUNK))] * 8,
        lambda: inner.__setitem__(rng.choice(list(inner)), rng.choice(JUNK)),
        lambda: inner.pop(rng.choice(list(inner))),
        lambda: inner.__setitem__(rng.choice(["extra", "secret name", "_corrupt", "X"]), rng.choice(JUNK)),
        lambda: whole.__setitem__(rng.choice(["client", "id", "time", "received_at", "data", "subject"]), rng.choice(JUNK)),
        lambda: whole.pop(rng.choice(list(whole))),
    ]
    texts: list[Callable[[str], str]] = [
        lambda t: t[: rng.randint(0, len(t))],
        lambda t: t + rng.choice([" ", "x", "{}", ","]),
        lambda t: rng.choice([" ", "\ufeff", "\t"]) + t,
        lambda t: t.replace(",", ", ", 1),
        lambda t: t.replace('"ok":', f'"ok":true,"{name}":1,"ok":', 1),
        lambda t: t.replace("t", "\\u0074", 3),
        lambda t: rng.choice(["", "null", "[]", "1", '"x"', "{", "[" * 300, "{}", '{"data":{}}']),
        lambda t: t[:-1] + ",}",
        lambda t: t.replace("}", ",}", 1),
    ]
    if rng.random() < 0.8:
        for _ in range(rng.choice([1, 1, 1, 2])):
            rng.choice(changes)()
        return dumps(whole).encode()
    if rng.random() < 0.1:
        raw = bytearray(line.encode())
        raw[rng.randrange(len(raw))] = rng.choice([0xFF, 0xC0, 0xED, 0x00, 0x1F, 0x22])
        return bytes(raw)
    return rng.choice(texts)(line).encode()
