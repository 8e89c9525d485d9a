"""Whether a partition needs building at all, and whether it may be: pure, from what the ledger says and what would be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from platform_defs.contracts.partitions import start_of
from platform_defs.execution.platform import Trigger
from platform_defs.planning.facts import Origin, Published

PERSONS: frozenset[Trigger] = frozenset({"click", "range", "command"})
"""Triggers behind which stands a person: such a rebuild chooses its `as_of` snapshots anew."""


@dataclass(frozen=True)
class Asked:
    """What a build was asked for, as far as skipping depends on it."""

    run_id: str
    trigger: Trigger
    requested_at: datetime
    force: bool
    origin: Origin = "built"


def before_start(key: str, start: str) -> bool:
    """Whether the partition lies before the endpoint's first one: such a partition is empty and complete without being built."""
    return start_of(key) < start_of(start)


def why_left(asked: Asked, published: Published | None, as_recorded: bool) -> str | None:
    """Why what is published stays, whatever would be read now, in words; None if that decides.

    An imported partition gives way to a build that a person asks for alone (a click, a forced one), a built one to an import that is told to replace it.
    """
    if published is None or not as_recorded or asked.force or asked.origin == published.origin:
        return None
    if asked.origin == "imported":
        return f"built by run {published.run_id}, left alone"
    return None if asked.trigger == "click" else f"imported by run {published.run_id}, left alone"


def why_current(asked: Asked, digest: bytes, code: str, published: Published | None, as_recorded: bool) -> str | None:
    """Why the partition need not be built, in words; None if it must be.

    A click rebuilds even what is current, unless somebody's build of it was published after the click: then the click has got what it wanted.
    So ends a double click, and a repeated run.

    Args:
        digest: over the content of what would be read now.
        code: the contract's code version now.
        as_recorded: whether no later commit may have changed the partition. If one has, somebody wrote past the ledger, or a build died between commit
            and record: what lies there is nobody's word.
    """
    if published is None or not as_recorded:
        return None
    if asked.origin == "imported":  # code has no part in it
        return f"imported already, by run {published.run_id}" if published.origin == "imported" and published.inputs == digest else None
    same = published.inputs == digest and published.code == code
    by = f"built by run {published.run_id}"
    if asked.force or asked.trigger == "click":
        return f"current, {by} after this was asked for" if same and published.built_at > asked.requested_at else None
    return f"current, {by}" if same else None
