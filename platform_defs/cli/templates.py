"""What `backline new` writes: small whole files in the style of assets/, each with a test. Text only; where files go is in `new`."""

from __future__ import annotations

from platform_defs.contracts.contract import Contract

_EVENT_IMPORTS = (
    "from typing import Annotated",
    "from pydantic import Field",
    "from platform_defs.contracts import Event, Personal",
)


def class_name(name: str) -> str:
    """`order_placed` -> `OrderPlaced`."""
    return "".join(part.capitalize() for part in name.split("_"))


def domain(name: str, owner: str, purpose: str, start: str) -> str:
    """`domain.py`."""
    return f'''"""What every declaration of {name} shares."""

from platform_defs.contracts import Domain

domain = Domain(owner="{owner}", purpose="{purpose}", tier="normal", start="{start}", retention="400d")
'''


def domain_test(name: str) -> str:
    """A test that the domain's files are sound."""
    return f'''"""The declarations of {name} are sound."""

from pathlib import Path

import assets.{name}
from platform_defs.contracts.loading import load_domain


def test_domain_loads() -> None:
    assert load_domain(Path(assets.{name}.__path__[0])).name == "{name}"
'''


def event(domain: str, name: str, before: str | None) -> str:
    """`events.py` with this event type in it; `before` is what the file holds already."""
    text = before
    if text is None:
        text = (
            f'"""What happens in {domain}. Needs pydantic alone: the services that send these events import this file."""\n\n'
            + "\n\n".join(_EVENT_IMPORTS)
            + "\n"
        )
    else:
        text = _with_imports(text)
    words = name.replace("_", " ")
    return f'''{text.rstrip()}


class {class_name(name)}(Event):
    """Say here what happened: {words}."""

    user_id: Annotated[str, Personal("person")]
    item_id: str = Field(pattern=r"^[a-z0-9_]{{1,40}}$", description="What it happened to")
    amount: int = Field(ge=0, le=1_000_000)
'''


def event_test(domain: str, name: str) -> str:
    """A test of what the event type takes and refuses."""
    cls = class_name(name)
    return f'''"""{cls}: what it takes and what it refuses."""

import pytest
from pydantic import ValidationError

from assets.{domain}.events import {cls}


def test_an_example_is_taken() -> None:
    event = {cls}.example(amount=3)
    assert event.amount == 3


@pytest.mark.parametrize("wrong", [{{"amount": -1}}, {{"item_id": "NOT AN ID"}}, {{"unknown": 1}}])
def test_what_breaks_the_contract_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        {cls}.model_validate({{**{cls}.example().model_dump(), **wrong}})
'''


def endpoint(name: str, read: Contract, *, daily: bool) -> str:
    """The file of an endpoint that counts the rows it reads."""
    span, cadence, ready = ("day", "daily", "6h") if daily else ("hour", "hourly", "3h")
    return f'''"""{class_name(name)}: say here what it is for."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, endpoint, field


class {class_name(name)}(Schema):
    """What one row is: here, one for each {span}."""

    rows: T.LongType = field(ge=0, description="Rows of {read.key} in the {span}")


@endpoint(schema={class_name(name)}, partitions="{cadence}", ready_within="{ready}", inputs={{"{read.name}": "{read.key}"}})
def {name}({read.name}: DataFrame) -> DataFrame:
    """How many rows of {read.key} there are in each {span}."""
    return {read.name}.agg(F.count("*").alias("rows"))
'''


def endpoint_test(domain: str, name: str, read: Contract, *, daily: bool) -> str:
    """A test over two rows and over none."""
    key = read.start[:10] if daily else f"{read.start[:10]}T03"
    rows = f"[{class_name(read.name)}.example(), {class_name(read.name)}.example()]" if read.kind == "event" else "[{}, {}]"
    imports = [f"from assets.{domain}.{name} import {name}"]
    if read.kind == "event":
        imports.insert(0, f"from assets.{read.domain}.events import {class_name(read.name)}")
    lines = "\n".join(sorted([*imports, "from platform_defs.execution.testing import Build"]))
    return f'''"""{class_name(name)}: counted rows, and none."""

{lines}


def test_rows_are_counted(build: Build) -> None:
    out = build({name}, "{key}", {read.name}={rows})
    assert out.rows == [{{"rows": 2}}]


def test_nothing_to_read_counts_zero(build: Build) -> None:
    assert build({name}, "{key}", {read.name}=[]).rows == [{{"rows": 0}}]
'''


def source(name: str) -> str:
    """The file of a source that yields rows of its own."""
    row = f"{class_name(name)}Row"
    return f'''"""{class_name(name)}: say here whose data it is and how it comes."""

from collections.abc import Iterator

from pydantic import Field

from platform_defs.contracts import Record, Window, source


class {row}(Record):
    """What one row is."""

    code: str = Field(pattern=r"^[A-Z]{{3}}$")
    value: int = Field(ge=0, description="On the day")


@source(row={row}, partitions="daily", key=["code"], ready_within="6h")
def {name}(at: Window) -> Iterator[dict[str, object]]:
    """All rows of a day. Raise NotReady while they are not there; yield RawFile for files."""
    for number, code in enumerate(("AAA", "BBB", "CCC")):
        yield {{"code": code, "value": at.start.day * 10 + number}}
'''


def source_test(domain: str, name: str) -> str:
    """A test that what the function yields fits its row class and its key."""
    row = f"{class_name(name)}Row"
    return f'''"""{class_name(name)}: its rows fit their class, and their key tells them apart."""

from assets.{domain}.{name} import {row}, {name}
from platform_defs.contracts.partitions import window_of


def test_rows_fit() -> None:
    rows = [{row}.model_validate(row) for row in {name}(window_of("2026-10-01"))]
    assert len({{row.code for row in rows}}) == len(rows) == 3
'''


def _with_imports(text: str) -> str:
    """The file with the imports that the template needs; those it has stay as they are."""
    needed = {"typing": {"Annotated"}, "pydantic": {"Field"}, "platform_defs.contracts": {"Event", "Personal"}}
    lines = text.splitlines()
    for place, line in enumerate(lines):
        for module, names in needed.items():
            if line.startswith(f"from {module} import ") and "(" not in line:
                have = {part.strip() for part in line.partition(" import ")[2].split(",")}
                lines[place] = f"from {module} import {', '.join(sorted(have | names, key=str.swapcase))}"
                needed[module] = set()
    missing = [f"from {module} import {', '.join(sorted(names))}" for module, names in needed.items() if names]
    if missing:
        last = max((place for place, line in enumerate(lines) if line.startswith(("import ", "from "))), default=0)
        lines[last + 1 : last + 1] = missing
    return "\n".join(lines) + "\n"
