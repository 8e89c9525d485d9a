"""Events and source rows as data travels: from the contract's fields to a strict model, to Spark types and to JSON Schema.

The receiver and the intake use these, from the registry, never the author's code. How a class becomes fields is in `reading`.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, create_model

from platform_defs.contracts.contract import Contract, WireField, WireType
from platform_defs.contracts.errors import ContractErrors
from platform_defs.contracts.event import Record
from platform_defs.contracts.marks import Personal
from platform_defs.contracts.reading import read_fields


def wire_fields(cls: type[Record]) -> tuple[WireField, ...]:
    """The fields of an Event or Record class; raises ContractErrors with all that a contract cannot hold."""
    fields, problems = read_fields(cls)
    if problems:
        raise ContractErrors(problems)
    return fields


def model_of(contract: Contract) -> type[BaseModel]:
    """A strict model rebuilt from the contract alone: same verdicts and same spelling as the author's class.

    `model.model_validate_json(data)` judges, `.model_dump_json()` of the result is the canonical spelling. Building one takes about a
    millisecond a field, so keep it as long as the contract's digest stays.
    """
    return model_of_fields(contract.name, contract.fields)


def model_of_fields(name: str, fields: tuple[WireField, ...]) -> type[Record]:
    """As `model_of`, of bare fields."""
    parts: dict[str, Any] = {}
    for field in fields:
        default = ... if field.required else value_of(field, field.default)[0]
        parts[field.name] = (_annotation(name, field), Field(default, description=field.description or None))
    return create_model(name, __base__=Record, **parts)


def value_of(field: WireField, value: Any) -> tuple[Any, Any]:
    """A JSON value judged as that field's: as Python value, and as canonical JSON value. Raises ValueError (pydantic's, value-free)."""
    alone = create_model("alone", __base__=Record, **{field.name: (_annotation("alone", field), ...)})  # type: ignore[call-overload]
    model = alone.model_validate_json(json.dumps({field.name: value}))
    return getattr(model, field.name), json.loads(model.model_dump_json())[field.name]


def spark_type(wire: WireType) -> str:
    """The Spark DDL type of a value in a table (landing's JSON has the same, but UUID as text)."""
    match wire.kind:
        case "decimal":
            return f"DECIMAL({wire.digits},{wire.places})"
        case "list" if wire.item is not None:
            return f"ARRAY<{spark_type(wire.item)}>"
        case "record" if wire.fields is not None:
            return f"STRUCT<{', '.join(f'{field.name}: {spark_type(field.type)}' for field in wire.fields)}>"
        case kind:
            return _SPARK[kind]


def json_schema(contract: Contract) -> dict[str, Any]:
    """JSON Schema (2020-12) of an event's data, for clients in any language; personal fields carry `x-personal`."""
    schema = model_of(contract).model_json_schema(mode="validation")
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": contract.key, "title": contract.key, "description": contract.description}
    for field in contract.fields:
        if field.personal is not None:
            schema["properties"][field.name]["x-personal"] = field.personal.model_dump(exclude_none=True)
    return {**about, **{key: value for key, value in schema.items() if key not in about}}


_SPARK = {
    "string": "STRING",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "uuid": "BINARY",
    "datetime": "TIMESTAMP",
    "map": "MAP<STRING, STRING>",
}


def _annotation(owner: str, field: WireField) -> Any:
    kind = _python_type(f"{owner}_{field.name}", field.type)
    if field.personal is not None:
        kind = Annotated[kind, Personal(field.personal.kind, field.personal.of)]
    return kind | None if field.nullable else kind


def _python_type(name: str, wire: WireType) -> Any:
    lengths = {"min_length": wire.min_length, "max_length": wire.max_length}
    limits = {"ge": wire.ge, "gt": wire.gt, "le": wire.le, "lt": wire.lt}
    match wire.kind:
        case "string" if wire.choices is not None:
            return Literal[wire.choices]
        case "string":
            return Annotated[str, _rules(pattern=wire.pattern, **lengths)]
        case "integer":
            return Annotated[int, _rules(**{k: v if v is None else int(v) for k, v in limits.items()})]
        case "number":
            return Annotated[float, _rules(**{k: v if v is None else float(v) for k, v in limits.items()})]
        case "decimal":
            exact = {k: v if v is None else Decimal(v) for k, v in limits.items()}
            return Annotated[Decimal, _rules(max_digits=wire.digits, decimal_places=wire.places, **exact)]
        case "boolean":
            return bool
        case "uuid":
            return UUID
        case "datetime":
            return datetime
        case "list":
            assert wire.item is not None
            return Annotated[list[_python_type(name, wire.item)], _rules(**lengths)]  # type: ignore[misc]
        case "map":
            return Annotated[dict[str, str], _rules(**lengths)]
        case "record":
            return model_of_fields(name, wire.fields or ())


def _rules(**rules: Any) -> Any:
    return Field(**{name: rule for name, rule in rules.items() if rule is not None})
