"""Runs of commands, of which Dagster knows nothing: they live as long as their process holds a lock. What they do under it is theirs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from platform_defs.ledger.ledger import Ledger

_RUN = re.compile(r"(import-[a-z0-9_.]+)-[0-9a-f]{12}")


@contextmanager
def attended(ledger: Ledger, name: str) -> Iterator[str | None]:
    """A run of a command, one at a time of a name (`import-charts.plays`): its id, or None while another one lives.

    What one that was killed still holds may be taken over from now on. At the end this one has ended, and its leases are void.
    """
    with ledger.forgetting.alone(name) as free:
        if not free:
            yield None
            return
        for run in ledger.leases.holders():
            if _name(run) == name:
                ledger.leases.end_run(run)
        run = f"{name}-{uuid.uuid4().hex[:12]}"
        try:
            yield run
        finally:
            ledger.leases.end_run(run)


def end_dead(ledger: Ledger, holders: list[str]) -> int:
    """Declares ended those of these runs that are a command's whose process is gone; how many."""
    ended = 0
    for run in holders:
        name = _name(run)
        if name is None:
            continue
        with ledger.forgetting.alone(name) as free:
            if free:
                ledger.leases.end_run(run)
                ended += 1
    return ended


def _name(run: str) -> str | None:
    found = _RUN.fullmatch(run)
    return found.group(1) if found else None
