"""From decisions to runs: which due partitions are asked for together. Opening requests and starting runs is not done here.

A run holds one level of the graph (no asset beside its own upstream), at most 50 assets, 24 hours or 7 days, one domain, one cadence, one contiguous range,
and never a partition that was not asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from platform_defs.contracts.contract import Contract, Tier
from platform_defs.contracts.partitions import Cadence, index_of, keys_between, ranges, start_of
from platform_defs.planning.digest import inputs_digest
from platform_defs.planning.levels import levels
from platform_defs.planning.states import Decision

MAX_ASSETS = 50
MAX_KEYS: dict[Cadence, int] = {"hourly": 24, "daily": 7}
_RANK: dict[Tier, int] = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True)
class RunRequestPlan:
    """One run to ask for.

    Attributes:
        endpoints: keys, sorted, of one domain, cadence and level.
        first, last: the range, ends included.
        inputs: 16 bytes over what the decisions saw.
        attempt: 1, more when an earlier try failed.
    """

    domain: str
    cadence: Cadence
    endpoints: tuple[str, ...]
    first: str
    last: str
    tier: Tier
    inputs: bytes = b""
    attempt: int = 1


def plan_requests(decisions: Iterable[Decision], contracts: Mapping[str, Contract]) -> list[RunRequestPlan]:
    """The runs that cover exactly the partitions the decisions ask for, each once; high tier first, then newest first.

    Args:
        contracts: the whole registry: levels count through endpoints of other domains too.
    """
    level = levels(contracts.values())
    asked: dict[str, dict[str, Decision]] = {}
    for decision in decisions:
        if decision.ask:
            asked.setdefault(decision.endpoint, {})[decision.partition] = decision
    groups: dict[tuple[Tier, str, Cadence, int, str, str], list[str]] = {}
    for endpoint, by_key in asked.items():
        contract = contracts[endpoint]
        for first, last in _pieces(list(by_key), contract.cadence):
            groups.setdefault((contract.tier, contract.domain, contract.cadence, level[endpoint], first, last), []).append(endpoint)
    plans: list[RunRequestPlan] = []
    for (tier, domain, cadence, _, first, last), endpoints in groups.items():
        keys = keys_between(first, last)
        ordered = sorted(endpoints)
        for start in range(0, len(ordered), MAX_ASSETS):
            members = tuple(ordered[start : start + MAX_ASSETS])
            held = [asked[endpoint][key] for endpoint in members for key in keys]
            digest = inputs_digest((each.endpoint, each.partition, each.inputs) for each in held)
            plans.append(RunRequestPlan(domain, cadence, members, first, last, tier, digest, max(each.attempt for each in held)))
    return sorted(plans, key=lambda plan: (_RANK[plan.tier], -start_of(plan.last).timestamp(), plan.domain, plan.cadence, plan.endpoints))


def _pieces(keys: Sequence[str], cadence: Cadence) -> Iterable[tuple[str, str]]:
    """Contiguous ranges no longer than a run may hold. Cut at multiples of the limit, so that endpoints with different gaps still share runs."""
    most = MAX_KEYS[cadence]
    for first, last in ranges(list(keys)):
        run: list[str] = []
        for key in keys_between(first, last):
            if run and index_of(key) // most != index_of(run[-1]) // most:
                yield run[0], run[-1]
                run = []
            run.append(key)
        yield run[0], run[-1]
