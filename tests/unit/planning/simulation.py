"""A platform that lives for some days within a second: receivers, stragglers, runs, faults and people drawn from one seed, around the real planner.

Nothing here knows when a partition ought to be built. Receivers seal, runs build what they are given from what is published when they start, ticks do as
schedules and the late-data sensor do; the planning functions are the platform's own. What must hold is said in `simulation_holds`: a failure is a seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from platform_defs.contracts.partitions import index_of, key_of, keys_between, window_of
from platform_defs.planning.facts import Counts, Landed, Pause, Published, Receiver, Trouble
from platform_defs.planning.gaps import Graph, OpenTrouble, Ranges, Span, Standing, gaps
from platform_defs.planning.inputs import view_inputs
from platform_defs.planning.lateness import PARK_EVERY
from platform_defs.planning.requests import plan_tick
from platform_defs.planning.retry import next_try
from platform_defs.planning.states import Decision, decide, first_look, sight
from platform_defs.planning.sweep import swept
from platform_defs.planning.touched import Place, Readers, unsettled
from platform_defs.planning.windows import first_key
from tests.unit.planning.reasons import Try
from tests.unit.planning.recomputed import computed, ends
from tests.unit.planning.simulated import Collector, Job, Request, Run, hashed
from tests.unit.planning.simulation_holds import BEGUN, LOOK_BACK, Held
from tests.unit.planning.world import at

LOST_AFTER = timedelta(minutes=5)
SLOTS = 6
SWEPT = 2


class Simulation(Held):
    """One world. `run` lives through it and checks what must hold; everything that happens follows from the seed."""

    # the life of it

    def run(self) -> Simulation:
        """A stormy time, then a calm one in which everything must settle."""
        end = self.now + timedelta(hours=self.hours)
        while self.now < end:
            self.step()
        self.storm = False
        for collector in self.collectors:
            collector.alive, collector.lost = True, False
        self.pauses.clear()
        self._mend()
        calm = self.now + timedelta(hours=13)
        while self.now < calm:
            self.step()
            if not self.now.minute:
                self._backfill()
        # What came beyond the last settle age is looked at once a day.
        self.now += PARK_EVERY
        self.owed.clear()
        rest = self.now + timedelta(hours=4)
        latest = rest + timedelta(hours=8)
        self.pace = timedelta(minutes=5)  # the newest hour goes through all levels before the next one ends
        while self.now < rest or (self.now + self.pace).minute or self.runs:
            self.step(arrivals=False)
            if not self.now.minute % 15 and self._backfill():
                rest = max(rest, self.now + timedelta(hours=1))
            self._hold(self.now < latest, "does not come to rest")
        self.check_the_end()
        return self

    def step(self, *, arrivals: bool = True) -> None:
        self.now += self.pace
        if arrivals:
            self._arrive()
        if self.storm:
            self._misfortune()
        self._seal()
        self._work()
        self._expire()
        crash = self.storm and self.dice.random() < 0.05
        self._schedules(crash)
        self._late(self.storm and self.dice.random() < 0.05)
        self.check_owed()
        self.check_accounts()

    def _arrive(self) -> None:
        alive = [collector for collector in self.collectors if collector.alive]
        for key, facts in self.world.facts.items():
            if facts.contract.kind != "event" or not alive:
                continue
            for _ in range(self.dice.randint(0, 5)):
                self._accept(self.dice.choice(alive), key, key_of("hourly", self.now - timedelta(seconds=1)))
            if self.storm and self.dice.random() < 0.12:
                ago = timedelta(hours=self.dice.choice([1, 1, 2, 3, 5, 8, 20, 40]))
                hour = key_of("hourly", max(self.now - ago, at(0)))
                for _ in range(self.dice.choice([1, 1, 1, 1, 12])):
                    self._accept(self.dice.choice(alive), key, hour)

    def _accept(self, collector: Collector, key: str, hour: str) -> None:
        self.numbers += 1
        collector.log.append((key, hour, self.numbers))
        self.accepted[key, hour] += 1

    def _seal(self) -> None:
        for collector in self.collectors:
            if not collector.alive:
                continue
            collector.beat_at = collector.sealed_until = self.now
            for key, hour, number in collector.log:
                self.sealed.setdefault((key, hour), []).append((number, self.now))
            for place in {(key, hour) for key, hour, _ in collector.log}:
                rows = self.sealed[place]
                self.world.landed(place[0])[place[1]] = Landed(len(rows), len(rows), self.now)
                self.changes.append(("landed", place))
            collector.log.clear()
        self.world.receivers = [
            Receiver(each.name, each.sealed_until, each.beat_at, "lost" if each.lost else "live") for each in self.collectors
        ]  # fmt: skip

    def _misfortune(self) -> None:
        dice = self.dice
        for collector in self.collectors:
            if collector.alive and dice.random() < 0.01:
                collector.alive = False
            elif not collector.alive and dice.random() < 0.08:
                collector.alive, collector.lost = True, False
            elif not collector.alive and dice.random() < 0.03:
                collector.lost = True
        if dice.random() < 0.02:
            self.held_until = self.now + timedelta(minutes=dice.choice([20, 60, 150]))
        if dice.random() < 0.01:
            key = dice.choice(list(self.world.facts))
            self.world.change(key, code_version=f"code-{self.now:%d%H%M}")
            self.graph = Graph(self.world.contracts)
        if dice.random() < 0.01:
            key = dice.choice([*self.world.facts, "a", "b"])
            if not any(pause.name == key for pause in self.pauses):
                self.pauses.append(Pause(key, "a person said so", self.now, self.now + timedelta(hours=dice.randint(1, 4))))
        self.pauses = [pause for pause in self.pauses if pause.until is None or pause.until > self.now]
        if dice.random() < 0.03:  # a person clicks
            key = dice.choice(list(self.world.facts))
            built = sorted(self.world.published(key))
            if built:
                self.numbers += 1
                self.runs[self.numbers] = Run(self.numbers, None, [(key, dice.choice(built))], forced=True)
        if self.runs and dice.random() < 0.02:  # a run dies; Dagster sees its end
            self._end(dice.choice(list(self.runs.values())))

    def _mend(self) -> None:
        """Authors mend what was refused or broke: new code for it."""
        for key in self.world.facts:
            if self.world.troubles(key):
                self.world.change(key, code_version=f"mended-{self.now:%d%H%M}")
        self.graph = Graph(self.world.contracts)

    def _backfill(self) -> bool:
        """A person asks for what lies beyond the look-back, never built or in trouble: a run an endpoint, and again once these are over; whether any is."""
        if any(run.request is None for run in self.runs.values()):
            return True
        self._in_flight()
        far = self.now - first_look(LOOK_BACK) + timedelta(days=1)
        wanted: dict[str, list[Place]] = {}
        for key, facts in self.world.facts.items():
            troubled = self.world.troubles(key)
            for partition in keys_between(first_key(facts.contract), key_of(facts.cadence, far)):
                never = partition not in self.world.published(key)
                if (never or partition in troubled) and partition not in facts.in_flight and window_of(partition).start < far and ends(partition) <= self.now:
                    wanted.setdefault(key, []).append((key, partition))
        for places in wanted.values():
            self.numbers += 1
            self.runs[self.numbers] = Run(self.numbers, None, places, forced=False)
        return bool(wanted)

    # runs

    def _work(self) -> None:
        for run in list(self.runs.values()):
            if run.ends is not None and run.ends <= self.now:
                self._finish(run)
        if self.now < self.held_until:
            return
        queued = [run for run in self.runs.values() if run.ends is None]
        for run in queued[: SLOTS - (len(self.runs) - len(queued))]:
            self._start(run)
            if not self.storm:
                self._finish(run)

    def _start(self, run: Run) -> None:
        leased = {job.place for other in self.runs.values() for job in other.jobs}
        for place in sorted(run.places):
            if place in leased or (job := self._job(place, forced=run.forced)) is None:
                continue
            run.jobs.append(job)
            if not self.storm:  # at once, one after another: what reads itself finds its predecessor
                self._outcome(run, run.jobs.pop())
        run.ends = self.now + (timedelta() if not self.storm else timedelta(minutes=self.dice.choice([5, 10, 10, 30, 90])))

    def _job(self, place: Place, *, forced: bool) -> Job | None:
        """What a run finds to do for a partition: None if its inputs are not there, or if it is current already."""
        key, partition = place
        contract = self.world.facts[key].contract
        old = self.world.published(key).get(partition)
        if contract.kind == "event":
            rows = tuple(self.sealed.get(place, ()))
            kept = self._kept(contract, rows, old)
            digest = hashed("segments", *sorted(number for number, _ in rows))
            if old is not None and digest == old.inputs and not forced:
                self._skip(place)
                return None
            return Job(place, digest, hashed("rows", *sorted(kept)), {}, rows, {}, contract.code_version, self.now)
        pins = dict(old.pins) if old is not None and not forced else None
        view = view_inputs(contract, partition, self.world.contracts, self.world.content, pins)
        if not view.complete:
            return None
        if old is not None and view.digest == old.inputs and not forced and contract.kind != "source":
            self._skip(place)
            return None
        if contract.kind == "source":
            content: bytes | None = hashed(key, partition, self.now.hour // 12)
        else:
            content = computed(contract, partition, self.world.contracts, view.pins, self.world.content)
        if content is None:
            raise self.broken(f"{key} {partition} is built before its inputs are complete")
        read = self.reasons.read(contract, partition, view.pins)
        return Job(place, view.digest, content, dict(view.pins), (), read, contract.code_version, self.now)

    def _skip(self, place: Place) -> None:
        """As the ledger does for a build that finds its partition current."""
        key, partition = place
        self.world.published(key)[partition] = replace(self.world.published(key)[partition], seen_at=self.now)
        self.world.troubles(key).pop(partition, None)
        self.stories[place].current(self.now)

    def _finish(self, run: Run) -> None:
        for job in run.jobs:
            self._outcome(run, job)
        self._end(run)

    def _outcome(self, run: Run, job: Job) -> None:
        key, partition = job.place
        contract = self.world.facts[key].contract
        self.built[job.place] += 1
        old = self.world.published(key).get(partition)
        story = self.stories[job.place]
        if run.request is None:
            story.asked += 1
        else:
            reason = self.requests[run.request].reasons[job.place]
            self._hold(reason not in story.spent, f"{job.place} is built again for {reason}")
            story.spent.add(reason)
        roll = self.dice.random() if self.storm else 1.0
        state = "failed" if roll < (0.4 if contract.kind == "source" else 0.06) else "refused" if roll < 0.09 else "stuck" if roll < 0.11 else "published"
        one = Try(job.began, self.now, state, job.code, job.pins, job.read, len(job.rows), failures=1)
        if story.last is not None and story.last.state in ("failed", "stuck") and state != "refused" and one.like(story.last):
            one = replace(one, failures=story.last.failures + 1)
        story.tried(one)
        if state != "published":
            before = self.world.troubles(key).get(partition)
            same = before is not None and before.state in ("failed", "stuck") and (before.inputs, before.code) == (job.digest, job.code)
            tries = before.tries + 1 if same and before and state != "refused" else 1
            again = next_try(tries, self.now) if state == "failed" else None
            if state == "failed" and again is None:
                state = "stuck"
            self.world.troubles(key)[partition] = Trouble(
                state, f"it {state}", tries, self.now, again, job.digest, job.code, str(run.id), began=job.began  # type: ignore[arg-type]
            )  # fmt: skip
            return
        self.world.troubles(key).pop(partition, None)
        changed = old is None or old.content != job.content
        counts = None
        if contract.kind == "event":
            kept = len(self._kept(contract, job.rows, old))
            counts = Counts(landed=len(job.rows), good=kept, parked=len(job.rows) - kept)
        self.world.published(key)[partition] = Published(
            content=job.content,
            inputs=job.digest,
            rows=len(job.rows),
            version=1,
            code=job.code,
            built_at=self.now,
            run_id=str(run.id),
            counts=counts,
            pins=job.pins,
            first_built_at=old.first_built_at if old else self.now,
            changed_at=old.changed_at if old and not changed else self.now,
            seen_at=self.now,
        )
        if changed:
            self.changes.append(("content", job.place))
            self.moved[job.place].append(self.now)

    def _end(self, run: Run) -> None:
        self.runs.pop(run.id)
        if run.request is not None:
            self.requests.pop(run.request, None)

    # ticks

    def _expire(self) -> None:
        for request in list(self.requests.values()):
            if request.run is None and self.now >= request.opened + LOST_AFTER:
                del self.requests[request.id]

    def _standing(self, asked: Iterable[str], since: datetime) -> Standing:
        keys = tuple(asked)
        flight = [Span(key, index_of(each), index_of(each)) for key in keys for each in self.world.facts[key].in_flight]
        troubles = [
            OpenTrouble(key, index_of(partition), each.state, each.tries, each.next_try, each.code, partition in self.world.published(key))
            for key in keys
            for partition, each in self.world.troubles(key).items()
        ]
        published: dict[str, Ranges] = {
            key: tuple((number, number) for number in sorted(map(index_of, self.world.published(key)))) for key in self.world.facts if self.world.published(key)
        }
        return Standing(since, self.now, keys, published, flight, troubles, tuple(self.world.receivers), tuple(self.pauses))

    def _schedules(self, crash: bool) -> None:
        self._in_flight()
        since = self.now - first_look(LOOK_BACK)
        share = swept(self.world.facts, at(0) + timedelta(minutes=(self.now - at(0)) // self.pace), SWEPT)
        rest = [key for key in self.world.facts if key not in share]
        far = {key: reach for key in share if (reach := sight(self.world.facts[key].contract, LOOK_BACK)) > first_look(LOOK_BACK)}
        decisions = decide(self._facts([key for key in share if key not in far], since), self.now, LOOK_BACK)
        for key, reach in far.items():
            decisions += decide(self._facts([key], self.now - reach), self.now, LOOK_BACK)
        decisions += gaps(self.graph, self._standing(rest, since), self.now, LOOK_BACK)
        self._ask(decisions, crash)
        if not crash:
            self.check_all_due_is_asked(since)

    def _late(self, crash: bool) -> None:
        kept = (self.read, set(self.pending), dict(self.later))
        touched = self.pending | {place for place, when in self.later.items() if when <= self.now}
        old = self.now - first_look(LOOK_BACK)
        for key in self.world.facts:
            tried = [each for each, trouble in self.world.troubles(key).items() if trouble.next_try is not None and trouble.next_try <= self.now]
            touched |= {(key, each) for each in tried if window_of(each).start < old}
        readers = {domain: Readers(self.world.contracts, domain) for domain in "ab"}
        for kind, place in self.changes[self.read :]:
            if kind == "landed":
                touched.add(place)
            else:
                for each in readers.values():
                    touched.update(each.of(*place, self.now))
        self.read = len(self.changes)
        self._in_flight()
        decisions = decide(self._facts(sorted({key for key, _ in touched}), BEGUN), self.now, LOOK_BACK, only=touched)
        self._ask(decisions, crash)
        left = unsettled(decisions, self.now)
        self.pending = set(left.soon)
        self.later = {place: when for place, when in self.later.items() if place not in touched} | dict(left.later)
        if crash:  # the cursor is kept with the tick
            self.read, self.pending, self.later = kept

    def _ask(self, decisions: list[Decision], crash: bool) -> None:
        asked = [each for each in decisions if each.ask]
        reasons = {(each.endpoint, each.partition): self.check_may_be_asked(each) for each in asked}
        plans = plan_tick(decisions, self.world.contracts, self.graph.level, self.room)
        self.check_served(asked, plans)
        for plan in plans:
            self.check_shape(plan)
            self.numbers += 1
            request = Request(self.numbers, plan, self.now, reasons={place: reasons[place] for place in plan.places})
            self.requests[request.id] = request
            if not (crash and self.dice.random() < 0.5):
                self.numbers += 1
                self.runs[self.numbers] = Run(self.numbers, request.id, request.places, forced=False)
                request.run = self.numbers
        self._in_flight()
