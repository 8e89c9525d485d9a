"""Every endpoint that says `ranged=True` answers for a range what it answers for each of its partitions: made for each of them by itself."""

from __future__ import annotations

import pytest

from platform_defs.contracts.endpoints import EndpointDef
from platform_defs.contracts.loading import load_domain
from platform_defs.execution.ranging import prove_ranged
from platform_defs.execution.testing import Build
from resources.settings import checkout

SEEDS = range(3)


def ranged() -> dict[str, EndpointDef[...]]:
    domains = [load_domain(file.parent) for file in sorted((checkout() / "assets").glob("*/domain.py"))]
    declared = {key: each for domain in domains for key, each in domain.declared.items() if each.contract.ranged}
    return {key: each.declaration for key, each in declared.items() if isinstance(each.declaration, EndpointDef)}


@pytest.mark.parametrize("endpoint", [pytest.param(endpoint, id=key) for key, endpoint in ranged().items()])
def test_a_range_is_its_partitions(build: Build, endpoint: EndpointDef[...]) -> None:
    assert sum(prove_ranged(build, endpoint, seed) for seed in SEEDS) > 0
