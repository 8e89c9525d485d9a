"""Assets that are made from their parts are those that Dagster's own decorator would make, their metadata said once."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from platform_defs.build.assets import asset_of, op_name
from platform_defs.build.partitions import partitions_of
from platform_defs.build.platform import OVERLAP, PLATFORM
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.event import Event
from platform_defs.contracts.loading import Declared
from tests.unit.build.contracts import contract, event, over

CONTRACTS = [
    contract("charts/skips", inputs=(over("listening/started"), over("listening/started", -2, 0, param="before"), over("charts/skips", -1, -1, param="mine"))),
    contract("charts/totals", "daily", inputs=(over("charts/skips", unit="days"),), ready_within_seconds=3600),
    contract("charts/vendor", "daily", kind="source"),
    event("listening/started"),
]


@pytest.mark.parametrize("said", CONTRACTS, ids=lambda said: said.key)
def test_an_asset_is_what_the_decorator_makes(said: Contract) -> None:
    made = asset_of(Declared(said, Event), partitions_of(said.cadence, said.start))

    @dg.multi_asset(
        name=op_name(said.key),
        specs=list(made.specs),
        check_specs=list(made.check_specs),
        backfill_policy=made.backfill_policy,
        required_resource_keys={PLATFORM, OVERLAP},
    )
    def decorated(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from ()

    assert list(made.specs) == list(decorated.specs)
    assert list(made.check_specs) == list(decorated.check_specs)
    assert made.keys_by_output_name == decorated.keys_by_output_name
    assert set(made.keys_by_input_name.values()) == set(decorated.keys_by_input_name.values())
    assert made.required_resource_keys == decorated.required_resource_keys
    assert _outputs(made.op) == _outputs(decorated.op)
    assert {each.dagster_type.key for each in made.op.ins.values()} == {each.dagster_type.key for each in decorated.op.ins.values()}
    assert made.op.config_schema.as_field().config_type.key == decorated.op.config_schema.as_field().config_type.key


def test_an_assets_metadata_is_not_said_again_in_its_step() -> None:
    made = asset_of(Declared(CONTRACTS[0], Event), partitions_of("hourly", "2026-01-01"))
    assert "tier" in next(iter(made.specs)).metadata
    assert not any(each.metadata or each.description for each in made.op.outs.values())


def test_equal_windows_share_a_mapping() -> None:
    one, other = (contract(f"charts/{name}", inputs=(over("listening/started", -2, 0),)) for name in ("one", "other"))
    mappings = [next(iter(asset_of(Declared(each, Event), partitions_of("hourly", each.start)).specs)).deps for each in (one, other)]
    assert next(iter(mappings[0])).partition_mapping is next(iter(mappings[1])).partition_mapping


def _outputs(step: dg.OpDefinition) -> dict[str, tuple[str, bool]]:
    return {name: (out.dagster_type.key, out.is_required) for name, out in step.outs.items()}
