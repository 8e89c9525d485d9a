"""What Dagster is told of partitions that came from an existing table: they were materialised, outside of any run of its own."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from platform_defs.build.assets import asset_key
from platform_defs.build.describe import checks_of
from platform_defs.build.reporting import report
from platform_defs.contracts.contract import Contract
from platform_defs.execution.results import PartitionResult


def tell_imported(instance: dg.DagsterInstance, contract: Contract, results: Iterable[PartitionResult]) -> None:
    """Reports a materialisation, with its metadata, of each partition that was published; of the others there is nothing to tell."""
    told = report(contract, checks_of(contract), [result for result in results if result.outcome == "published"])
    for partition, metadata in told.materialised.items():
        event = dg.AssetMaterialization(asset_key(contract.key), metadata={**metadata, "origin": "imported"}, partition=partition)
        instance.report_runless_asset_event(event)
