"""The verdicts on changes whose answer is known: a table to look up what may be changed, and what keeps the rules from drifting.

Each row is a chain of versions: all but the last were in force one after the other, the last one is what is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.contracts.column_types import returns_otherwise, takes_up
from platform_defs.contracts.compatibility import breaking, changes_of, compare
from platform_defs.contracts.contract import Check, Column, Contract, PersonalMark, WireField, WireType
from platform_defs.contracts.wire import spark_type
from tests.fixtures.contracts import DAY, contract, event, lateness, reads

GOES_ON, BREAKS = False, True
KEY = "a/x"
INT, TEXT = WireType(kind="integer"), WireType(kind="string", max_length=20)
PERSON = PersonalMark(kind="person")


def field(name: str, kind: WireType = INT, **given: Any) -> WireField:
    return WireField(name=name, type=kind, **given)


def sent(*fields: WireField, **given: Any) -> Contract:
    """An event type with these fields."""
    columns = tuple(Column(name=one.name, type=spark_type(one.type), nullable=one.nullable, mark="person" if one.personal else None) for one in fields)
    return event(KEY, fields=fields, columns=columns, **given)


def kept(*columns: Column | str, **given: Any) -> Contract:
    """An endpoint with these columns; `a BIGINT` is one."""
    made = tuple(one if isinstance(one, Column) else Column(name=one.partition(" ")[0], type=one.partition(" ")[2]) for one in columns)
    return contract(KEY, columns=made, **given)


def whole(**given: Any) -> WireType:
    return WireType(kind="integer", **given)


def text(**given: Any) -> WireType:
    return WireType(kind="string", **given)


def choices(*names: str) -> WireType:
    return WireType(kind="string", choices=names)


def record(*fields: WireField) -> WireType:
    return WireType(kind="record", fields=fields)


def items(item: WireType, **given: Any) -> WireType:
    return WireType(kind="list", item=item, **given)


@dataclass(frozen=True)
class Pair:
    """A known change. `path`: a part that must be named for it (`""`: none at all changes)."""

    what: str
    versions: tuple[Contract | None, ...]
    verdict: bool
    path: str


PSEUDONYM = Column(name="p", type="BINARY", mark="person")
A, B = field("a"), field("b")
PAIRS = [
    Pair("nothing", (sent(A), sent(A)), GOES_ON, ""),
    # what clients send
    Pair("add an optional field", (sent(A), sent(A, field("b", required=False, default=0))), GOES_ON, "fields.b"),
    Pair("add a field that may be null, with a default", (sent(A), sent(A, field("b", nullable=True, required=False))), GOES_ON, "fields.b"),
    Pair("add a required field", (sent(A), sent(A, B)), BREAKS, "fields.b"),
    Pair("add a required field that may be null", (sent(A), sent(A, field("b", nullable=True))), BREAKS, "fields.b"),
    Pair("remove a field", (sent(A, B), sent(A)), BREAKS, "fields.b"),
    Pair("rename a field", (sent(A), sent(B)), BREAKS, "fields.a"),
    Pair("reorder fields", (sent(A, B), sent(B, A)), GOES_ON, "fields.order"),
    Pair("retype a field", (sent(A), sent(field("a", TEXT))), BREAKS, "fields.a"),
    Pair("make a field optional", (sent(A), sent(field("a", required=False, default=0))), GOES_ON, "fields.a"),
    Pair("make a field required", (sent(field("a", required=False, default=0)), sent(A)), BREAKS, "fields.a"),
    Pair("let a field be null", (sent(A), sent(field("a", nullable=True))), GOES_ON, "fields.a"),
    Pair("let a field be null no more", (sent(field("a", nullable=True)), sent(A)), BREAKS, "fields.a"),
    Pair("widen an int's range", (sent(field("a", whole(le="10"))), sent(field("a", whole(le="99")))), GOES_ON, "fields.a.le"),
    Pair("free an int's range", (sent(field("a", whole(ge="0"))), sent(A)), GOES_ON, "fields.a.ge"),
    Pair("narrow an int's range", (sent(field("a", whole(le="99"))), sent(field("a", whole(le="10")))), BREAKS, "fields.a.le"),
    Pair("bound an int", (sent(A), sent(field("a", whole(gt="0")))), BREAKS, "fields.a.gt"),
    Pair("int to float", (sent(A), sent(field("a", WireType(kind="number")))), BREAKS, "fields.a"),
    Pair("allow longer text", (sent(field("a", TEXT)), sent(field("a", text(max_length=40)))), GOES_ON, "fields.a.max_length"),
    Pair("allow shorter text only", (sent(field("a", TEXT)), sent(field("a", text(max_length=4)))), BREAKS, "fields.a.max_length"),
    Pair("another pattern", (sent(field("a", text(pattern="a+"))), sent(field("a", text(pattern="[ab]+")))), BREAKS, "fields.a.pattern"),
    Pair("enum add", (sent(field("a", choices("x"))), sent(field("a", choices("x", "y")))), GOES_ON, "fields.a.choices"),
    Pair("enum remove", (sent(field("a", choices("x", "y"))), sent(field("a", choices("x")))), BREAKS, "fields.a.choices"),
    Pair("enum rename", (sent(field("a", choices("x", "y"))), sent(field("a", choices("x", "z")))), BREAKS, "fields.a.choices"),
    Pair("enum reorder", (sent(field("a", choices("x", "y"))), sent(field("a", choices("y", "x")))), GOES_ON, "fields.a.choices"),
    Pair("enum to free text", (sent(field("a", choices("x"))), sent(field("a", WireType(kind="string")))), GOES_ON, "fields.a.choices"),
    Pair("free text to enum", (sent(field("a", WireType(kind="string"))), sent(field("a", choices("x")))), BREAKS, "fields.a.choices"),
    # the same, nested
    Pair("nested: add optional", (sent(field("r", record(A))), sent(field("r", record(A, field("b", required=False))))), GOES_ON, "fields.r.b"),
    Pair("nested: add required", (sent(field("r", record(A))), sent(field("r", record(A, B)))), BREAKS, "fields.r.b"),
    Pair("nested: remove", (sent(field("r", record(A, B))), sent(field("r", record(A)))), BREAKS, "fields.r.b"),
    Pair("nested: rename", (sent(field("r", record(A))), sent(field("r", record(B)))), BREAKS, "fields.r.a"),
    Pair("nested: reorder", (sent(field("r", record(A, B))), sent(field("r", record(B, A)))), BREAKS, "columns.r"),
    Pair("nested: retype", (sent(field("r", record(A))), sent(field("r", record(field("a", TEXT))))), BREAKS, "fields.r.a"),
    Pair(
        "nested: widen", (sent(field("r", record(field("a", whole(le="9"))))), sent(field("r", record(field("a", whole(le="99")))))), GOES_ON, "fields.r.a.le"
    ),
    Pair(
        "nested: narrow", (sent(field("r", record(field("a", whole(le="99"))))), sent(field("r", record(field("a", whole(le="9")))))), BREAKS, "fields.r.a.le"
    ),
    Pair(
        "nested: enum add",
        (sent(field("r", record(field("a", choices("x"))))), sent(field("r", record(field("a", choices("x", "y")))))),
        GOES_ON,
        "fields.r.a.choices",
    ),
    Pair(
        "nested: enum remove",
        (sent(field("r", record(field("a", choices("x", "y"))))), sent(field("r", record(field("a", choices("x")))))),
        BREAKS,
        "fields.r.a.choices",
    ),
    Pair("in a list: enum add", (sent(field("l", items(choices("x")))), sent(field("l", items(choices("x", "y"))))), GOES_ON, "fields.l[].choices"),
    Pair("in a list: enum remove", (sent(field("l", items(choices("x", "y")))), sent(field("l", items(choices("x"))))), BREAKS, "fields.l[].choices"),
    Pair("in a list of records: add required", (sent(field("l", items(record(A)))), sent(field("l", items(record(A, B))))), BREAKS, "fields.l[].b"),
    Pair("a longer list", (sent(field("l", items(INT, max_length=2))), sent(field("l", items(INT, max_length=3)))), GOES_ON, "fields.l.max_length"),
    Pair("a shorter list", (sent(field("l", items(INT, max_length=3))), sent(field("l", items(INT, max_length=2)))), BREAKS, "fields.l.max_length"),
    # privacy
    Pair("remove a personal mark", (sent(field("a", personal=PERSON)), sent(A)), BREAKS, "fields.a"),
    Pair("set a personal mark", (sent(A), sent(field("a", personal=PERSON))), BREAKS, "fields.a"),
    Pair("remove a nested personal mark", (sent(field("r", record(field("a", personal=PERSON)))), sent(field("r", record(A)))), BREAKS, "fields.r.a"),
    Pair("remove a column's mark", (kept(PSEUDONYM), kept("p BINARY")), BREAKS, "columns.p"),
    Pair("say that a column counts people", (kept("n BIGINT"), kept(Column(name="n", type="BIGINT", mark="people"))), GOES_ON, "columns.n"),
    Pair("another purpose, with pseudonyms", (kept(PSEUDONYM), kept(PSEUDONYM, purpose="b")), BREAKS, "purpose"),
    Pair("another purpose, without", (kept("n INT"), kept("n INT", purpose="b")), GOES_ON, "purpose"),
    Pair("let a group read", (kept("n INT"), kept("n INT", readers=("group:x",))), BREAKS, "readers"),
    Pair("let a group read no more", (kept("n INT", readers=("group:x",)), kept("n INT")), GOES_ON, "readers"),
    Pair("another group in its place", (kept("n INT", readers=("group:x",)), kept("n INT", readers=("group:y",))), BREAKS, "readers"),
    Pair("share what is made of it", (kept("n INT"), kept("n INT", shared=True)), BREAKS, "shared"),
    Pair("hand it to another team", (kept("n INT"), kept("n INT", owner="team:y")), BREAKS, "owner"),
    Pair("hand it to a team that reads it", (kept("n INT", readers=("team:y",)), kept("n INT", readers=("team:y",), owner="team:y")), GOES_ON, "owner"),
    Pair("keep erased persons in aggregates", (kept("n INT", on_erase="rebuild"), kept("n INT", on_erase="keep")), BREAKS, "on_erase"),
    # what readers see
    Pair("add a column", (kept("a INT"), kept("a INT", "b INT")), GOES_ON, "columns.b"),
    Pair("add a column in front", (kept("a INT"), kept("b INT", "a INT")), GOES_ON, "columns.b"),
    Pair("remove a column", (kept("a INT", "b INT"), kept("a INT")), BREAKS, "columns.b"),
    Pair("rename a column", (kept("a INT"), kept("b INT")), BREAKS, "columns.a"),
    Pair("reorder columns", (kept("a INT", "b INT"), kept("b INT", "a INT")), GOES_ON, "columns.order"),
    Pair("widen a column's int", (kept("a INT"), kept("a BIGINT")), BREAKS, "columns.a"),
    Pair("narrow a column's int", (kept("a BIGINT"), kept("a INT")), BREAKS, "columns.a"),
    Pair("more digits", (kept("a DECIMAL(5,2)"), kept("a DECIMAL(9,2)")), BREAKS, "columns.a"),
    Pair("let a column be null", (kept("a INT"), kept(Column(name="a", type="INT", nullable=True))), GOES_ON, "columns.a"),
    Pair(
        "check a column", (kept("a INT"), kept(Column(name="a", type="INT", checks=(Check(name="isin", args={"allowed_values": [1]}),)))), GOES_ON, "columns.a"
    ),
    Pair("nested: a part more", (kept("s STRUCT<a: INT>"), kept("s STRUCT<a: INT, b: DECIMAL(3,1)>")), GOES_ON, "columns.s"),
    Pair(
        "nested: a part more in the middle", (kept("s STRUCT<a: INT, c: INT>"), kept("s STRUCT<a: INT, b: MAP<STRING, STRING>, c: INT>")), GOES_ON, "columns.s"
    ),
    Pair("nested: two deep", (kept("s ARRAY<STRUCT<a: STRUCT<x: INT>>>"), kept("s ARRAY<STRUCT<a: STRUCT<x: INT, y: INT>>>")), GOES_ON, "columns.s"),
    Pair("nested: a part less", (kept("s STRUCT<a: INT, b: INT>"), kept("s STRUCT<a: INT>")), BREAKS, "columns.s"),
    Pair("nested: a part retyped", (kept("s STRUCT<a: INT>"), kept("s STRUCT<a: BIGINT>")), BREAKS, "columns.s"),
    Pair("nested: parts change places", (kept("s STRUCT<a: INT, b: INT>"), kept("s STRUCT<b: INT, a: INT>")), BREAKS, "columns.s"),
    Pair("another key", (kept("a INT", unique=("a",)), kept("a INT", "b INT", unique=("a", "b"))), BREAKS, "unique"),
    Pair("no key", (kept("a INT", unique=("a",)), kept("a INT")), BREAKS, "unique"),
    # time
    Pair("hourly to daily", (kept("a INT"), kept("a INT", cadence="daily")), BREAKS, "cadence"),
    Pair("start earlier", (kept("a INT", start="2026-02-01"), kept("a INT", start="2026-01-01")), GOES_ON, "start"),
    Pair("start later", (kept("a INT", start="2026-01-01"), kept("a INT", start="2026-02-01")), BREAKS, "start"),
    Pair("keep longer", (kept("a INT", retention_seconds=DAY), kept("a INT", retention_seconds=2 * DAY)), GOES_ON, "retention"),
    Pair("keep shorter", (kept("a INT", retention_seconds=2 * DAY), kept("a INT", retention_seconds=DAY)), BREAKS, "retention"),
    Pair("a later deadline", (kept("a INT", ready_within_seconds=60), kept("a INT", ready_within_seconds=600)), GOES_ON, "ready_within"),
    Pair("another lateness", (sent(A), sent(A, lateness=lateness(share=0.5))), GOES_ON, "lateness"),
    # how it is made
    Pair("other code", (kept("a INT"), kept("a INT", code_version="2")), GOES_ON, "code_version"),
    Pair("another input", (kept("a INT"), kept("a INT", inputs=(reads("a/y"),))), GOES_ON, "inputs.y"),
    Pair("another text", (kept("a INT"), kept("a INT", description="other")), GOES_ON, "description"),
    Pair("an event type becomes a source", (sent(A), sent(A, kind="source")), BREAKS, "kind"),
    # there and not there
    Pair("declare", (None, kept("a INT")), GOES_ON, "key"),
    Pair("declare no more", (kept("a INT"), None), BREAKS, "key"),
    # over three versions: each step may be decided or harmless, and the last one is judged against all that is stored
    Pair(
        "an optional field comes and is widened",
        (sent(A), sent(A, field("b", whole(le="9"), required=False)), sent(A, field("b", required=False))),
        GOES_ON,
        "fields.b.le",
    ),
    Pair("an optional field comes and becomes required", (sent(A), sent(A, field("b", required=False)), sent(A, B)), BREAKS, "fields.b"),
    Pair("a removed column comes back as it was", (kept("a INT", "b INT"), kept("a INT"), kept("a INT", "b INT")), GOES_ON, "columns.b"),
    Pair("a removed column comes back as something else", (kept("a INT", "b INT"), kept("a INT"), kept("a INT", "b STRING")), BREAKS, "columns.b"),
    Pair("a removed field comes back as something else", (sent(A, B), sent(A), sent(A, field("b", TEXT, required=False))), BREAKS, "columns.b"),
    Pair(
        "a removed part comes back as it was",
        (kept("s STRUCT<a: INT, b: INT>"), kept("s STRUCT<a: INT>"), kept("s STRUCT<a: INT, b: INT>")),
        GOES_ON,
        "columns.s",
    ),
    Pair(
        "a removed part comes back as something else",
        (kept("s STRUCT<a: INT, b: INT>"), kept("s STRUCT<a: INT>"), kept("s STRUCT<a: INT, b: STRING>")),
        BREAKS,
        "columns.s",
    ),
    Pair("an enum's value goes and comes back", tuple(sent(field("a", choices(*names))) for names in ("xy", "x", "xy")), GOES_ON, "fields.a.choices"),
    Pair("narrowed and widened again", tuple(sent(field("a", whole(le=most))) for most in ("99", "9", "50")), GOES_ON, "fields.a.le"),
    Pair("a pseudonym's column comes back unmarked", (kept("a INT", PSEUDONYM), kept("a INT"), kept("a INT", "p BINARY")), BREAKS, "columns.p"),
    Pair("what was decided once is not asked again", (kept("a INT", "b INT"), kept("a INT"), kept("a INT", code_version="2")), GOES_ON, "code_version"),
    Pair("declared again as it was", (kept("a INT"), None, kept("a INT")), GOES_ON, "key"),
    Pair("declared again with a column less", (kept("a INT", "b INT"), None, kept("a INT")), GOES_ON, "key"),
    Pair("declared again as something else", (kept("a INT"), None, kept("a STRING")), BREAKS, "columns.a"),
    Pair("declared again for more readers", (kept("a INT"), None, kept("a INT", readers=("group:x",))), BREAKS, "readers"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.what)
def test_the_verdict_is_known(pair: Pair) -> None:
    *before, new = pair.versions
    old, earlier = before[-1], [version for version in reversed(before[:-1]) if version is not None]
    changes = changes_of(old, new, earlier)
    assert [change.path for change in changes if change.path == pair.path] == ([pair.path] if pair.path else []), changes
    found = {change.path for change in breaking(changes)}
    assert (pair.path in found) is pair.verdict, changes
    assert bool(found) is pair.verdict
    assert changes or not pair.path
    assert all(change.words for change in changes)


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("INT", "INT", True),
        ("INT", "BIGINT", False),
        ("ARRAY<INT>", "INT", False),
        ("MAP<STRING, STRUCT<a: INT>>", "MAP<STRING, STRUCT<a: INT, b: INT>>", True),
        ("MAP<STRING, INT>", "MAP<INT, INT>", False),
        ("STRUCT<a: DECIMAL(3,1), b: INT>", "STRUCT<a: DECIMAL(3,1), x: DECIMAL(4,2), b: INT>", True),
        ("STRUCT<a: DECIMAL(3,1)>", "STRUCT<a: DECIMAL(3,2)>", False),
        ("STRUCT<a: INT>", "ARRAY<INT>", False),
    ],
)
def test_what_a_column_takes_up(old: str, new: str, verdict: bool) -> None:
    assert takes_up(old, new) is verdict


@pytest.mark.parametrize(
    ("older", "last", "new", "verdict"),
    [
        ("STRUCT<a: INT, b: INT>", "STRUCT<a: INT>", "STRUCT<a: INT, b: BIGINT>", True),
        ("STRUCT<a: INT, b: STRUCT<c: INT>>", "STRUCT<a: INT>", "STRUCT<a: INT, b: STRUCT<c: INT, d: INT>>", False),
        ("ARRAY<STRUCT<a: INT, b: INT>>", "ARRAY<STRUCT<a: INT>>", "ARRAY<STRUCT<a: INT, b: DATE>>", True),
        ("MAP<STRING, STRUCT<r: STRUCT<a: INT>>>", "MAP<STRING, STRUCT<r: STRUCT<z: INT>>>", "MAP<STRING, STRUCT<r: STRUCT<z: INT, a: DATE>>>", True),
        ("INT", "BIGINT", "BIGINT", False),
        ("STRUCT<a: INT>", "STRUCT<a: BIGINT>", "STRUCT<a: BIGINT, b: INT>", False),
    ],
)
def test_what_a_column_held_once_comes_back_as_it_was(older: str, last: str, new: str, verdict: bool) -> None:
    assert returns_otherwise(older, last, new) is verdict


limits = st.none() | st.integers(0, 3).map(str)
wire_types = st.one_of(
    st.builds(lambda ge, le: whole(ge=ge, le=le), limits, limits),
    st.lists(st.sampled_from("xyz"), min_size=1, max_size=3, unique=True).map(lambda names: choices(*names)),
    st.just(WireType(kind="string")),
    st.builds(lambda a, b: record(*a, *b), st.just((A,)) | st.just(()), st.sampled_from([(), (B,), (field("b", required=False),)])),
)
wire_fields = st.builds(
    lambda name, kind, nullable, required: field(name, kind, nullable=nullable, required=required),
    st.sampled_from("ab"),
    wire_types,
    st.booleans(),
    st.booleans(),
)
column_types = st.sampled_from(["INT", "BIGINT", "STRUCT<a: INT>", "STRUCT<a: INT, b: INT>", "STRUCT<b: INT, a: INT, c: INT>"])
columns = st.builds(
    lambda name, kind, mark, nullable: Column(name=name, type=kind, mark=mark, nullable=nullable),
    st.sampled_from("ab"),
    column_types,
    st.sampled_from([None, "person", "people"]),
    st.booleans(),
)
contracts = st.builds(
    lambda fields, columns, readers, owner, days, start, purpose, erase: contract(
        KEY,
        kind="event",
        fields=tuple(fields),
        columns=tuple(columns),
        readers=tuple(readers),
        owner=owner,
        retention_seconds=days * DAY,
        start=start,
        purpose=purpose,
        on_erase=erase,
    ),
    st.lists(wire_fields, max_size=2, unique_by=lambda one: one.name),
    st.lists(columns, max_size=2, unique_by=lambda one: one.name),
    st.lists(st.sampled_from(["group:x", "team:y"]), max_size=2, unique=True),
    st.sampled_from(["team:test", "team:y"]),
    st.integers(1, 3),
    st.sampled_from(["2026-01-01", "2026-02-01"]),
    st.sampled_from(["p", "q"]),
    st.sampled_from([None, "keep", "rebuild"]),
)


@given(contracts, contracts, contracts)
def test_harmless_steps_make_a_harmless_way(one: Contract, two: Contract, three: Contract) -> None:
    """Were it not so, a change refused at once would pass in two."""
    if not breaking(compare(one, two)) and not breaking(compare(two, three)):
        assert breaking(compare(one, three)) == []


@given(contracts, contracts)
def test_a_change_is_named_and_nothing_else(one: Contract, two: Contract) -> None:
    assert compare(one, one) == []
    assert bool(compare(one, two)) is (one != two)
