"""The platform of one installation, composed: from settings for commands, from Dagster's resources for runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from platform_defs.build.instance import run_slots
from platform_defs.execution.memory import MemoryBudget, share
from platform_defs.execution.overlap import Overlap
from platform_defs.execution.platform import Platform
from platform_defs.lake.layout import Lake
from platform_defs.ledger.ledger import Ledger
from resources.engines import EnginesResource
from resources.lake import LakeResource
from resources.ledger import LedgerResource
from resources.secrets import secrets_in
from resources.settings import Settings, settings_at
from resources.vault import VaultResource

# An asset's body asks for `platform`, composed of the others in a resource of its own, so that a test can give one value for all.
PLATFORM = "platform"
LEDGER = "ledger"
OVERLAP = "overlap"


@contextmanager
def composed(engines: EnginesResource, lake: LakeResource, ledger: LedgerResource, vault: VaultResource) -> Iterator[Platform]:
    """The platform of these parts; its connections are closed at the end."""
    from platform_defs.privacy.workers import Deriver  # with Arrow, which a process that only serves definitions does without

    with ExitStack() as stack:
        spark = engines.engines()
        stack.callback(spark.close)
        yield Platform(
            engines=spark,
            lake=lake.lake(),
            landing=lake.landing(),
            ledger=stack.enter_context(ledger.open()),
            deriver=stack.enter_context(Deriver(stack.enter_context(vault.open()))),
            clock=now,
            secrets=secrets_in(settings_at(lake.home).secrets_file),
            run_logs=settings_at(lake.home).logs / "runs",
            captured=settings_at(lake.home).compute_logs,
            memory=MemoryBudget(share(run_slots())),
        )


@contextmanager
def open_platform(settings: Settings) -> Iterator[Platform]:
    """The running platform for a command; its connections are closed at the end."""
    home = str(settings.home)
    with composed(EnginesResource(home=home), LakeResource(home=home), LedgerResource(home=home), VaultResource(home=home)) as platform:
        yield platform


@dg.resource(required_resource_keys={"engines", "lake", LEDGER, "vault"}, description="All services of the installation, for building partitions")
def platform_resource(context: dg.InitResourceContext) -> Iterator[Platform]:
    """The platform of the run's resources, closed with the run."""
    parts = context.resources
    with composed(parts.engines, parts.lake, parts.ledger, parts.vault) as platform:
        yield platform


@dg.resource(required_resource_keys={PLATFORM}, description="Builds the run's assets side by side, ahead of their steps")
def overlap_resource(context: dg.InitResourceContext) -> Iterator[Overlap]:
    """The builds of one run; what still builds when the run ends is cancelled."""
    with Overlap(context.resources.platform) as overlap:
        yield overlap


def resources_at(home: str = "") -> Mapping[str, Any]:
    """The resources of every code location. `home`: BACKLINE_HOME; empty: as the environment says."""
    return {
        "engines": EnginesResource(home=home),
        "lake": LakeResource(home=home),
        LEDGER: LedgerResource(home=home),
        "vault": VaultResource(home=home),
        PLATFORM: platform_resource,
        OVERLAP: overlap_resource,
    }


def process_ledger(home: str = "") -> Callable[[], Ledger]:
    """Gives the running platform's ledger, opened at the first call and kept: a tick must not read the whole registry and connect again each time."""
    return functools.cache(lambda: Ledger(settings_at(home).ledger_url))


def process_lake(home: str = "") -> Callable[[], Lake]:
    """Gives the running platform's lake, found at the first call."""
    return functools.cache(lambda: Lake(settings_at(home).lake))


def now() -> datetime:
    """The present instant, aware, UTC."""
    return datetime.now(UTC)
