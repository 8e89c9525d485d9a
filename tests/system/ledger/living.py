"""The simulated platform on a real ledger: everything that happens is told to Postgres too, and what is decided, is decided from what Postgres says.

Whatever the planner would see otherwise in the ledger than in the plain facts of the simulation is a fault: the same seeds find it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from platform_defs.lake.landing import SealManifest, Segment, segment_path
from platform_defs.ledger import Ledger, Outcome, RunInfo
from platform_defs.ledger.leases import Fence
from platform_defs.ledger.standing import Standings
from platform_defs.planning.facts import Facts
from platform_defs.planning.gaps import Graph, Standing, gaps
from platform_defs.planning.retry import next_try
from platform_defs.planning.states import Decision, decide
from platform_defs.planning.touched import Place
from tests.unit.planning.simulated import Job, Run
from tests.unit.planning.simulation import LOOK_BACK, LOST_AFTER, Simulation


class OnLedger(Simulation):
    """One world, lived on a ledger. `live` goes through its stormy time."""

    def __init__(self, ledger: Ledger, seed: int, hours: int, pace: timedelta) -> None:
        super().__init__(seed, hours, pace)
        self.ledger = ledger
        ledger.store.clock = lambda: self.now
        self._opened: dict[int, int] = {}
        self._fences: dict[int, list[Fence]] = {}
        self._seals: Counter[str] = Counter()
        self.compared = 0
        self._apply()

    def live(self) -> OnLedger:
        end = self.now + timedelta(hours=self.hours)
        while self.now < end:
            self.step()
        return self

    # told to the ledger

    def _apply(self) -> None:
        self.ledger.registry.apply(self.world.contracts.values(), "test")
        self._applied = self.graph
        graph = Graph(self.ledger.registry.current())
        self._standings = [Standings(self.ledger.store, graph, broad) for broad in (0.0, 1.0)]

    def _seal(self) -> None:
        held = {each.name: list(each.log) for each in self.collectors if each.alive}
        super()._seal()
        for name, log in held.items():
            self.ledger.landing.beat(name, self.now, self.now)
            rows = Counter((key, hour) for key, hour, _ in log)
            if not rows:
                continue
            self._seals[name] += 1
            seal = self._seals[name]
            segments = tuple(
                Segment(event=key, hour=hour, path=segment_path(key, hour, name, seal), rows=number, size=number, sha256=f"{seal:064x}")
                for (key, hour), number in rows.items()
            )
            self.ledger.landing.record_seal(SealManifest(receiver=name, seal=seal, sealed_at=self.now, sealed_until=self.now, segments=segments, accounts=()))
        for each in self.collectors:
            if each.lost:
                self.ledger.landing.lose(each.name, "a person said so")

    def _misfortune(self) -> None:
        before = {pause.name: pause for pause in self.pauses}
        super()._misfortune()
        self.ledger.pauses.settle()
        for pause in self.pauses:
            if before.get(pause.name) != pause:
                self.ledger.pauses.set(pause)
        if self.graph is not self._applied:
            self._apply()

    def _ask(self, decisions: list[Decision], crash: bool) -> None:
        known = set(self.requests)
        super()._ask(decisions, crash)
        for request in [each for number, each in self.requests.items() if number not in known]:
            (opened,) = self.ledger.requests.add([request.plan], LOST_AFTER)
            self._hold(opened.endpoints == request.plan.endpoints, f"asked for already: {request.plan}")
            self._opened[request.id] = opened.id
            if request.run is not None:
                self.ledger.requests.started(opened.id, str(request.run))

    def _expire(self) -> None:
        super()._expire()
        live = [self._opened[each.id] for each in self.requests.values() if each.run is not None]
        self.ledger.requests.expire(live)
        self._hold({each.id for each in self.ledger.requests.open()} == {self._opened[number] for number in self.requests}, "other requests are open")

    def _start(self, run: Run) -> None:
        super()._start(run)
        wanted: dict[str, list[str]] = {}
        for job in run.jobs:
            wanted.setdefault(job.place[0], []).append(job.place[1])
        for key, partitions in wanted.items():
            fence = self.ledger.leases.take_over(key, partitions, str(run.id))
            if not isinstance(fence, Fence):
                raise self.broken(f"held by another run: {fence.words}")
            self.ledger.leases.stopped(fence)
            self._fences.setdefault(run.id, []).append(fence)

    def _outcome(self, run: Run, job: Job) -> None:
        super()._outcome(run, job)
        key, partition = job.place
        trouble = self.world.troubles(key).get(partition)
        if trouble is None:
            outcome = Outcome(key, partition, "published", published=self.world.published(key)[partition])
        else:
            lasting = trouble.state == "stuck" and next_try(trouble.tries, self.now) is not None
            state = "refused" if trouble.state == "refused" else "failed"
            outcome = Outcome(key, partition, state, trouble.reason, inputs=trouble.inputs, code=trouble.code, lasting=lasting)  # type: ignore[arg-type]
        held = [fence for fence in self._fences.get(run.id, ()) if fence.endpoint == key]
        self.ledger.partitions.record([outcome], RunInfo(str(run.id), "schedule", self.now, self.now), held)

    def _skip(self, place: Place) -> None:
        super()._skip(place)
        self.ledger.partitions.record([Outcome(*place, "skipped")], RunInfo("looked", "schedule", self.now, self.now))

    def _end(self, run: Run) -> None:
        finished = run.ends is not None and run.ends <= self.now
        super()._end(run)
        if run.request is not None and run.request in self._opened:
            self.ledger.requests.close(self._opened[run.request])
        for fence in self._fences.pop(run.id, ()):
            if finished:  # what died gives nothing back
                self.ledger.leases.release(fence)
        self.ledger.leases.end_run(str(run.id))

    # asked of the ledger

    def _facts(self, asked: Iterable[str], since: datetime) -> Facts:
        plain = super()._facts(asked, since)
        told = self.ledger.facts(plain.asked, since, self.now)
        for mine, theirs in zip(decide(plain, self.now, LOOK_BACK), decide(told, self.now, LOOK_BACK), strict=True):
            self._hold(mine == theirs, f"the ledger says {theirs}, it is {mine}")
            self.compared += 1
        return told

    def _standing(self, asked: Iterable[str], since: datetime) -> Standing:
        plain = super()._standing(asked, since)
        whole, named = (each.read(plain.asked, since, self.now) for each in self._standings)
        mine = _in_order(gaps(self.graph, plain, self.now, LOOK_BACK))
        for theirs in (_in_order(gaps(self.graph, told, self.now, LOOK_BACK)) for told in (whole, named)):
            self._hold(
                mine == theirs, f"the ledger asks for {[each for each in theirs if each not in mine]}, it is {[each for each in mine if each not in theirs]}"
            )
        self.compared += len(mine)
        return named if self.compared % 2 else whole


def _in_order(decisions: Iterable[Decision]) -> list[Decision]:
    return sorted(decisions, key=lambda each: (each.endpoint, each.partition))
