"""What a build needs of the world, in one value, and what it is asked to do. No behaviour belongs here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from platform_defs.execution.memory import MemoryBudget

if TYPE_CHECKING:
    from platform_defs.contracts.contract import Contract
    from platform_defs.contracts.loading import Declared
    from platform_defs.contracts.sources import SecretResolver
    from platform_defs.lake.engine import EngineProvider
    from platform_defs.lake.landing import LandingStore
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger
    from platform_defs.planning.facts import Origin
    from platform_defs.privacy.workers import Deriver

Trigger = Literal["schedule", "click", "range", "late", "retry", "command"]


def no_secrets(name: str) -> None:
    """Knows no secret."""


def never() -> bool:
    """Nobody cancels."""
    return False


class Cancelled(BaseException):
    """The run is being cancelled: what it still does is dropped, told to nobody, and its leases are given back."""


@dataclass(frozen=True)
class Platform:
    """The services of one installation.

    Attributes:
        deriver: knows the vault; None where no personal data is handled (readers' zone, tests).
        clock: the present instant, aware, UTC; given so that tests can move it.
        secrets: what a source asks for by name; None for one that nobody has set.
        run_logs: folder of the private logs of intake and source runs (see withheld); None: texts of their errors are dropped.
        captured: folder of what Dagster captured of runs' output; None: it is kept elsewhere.
        memory: of this process, shared by all its builds.
    """

    engines: EngineProvider
    lake: Lake
    landing: LandingStore
    ledger: Ledger
    deriver: Deriver | None
    clock: Callable[[], datetime]
    secrets: SecretResolver = no_secrets
    run_logs: Path | None = None
    captured: Path | None = None
    memory: MemoryBudget = field(default_factory=MemoryBudget)


@dataclass(frozen=True)
class Work:
    """One endpoint and the partitions of it to build in one run.

    Attributes:
        declared: the contract and the author's declaration (function, schema, row class).
        keys: partition keys, any order; built and answered in key order.
        contracts: the registry, by key: the inputs' contracts among them.
        trigger: what asked for it. `click`: one partition a person asked for, rebuilt even when current (unless it was built after `requested_at`).
        requested_at: when the run was created; aware, UTC.
        force: rebuild even what is current.
        request_id: the `requested` row this run serves; None for a person's run.
        caused_by: the root of a wave (`late:listening/track_played 2026-10-01T03`), if any.
        spared: of the keys, those that nobody asked for: they lie between others of a run's range, and what is published of them is said again as it is.
        origin: `imported` where what is published comes from an existing table and not from the declaration.
        cancelled: whether the run is being cancelled; asked by builds that run in threads of their own, which no signal reaches.
    """

    declared: Declared
    keys: tuple[str, ...]
    run_id: str
    trigger: Trigger
    contracts: Mapping[str, Contract]
    requested_at: datetime
    force: bool = False
    request_id: int | None = None
    caused_by: str | None = None
    spared: frozenset[str] = frozenset()
    origin: Origin = "built"
    cancelled: Callable[[], bool] = never
