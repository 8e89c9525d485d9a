"""A model's rules over plain dicts: same verdicts, same spelling, no instances. Half the time where events are only judged and written on.

Which rules a model has is `wire`'s matter.
"""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import CoreSchema, SchemaSerializer, SchemaValidator, core_schema

_LEFT = frozenset({"metadata", "config", "serialization"})


def plain_schema(model: type[BaseModel]) -> core_schema.TypedDictSchema:
    """The core schema of a model and the models in it, each a typed dict. For `SchemaValidator` and `SchemaSerializer`.

    Args:
        model: rebuilt from a contract (`wire.model_of`), or as simple: no validators, no class in two places, no recursion.
    """
    return cast("core_schema.TypedDictSchema", _plain(model.__pydantic_core_schema__))


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    match node.get("type"):
        case "model":
            return _typed_dict(node)
        case "default":
            inner = _plain(node["schema"])
            # A default may hold instances; written and read back it is what this schema makes of that JSON.
            default = SchemaValidator(inner).validate_json(SchemaSerializer(node["schema"]).to_json(node["default"]))
            return {**node, "schema": inner, "default": default}
    return {name: inner if name in _LEFT else _plain(inner) for name, inner in node.items()}


def _typed_dict(model: dict[str, Any]) -> CoreSchema:
    fields, config = model["schema"]["fields"], model["config"]
    extras = model["schema"].get("extras_schema")
    return core_schema.typed_dict_schema(
        {name: core_schema.typed_dict_field(_plain(field["schema"]), required=field["schema"]["type"] != "default") for name, field in fields.items()},
        extra_behavior=config["extra_fields_behavior"],
        extras_schema=None if extras is None else _plain(extras),
        config=config,
    )
