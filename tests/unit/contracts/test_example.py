"""Examples fit what they are examples of, differ from each other, and are the same in every run."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from platform_defs.contracts import NotPersonal, Record, Schema, T, field, people, person
from platform_defs.contracts.contract import WireField, WireType
from platform_defs.contracts.example import NoExample, counting_examples
from platform_defs.contracts.wire import model_of_fields
from tests.unit.contracts.test_wire_properties import Colour, Place, Sold


def test_drawn_values_are_valid_differ_and_repeat() -> None:
    with counting_examples():
        first = [Sold.example() for _ in range(50)]
    with counting_examples():
        again = [Sold.example() for _ in range(50)]
    assert first == again
    assert len({event.order_id for event in first}) == 50
    assert len({event.buyer for event in first}) == 50
    assert first[0].colour is Colour.RED  # a default stays
    assert first[0].phone is None


def test_what_is_given_is_taken_and_judged() -> None:
    event = Sold.example(colour=Colour.BLUE, place=Place(city="Oslo"), price=Decimal("2.50"), order_id=UUID(int=7, version=4), kind="used")
    assert (event.colour, event.place, event.price, event.kind) == (Colour.BLUE, Place(city="Oslo"), Decimal("2.50"), "used")
    with pytest.raises(ValidationError, match="count"):
        Sold.example(count=0)
    with pytest.raises(ValidationError, match="colr"):
        Sold.example(colr="red")


def test_counts_of_two_tests_do_not_meet() -> None:
    with counting_examples():
        outer = Sold.example()
        with counting_examples():
            assert Sold.example() == outer
        assert Sold.example() != outer


_TYPES = st.one_of(
    st.builds(lambda low, room: WireType(kind="integer", ge=str(low), le=str(low + room)), st.integers(-1000, 1000), st.integers(0, 100)),
    st.builds(lambda low: WireType(kind="integer", gt=str(low)), st.integers(-1000, 1000)),
    st.builds(lambda high: WireType(kind="integer", lt=str(high)), st.integers(-1000, 1000)),
    st.builds(lambda low, room: WireType(kind="number", gt=str(low), lt=str(low + room)), st.floats(-1000, 1000), st.floats(0.5, 100)),
    st.builds(lambda high: WireType(kind="number", lt=str(high)), st.floats(-1000, 1000)),
    st.builds(lambda low, room: WireType(kind="decimal", digits=6, places=2, gt=str(low), lt=str(low + room)), st.integers(-99, 99), st.integers(1, 9)),
    st.just(WireType(kind="decimal", digits=2, places=2)),
    st.builds(lambda least, room: WireType(kind="string", min_length=least, max_length=least + room), st.integers(0, 20), st.integers(1, 20)),
    st.sampled_from([WireType(kind="boolean"), WireType(kind="uuid"), WireType(kind="datetime"), WireType(kind="string", choices=("x", "y"))]),
    st.just(WireType(kind="list", min_length=2, item=WireType(kind="record", fields=(WireField(name="n", type=WireType(kind="integer")),)))),
    st.just(WireType(kind="map", min_length=2)),
)


@given(_TYPES, st.integers(1, 3000))
@settings(max_examples=300, deadline=None)
def test_any_type_has_an_example(wire: WireType, n: int) -> None:
    from pydantic_core import to_json

    from platform_defs.contracts.example import drawn

    model = model_of_fields("any", (WireField(name="v", type=wire),))
    model.model_validate_json(to_json({"v": drawn(wire, n, "any.v")}))


def test_what_cannot_be_drawn_is_named() -> None:
    class Odd(Record):
        code: str = Field(pattern=r"^[a-z]{3}$", max_length=2)
        note: Annotated[str, NotPersonal("x")]
        at: datetime
        kind: Literal["a"]

    with pytest.raises(NoExample, match=r"Odd.code fits both.*give code="):
        Odd.example()


class Rows(Schema):
    """All kinds of columns."""

    track_id: T.StringType = field(str_matches=r"^trk_[a-z0-9]{8}$")
    kind: T.StringType = field(isin=["a", "b"])
    name: T.StringType = field()
    starts: T.LongType = field(ge=10)
    share: T.DoubleType = field(in_range=(0.5, 9e9))
    gap: T.LongType = field(nullable=True)
    money: Annotated[T.DecimalType, 10, 2] = field()
    user_id: T.BinaryType = person()
    listeners: T.LongType = people(ge=1)
    at: T.TimestampType = field()
    on: T.DateType = field()
    good: T.BooleanType = field()
    names: T.ArrayType(T.StringType()) = field()  # type: ignore[valid-type]


def test_rows_fit_their_columns_and_differ() -> None:
    with counting_examples():
        rows = [Rows.example() for _ in range(20)]
    assert len({row["track_id"] for row in rows}) == 20
    assert all(row["track_id"].startswith("trk_") and len(row["track_id"]) == 12 for row in rows)
    assert all(row["kind"] in "ab" and row["starts"] >= 10 and row["listeners"] >= 1 and len(row["user_id"]) == 16 for row in rows)
    assert set(rows[0]) == set(Rows.to_schema().columns)
    assert Rows.example(starts=11, kind="z")["kind"] == "z"
    with pytest.raises(NoExample, match="no column is named stars"):
        Rows.example(stars=1)
