"""From decisions to runs: which due partitions are asked for together, and which of those runs a tick asks for. Nothing is opened or started here.

A run holds one level of the graph (no asset beside its own upstream), at most 50 assets, 24 hours or 7 days, one domain, one cadence, one contiguous range.
It builds no partition that was not asked for: where asked ones lie scattered between current ones, the current ones are in its range and spared. Late events
touch every third hour of a day; a run and a commit for each of them cost more than all that is computed.

A tick asks for no more than its room. While everything fits, all of it goes, high tier first; beyond, endpoints' newest partitions go first, and of what is
left every tier keeps a tenth of the room, and in a tier newer partitions go before older ones, but not for ever: the oldest gaps have a quarter of its places.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from platform_defs.contracts.contract import Contract, Tier
from platform_defs.contracts.partitions import Cadence, index_of, key_at, keys_between, start_of
from platform_defs.planning.digest import inputs_digest
from platform_defs.planning.levels import levels
from platform_defs.planning.states import Decision, PartitionState

MAX_ASSETS = 50
MAX_KEYS: dict[Cadence, int] = {"hourly": 24, "daily": 7}
# What one tick of one schedule asks for at most. Each run is launched by the daemon before it looks at the next schedule.
MAX_RUNS = 100
# Where newest partitions lie scattered over hours, so many runs hold them: half of the endpoints of a full location, so that each is asked for within two
# ticks however they lie. Once asked for they are the newest no more: no tick soon after is as long.
MAX_NEWEST_RUNS = 1000
MAX_PARTITIONS = 20_000
# Of both, what every tier gets whatever the others want: one part in so many.
_RESERVED = 10
# Of a tier's places one in so many goes to the oldest gaps.
_OLDEST_EACH = 4
# Where gaps lie scattered, short ranges are shared by more endpoints than long ones.
_CUTS: tuple[dict[Cadence, int], ...] = (MAX_KEYS, {"hourly": 6, "daily": 3}, {"hourly": 1, "daily": 1})
# Of a shared range one partition in so many is asked for, or runs do not share it: what is spared costs a few events each.
_THIN = 4
_TIERS: tuple[Tier, ...] = ("high", "normal", "low")
_RANK: dict[Tier, int] = {"high": 0, "normal": 1, "low": 2}


# First and last partition number, ends included.
Piece = tuple[int, int]
# What may share a run: tier, domain, cadence, level, and which stretch of partitions.
_Kin = tuple[Tier, str, Cadence, int, int]


@dataclass(frozen=True)
class RunRequestPlan:
    """One run to ask for.

    Attributes:
        endpoints: keys, sorted, of one domain, cadence and level.
        first, last: the range, ends included.
        inputs: 16 bytes over what the decisions saw.
        attempt: 1, more when an earlier try failed.
        spared: of the range, (endpoint, partition) that are current and were not asked for: the run leaves them alone.
    """

    domain: str
    cadence: Cadence
    endpoints: tuple[str, ...]
    first: str
    last: str
    tier: Tier
    inputs: bytes = b""
    attempt: int = 1
    spared: tuple[tuple[str, str], ...] = ()

    @property
    def partitions(self) -> int:
        """Partitions asked for in it."""
        return len(self.endpoints) * (index_of(self.last) - index_of(self.first) + 1) - len(self.spared)

    @property
    def places(self) -> list[tuple[str, str]]:
        """The partitions asked for in it, as (endpoint, key)."""
        spared, keys = set(self.spared), keys_between(self.first, self.last)
        return [(endpoint, key) for endpoint in self.endpoints for key in keys if (endpoint, key) not in spared]


@dataclass(frozen=True)
class Room:
    """How much a tick may ask for. `newest`: how many runs for endpoints' newest partitions, if that takes more than `runs`."""

    runs: int = MAX_RUNS
    partitions: int = MAX_PARTITIONS
    newest: int = MAX_NEWEST_RUNS


def plan_tick(decisions: Iterable[Decision], contracts: Mapping[str, Contract], level: Mapping[str, int], room: Room) -> list[RunRequestPlan]:
    """The runs one tick asks for: all that the decisions ask, or as much of it as there is room for; what is left comes with the ticks after.

    Args:
        decisions: those that ask; those on current partitions between them let scattered ones share a run.
        level: of every endpoint of the registry (`levels`).
    """
    decisions = list(decisions)
    plans = plan_requests(decisions, contracts, level)
    if len(plans) <= room.runs and _size(plans) <= room.partitions:
        return share_out(plans, room)
    # Not all of it in one tick: nobody's newest partition hangs on gaps that lie beside it, and these are cut so that they share few runs.
    newest = plan_requests((each for each in decisions if each.newest), contracts, level)
    rest = [each for each in decisions if not each.newest]
    gaps = min((plan_requests(rest, contracts, level, cuts) for cuts in _CUTS), key=len)
    first = share_out(newest, replace(room, runs=room.newest))
    left = Room(max(0, room.runs - len(first)), room.partitions - _size(first))
    return sorted(first + share_out(gaps, left), key=lambda plan: _RANK[plan.tier])


def _size(plans: Iterable[RunRequestPlan]) -> int:
    return sum(plan.partitions for plan in plans)


def share_out(plans: Iterable[RunRequestPlan], room: Room) -> list[RunRequestPlan]:
    """Those of the plans that fit into the room, in the order in which they should start."""
    queues = {tier: _in_turn([plan for plan in plans if plan.tier == tier]) for tier in _TIERS}
    taken: dict[Tier, list[RunRequestPlan]] = {tier: [] for tier in _TIERS}
    runs, partitions = 0, 0
    for reserved in (True, False):
        for tier in _TIERS:
            mine = _size(taken[tier])
            for plan in queues[tier][len(taken[tier]) :]:
                if runs >= room.runs or partitions + plan.partitions > room.partitions:
                    break
                if reserved and (len(taken[tier]) * _RESERVED >= room.runs or mine * _RESERVED >= room.partitions):
                    break
                taken[tier].append(plan)
                runs, partitions, mine = runs + 1, partitions + plan.partitions, mine + plan.partitions
    return [plan for tier in _TIERS for plan in taken[tier]]


def _in_turn(plans: Sequence[RunRequestPlan]) -> list[RunRequestPlan]:
    """Plans of one tier as they are served: those that hold the newest asked partition of an endpoint, newest first; every fourth place the oldest."""
    newest: dict[str, float] = {}
    for plan in plans:
        at = start_of(plan.last).timestamp()
        for endpoint in plan.endpoints:
            newest[endpoint] = max(newest.get(endpoint, at), at)
    front: list[RunRequestPlan] = []
    gaps: list[RunRequestPlan] = []
    for plan in plans:
        at = start_of(plan.last).timestamp()
        (front if any(newest[endpoint] == at for endpoint in plan.endpoints) else gaps).append(plan)
    front.sort(key=lambda plan: (-start_of(plan.last).timestamp(), *_name(plan)))
    gaps.sort(key=lambda plan: (start_of(plan.first).timestamp(), *_name(plan)))
    turn: list[RunRequestPlan] = []
    ahead, behind = iter(front), iter(gaps)
    for _ in plans:
        first, second = (behind, ahead) if len(turn) % _OLDEST_EACH == _OLDEST_EACH - 1 else (ahead, behind)
        turn.append(next(first, None) or next(second))
    return turn


def _name(plan: RunRequestPlan) -> tuple[str, str, tuple[str, ...]]:
    return plan.domain, plan.cadence, plan.endpoints


def plan_requests(
    decisions: Iterable[Decision], contracts: Mapping[str, Contract], level: Mapping[str, int] | None = None, cuts: Mapping[Cadence, int] = MAX_KEYS
) -> list[RunRequestPlan]:
    """The runs that build exactly the partitions the decisions ask for, each once; high tier first, then newest first.

    Args:
        decisions: those that ask, and those on current partitions, which may lie in a run's range and are spared.
        contracts: the whole registry: levels count through endpoints of other domains too.
        level: of each of them, if they are known.
        cuts: ranges are cut at multiples of these, at most `MAX_KEYS`.
    """
    level = levels(contracts.values()) if level is None else level
    asked: dict[str, dict[int, Decision]] = {}
    current: dict[str, set[int]] = {}
    for decision in decisions:
        if decision.ask:
            asked.setdefault(decision.endpoint, {})[index_of(decision.partition)] = decision
        elif decision.state is PartitionState.CURRENT and not decision.paused:
            current.setdefault(decision.endpoint, set()).add(index_of(decision.partition))
    groups: dict[_Kin, dict[Piece, list[str]]] = {}
    for endpoint, by_number in asked.items():
        contract = contracts[endpoint]
        most = cuts[contract.cadence]
        for piece in _pieces(sorted(by_number), current.get(endpoint, frozenset()), most):
            kin = (contract.tier, contract.domain, contract.cadence, level[endpoint], piece[0] // most)
            groups.setdefault(kin, {}).setdefault(piece, []).append(endpoint)
    plans: list[RunRequestPlan] = []
    for (tier, domain, cadence, _, _), pieces in groups.items():
        for (low, high), endpoints in _joined(pieces, asked, current).items():
            ordered = sorted(endpoints)
            for start in range(0, len(ordered), MAX_ASSETS):
                members = tuple(ordered[start : start + MAX_ASSETS])
                within = [(endpoint, number) for endpoint in members for number in range(low, high + 1)]
                held = [asked[endpoint][number] for endpoint, number in within if number in asked[endpoint]]
                spared = tuple((endpoint, key_at(cadence, number)) for endpoint, number in within if number not in asked[endpoint])
                digest = inputs_digest((each.endpoint, each.partition, each.inputs) for each in held)
                attempt = max(each.attempt for each in held)
                plans.append(RunRequestPlan(domain, cadence, members, key_at(cadence, low), key_at(cadence, high), tier, digest, attempt, spared))
    return sorted(plans, key=lambda plan: (_RANK[plan.tier], -start_of(plan.last).timestamp(), *_name(plan)))


def _pieces(numbers: Sequence[int], current: Collection[int], most: int) -> Iterable[Piece]:
    """Ranges of sorted partition numbers, with nothing but current ones between them. Cut at multiples of `most`, so that endpoints with different gaps
    still share runs."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number // most != last // most or any(between not in current for between in range(last + 1, number)):
            yield first, last
            first = number
        last = number
    yield first, last


def _joined(pieces: Mapping[Piece, list[str]], asked: Mapping[str, Mapping[int, Decision]], current: Mapping[str, set[int]]) -> Mapping[Piece, list[str]]:
    """One range for all of a stretch, if all that it holds beside what is asked for is current, and that is not most of it by far."""
    endpoints = [endpoint for members in pieces.values() for endpoint in members]
    if len(pieces) == 1 or len(set(endpoints)) < len(endpoints):
        return pieces
    low, high = min(low for low, _ in pieces), max(high for _, high in pieces)
    within = range(low, high + 1)
    wanted = sum(number in asked[endpoint] for endpoint in endpoints for number in within)
    if wanted * _THIN < len(endpoints) * len(within):
        return pieces
    whole = all(number in asked[endpoint] or number in current.get(endpoint, ()) for endpoint in endpoints for number in within)
    return {(low, high): endpoints} if whole else pieces
