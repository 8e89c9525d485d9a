"""Event types and source rows as authors declare them: closed, strict Pydantic models. Needs pydantic alone.

What every value keeps to beyond its declared type is in `bounds`; what the fields become as data is in `wire`; keys, owners and policies are
filled in by `compiling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from platform_defs.contracts.bounds import bind
from platform_defs.contracts.contract import Tier
from platform_defs.contracts.policies import Lateness


class Record(BaseModel):
    """A row of a source, or a part of an event: named, typed fields and nothing else."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True, protected_namespaces=(), use_attribute_docstrings=False
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The model's schema with what every wire value keeps to (see the module)."""
        schema = handler(source)
        bind(schema)
        return schema

    @classmethod
    def example(cls, **given: Any) -> Self:
        """A valid instance; what is not given is its default or drawn from the running count, so ids differ and runs repeat.

        Raises:
            pydantic.ValidationError: what was given does not fit.
        """
        from platform_defs.contracts.example import example_of

        return example_of(cls, given)


class Event(Record):
    """A class of things that happened. Keywords of the class line say what its domain does not: `class X(Event, tier="high")`.

    Keywords: owner, purpose, tier, start, retention, readers, shared, ready_within, lateness. A class whose name begins with `_` is a base
    for others and declares nothing; its keywords are inherited.
    """

    __declared__: ClassVar[dict[str, Any]] = {}

    if TYPE_CHECKING:

        def __init_subclass__(
            cls,
            *,
            owner: str = ...,
            purpose: str = ...,
            tier: Tier = ...,
            start: str = ...,
            retention: str = ...,
            readers: Sequence[str] = ...,
            shared: bool = ...,
            on_erase: Literal["keep", "rebuild"] = ...,
            ready_within: str = ...,
            lateness: Lateness = ...,
        ) -> None: ...

    else:
        # Python hands class keywords to the first and Pydantic to the second; both must take them.
        # Unknown ones are kept too: loading names them, with the file and the right spelling.
        def __init_subclass__(cls, **keywords: Any) -> None:
            super().__init_subclass__()
            cls.__declared__ = {**cls.__declared__, **keywords}

        @classmethod
        def __pydantic_init_subclass__(cls, **keywords: Any) -> None:
            super().__pydantic_init_subclass__()
