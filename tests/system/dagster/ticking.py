"""A harness for ticks: `tick() arrive() finish() fail()` over a real ledger and a Dagster instance, at a present that moves.

Schedules and sensors are evaluated as a code server does it, each with what its last tick left; what they ask for becomes runs of their jobs as the daemon
makes them. Only the builds are played: what a run does is said by the test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from sqlalchemy import event

from platform_defs.build.definitions import build_defs
from platform_defs.build.housekeeping import retention_name
from platform_defs.build.platform import PLATFORM
from platform_defs.contracts.loading import LoadedDomain
from platform_defs.contracts.partitions import Cadence, keys_between, window_of
from platform_defs.execution.platform import Platform
from platform_defs.lake.landing import SealManifest, Segment, segment_path
from platform_defs.ledger import Ledger
from platform_defs.ledger.leases import Fence
from platform_defs.ledger.outcomes import Outcome, OutcomeState, RunInfo
from platform_defs.planning.deadlines import ON_TIME
from platform_defs.planning.facts import Counts, Published
from platform_defs.planning.inputs import view_inputs
from sensors.run_tags import RANGE_END, RANGE_START, REQUEST, spared_read

Place = tuple[str, str]
CADENCES: tuple[Cadence, ...] = ("hourly", "daily")


@dataclass
class Spent:
    """What was asked of the database."""

    statements: list[str] = field(default_factory=list)
    rows: int = 0


@dataclass
class Ticked:
    """What one tick of everything asked for, as runs and as partitions (endpoint, key), and how often it found nothing."""

    runs: list[dg.DagsterRun] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


class TickHarness:
    """Domains, their ledger and an instance.

    Args:
        platform: what runs build with: they are executed in this process as they are launched. None: builds are played (`finish`, `fail`).
    """

    def __init__(self, ledger: Ledger, instance: dg.DagsterInstance, domains: Sequence[LoadedDomain], now: datetime, platform: Platform | None = None) -> None:
        self.ledger, self.instance, self.now = ledger, instance, now
        ledger.store.clock = lambda: self.now
        self._platform = platform
        self._cursors: dict[str, str | None] = {}
        self._seals = 0
        self.deploy(domains)

    def deploy(self, domains: Sequence[LoadedDomain]) -> None:
        """Puts these domains in force, in place of all there were."""
        contracts = {contract.key: contract for domain in domains for contract in domain.contracts}
        self.ledger.registry.apply(contracts.values(), "test")
        resources = None if self._platform is None else {PLATFORM: self._platform}
        self.repositories = {
            domain.name: build_defs(domain.name, loaded=domain, known=contracts, resources=resources, ledger=lambda: self.ledger).get_repository_def()
            for domain in domains
        }

    # what happens

    def arrive(self, event_type: str, hour: str, rows: int, receiver: str = "r1") -> None:
        """A receiver seals rows of an hour now; it has sealed all it accepted before."""
        self._seals += 1
        path = segment_path(event_type, hour, receiver, self._seals)
        segment = Segment(event=event_type, hour=hour, path=path, rows=rows, size=rows, sha256=hashlib.sha256(path.encode()).hexdigest())
        self.ledger.landing.beat(receiver, self.now, self.now)
        self.ledger.landing.record_seal(
            SealManifest(receiver=receiver, seal=self._seals, sealed_at=self.now, sealed_until=self.now, segments=(segment,), accounts=())
        )

    def tick(self, after: timedelta = timedelta(minutes=1), *, crash: bool = False) -> Ticked:
        """Time passes, then every schedule of the planner and the late-data sensors tick once.

        Args:
            crash: the daemon dies after the ticks were evaluated: nothing is launched and no cursor kept.
        """
        self.now += after
        found = Ticked()
        for domain, repository in sorted(self.repositories.items()):
            for schedule in repository.schedule_defs:
                if schedule.name == retention_name(domain):  # the calendar's, not the planner's
                    continue
                context = dg.build_schedule_context(instance=self.instance, scheduled_execution_time=self.now, repository_def=repository)
                data = schedule.evaluate_tick(context)
                self._take(found, repository, schedule.name, schedule.job_name, data.run_requests, data.skip_message, crash)
            name = f"{domain}_late_data"
            if not any(sensor.name == name for sensor in repository.sensor_defs):
                continue
            told = dg.build_sensor_context(instance=self.instance, cursor=self._cursors.get(name), repository_def=repository)
            late = repository.get_sensor_def(name).evaluate_tick(told)
            if not crash:
                self._cursors[name] = late.cursor
            self._take(found, repository, name, None, late.run_requests, late.skip_message, crash)
        return found

    def alert(self, domain: str, after: timedelta = timedelta(minutes=1)) -> list[dg.AssetCheckEvaluation]:
        """Time passes, then a domain's alerts sensor ticks; the verdicts that Dagster has got by it."""
        self.now += after
        repository, name = self.repositories[domain], f"{domain}_alerts"
        before = self._verdicts(domain)
        context = dg.build_sensor_context(instance=self.instance, cursor=self._cursors.get(name), repository_def=repository)
        self._cursors[name] = repository.get_sensor_def(name).evaluate_tick(context).cursor
        return [verdict for number, verdict in self._verdicts(domain).items() if number not in before]

    def _verdicts(self, domain: str) -> dict[int, dg.AssetCheckEvaluation]:
        """All verdicts on deadlines that Dagster holds of a domain, by number."""
        keys = [key for key in self.repositories[domain].asset_graph.asset_check_keys if key.name == ON_TIME]
        history = self.instance.event_log_storage.get_asset_check_execution_history
        found = {record.id: record.evaluation for key in keys for record in history(key, limit=1000) if record.evaluation is not None}
        return dict(sorted(found.items()))

    def finish(self, contents: Callable[[Place], object] | None = None) -> list[Place]:
        """Every run that waits builds all it was asked for and ends well; what was published.

        Args:
            contents: what a partition holds; None: it follows from what it was built from.
        """
        published: list[Place] = []
        for run in self.waiting():
            fences: list[Fence] = []
            outcomes: list[Outcome] = []
            for key, partitions in _by_endpoint(places_of(run)).items():
                fence = self.ledger.leases.acquire(key, partitions, run.run_id)
                assert isinstance(fence, Fence), f"{key}: {fence.words}"
                fences.append(fence)
                outcomes += self._published(key, partitions, run.run_id, contents)
            self.ledger.partitions.record(outcomes, self._told(run), fences)
            for held in fences:
                self.ledger.leases.release(held)
            self.instance.report_dagster_event(_success(run), run.run_id)
            published += [(outcome.endpoint, outcome.partition) for outcome in outcomes]
        return published

    def fail(self, state: OutcomeState = "failed", only: Place | None = None) -> list[Place]:
        """Every run that waits fails on its partitions, or on that one, as an author's code, a check or a network might; which they were."""
        failed: list[Place] = []
        for run in self.waiting():
            mine = [place for place in places_of(run) if only in (None, place)]
            if not mine:
                continue
            known = self.ledger.registry.current()
            outcomes = [
                Outcome(key, partition, state, f"it {state}", inputs=inputs, code=known[key].code_version)
                for key, partitions in _by_endpoint(mine).items()
                for partition, inputs in self._inputs(key, partitions).items()
            ]
            self.ledger.partitions.record(outcomes, self._told(run))
            self.instance.report_run_failed(run)
            failed += mine
        return failed

    def waiting(self) -> list[dg.DagsterRun]:
        """Runs that nobody has ended, oldest first."""
        return [run for run in reversed(self.instance.get_runs()) if not run.is_finished]

    @contextmanager
    def counting(self) -> Iterator[Spent]:
        """Inside, what is asked of the ledger's database is counted."""
        spent = Spent()

        def note(_connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
            spent.statements.append(statement)
            spent.rows += max(0, cursor.rowcount)

        event.listen(self.ledger.store.engine, "after_cursor_execute", note)
        try:
            yield spent
        finally:
            event.remove(self.ledger.store.engine, "after_cursor_execute", note)

    # how

    def _take(self, found: Ticked, repository: Any, name: str, job: str | None, requests: Any, skipped: str | None, crash: bool) -> None:
        if not requests:
            found.skipped[name] = str(skipped)
        for request in requests or ():
            if not crash:
                found.runs.append(self._launch(repository, request, job))
                found.places += _places(request.asset_selection, request.tags)

    def _launch(self, repository: Any, request: dg.RunRequest, job: str | None) -> dg.DagsterRun:
        """As the daemon does: the job's part that was asked for, with its tags; it is an error to ask for what the job does not hold."""
        definition = repository.get_job(request.job_name or job)
        selected = set(request.asset_selection or ())
        part = definition.get_subset(asset_selection=selected)
        assert part.asset_layer.executable_asset_keys >= selected
        if self._platform is not None:
            done = definition.execute_in_process(instance=self.instance, tags=dict(request.tags), asset_selection=sorted(selected), raise_on_error=False)
            run = self.instance.get_run_by_id(done.run_id)
            assert run is not None
            return run
        return self.instance.create_run_for_job(part, tags=dict(request.tags), status=dg.DagsterRunStatus.NOT_STARTED, asset_selection=frozenset(selected))

    def _published(self, key: str, partitions: list[str], run_id: str, contents: Callable[[Place], object] | None) -> list[Outcome]:
        contract = self.ledger.registry.current()[key]
        segments = self.ledger.landing.segments(key, partitions) if contract.kind == "event" else {}
        outcomes = []
        for partition, inputs in self._inputs(key, partitions).items():
            rows = sum(row.segment.rows for row in segments.get(partition, ()))
            holds = contents((key, partition)) if contents is not None else (rows, inputs)
            version = Published(
                content=hashlib.sha256(repr((key, partition, holds)).encode()).digest()[:16],
                inputs=inputs,
                rows=rows,
                version=1,
                code=contract.code_version,
                built_at=self.now,
                run_id=run_id,
                counts=Counts(landed=rows, good=rows) if contract.kind == "event" else None,
            )
            outcomes.append(Outcome(key, partition, "published", published=version))
        return outcomes

    def _inputs(self, key: str, partitions: list[str]) -> dict[str, bytes]:
        """The digests a build would find."""
        facts = self.ledger.facts([key], window_of(partitions[0]).start, window_of(partitions[-1]).end)

        def content(endpoint: str, partition: str) -> bytes | None:
            found = facts.endpoints[endpoint].published.get(partition)
            return found.content if found else None

        contracts = {name: each.contract for name, each in facts.endpoints.items()}
        return {partition: view_inputs(contracts[key], partition, contracts, content).digest for partition in partitions}

    def _told(self, run: dg.DagsterRun) -> RunInfo:
        return RunInfo(run.run_id, "schedule", self.now, self.now, request_id=int(run.tags[REQUEST]))


def _by_endpoint(places: Sequence[Place]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, partition in places:
        found.setdefault(key, []).append(partition)
    return found


def places_of(run: dg.DagsterRun) -> list[Place]:
    """The partitions a run was asked for; not those of its range that it leaves alone."""
    return _places(run.asset_selection, run.tags)


def _places(assets: Iterable[dg.AssetKey] | None, tags: Mapping[str, str]) -> list[Place]:
    keys, spared = keys_between(tags[RANGE_START], tags[RANGE_END]), spared_read(tags)
    names = [asset.to_user_string() for asset in sorted(assets or ())]
    return [(name, key) for name in names for key in keys if key not in spared.get(name, ())]


def _success(run: dg.DagsterRun) -> dg.DagsterEvent:
    return dg.DagsterEvent(event_type_value=dg.DagsterEventType.PIPELINE_SUCCESS.value, job_name=run.job_name, message="played")
