"""Contracts: what authors declare (domains, events, endpoints, sources, schemas) and the canonical data they become. Pydantic only; pure.

What authors import is here by name; the names that need pandera and pyspark are fetched on first use, so that a product's service can
import events without Spark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from platform_defs.contracts.endpoints import as_of, endpoint, window
from platform_defs.contracts.event import Event, Record
from platform_defs.contracts.marks import NotPersonal, Personal
from platform_defs.contracts.partitions import Window
from platform_defs.contracts.policies import Domain, Lateness
from platform_defs.contracts.sources import NotReady, RawFile, current_secret, source

if TYPE_CHECKING:
    from pyspark.sql import types as T

    from platform_defs.contracts.schema import Schema, field, people, person

__all__ = [
    "Domain",
    "Event",
    "Lateness",
    "NotPersonal",
    "NotReady",
    "Personal",
    "RawFile",
    "Record",
    "Schema",
    "T",
    "Window",
    "as_of",
    "current_secret",
    "endpoint",
    "field",
    "people",
    "person",
    "source",
    "window",
]

_HEAVY = frozenset({"Schema", "T", "field", "people", "person"})


def __getattr__(name: str) -> Any:
    if name in _HEAVY:
        from platform_defs.contracts import schema

        return getattr(schema, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
