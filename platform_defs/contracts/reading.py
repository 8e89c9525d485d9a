"""From an author's Event or Record class to its fields as data. Closed world: what the data could not say again is refused, with the way out.

Read from the class's core schema, that is from what Pydantic will really do. The way back, from data to a model, is in `wire`.
"""

from __future__ import annotations

import re
import sys
from datetime import datetime
from math import isfinite
from typing import Any, cast

from pydantic_core import PydanticUndefined, to_jsonable_python

from platform_defs.contracts.bounds import INSTANT_RANGE, INTEGER_RANGE, is_our_serialiser
from platform_defs.contracts.contract import PersonalMark, WireField, WireType
from platform_defs.contracts.errors import ContractError
from platform_defs.contracts.event import Record
from platform_defs.contracts.marks import METADATA, NotPersonal, Personal
from platform_defs.contracts.patterns import PatternError, parse
from platform_defs.contracts.places import place_of

RESERVED = frozenset({"hour", "day", "time", "event_id", "received_at"})
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LIMITS = ("ge", "gt", "le", "lt")
_LISTED = "str, int, float, bool, UUID, datetime, Decimal, Literal or a str Enum, list[...], dict[str, str], a Record, or one of these | None"
_KEYS = {
    "str": {"min_length", "max_length", "pattern"},
    "int": set(_LIMITS),
    "float": {*_LIMITS, "allow_inf_nan"},
    "decimal": {*_LIMITS, "max_digits", "decimal_places", "allow_inf_nan"},
    "bool": set(),
    "uuid": set(),
    "datetime": {"ge", "le", "microseconds_precision", "tz_constraint"},
    "literal": {"expected"},
    "enum": {"cls", "members", "sub_type"},
    "list": {"items_schema", "min_length", "max_length"},
    "dict": {"keys_schema", "values_schema", "min_length", "max_length"},
    "nullable": {"schema"},
    "default": {"schema", "default", "copy_default"},
    "model": {"cls", "schema", "config", "custom_init", "root_model", "frozen"},
}
_EVERYWHERE = {"type", "metadata", "ref", "serialization"}
Mark = Personal | NotPersonal


class _Refused(Exception):
    """A part of a class that a contract cannot hold; carries why and what to write."""

    def __init__(self, why: str, write: str) -> None:
        super().__init__(why)
        self.why, self.write = why, write


def read_fields(cls: type[Record]) -> tuple[tuple[WireField, ...], list[ContractError]]:
    """The fields of a class as they travel, and what is wrong with the class; wrong fields are left out."""
    if not cls.__pydantic_complete__:  # a type named before it is defined; by now its module is all there
        cls.model_rebuild(raise_errors=False, _types_namespace=vars(sys.modules[cls.__module__]))
    if not cls.__pydantic_complete__:
        return (), [ContractError(place_of(cls), "it names a type that is not defined in its file", "Import the type, or mend the name in the annotation")]
    return _Reader(cls).read(())


class _Reader:
    """Reads one class; `problems` gathers, so that an author sees all of them at once."""

    def __init__(self, cls: type[Record]) -> None:
        self.cls = cls
        self.problems: list[ContractError] = []
        schema = cast("dict[str, Any]", cls.__pydantic_core_schema__)
        self.definitions: dict[str, dict[str, Any]] = {}
        if schema.get("type") == "definitions":
            self.definitions = {definition["ref"]: definition for definition in schema["definitions"]}
            schema = schema["schema"]
        self.schema = schema

    def read(self, outer: tuple[type, ...]) -> tuple[tuple[WireField, ...], list[ContractError]]:
        model = self.resolved(self.schema)
        try:
            self.check_class(model, outer)
        except _Refused as refused:
            self.problem(None, refused.why, refused.write)
            return (), self.problems
        found: list[WireField] = []
        for name, entry in model["schema"]["fields"].items():
            try:
                found.append(self.field(name, entry, outer))
            except _Refused as refused:
                self.problem(name, refused.why, refused.write)
        if not outer:
            self.check_persons(found)
        return tuple(found), self.problems

    def problem(self, field: str | None, why: str, write: str) -> None:
        self.problems.append(ContractError(place_of(self.cls, field), why, write))

    def resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while node.get("type") == "definition-ref":
            node = self.definitions.get(node["schema_ref"], {"type": "a recursive type"})
        return node

    def check_class(self, model: dict[str, Any], outer: tuple[type, ...]) -> None:
        if self.cls in outer:
            raise _Refused("it contains itself, and a table's columns end somewhere", "Refer to the other one by its id")
        if model.get("type") != "model" or model["schema"].get("type") != "model-fields" or model.get("custom_init") or "post_init" in model:
            raise _Refused("it has validators or code that runs when it is made, and contracts are data", "Say the rule in types and Field(...)")
        if "serialization" in model:
            raise _Refused("it has its own serialiser, and landing knows one spelling only", "Remove the serialiser")
        if model.get("root_model") or model["schema"].get("extras_schema") or model["schema"].get("computed_fields"):
            raise _Refused("it has computed fields or extras, and what is sent is what is declared", "Remove them; compute in an endpoint")
        if {k: v for k, v in self.cls.model_config.items() if k != "title"} != dict(Record.model_config):
            raise _Refused("it changes the model's configuration, and what every event accepts is the same", "Remove model_config and config keywords")
        if not model["schema"]["fields"] and not self.cls.__name__.startswith("_"):
            raise _Refused("it has no field", "Declare what is sent, as in track_id: str = Field(pattern=...)")

    def field(self, name: str, entry: dict[str, Any], outer: tuple[type, ...]) -> WireField:
        self.check_name(name)
        if set(entry) - {"type", "schema", "metadata", "frozen"}:
            raise _Refused("it has an alias, or is left out when written, and a field has one name", "Remove the alias and exclude")
        marks: list[Mark] = []
        node = self.node(entry["schema"], marks)
        default, required = PydanticUndefined, True
        if node["type"] == "default":
            default, required = node["default"], False
            node = self.node(node["schema"], marks)
        nullable = node["type"] == "nullable"
        if nullable:
            node = self.node(node["schema"], marks)
        about = self.cls.model_fields[name]
        # Pydantic rewrites core schemas; should it ever drop a mark there, the field still has it: a lost mark would be a leak.
        mark = self.one_mark(list(dict.fromkeys([*marks, *(one for one in about.metadata if isinstance(one, Personal | NotPersonal))])))
        wire = self.kind_of(node, outer, covered=mark is not None)
        if isinstance(mark, Personal):
            if outer:
                raise _Refused("a Personal value stands inside another record", "Move the field to the event itself")
            self.check_personal(mark, wire)
        field = WireField(
            name=name,
            type=wire,
            nullable=nullable,
            required=required,
            description=about.description or "",
            personal=PersonalMark(kind=mark.kind, of=mark.of) if isinstance(mark, Personal) else None,
        )
        return field if required else field.model_copy(update={"default": self.default(field, default)})

    def node(self, node: dict[str, Any], marks: list[Mark]) -> dict[str, Any]:
        """The schema node behind references, its marks gathered, its keys known."""
        marks += node.get("metadata", {}).get(METADATA, ())
        while node["type"] == "definition-ref":  # a mark may stand on the reference or on what it refers to
            node = self.definitions.get(node["schema_ref"], {"type": "a recursive type"})
            marks += node.get("metadata", {}).get(METADATA, ())
        kind = node["type"]
        if kind.startswith("function"):
            raise _Refused("it has a validator, and contracts are data", "Say the rule in types and Field(...), or as a check of an endpoint")
        if kind == "chain":
            raise _Refused("a rule does not fit its type", "Use ge, gt, le, lt for numbers; min_length, max_length, pattern for texts; lengths for lists")
        if kind not in _KEYS:
            raise _Refused(f"a contract cannot hold its type ({kind})", f"Use {_LISTED}")
        if "serialization" in node and not is_our_serialiser(node["serialization"].get("function")):
            raise _Refused("it has its own serialiser, and landing knows one spelling only", "Remove the serialiser")
        if "default_factory" in node:
            raise _Refused("its default is made by code, and contracts are data", "Write the value itself, or None")
        if strange := sorted(set(node) - _KEYS[kind] - _EVERYWHERE):
            raise _Refused(
                f"a contract cannot hold {', '.join(strange)} of its {kind}",
                "Use ge, gt, le, lt, min_length, max_length, pattern, max_digits and decimal_places",
            )
        return node

    def kind_of(self, node: dict[str, Any], outer: tuple[type, ...], covered: bool) -> WireType:
        match node["type"]:
            case "str":
                return _text(node, covered)
            case "int":
                return WireType(kind="integer", **_integer_limits(node))
            case "float":
                limits: dict[str, Any] = {key: repr(float(value)) for key, value in _limits(node)}
                return WireType(kind="number", **limits)
            case "decimal":
                return _decimal(node)
            case "bool":
                return WireType(kind="boolean")
            case "uuid":
                return WireType(kind="uuid")
            case "datetime":
                return _instant(node)
            case "literal" | "enum":
                return WireType(kind="string", choices=_choices(node))
            case "list":
                return WireType(kind="list", item=self.item(node["items_schema"], outer, covered), **_lengths(node))
            case "dict":
                for part in ("keys_schema", "values_schema"):
                    inner = self.item(node[part], outer, covered or part == "keys_schema")
                    if inner != WireType(kind="string"):
                        raise _Refused("a dict maps texts to texts, without further rules", "Use dict[str, str], or a Record for known names")
                return WireType(kind="map", **_lengths(node))
            case "model":
                return WireType(kind="record", fields=self.record(node["cls"], outer))
        raise _Refused(f"None or a default stands inside ({node['type']})", "Put | None and defaults on the field itself")

    def item(self, node: dict[str, Any], outer: tuple[type, ...], covered: bool) -> WireType:
        marks: list[Mark] = []
        node = self.node(node, marks)
        if any(isinstance(mark, Personal) for mark in marks):
            raise _Refused("Personal stands inside a list or dict", "Mark a field of the event itself, or send one event a person")
        return self.kind_of(node, outer, covered or bool(marks))

    def record(self, cls: Any, outer: tuple[type, ...]) -> tuple[WireField, ...]:
        if not issubclass(cls, Record):
            raise _Refused(f"{cls.__name__} is no Record, so it is not strict", f"Write class {cls.__name__}(Record)")
        fields, problems = _Reader(cls).read((*outer, self.cls))
        self.problems += problems
        return fields

    def check_name(self, name: str) -> None:
        if name in RESERVED:
            raise _Refused(f"{name} is a column of the platform's own", f"Choose another name, as in {name}_of_play")
        if not NAME.fullmatch(name):
            raise _Refused("a field's name becomes a column's", "Use lower case letters, digits and _, beginning with a letter, at most 63")
        if hasattr(Record, name):
            raise _Refused(f"every Pydantic model has its own {name}", f"Choose another name, as in {name}_value")

    def one_mark(self, marks: list[Mark]) -> Mark | None:
        if len(marks) > 1:
            raise _Refused("it is marked twice", "Keep one of Personal and NotPersonal")
        mark = marks[0] if marks else None
        if isinstance(mark, NotPersonal) and not mark.why.strip():
            raise _Refused("NotPersonal gives no reason", 'Say why, as in NotPersonal("names of airports")')
        if isinstance(mark, Personal) and not NAME.fullmatch(mark.kind):
            raise _Refused("the kind of Personal is one lower case word", 'Write it as in Personal("person") or Personal("email", of="user_id")')
        return mark

    def check_personal(self, mark: Personal, wire: WireType) -> None:
        allowed = {"string", "uuid", "integer"} if mark.of is None else {"string", "uuid", "integer", "datetime"}
        if wire.kind not in allowed:
            raise _Refused(f"a {wire.kind} cannot be {'a pseudonym' if mark.of is None else 'encrypted'}", f"Send it as one of: {', '.join(sorted(allowed))}")
        if mark.of is None and wire.choices is not None:
            raise _Refused("a person's id is not one of a few choices", 'Name whom it belongs to: Personal("...", of="user_id")')

    def check_persons(self, found: list[WireField]) -> None:
        ids = {field.name for field in found if field.personal and field.personal.of is None}
        for field in found:
            if field.personal and field.personal.of is not None and field.personal.of not in ids:
                known = f"of is one of: {', '.join(sorted(ids))}" if ids else 'Mark the person\'s id first: user_id: Annotated[str, Personal("person")]'
                self.problem(field.name, f'Personal(of="{field.personal.of}") names no field that is a person\'s id', known)

    def default(self, field: WireField, default: Any) -> Any:
        from platform_defs.contracts.wire import value_of

        try:
            return value_of(field, to_jsonable_python(default))[1]
        except ValueError:
            raise _Refused("its default does not fit its own type", "Give a default that could have been sent") from None


def _text(node: dict[str, Any], covered: bool) -> WireType:
    pattern = node.get("pattern")
    if pattern is not None:
        if not isinstance(pattern, str):
            raise _Refused("its pattern is a compiled one, with flags of its own", 'Give the text: pattern=r"^...$"')
        try:
            parse(pattern)
        except PatternError as error:
            why, _, write = str(error).partition(": ")
            raise _Refused(f"its pattern is no plain pattern: {why}", write[:1].upper() + write[1:] or "Write ^...$ of characters, [...] and (...)") from None
    elif not covered:
        raise _Refused(
            "it is free text, which may hold anything about a person",
            'Give it a pattern or a Literal, or mark it: Annotated[str, Personal("...")] or Annotated[str, NotPersonal("why")]',
        )
    return WireType(kind="string", pattern=pattern, **_lengths(node))


def _lengths(node: dict[str, Any]) -> dict[str, Any]:
    found = {key: node[key] for key in ("min_length", "max_length") if node.get(key) is not None}
    if found.get("min_length", 0) > found.get("max_length", float("inf")):
        raise _Refused("no value is both that long and that short", "Mend min_length and max_length")
    return found


def _integer_limits(node: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in _limits(node):
        if value != int(value) or not INTEGER_RANGE[0] <= value <= INTEGER_RANGE[1]:
            raise _Refused(f"{key}={value} is no 64-bit integer", "Give a whole number between -2**63 and 2**63-1")
        if value != {"ge": INTEGER_RANGE[0], "le": INTEGER_RANGE[1]}.get(key):
            found[key] = str(int(value))
    return found


def _decimal(node: dict[str, Any]) -> WireType:
    digits, places = node.get("max_digits"), node.get("decimal_places")
    if digits is None or places is None or not 1 <= digits <= 38 or not 0 <= places <= digits:
        raise _Refused("a Decimal needs its digits (at most 38) and places", "Write Annotated[Decimal, Field(max_digits=12, decimal_places=2)], at most 38")
    limits: dict[str, Any] = {key: str(value) for key, value in _limits(node)}
    return WireType(kind="decimal", digits=digits, places=places, **limits)


def _limits(node: dict[str, Any]) -> list[tuple[str, Any]]:
    found = {key: node[key] for key in _LIMITS if node.get(key) is not None}
    for key, value in found.items():
        if not isfinite(value):
            raise _Refused(f"{key}={value} is no number", "Leave the limit out")
    low, high = [found[key] for key in ("ge", "gt") if key in found], [found[key] for key in ("le", "lt") if key in found]
    if low and high and (max(low) > min(high) or (max(low) == min(high) and ("gt" in found or "lt" in found))):
        raise _Refused("no value is inside its limits", "Mend ge, gt, le, lt")
    return list(found.items())


def _instant(node: dict[str, Any]) -> WireType:
    limits: tuple[datetime, datetime] = (node["ge"], node["le"])
    if limits != INSTANT_RANGE or node.get("tz_constraint") != "aware" or node.get("microseconds_precision", "truncate") != "truncate":
        raise _Refused("a contract cannot limit a datetime", "Leave the limits out: every datetime is aware and between 1600 and 9999")
    return WireType(kind="datetime")


def _choices(node: dict[str, Any]) -> tuple[str, ...]:
    values = [getattr(member, "value", member) for member in (node["expected"] if node["type"] == "literal" else node["members"])]
    if not all(type(value) is str for value in values):
        raise _Refused("its choices are not all texts", 'Use texts: Literal["1", "2"]')
    return tuple(values)
