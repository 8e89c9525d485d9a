"""What must hold in a simulated platform at every tick and once all is calm. How it comes there is in simulation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import keys_between, window_of
from platform_defs.planning.closing import GRACE
from platform_defs.planning.facts import Facts, InFlight, Pause, Published
from platform_defs.planning.gaps import Graph
from platform_defs.planning.inputs import view_inputs
from platform_defs.planning.lateness import PARK_EVERY, is_parked
from platform_defs.planning.requests import MAX_ASSETS, MAX_KEYS, RunRequestPlan
from platform_defs.planning.states import Decision, PartitionState, decide
from platform_defs.planning.sweep import swept
from platform_defs.planning.touched import Place
from tests.unit.planning.recomputed import computed
from tests.unit.planning.simulated import Broken, Collector, Job, Request, Run, drawn_contracts, hashed
from tests.unit.planning.world import World, at

LOOK_BACK = timedelta(hours=30)


class Held:
    """The state of a simulated platform, and what must hold of it.

    Args:
        hours: of the storm. pace: how much time passes from step to step; a divisor of an hour.
    """

    def __init__(self, seed: int, hours: int = 30, pace: timedelta = timedelta(minutes=10)) -> None:
        self.seed, self.hours, self.pace = seed, hours, pace
        self.dice = random.Random(seed)
        self.now = at(0)
        self.world = World(*drawn_contracts(self.dice))
        self.graph = Graph(self.world.contracts)
        self.collectors = [Collector(f"r{n}") for n in range(self.dice.randint(1, 3))]
        self.sealed: dict[Place, list[tuple[int, datetime]]] = {}
        self.accepted: Counter[Place] = Counter()
        self.requests: dict[int, Request] = {}
        self.runs: dict[int, Run] = {}
        self.pauses: list[Pause] = []
        self.changes: list[tuple[str, Place]] = []
        self.read = 0
        self.pending: set[Place] = set()
        self.later: dict[Place, datetime] = {}
        self.built: Counter[Place] = Counter()
        self.allowed: Counter[Place] = Counter()
        self.moves: Counter[Place] = Counter()
        self.first_took: dict[Place, int] = {}
        self.numbers = 0
        self.held_until = self.now
        self.storm = True
        self.ticked_at = self.now

    def _facts(self, asked: Iterable[str], since: datetime) -> Facts:
        return Facts(since, self.now, tuple(asked), self.world.facts, tuple(self.world.receivers), tuple(self.pauses))

    def _kept(self, contract: Contract, rows: Iterable[tuple[int, datetime]], old: Published | None) -> list[int]:
        assert contract.lateness is not None
        first = old.first_built_at if old else None
        return [number for number, sealed_at in rows if not is_parked(contract.lateness, first, sealed_at)]

    def _in_flight(self) -> None:
        for facts in self.world.facts.values():
            facts.in_flight.clear()  # type: ignore[attr-defined]
        for request in self.requests.values():
            for key, partition in request.covered:
                self.world.facts[key].in_flight[partition] = InFlight("requested", str(request.run), request.opened)  # type: ignore[index]
        for run in self.runs.values():
            for job in run.jobs:
                key, partition = job.place
                self.world.facts[key].in_flight[partition] = InFlight("running", str(run.id), self.now)  # type: ignore[index]

    # what must hold

    def _hold(self, fact: bool, words: str) -> None:
        if not fact:
            raise self.broken(words)

    def broken(self, words: str) -> Broken:
        return Broken(f"seed {self.seed} at {self.now:%d %H:%M}: {words}")

    def check_shape(self, plan: RunRequestPlan) -> None:
        contracts = self.world.contracts
        self._hold(len(plan.endpoints) <= MAX_ASSETS and len(keys_between(plan.first, plan.last)) <= MAX_KEYS[plan.cadence], f"too large: {plan}")
        self._hold({(contracts[key].domain, contracts[key].cadence) for key in plan.endpoints} == {(plan.domain, plan.cadence)}, f"mixed: {plan}")
        self._hold(len({self.graph.level[key] for key in plan.endpoints}) == 1, f"of several levels: {plan}")

    def check_may_be_asked(self, each: Decision) -> None:
        contract = self.world.facts[each.endpoint].contract
        self._hold(each.partition not in self.world.facts[each.endpoint].in_flight, f"asked for while it is in flight: {each}")
        self._hold(window_of(each.partition).end <= self.now, f"asked for before its end: {each}")
        self._hold(not any(pause.name in (contract.key, contract.domain) for pause in self.pauses), f"asked for though paused: {each}")
        if contract.kind == "endpoint":
            published = self.world.published(each.endpoint).get(each.partition)
            pins = published.pins if published else None
            view = view_inputs(contract, each.partition, self.world.contracts, self.world.content, pins)
            self._hold(view.complete, f"asked for with missing inputs: {each}")

    def check_closed(self, job: Job, old: Published | None) -> None:
        """A first build leaves out nothing that a live receiver holds, unless the hold is over."""
        key, hour = job.place
        policy = self.world.facts[key].contract.lateness
        assert policy is not None
        over = policy.hold_seconds is not None and self.now >= window_of(hour).end + GRACE + timedelta(seconds=policy.hold_seconds)
        if old is None and not over:
            silent = [
                each.name
                for each in self.collectors
                if not each.lost and not each.alive and (each.sealed_until is None or each.sealed_until < window_of(hour).end)
                and any((event_, hour_) == (key, hour) for event_, hour_, _ in each.log)
            ]  # fmt: skip
            self._hold(not silent or bool(self.storm), f"{key} {hour} was built without {silent}")

    def check_all_due_is_asked(self, since: datetime) -> None:
        """There is always room here: whatever is due by the judgement of single partitions is in flight once a tick is over."""
        for each in decide(self._facts(swept(self.world.facts, self.now + timedelta(hours=1), 1), since), self.now, LOOK_BACK):
            self._hold(not (each.ask and each.state is PartitionState.DUE), f"due and not asked for: {each}")

    def check_accounts(self) -> None:
        """Every accepted row is in a log or sealed once; a built hour knows what it took and where that went."""
        if self.dice.random() < 0.1 or not self.storm:
            logs = Counter((key, hour) for each in self.collectors for key, hour, _ in each.log)
            sealed = Counter({place: len(rows) for place, rows in self.sealed.items()})
            self._hold(logs + sealed == self.accepted, "rows were lost or doubled on their way")
            for key, facts in self.world.facts.items():
                for partition, version in facts.published.items():
                    if version.counts is not None:
                        self._hold(version.counts.balanced, f"{key} {partition} does not add up: {version.counts}")

    def check_the_end(self) -> None:
        """All calm: what can be built is built from what its inputs hold, nothing is in flight, and nobody built more than there was reason to."""
        self._hold(not self.runs and not self.requests, f"still in flight: {[each.places for each in self.runs.values()][:2]}")
        self._in_flight()
        for each in decide(self._facts(self.world.facts, at(0)), self.now, LOOK_BACK):
            self._settled(each)
        for place, number in self.built.items():
            most = 1 + self.allowed[place] + self._reasons(place)
            self._hold(number <= most, f"{place} was built {number} times, {most} are explained")

    def _settled(self, each: Decision) -> None:
        contract, published = self.world.facts[each.endpoint].contract, self.world.published(each.endpoint).get(each.partition)
        self._hold(not each.ask or (contract.kind == "source" and published is not None), f"never came to rest: {each}")
        if each.state is PartitionState.STALE:
            self._hold(each.late > 0 and each.next_look is not None, f"stale for ever: {each}")
        self._hold(each.state not in (PartitionState.REFUSED, PartitionState.STUCK, PartitionState.FAILED), f"never mended: {each}")
        if published is None:
            young = window_of(each.partition).end > self.now - timedelta(hours=2)
            self._hold(each.state is PartitionState.WAITING and (young or bool(each.waiting_for)), f"never built: {each}")
            return
        if each.state is PartitionState.OUTDATED:
            declared = published.code != contract.code_version or contract.corrections_seconds is not None
            self._hold(declared, f"outdated, though nothing it declares says so: {each}")
            return
        if contract.kind == "event":
            rows = self.sealed.get((each.endpoint, each.partition), [])
            kept = self._kept(contract, rows, published)
            taken = published.counts.taken if published.counts else 0
            self._hold(taken + each.late == len(rows), f"{each.endpoint} {each.partition} took {taken} of {len(rows)} rows")
            self._hold(each.late > 0 or published.content == hashed("rows", *sorted(kept)), f"{each.endpoint} {each.partition} holds other rows than it should")
        elif contract.kind == "endpoint":
            fresh = computed(contract, each.partition, self.world.contracts, published.pins, self.world.content)
            self._hold(published.content == fresh, f"holds other than what its inputs give now: {each}")

    def _reasons(self, place: Place) -> int:
        """How often a rebuild had a reason: of an event hour each settle age, crossing of its share and daily visit; of what reads, each change it reads."""
        key, partition = place
        contract = self.world.facts[key].contract
        if contract.kind == "event":
            return self._late_reasons(contract, place)
        if contract.kind == "source":
            return int((self.now - window_of(partition).end) / timedelta(hours=1))
        view = view_inputs(contract, partition, self.world.contracts, self.world.content, None)
        found = sum(self.moves[read.endpoint, each] for read in view.reads for each in read.keys)
        return found + sum(1 for read in view.reads if read.pinned)

    def _late_reasons(self, contract: Contract, place: Place) -> int:
        version = self.world.published(place[0]).get(place[1])
        policy = contract.lateness
        if version is None or version.first_built_at is None or policy is None:
            return 0
        rows = self.sealed.get(place, [])
        taken, waiting, crossings = self.first_took.get(place, len(rows)), 0, 0
        late = sorted(Counter(sealed_at for _, sealed_at in rows[taken:]).items())
        if 0 in policy.settle_seconds:
            return len(late)
        for _, more in late:
            waiting += more
            if waiting > policy.share * taken:
                crossings, taken, waiting = crossings + 1, taken + waiting, 0
        return len(policy.settle_seconds) + crossings + (self.now - version.first_built_at) // PARK_EVERY
