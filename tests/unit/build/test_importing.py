"""What Dagster hears of an import: the partitions that came in, and no others."""

from __future__ import annotations

import dagster as dg

from platform_defs.build.importing import tell_imported
from platform_defs.execution.results import OutcomeName, PartitionResult
from tests.fixtures.contracts import endpoint


def result(key: str, outcome: OutcomeName) -> PartitionResult:
    return PartitionResult(key, outcome, 7, "", (), {}, 3, 0.5, {"table": "charts.rate"})


def test_what_came_in_is_materialised() -> None:
    given = [result("2026-10-01T00", "published"), result("2026-10-01T01", "refused"), result("2026-10-01T02", "skipped")]
    with dg.DagsterInstance.ephemeral() as instance:
        tell_imported(instance, endpoint("charts/rate"), given)
        (record,) = instance.fetch_materializations(dg.AssetKey(["charts", "rate"]), limit=10).records
        assert record.partition_key == "2026-10-01T00"
        assert record.asset_materialization is not None
        told = {name: value.value for name, value in record.asset_materialization.metadata.items()}
        assert (told["dagster/partition_row_count"], told["origin"], told["version"]) == (7, "imported", 3)
