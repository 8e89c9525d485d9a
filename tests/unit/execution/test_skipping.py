"""When a partition is current and need not be built."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platform_defs.execution.platform import Trigger
from platform_defs.execution.skipping import Asked, before_start, why_current, why_left
from platform_defs.planning.facts import Published

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
PUBLISHED = Published(content=b"c", inputs=b"i" * 16, rows=3, version=7, code="v1", built_at=NOW, run_id="earlier")


def why(trigger: Trigger = "schedule", *, force: bool = False, requested_at: datetime = NOW + timedelta(hours=1), **changes: Any) -> str | None:
    facts: dict[str, Any] = {"digest": b"i" * 16, "code": "v1", "published": PUBLISHED, "as_recorded": True}
    return why_current(Asked("mine", trigger, requested_at, force), **{**facts, **changes})


@pytest.mark.parametrize("trigger", ["schedule", "range", "late", "retry", "command"])
def test_equal_inputs_and_code_are_current(trigger: Trigger) -> None:
    assert why(trigger) == "current, built by run earlier"


@pytest.mark.parametrize(
    "changes",
    [{"published": None}, {"digest": b"j" * 16}, {"code": "v2"}, {"as_recorded": False}],
    ids=["never built", "other inputs", "other code", "somebody wrote past the ledger"],
)
def test_anything_else_is_built(changes: dict[str, Any]) -> None:
    assert why(**changes) is None


def test_force_and_a_click_rebuild_what_is_current() -> None:
    assert why(force=True) is None
    assert why("click") is None


@pytest.mark.parametrize(("trigger", "force"), [("click", False), ("click", True), ("range", True)])
def test_what_was_built_after_it_was_asked_for_is_not_built_again(trigger: Trigger, force: bool) -> None:
    built = replace(PUBLISHED, built_at=NOW + timedelta(hours=2))
    assert why(trigger, force=force, published=built) == "current, built by run earlier after this was asked for"
    assert why(trigger, force=force, published=built, digest=b"j" * 16) is None


def left(trigger: Trigger, *, force: bool = False, origin: Any = "built", published: Any = PUBLISHED, as_recorded: bool = True) -> str | None:
    return why_left(Asked("mine", trigger, NOW, force, origin), published, as_recorded)


def test_imported_partitions_give_way_to_a_person_alone() -> None:
    imported = replace(PUBLISHED, origin="imported")
    for trigger in ("schedule", "range", "late", "retry", "command"):
        assert left(trigger, published=imported) == "imported by run earlier, left alone"
    assert left("click", published=imported) is None
    assert left("range", force=True, published=imported) is None
    assert left("range", published=imported, as_recorded=False) is None
    assert left("range") is None
    assert left("range", published=None) is None


def test_an_import_leaves_what_was_built_unless_it_is_to_replace_it() -> None:
    assert left("command", origin="imported") == "built by run earlier, left alone"
    assert left("command", origin="imported", force=True) is None
    assert left("command", origin="imported", published=replace(PUBLISHED, origin="imported")) is None


@pytest.mark.parametrize("force", [False, True])
def test_the_same_content_is_imported_once(force: bool) -> None:
    """Whatever the code is by now, and also where built partitions are to be replaced."""
    asked = Asked("mine", "command", NOW + timedelta(hours=1), force, "imported")
    imported = replace(PUBLISHED, origin="imported")
    assert why_current(asked, b"i" * 16, "v2", imported, as_recorded=True) == "imported already, by run earlier"
    assert why_current(asked, b"j" * 16, "v1", imported, as_recorded=True) is None
    assert why_current(asked, b"i" * 16, "v1", imported, as_recorded=False) is None
    assert why_current(asked, b"i" * 16, "v1", PUBLISHED, as_recorded=True) is None


def test_before_start() -> None:
    assert before_start("2026-01-01T05", "2026-01-01T06")
    assert not before_start("2026-01-01T06", "2026-01-01T06")
    assert not before_start("2026-01-01", "2026-01-01")
    assert before_start("2025-12-31", "2026-01-01")
