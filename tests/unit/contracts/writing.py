"""Writes a domain's files as an author would, and loads them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.errors import ContractError, ContractErrors
from platform_defs.contracts.loading import LoadedDomain, load_domain

DOMAIN = """
from platform_defs.contracts import Domain

domain = Domain(owner="team:shop", purpose="product", start="2026-01-01", retention="400d")
"""
EVENTS = """
from datetime import datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import UUID4, AfterValidator, Field, StringConstraints, computed_field, field_serializer, field_validator, model_validator

from platform_defs.contracts import Event, Lateness, NotPersonal, Personal, Record
"""
ENDPOINTS = """
from typing import Annotated, Optional

from pyspark.sql import DataFrame

from platform_defs.contracts import Schema, T, as_of, endpoint, field, people, person, window


class Rows(Schema):
    id: T.LongType = field()

"""
SOURCES = """
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from platform_defs.contracts import NotReady, Personal, RawFile, Record, Window, current_secret, source


class Row(Record):
    id: int
    note: str | None = Field(default=None, pattern=r"^[a-z]*$")

"""


def write_domain(root: Path, name: str = "shop", domain: str = DOMAIN, **files: str) -> Path:
    """`root/assets/<name>` with a good `domain.py` unless said otherwise; each keyword is a file by name, without `.py`."""
    folder = root / "assets" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").touch()
    for file, text in {"domain": domain, **files}.items():
        (folder / f"{file}.py").write_text(dedent(text), encoding="utf-8")
    return folder


def load(root: Path, name: str = "shop", domain: str = DOMAIN, **files: str) -> LoadedDomain:
    """Writes and loads a domain."""
    return load_domain(write_domain(root, name, domain, **files))


def event(root: Path, text: str, key: str | None = None) -> Contract:
    """The contract of the event type (or the one of that name) that the text declares."""
    loaded = load(root, events=EVENTS + dedent(text))
    return loaded.declared[f"shop/{key}"].contract if key else loaded.contracts[0]


def problems(root: Path, **files: str) -> list[ContractError]:
    """What loading says is wrong; empty if nothing is."""
    try:
        load(root, **files)
    except ContractErrors as errors:
        return errors.errors
    return []


def event_problems(root: Path, text: str) -> list[ContractError]:
    """What is wrong with these events."""
    return problems(root, events=EVENTS + dedent(text))


def endpoint_problems(root: Path, text: str) -> list[ContractError]:
    """What is wrong with these endpoints."""
    return problems(root, tables=ENDPOINTS + dedent(text))
