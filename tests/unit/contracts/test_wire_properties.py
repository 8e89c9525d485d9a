"""A model rebuilt from the contract alone, and its rules over plain dicts, give the verdicts of the author's class and its spelling, for any event and any
mutilation of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator

from platform_defs.contracts import Event, NotPersonal, Personal, Record
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.plain import plain_schema
from platform_defs.contracts.reading import read_fields
from platform_defs.contracts.wire import json_schema, model_of, model_of_fields, wire_fields
from tests.fixtures.contracts import contract


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Place(Record):
    city: str = Field(pattern=r"^[A-Z][a-z]*$")
    seen: datetime | None = None


class Sold(Event):
    """Something was sold."""

    order_id: UUID
    count: int = Field(ge=1, lt=100)
    plain: int
    weight: float | None = Field(gt=-5.5, le=10)
    price: Annotated[Decimal, Field(max_digits=6, decimal_places=2, ge=0, lt=5000)]
    gift: bool = False
    at: datetime
    kind: Literal["new", "used"]
    colour: Colour = Colour.RED
    code: str = Field(pattern=r"^[a-z]{1,3}(-[0-9]+)?$", max_length=6)
    note: Annotated[str, NotPersonal("fixed texts")] = Field(min_length=1, max_length=4)
    tags: list[Colour] = Field(default=[Colour.BLUE], max_length=2)
    labels: Annotated[dict[str, str], NotPersonal("labels")] = Field(default={}, max_length=2)
    place: Place | None = None
    places: list[Place] = Field(default=[Place(city="Rome")], min_length=1)
    buyer: Annotated[str, Personal("person")]
    phone: Annotated[str | None, Personal("phone", of="buyer")] = None


SOLD: Contract = contract("shop/sold", kind="event", fields=wire_fields(Sold), description="Something was sold.")
REBUILT = model_of(SOLD)
PLAIN = plain_schema(REBUILT)
_JUDGE, _SPELL = SchemaValidator(PLAIN), SchemaSerializer(PLAIN)

_ZONES: Any = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11)), None])
_NUMBERS = st.one_of(
    st.integers(-5, 105),
    st.integers(),
    st.floats(allow_nan=True),
    st.decimals(-1, 6000, places=3, allow_nan=False).map(float),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30]),
)
_TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["new", "used", "red", "blue", "", "a", "abc-12", "abc\n", "Rome", "1", "1.5", "1.50", "1E+2", "NaN", "true", "00000000-0000-4000-8000-000000000001"]
    ),
    st.datetimes(datetime(1500, 1, 1), datetime(9999, 12, 31), timezones=_ZONES).map(lambda at: at.isoformat()),  # noqa: DTZ001  (hypothesis wants its bounds naive)
    st.uuids().map(str),
    st.decimals(-1, 6000, places=3, allow_nan=False).map(str),
)
_LEAVES = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS)
_ANYTHING = st.recursive(_LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner, max_size=3)), max_leaves=6)
_PLACE = st.fixed_dictionaries({"city": st.sampled_from(["Rome", "X", "rome"])}, optional={"seen": _TEXTS | st.none(), "more": _LEAVES})
_GOOD: dict[str, st.SearchStrategy[Any]] = {
    "order_id": st.uuids().map(str),
    "count": st.integers(1, 99),
    "plain": st.integers(-(2**63), 2**63 - 1),
    "weight": st.none() | st.floats(-5.4, 10) | st.integers(-5, 10),
    "price": st.decimals(0, 4999, places=2).flatmap(lambda price: st.sampled_from([str(price), float(price)])),
    "gift": st.booleans(),
    "at": st.datetimes(datetime(1700, 1, 1), datetime(9998, 12, 31), timezones=_ZONES.filter(bool)).map(lambda at: at.isoformat()),  # noqa: DTZ001  (hypothesis wants its bounds naive)
    "kind": st.sampled_from(["new", "used"]),
    "colour": st.sampled_from(["red", "blue"]),
    "code": st.sampled_from(["a", "abc", "ab-12"]),
    "note": st.text(min_size=1, max_size=4),
    "tags": st.lists(st.sampled_from(["red", "blue"]), max_size=2),
    "labels": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    "place": st.none() | st.just({"city": "Rome", "seen": "2026-10-01T03:12:45.5+02:00"}),
    "places": st.lists(st.just({"city": "Paris"}), min_size=1, max_size=2),
    "buyer": st.text(min_size=1, max_size=5),
    "phone": st.none() | st.text(max_size=5),
}
_OPTIONAL = {field.name for field in SOLD.fields if not field.required}
GOOD = st.fixed_dictionaries({k: v for k, v in _GOOD.items() if k not in _OPTIONAL}, optional={k: v for k, v in _GOOD.items() if k in _OPTIONAL})


@st.composite
def mutilated(draw: st.DrawFn) -> dict[str, Any]:
    """A good event with up to two fields replaced, removed or added."""
    data = dict(draw(GOOD))
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*_GOOD, "extra"]))
        how = draw(st.integers(0, 3))
        if how == 0:
            data.pop(name, None)
        elif name in ("place", "places"):
            data[name] = draw(st.one_of(_PLACE, st.lists(_PLACE, max_size=2), _ANYTHING))
        else:
            data[name] = draw(_ANYTHING)
    return data


def verdict(model: type[BaseModel], text: str) -> tuple[str | None, set[tuple[str, ...]]]:
    """The canonical spelling or None, and the places of the errors."""
    return judged(lambda: model.model_validate_json(text).model_dump_json())


def plain_verdict(text: str) -> tuple[str | None, set[tuple[str, ...]]]:
    """The same over plain dicts."""
    return judged(lambda: _SPELL.to_json(_JUDGE.validate_json(text)).decode())


def judged(spelling: Callable[[], str]) -> tuple[str | None, set[tuple[str, ...]]]:
    try:
        return spelling(), set()
    except ValidationError as error:
        return None, {tuple(str(part) for part in one["loc"]) for one in error.errors()}


@given(mutilated())
@settings(max_examples=500, deadline=None)
def test_same_verdict_and_same_spelling(data: dict[str, Any]) -> None:
    text = json.dumps(data)
    assert verdict(REBUILT, text) == verdict(Sold, text) == plain_verdict(text)


@given(GOOD)
@settings(max_examples=200, deadline=None)
def test_good_events_pass_and_their_spelling_is_a_fixed_point(data: dict[str, Any]) -> None:
    spelling, errors = verdict(REBUILT, json.dumps(data))
    assert errors == set()
    assert spelling is not None
    assert verdict(REBUILT, spelling) == (spelling, set())
    assert list(json.loads(spelling)) == [field.name for field in SOLD.fields]  # every field, in the declared order


@pytest.mark.parametrize(
    ("name", "spellings", "one"),
    [
        (
            "at",
            ["2026-10-01T05:00:00+02:00", "2026-10-01T03:00:00Z", "2026-10-01T03:00:00.000000000Z", "2026-10-01 03:00:00+00:00"],
            "2026-10-01T03:00:00.000000Z",
        ),
        ("price", [1.5, "1.5", "1.50", 1.50], "1.50"),
        ("price", ["1E+2", 100, "100"], "100.00"),
        (
            "order_id",
            ["00000000-0000-4000-8000-00000000000A", "00000000-0000-4000-8000-00000000000a", "{00000000-0000-4000-8000-00000000000a}"],
            "00000000-0000-4000-8000-00000000000a",
        ),
        ("labels", [{"b": "1", "a": "2"}, {"a": "2", "b": "1"}], {"a": "2", "b": "1"}),
        ("weight", [1, 1.0, 1e0], 1.0),
    ],
)
def test_one_value_has_one_spelling(name: str, spellings: list[Any], one: Any) -> None:
    base = Sold.example(price="1.00", weight=1.0).model_dump(mode="json")
    told = {verdict(model, json.dumps({**base, name: spelling}))[0] for spelling in spellings for model in (Sold, REBUILT)}
    assert len(told) == 1
    (text,) = told
    assert text is not None
    assert f'"{name}":{json.dumps(one, separators=(",", ":"))}' in text


def test_reading_the_rebuilt_model_gives_the_contract_again() -> None:
    """But for what is not data: that free text was said to be harmless."""
    fields, problems = read_fields(model_of_fields("sold", SOLD.fields))
    assert [problem.where.rpartition(".")[2] for problem in problems] == ["note", "labels"]
    assert fields == tuple(field for field in SOLD.fields if field.name not in ("note", "labels"))


def test_json_schema_tells_clients_the_same() -> None:
    schema = json_schema(SOLD)
    assert (schema["$id"], schema["description"], schema["additionalProperties"]) == ("shop/sold", "Something was sold.", False)
    assert schema["properties"]["buyer"] == {"minLength": 1, "title": "Buyer", "type": "string", "x-personal": {"kind": "person"}}
    assert schema["properties"]["plain"]["maximum"] == 2**63 - 1
    assert schema["properties"]["code"]["pattern"] == r"^[a-z]{1,3}(-[0-9]+)?$"
    assert set(schema["required"]) == {name for name in _GOOD if name not in _OPTIONAL}
    json.dumps(schema)
