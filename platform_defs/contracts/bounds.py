"""What every value on the wire keeps to beyond its declared type, put once on a class's core schema: integers fit 64 bits, instants are aware,
and each value has one spelling. `wire` reads the same core schema, so the contract says what the class does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from pydantic_core import CoreSchema, core_schema

INTEGER_RANGE = (-(2**63), 2**63 - 1)
# Before 1600 Spark's and Python's calendars differ; the ends keep a day from Python's own, so that any offset can be turned to UTC.
INSTANT_RANGE = (datetime(1600, 1, 1, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))
_INNER = ("schema", "items_schema", "keys_schema", "values_schema")


def instant_text(at: datetime) -> str:
    """The one spelling of an instant: UTC, six digits of a second, `2026-10-01T03:12:45.123456Z`."""
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond:06d}Z"


class _Places:
    """Writes a decimal with all its places, so that 1.5 and 1.50 are one spelling."""

    def __init__(self, places: int) -> None:
        self.places = places

    def __call__(self, value: Decimal) -> str:
        return f"{value:.{self.places}f}"


def _sorted_map(value: dict[str, str]) -> dict[str, str]:
    return dict(sorted(value.items()))


def is_our_serialiser(function: object) -> bool:
    """Whether the function is one that this module puts on a core schema, not an author's."""
    return function is instant_text or function is _sorted_map or isinstance(function, _Places)


def bind(schema: CoreSchema) -> None:
    """Bounds all values of one model in place; other models inside bind themselves."""
    for node in _nodes(schema):
        match node.get("type"):
            case "int":
                if "ge" not in node and "gt" not in node:
                    node["ge"] = INTEGER_RANGE[0]
                if "le" not in node and "lt" not in node:
                    node["le"] = INTEGER_RANGE[1]
            case "datetime":
                node.setdefault("tz_constraint", "aware")
                if "ge" not in node and "gt" not in node:
                    node["ge"] = INSTANT_RANGE[0]
                if "le" not in node and "lt" not in node:
                    node["le"] = INSTANT_RANGE[1]
                node.setdefault("serialization", core_schema.plain_serializer_function_ser_schema(instant_text, when_used="json"))
            case "decimal":
                node.setdefault("allow_inf_nan", False)
                if node.get("decimal_places") is not None:
                    places = core_schema.plain_serializer_function_ser_schema(_Places(node["decimal_places"]), when_used="json")
                    node.setdefault("serialization", places)
            case "dict":
                node.setdefault("serialization", core_schema.plain_serializer_function_ser_schema(_sorted_map, when_used="json"))


def _nodes(schema: CoreSchema) -> Iterator[dict[str, Any]]:
    """The schema and all below it, this model's fields included, other models excluded: they bound themselves."""
    node = cast("dict[str, Any]", schema)
    yield node
    for name in _INNER:
        if isinstance(node.get(name), dict):
            yield from _nodes(node[name])
    if node.get("type") == "model-fields":
        for entry in node["fields"].values():
            yield from _nodes(entry["schema"])
