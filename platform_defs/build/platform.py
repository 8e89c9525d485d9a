"""The platform of one installation, composed: from settings for commands, from Dagster's resources for runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from platform_defs.execution.platform import Platform
from resources.engines import EnginesResource
from resources.lake import LakeResource, LandingResource
from resources.ledger import LedgerResource
from resources.settings import Settings
from resources.vault import VaultResource, open_vault

# What an asset's body asks for; `platform` is composed of them in its own resource so that a test can give one value for all.
PLATFORM = "platform"
LEDGER = "ledger"


@dg.resource(required_resource_keys={"engines", "lake", "landing", LEDGER, "vault"}, description="All services of the installation, for building partitions")
def platform_resource(context: dg.InitResourceContext) -> Platform:
    """The platform of the run's resources."""
    parts = context.resources
    return Platform(engines=parts.engines, lake=parts.lake, landing=parts.landing, ledger=parts.ledger, vault=parts.vault, clock=now)


def resources_at(home: str = "") -> Mapping[str, Any]:
    """The resources of every code location. `home`: BACKLINE_HOME; empty: as the environment says."""
    return {
        "engines": EnginesResource(home=home),
        "lake": LakeResource(home=home),
        "landing": LandingResource(home=home),
        LEDGER: LedgerResource(home=home),
        "vault": VaultResource(home=home),
        PLATFORM: platform_resource,
    }


@contextmanager
def open_platform(settings: Settings) -> Iterator[Platform]:
    """The running platform for a command; its connections are closed at the end."""
    from platform_defs.lake.landing import LandingStore
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger
    from resources.spark import SparkEngines

    with ExitStack() as stack:
        ledger = Ledger(settings.ledger_url)
        stack.callback(ledger.close)
        vault = open_vault(settings)
        stack.callback(vault.close)
        engines = SparkEngines(settings.spark_intake, settings.spark_lake)
        yield Platform(engines=engines, lake=Lake(settings.lake), landing=LandingStore(settings.landing), ledger=ledger, vault=vault, clock=now)


def now() -> datetime:
    """The present instant, aware, UTC."""
    return datetime.now(UTC)
