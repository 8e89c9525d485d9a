"""A domain as Dagster definitions: its assets and checks, what it reads of others, a job and a schedule per cadence, sensors, resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_defs.build.assets import Builder, asset_key, asset_of, op_name
from platform_defs.build.housekeeping import retention_job, retention_schedule
from platform_defs.build.loading import known_contracts, load_applied
from platform_defs.build.partitions import Partitions, partitions_of
from platform_defs.build.platform import process_lake, process_ledger, resources_at
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import Cadence, window_of
from platform_defs.contracts.uncollected import uncollected
from sensors.alerts import alerts_sensor
from sensors.asking import OpenLedger, job_name
from sensors.late_data import late_data_sensor
from sensors.schedules import planned_schedule

if TYPE_CHECKING:
    from platform_defs.contracts.loading import LoadedDomain

# A location's definitions are loaded in each of its processes; Dagster itself grows slow beyond.
MAX_ASSETS = 2000
CADENCES: tuple[Cadence, ...] = ("hourly", "daily")


@uncollected()
def build_defs(
    domain: str,
    *,
    loaded: LoadedDomain | None = None,
    known: Mapping[str, Contract] | None = None,
    resources: Mapping[str, Any] | None = None,
    builder: Builder | None = None,
    ledger: OpenLedger | None = None,
    planned: bool = True,
) -> dg.Definitions:
    """The definitions of one domain.

    Args:
        domain: its name, the folder under `assets`.
        loaded: the domain as its authors declared it; None: its last applied copy (see `location`).
        known: contracts of other domains by key; what a domain reads of them is shown with their partitions. None: the registry's.
        resources: replace the resources of that name.
        builder: replaces `execution.building.build`.
        ledger: what schedules and sensors ask, without a lake; None: the running platform's, opened once per process, and its lake.
        planned: whether there are schedules and sensors at all.

    Raises:
        ValueError: the domain has more assets than a location may hold.
    """
    loaded = load_applied(domain) if loaded is None else loaded
    known = known_contracts() if known is None else known
    contracts = {**known, **{contract.key: contract for contract in loaded.contracts}}
    if len(loaded.declared) > MAX_ASSETS:
        raise ValueError(f"{loaded.name} declares {len(loaded.declared)} assets, a domain may have {MAX_ASSETS}: split it in two domains")
    starts = [contract.start for contract in loaded.contracts]
    start = loaded.domain.start or min(starts, key=lambda each: window_of(each).start, default="2020-01-01")
    partitions: dict[Cadence, Partitions] = {cadence: partitions_of(cadence, start) for cadence in CADENCES}
    beside = {op_name(key): declared for key, declared in loaded.declared.items()}
    assets = [asset_of(declared, partitions[declared.contract.cadence], builder, beside) for declared in loaded.declared.values()]
    jobs = {cadence: _job(loaded.name, cadence, loaded.contracts) for cadence in CADENCES if any(c.cadence == cadence for c in loaded.contracts)}
    lake = process_lake() if ledger is None else None
    ledger, retention = process_ledger() if ledger is None else ledger, retention_job(loaded.name)
    made = dg.Definitions(
        assets=[*assets, *_neighbours(loaded, contracts)],
        jobs=[*jobs.values(), *([retention] if jobs else [])],
        schedules=[*(planned_schedule(loaded.name, cadence, ledger) for cadence in jobs), retention_schedule(loaded.name, retention)]
        if planned and jobs
        else [],
        sensors=[late_data_sensor(loaded.name, list(jobs.values()), ledger, lake), alerts_sensor(loaded.name, ledger)] if planned and jobs else [],
        resources={**resources_at(), **(resources or {})},
        # One process a run: a step per process would import everything again for each asset.
        executor=dg.in_process_executor,
    )
    made.get_repository_def()  # whoever loads a location asks for it next, and Dagster keeps it
    return made


def _job(domain: str, cadence: Cadence, contracts: Iterable[Contract]) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        job_name(domain, cadence),
        selection=dg.AssetSelection.assets(*(asset_key(contract.key) for contract in contracts if contract.cadence == cadence)),
        description=f"What the planner asks for of {domain}, {cadence}",
        executor_def=dg.in_process_executor,
    )


def _neighbours(loaded: LoadedDomain, contracts: Mapping[str, Contract]) -> list[dg.AssetSpec]:
    """What this domain reads of others, as Dagster must see it to map partitions; their own location holds the rest."""
    keys = sorted({read.endpoint for contract in loaded.contracts for read in contract.inputs} - {contract.key for contract in loaded.contracts})
    found = [contracts[key] for key in keys if key in contracts]
    starts: dict[tuple[str, Cadence], str] = {}
    for contract in contracts.values():
        place = (contract.domain, contract.cadence)
        starts[place] = min(starts.get(place, contract.start), contract.start, key=lambda start: window_of(start).start)
    return [
        dg.AssetSpec(asset_key(contract.key), partitions_def=partitions_of(contract.cadence, starts[contract.domain, contract.cadence])) for contract in found
    ]
