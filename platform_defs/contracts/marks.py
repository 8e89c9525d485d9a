"""What authors say of a field's relation to persons. The marks only: vault, pseudonyms and encryption live in `privacy`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema

from platform_defs.contracts.errors import ContractError

METADATA = "backline"


@dataclass(frozen=True, slots=True)
class Personal:
    """The field tells who somebody is.

    Attributes:
        kind: what it is: `person`, `email`, `phone`. Two ids of one kind and value are the same person.
        of: without it the value is a person's id and becomes a pseudonym before any table. With it, the name of such a field:
            the value belongs to that person and is encrypted under that person's key.
    """

    kind: str
    of: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler | None = None) -> CoreSchema:
        """Puts the mark where the type is read from, and refuses the empty id: everyone without one would be the same person."""
        if handler is None:  # Annotated[str, Personal]: the class itself was asked
            raise ContractError("Personal", "it stands without its kind", 'Write Annotated[str, Personal("person")] or Personal("email", of="user_id")')
        schema = handler(source)
        if self.of is None:
            inner: dict[str, Any] = schema  # type: ignore[assignment]
            while inner.get("type") in ("nullable", "default"):
                inner = inner["schema"]
            if inner.get("type") == "str":
                inner.setdefault("min_length", 1)
        return _marked(schema, self)


@dataclass(frozen=True, slots=True)
class NotPersonal:
    """Free text that tells nothing of a person, and why that is so."""

    why: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler | None = None) -> CoreSchema:
        """Puts the mark where the type is read from."""
        if handler is None:
            raise ContractError("NotPersonal", "it stands without its reason", 'Write Annotated[str, NotPersonal("names of airports")]')
        return _marked(handler(source), self)


def _marked(schema: CoreSchema, mark: Personal | NotPersonal) -> CoreSchema:
    # A copy, for the same node may stand for other uses of the type; a tuple, for a second mark must not hide the first.
    node: dict[str, Any] = {**schema}
    metadata = dict(node.get("metadata") or {})
    node["metadata"] = {**metadata, METADATA: (*metadata.get(METADATA, ()), mark)}
    return cast("CoreSchema", node)
