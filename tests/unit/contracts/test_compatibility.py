"""Which changes of a contract break readers, clients or stored data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platform_defs.contracts.compatibility import breaking, compare
from platform_defs.contracts.contract import Check, Column, Contract, WireField, WireType
from tests.fixtures.contracts import DAY, as_of, contract, lateness, reads
from tests.unit.contracts.writing import event

BASE = '''
class Seen(Event):
    """Seen."""
    n: int = Field(ge=0, le=10)
    kind: Literal["a", "b"]
    code: str = Field(pattern=r"^[a-z]+$", max_length=5)
    who: Annotated[str, Personal("person")]
    mail: Annotated[str, Personal("email", of="who")]
    tags: list[Literal["x"]] = []
'''


@pytest.mark.parametrize(
    ("old", "new", "path", "breaks"),
    [
        ("n: int = Field(ge=0, le=10)", "n: int = Field(ge=0, le=20)", "fields.n.le", False),
        ("n: int = Field(ge=0, le=10)", "n: int = Field(ge=0)", "fields.n.le", False),
        ("n: int = Field(ge=0, le=10)", "n: int = Field(ge=0, le=9)", "fields.n.le", True),
        ("n: int = Field(ge=0, le=10)", "n: int = Field(ge=1, le=10)", "fields.n.ge", True),
        ("n: int = Field(ge=0, le=10)", "n: int = Field(ge=-1, le=10)", "fields.n.ge", False),
        ("n: int = Field(ge=0, le=10)", "n: int | None = Field(ge=0, le=10)", "fields.n", False),
        ("n: int = Field(ge=0, le=10)", "n: int = Field(default=0, ge=0, le=10)", "fields.n", False),
        ("n: int = Field(ge=0, le=10)", "n: float = Field(ge=0, le=10)", "fields.n", True),
        ("n: int = Field(ge=0, le=10)", "m: int", "fields.n", True),
        ('Literal["a", "b"]', 'Literal["a", "b", "c"]', "fields.kind.choices", False),
        ('Literal["a", "b"]', 'Literal["a"]', "fields.kind.choices", True),
        ("^[a-z]+$", "^[a-z0-9]+$", "fields.code.pattern", True),
        ("max_length=5", "max_length=6", "fields.code.max_length", False),
        ("max_length=5", "max_length=4", "fields.code.max_length", True),
        ('Personal("email", of="who")', 'NotPersonal("no")', "fields.mail", True),
        ('Personal("email", of="who")', 'Personal("phone", of="who")', "fields.mail", True),
        ('tags: list[Literal["x"]] = []', 'tags: list[Literal["x", "y"]] = []', "fields.tags[].choices", False),
        ('tags: list[Literal["x"]] = []', 'tags: list[Literal["x"]] = ["x"]', "fields.tags", False),
        ('tags: list[Literal["x"]] = []', 'tags: list[Literal["x"]]', "fields.tags", True),
        ('tags: list[Literal["x"]] = []', 'tags: list[Literal["x"]] = []\n    more: int', "fields.more", True),
        ('tags: list[Literal["x"]] = []', 'tags: list[Literal["x"]] = []\n    more: int = 0', "fields.more", False),
    ],
)
def test_changes_of_an_event(tmp_path: Path, old: str, new: str, path: str, breaks: bool) -> None:
    before, after = event(tmp_path / "a", BASE), event(tmp_path / "b", BASE.replace(old, new))
    changes = compare(before, after)
    assert path in [change.path for change in changes]
    assert bool(breaking(changes)) is breaks
    assert compare(after, after) == []


def columns(*found: Column) -> Contract:
    return contract("a/x", columns=found)


ID = Column(name="id", type="BIGINT")


@pytest.mark.parametrize(
    ("old", "new", "breaks"),
    [
        (columns(ID), columns(ID, Column(name="n", type="INT")), False),
        (columns(ID, Column(name="n", type="INT")), columns(ID), True),
        (columns(ID), columns(Column(name="id", type="STRING")), True),
        (columns(ID), columns(Column(name="id", type="BIGINT", nullable=True)), False),
        (columns(ID), columns(Column(name="id", type="BIGINT", on_fail="warn")), False),
        (columns(ID), columns(Column(name="id", type="BIGINT", checks=(Check(name="isin", args={"allowed_values": [1]}),))), False),
        (columns(Column(name="p", type="BINARY", mark="person")), columns(Column(name="p", type="BINARY")), True),
        (columns(Column(name="p", type="BINARY")), columns(Column(name="p", type="BINARY", mark="person")), True),
        (columns(ID), columns(Column(name="id", type="BIGINT", mark="people")), False),
        (columns(Column(name="s", type="STRUCT<a: INT>")), columns(Column(name="s", type="STRUCT<a: INT, b: INT>")), False),
        (columns(Column(name="s", type="ARRAY<STRUCT<a: INT>>")), columns(Column(name="s", type="ARRAY<STRUCT<a: INT, b: INT>>")), False),
        (columns(Column(name="s", type="STRUCT<a: INT>")), columns(Column(name="s", type="STRUCT<a: INT2>")), True),
        (columns(Column(name="s", type="STRUCT<a: INT>")), columns(Column(name="s", type="STRUCT<b: INT>")), True),
    ],
)
def test_changes_of_columns(old: Contract, new: Contract, breaks: bool) -> None:
    changes = compare(old, new)
    assert changes
    assert bool(breaking(changes)) is breaks


@pytest.mark.parametrize(
    ("before", "after", "path", "breaks"),
    [
        ({"kind": "event"}, {"kind": "source"}, "kind", True),
        ({"cadence": "hourly"}, {"cadence": "daily"}, "cadence", True),
        ({"unique": ()}, {"unique": ("id",)}, "unique", True),
        ({"start": "2026-01-01"}, {"start": "2026-02-01"}, "start", True),
        ({"start": "2026-02-01"}, {"start": "2026-01-01"}, "start", False),
        ({"purpose": "a"}, {"purpose": "b"}, "purpose", False),
        ({"purpose": "a", "columns": (Column(name="p", type="BINARY", mark="person"),)}, {"purpose": "b"}, "purpose", True),
        ({"retention_seconds": 9 * DAY}, {"retention_seconds": DAY}, "retention", True),
        ({"retention_seconds": DAY}, {"retention_seconds": 9 * DAY}, "retention", False),
        ({"inputs": (reads("a/y"),)}, {"inputs": (as_of("a/y"),)}, "inputs.y", False),
        ({"inputs": (reads("a/y"),)}, {"inputs": ()}, "inputs.y", False),
        ({"tier": "low"}, {"tier": "high"}, "tier", False),
        ({"readers": ()}, {"readers": ("group:x",)}, "readers", True),
        ({"readers": ("group:x",)}, {"readers": ()}, "readers", False),
        ({"readers": ("team:other",)}, {"owner": "team:other"}, "owner", False),
        ({"readers": ()}, {"owner": "team:other"}, "owner", True),
        ({"shared": False}, {"shared": True}, "shared", True),
        ({"shared": True}, {"shared": False}, "shared", False),
        ({"on_erase": "rebuild"}, {"on_erase": "keep"}, "on_erase", True),
        ({"on_erase": "keep"}, {"on_erase": "rebuild"}, "on_erase", False),
        ({"lateness": lateness()}, {"lateness": lateness(share=0.5)}, "lateness", False),
        ({"code_version": "1"}, {"code_version": "2"}, "code_version", False),
        ({"description": "a"}, {"description": "b"}, "description", False),
    ],
)
def test_changes_of_policies(before: dict[str, Any], after: dict[str, Any], path: str, breaks: bool) -> None:
    old = contract("a/x", **before)
    changes = compare(old, contract("a/x", **(before | after)))
    assert [change.path for change in changes if change.path == path] == [path]
    assert bool(breaking([change for change in changes if change.path == path])) is breaks


def test_shorter_retention_says_what_happens() -> None:
    (change,) = compare(contract("a/x", retention_seconds=9 * DAY), contract("a/x", retention_seconds=DAY))
    assert change.words == "was 9d, is 1d: older partitions are deleted"


def test_every_attribute_of_a_contract_is_compared() -> None:
    """A change that no rule sees would pass review unseen."""
    base = contract("a/x", kind="event", lateness=lateness(), fields=(WireField(name="id", type=WireType(kind="integer")),))
    others: dict[str, Any] = {
        "kind": "source",
        "description": "other",
        "owner": "team:other",
        "purpose": "other",
        "tier": "low",
        "start": "2026-05-01",
        "retention_seconds": 1,
        "readers": ("group:other",),
        "cadence": "daily",
        "fields": (),
        "columns": (),
        "unique": ("id",),
        "inputs": (reads("a/y"),),
        "ready_within_seconds": 1,
        "corrections_seconds": 1,
        "recheck_seconds": 1,
        "lateness": None,
        "ranged": True,
        "secrets": ("s",),
        "shared": True,
        "on_erase": "keep",
        "schema_description": "other",
        "code_version": "other",
    }
    assert set(others) == set(Contract.model_fields) - {"format", "key"}
    for name, value in others.items():
        assert compare(base, base.model_copy(update={name: value})), name


def test_two_endpoints_are_not_compared() -> None:
    with pytest.raises(ValueError, match="two endpoints"):
        compare(contract("a/x"), contract("a/y"))
