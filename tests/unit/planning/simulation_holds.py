"""What must hold in a simulated platform at every tick and once all is calm. How it comes there is in simulation."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import keys_between, shift, window_of
from platform_defs.planning.facts import Facts, InFlight, Pause, Published
from platform_defs.planning.gaps import Graph
from platform_defs.planning.lateness import is_parked
from platform_defs.planning.requests import MAX_ASSETS, MAX_KEYS, Room, RunRequestPlan
from platform_defs.planning.states import Decision, PartitionState, decide
from platform_defs.planning.sweep import swept
from platform_defs.planning.touched import Place
from platform_defs.planning.windows import first_key
from tests.unit.planning.reasons import Reason, Reasons, Story
from tests.unit.planning.recomputed import computed, ends
from tests.unit.planning.simulated import Broken, Collector, Request, Run, drawn_contracts, hashed
from tests.unit.planning.world import World, at

LOOK_BACK = timedelta(hours=12)
# Nothing has a partition before.
BEGUN = at(-72)
# A rebuild waits as long for its wave. Beside that a tick may crash, and what was paused is looked at again after a while.
WAVE = timedelta(hours=1)
# As many runs as no tick here asks for.
ROOMY = 100
# Of a partition's neighbours one in so many is looked at in a step.
SHARES = 12


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
        self.stories: defaultdict[Place, Story] = defaultdict(Story)
        self.moved: defaultdict[Place, list[datetime]] = defaultdict(list)
        self.owed: dict[Place, datetime] = {}
        self.ended: dict[str, list[str]] = {}
        self.steps = 0
        self.reasons = Reasons(lambda: self.world.contracts, self.stories, self.world.content, self._sealed, self.moved, self.collectors, LOOK_BACK)
        self.numbers = 0
        runs = self.dice.choice([ROOMY, ROOMY, 3])
        self.room = Room(runs, newest=runs)
        self.held_until = self.now
        self.storm = True

    def _facts(self, asked: Iterable[str], since: datetime) -> Facts:
        return Facts(since, self.now, tuple(asked), self.world.facts, tuple(self.world.receivers), tuple(self.pauses))

    def _kept(self, contract: Contract, rows: Iterable[tuple[int, datetime]], old: Published | None) -> list[int]:
        assert contract.lateness is not None
        first = old.first_built_at if old else None
        return [number for number, sealed_at in rows if not is_parked(contract.lateness, first, sealed_at)]

    def _sealed(self, place: Place) -> int:
        return len(self.sealed.get(place, ()))

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

    def check_may_be_asked(self, each: Decision) -> Reason:
        """The reason there is for it, which no build of it was made for before."""
        place = (each.endpoint, each.partition)
        self._hold(each.partition not in self.world.facts[each.endpoint].in_flight, f"asked for while it is in flight: {each}")
        self._hold(not self._paused(each.endpoint), f"asked for though paused: {each}")
        reason = self.reasons.find(place, self.now)
        if reason is None:
            raise self.broken(f"asked for without a reason: {each}; {self.stories[place]}")
        self._hold(reason not in self.stories[place].spent, f"asked for again for {reason}: {each}")
        return reason

    def check_served(self, asked: list[Decision], plans: list[RunRequestPlan]) -> None:
        """All that was decided, each once; where there is no room for all of it, no tier goes without."""
        places = [place for plan in plans for place in plan.places]
        wanted = {(each.endpoint, each.partition) for each in asked}
        self._hold(len(places) == len(set(places)), f"asked for twice in one tick: {places}")
        if len(plans) < self.room.runs:
            self._hold(set(places) == wanted, "plans are not what was decided")
            return
        self._hold(len(plans) <= self.room.runs and set(places) <= wanted, "plans are more than there is room for, or than was decided")
        tiers = {self.world.facts[each.endpoint].contract.tier for each in asked}
        self._hold({plan.tier for plan in plans} == tiers, f"of the tiers {sorted(tiers)} one is served nothing")

    def check_owed(self) -> None:
        """What there is a reason to build is asked for before long. Each partition is looked at now and then, the newest more often than the old."""
        self.steps += 1
        for place in [*self.owed, *self._looked_at()]:
            key, partition = place
            busy = partition in self.world.facts[key].in_flight or self._paused(key)
            reason = None if busy else self.reasons.owed(place, self.now)
            if reason is None:
                self.owed.pop(place, None)
                continue
            since = self.owed.setdefault(place, self.now)
            # Above the bound only high tier is promised anything, and that within 20 ticks of two at each step.
            tight = self.room.runs < ROOMY
            if not tight or self.world.facts[key].contract.tier == "high":
                most = 6 * self.pace + (WAVE if reason[0] == "changed input" else timedelta()) + (10 * self.pace if tight else timedelta())
                self._hold(self.now - since <= most, f"{key} {partition} is not asked for since {since:%d %H:%M}: {reason}")

    def _looked_at(self) -> Iterable[Place]:
        for key, facts in self.world.facts.items():
            keys = self.ended.setdefault(key, [])
            following = first_key(facts.contract) if not keys else shift(keys[-1], 1)
            if ends(following) <= self.now:
                keys.append(following)
            yield from ((key, each) for each in keys[-4:] + keys[-72:][self.steps % SHARES :: SHARES])

    def _paused(self, key: str) -> bool:
        return any(pause.name in (key, key.partition("/")[0]) for pause in self.pauses if pause.until is None or pause.until > self.now)

    def check_all_due_is_asked(self, since: datetime) -> None:
        """Where there is room for all, whatever is due by the judgement of single partitions is in flight once a tick is over."""
        if self.room.runs < ROOMY or self.dice.random() < 0.5:
            return
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
        for each in decide(self._facts(self.world.facts, BEGUN), self.now, LOOK_BACK):
            self._settled(each)
        for place, number in self.built.items():
            story = self.stories[place]
            self._hold(number == story.asked + len(story.spent), f"{place} was built {number} times, {story.asked} of them a person's: {story.spent}")

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
