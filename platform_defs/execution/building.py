"""The way of a partition, the same for every kind of endpoint: plan -> lease -> inputs -> compute and stage -> inspect -> publish -> record.

What differs between kinds is the compute step (endpoints, intake, sources); what is judged is in quality and checks; commits are in publishing, and what is
answered and told to the ledger in answering.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from platform_defs.contracts.durations import words
from platform_defs.contracts.partitions import cadence_of, partition_column
from platform_defs.execution.answering import Answers
from platform_defs.execution.calling import blame_of, compiled_of
from platform_defs.execution.failures import Blame
from platform_defs.execution.leasing import WAIT_SECONDS, Waiter, guard, take
from platform_defs.execution.platform import Cancelled, Platform, Work
from platform_defs.execution.publishing import Publisher
from platform_defs.execution.results import Failure, FailureKind, PartitionResult
from platform_defs.execution.skipping import Asked, before_start, why_current, why_left
from platform_defs.execution.steps import ComputeStep, Planned, Staged, StepRun, Waiting
from platform_defs.execution.withheld import RunLog, said
from platform_defs.lake import delta_log
from platform_defs.lake.files import files_of
from platform_defs.lake.retention import first_kept
from platform_defs.lake.staging import staging_folder
from platform_defs.ledger.leases import Fence, FenceLost, Held, RunEnded
from platform_defs.planning.facts import Published

_LOSSES = 3


class WrongPartition(ValueError):
    """A key of another cadence than the endpoint's was asked for."""


def build(work: Work, platform: Platform, step: ComputeStep | None = None, wait_seconds: float = WAIT_SECONDS) -> list[PartitionResult]:
    """Builds the partitions asked for and answers for each, in key order. A partition's trouble is its own.

    Args:
        step: how to compute; None: as the kind of the declaration says.
        wait_seconds: how long to wait for another run that builds the same partition; past it the partition is answered as waiting.

    Raises:
        WrongPartition: a key of another cadence.
        UnknownEndpoint: the registry does not hold the endpoint.
        Cancelled: the work says so.
    """
    contract = work.declared.contract
    if strange := [key for key in work.keys if cadence_of(key) != contract.cadence]:
        raise WrongPartition(f"{contract.key} is {contract.cadence}: {strange[0]} is no partition of it")
    step = step or step_of(work, platform)
    run = _Build(work, platform, step, wait_seconds)
    try:
        return run.results()
    finally:
        step.close()


def step_of(work: Work, platform: Platform) -> ComputeStep:
    """The compute step of a declaration's kind."""
    match work.declared.contract.kind:
        case "endpoint":
            from platform_defs.execution.endpoints import EndpointStep

            return EndpointStep(work, platform)
        case "event":
            from platform_defs.execution.intake import IntakeStep

            return IntakeStep(work, platform)
        case "source":
            from platform_defs.execution.sources import SourceStep

            return SourceStep(work, platform)
        case _ as never:
            assert_never(never)


class _Build:
    """One call of `build`."""

    def __init__(self, work: Work, platform: Platform, step: ComputeStep, wait_seconds: float) -> None:
        self._work, self._platform, self._step, self._wait_seconds = work, platform, step, wait_seconds
        self._contract = work.declared.contract
        self._key = self._contract.key
        self._blame = _blame(work, platform)
        self._asked = Asked(work.run_id, work.trigger, work.requested_at, work.force, work.origin)
        self._answers = Answers(work, platform)
        self._lost: list[str] = []
        self._seen: Mapping[str, Published] = {}

    def results(self) -> list[PartitionResult]:
        """Does all of it; see `build`."""
        keys = sorted(set(self._work.keys))
        early = [key for key in keys if before_start(key, self._contract.start)]
        for key in early:
            self._answers.pass_over(key, f"before start ({self._contract.start}): empty and complete")
        oldest, kept = first_kept(self._contract, self._answers.began), words(self._contract.retention_seconds)
        for key in [key for key in keys if key < oldest and key not in self._answers.results]:
            self._answers.pass_over(key, f"outside retention ({kept}): dropped, and not built again; the oldest kept is {oldest}")
        keys = [key for key in keys if key not in self._answers.results]
        keys = self._unspared(keys)
        try:
            if self._work.origin == "built" and any(item.endpoint == self._key for item in self._contract.inputs):
                self._one_after_another(keys)
            else:
                self._range(keys)
        finally:
            self._answers.tell()
        return [self._answers.results[key] for key in sorted(self._answers.results)]

    def _unspared(self, keys: Sequence[str]) -> list[str]:
        """Those that are to be built. What is published of the spared ones is said again, to Dagster alone: nothing was looked at."""
        spared = self._published([key for key in keys if key in self._work.spared]) if self._work.spared else {}
        for key, version in spared.items():
            self._answers.spare(key, "not asked for, left alone", version)
        return [key for key in keys if key not in spared]

    # --- order -----------------------------------------------------------------------------------------------------------------------------------

    def _one_after_another(self, keys: Sequence[str]) -> None:
        """A partition that reads its predecessor is built once that is published; a failure ends the range there, and the rest waits for it."""
        broken: str | None = None
        for key in keys:
            if broken is not None:
                self._answers.wait(Waiting(key, (f"{self._key} {broken}",), f"it reads its own {broken}, which was not published"))
                continue
            self._range([key])
            if not self._answers.results[key].good:
                broken = key

    def _range(self, keys: Sequence[str]) -> None:
        """Builds what is not current, lease by lease: what another run holds, or took from us, is waited for, looked at again, and mostly found current."""
        waiter = Waiter(self._wait_seconds)
        remaining = list(keys)
        losses = 0
        while remaining:
            self._go_on()
            planned = self._look(remaining)
            if not planned:
                return
            try:
                lease = take(self._platform, self._key, list(planned), self._work.run_id)
            except RunEnded:
                self._all_lost(planned)
                return
            except Exception as error:  # noqa: BLE001 - the engine cannot say that nothing of a dead run goes on: nobody may build now
                for key, plan in planned.items():
                    self._fail(key, self._blame.engine(key, error), plan)
                return
            if isinstance(lease, Held):
                if not waiter.again():
                    self._give_up(planned, lease)
                    return
                remaining = list(planned)
                continue
            lost = self._under(lease, {key: planned[key] for key in lease.partitions})
            losses += bool(lost)
            if losses > _LOSSES:
                self._all_lost({key: planned[key] for key in lost})
                lost = []
            remaining = [key for key in planned if key not in lease.partitions or key in lost]

    def _look(self, keys: Sequence[str]) -> dict[str, Planned]:
        """What must be built of these, and what it would read; the others are answered."""
        plans = self._step.plan(keys)
        self._seen = published = self._published(keys)
        versions = {key: version.version for key, version in published.items()}
        changed = {*delta_log.changed_since(self._platform.lake.table(self._key), versions), *self._bare(published)}
        planned: dict[str, Planned] = {}
        for key in keys:
            plan = plans[key]
            if why := why_left(self._asked, published.get(key), key not in changed):
                self._answers.skip(key, why, published[key])
            elif isinstance(plan, Waiting):
                self._answers.wait(plan)
            elif isinstance(plan, Failure):
                self._fail(key, plan, None)
            elif why := why_current(self._asked, plan.digest, self._contract.code_version, published.get(key), key not in changed):
                self._answers.skip(key, why, published[key])
            elif plan.refusal is not None and key not in changed:
                self._fail(key, plan.refusal, None)
            else:
                planned[key] = plan
        return planned

    def _bare(self, published: Mapping[str, Published]) -> list[str]:
        """Partitions that have rows by the ledger and no files in the table: somebody removed them, with their folder or without, which no log tells."""
        column = partition_column(self._contract.cadence)
        folders = {key: f"{column}={key}" for key, version in published.items() if version.rows}
        filled = files_of(self._platform.lake.root).filled(self._platform.lake.table(self._key), folders.values())
        return [key for key, folder in folders.items() if folder not in filled]

    def _go_on(self) -> None:
        """Raises Cancelled if the run is being cancelled."""
        if self._work.cancelled():
            raise Cancelled(f"run {self._work.run_id} is being cancelled")

    # --- under a lease ---------------------------------------------------------------------------------------------------------------------------

    def _under(self, fence: Fence, planned: dict[str, Planned]) -> list[str]:
        """Builds what is still to be built now that the lease is held; which partitions another run took over meanwhile.

        The lease is given back only when nothing of ours can go on in the engine.
        """
        self._lost = []
        idle = True
        try:
            before: Mapping[str, Published] = self._published(list(planned))
            if fence.interrupt or any(before.get(key) != self._seen.get(key) for key in planned):
                planned = self._look(list(planned))  # between our look and the lease somebody built it, or died building it
                before = self._seen
            if planned:
                idle = self._build(fence, planned, before)
        except FenceLost:
            self._lost = list(planned)
        except Exception as error:  # staging, a record beside the lake, the ledger: no partition's own
            for key, plan in planned.items():
                if (failure := self._blame.publishing(key, error)).lasting:
                    raise  # a fault of the platform: its trace is wanted
                self._fail(key, failure, plan)
        except BaseException:  # cancelled: what we started must not commit after we are gone
            idle = False
            self._platform.engines.engine(self._step.zone).interrupt(self._work.run_id)
            idle = True
            raise
        finally:
            if idle:
                self._platform.ledger.leases.release(fence)
        return self._lost

    def _build(self, fence: Fence, planned: Mapping[str, Planned], before: Mapping[str, Published]) -> bool:
        """Computes, inspects, publishes and records; whether the engine is surely done with it. `before`: what is published now."""
        engine = self._platform.engines.engine(self._step.zone)
        began = time.monotonic()
        try:
            session = engine.session(self._work.run_id)
        except Exception as error:  # noqa: BLE001 - no session, no partition; the next try may find the engine again
            for key, plan in planned.items():
                self._fail(key, self._blame.engine(key, error), plan)
            return True
        with staging_folder(self._platform.lake, self._work.run_id, self._key) as folder, engine.tagged(session, self._work.run_id, self._key):
            run = StepRun(self._work.run_id, session, folder, fence=fence.number, cancelled=self._work.cancelled)
            engine.ranked(session, self._work.declared.contract.tier)
            engine.sized(session, self._rows_a_plan(planned))
            staged = self._staged(planned, run)
            # An answer is mostly smaller than what was read: compiling for millions of rows what sees thousands took a third of such an hour.
            rows = _total(planned[key].rows_in if each.rows is None else each.rows for key, each in staged.items())
            engine.sized(session, rows)
            publisher = Publisher(self._work, self._platform, compiled_of(self._work.declared), self._blame, session, rows)
            judged, failed = publisher.judge(planned, staged)
            good = [each for each in judged.values() if each.failure is None]
            version, idle = 0, True
            beside: Mapping[str, Mapping[str, str]] = {}
            if good:
                try:
                    version = publisher.commit(good, before, fence, self._guard(fence), folder)
                    beside = self._step.published([each.found.key for each in good], run)
                except FenceLost:
                    raise
                except Exception as error:  # noqa: BLE001 - nothing of it is recorded, so all of it is done again
                    idle = False  # the engine may still be at it: the lease stays ours until this run has ended
                    failed |= {each.found.key: self._blame.publishing(each.found.key, error) for each in good}
                    good = []
        at = self._platform.clock()
        published = {each.found.key: publisher.version_of(each, version, at, beside.get(each.found.key, {})) for each in good}
        refused = [each for each in judged.values() if each.refused]
        publisher.record(published, refused if self._work.origin == "built" else [], fence, at)
        share = (time.monotonic() - began - sum(each.seconds for each in staged.values()) / max(1, min(run.threads, len(staged)))) / len(planned)
        if failed:
            self._go_on()  # what failed because it was interrupted is not told
        for key in failed.keys() - judged.keys():
            self._fail(key, failed[key], planned[key])
        self._answers.settle(fence, planned, judged, published, failed, max(0.0, share))  # a fence lost by now means that a newer run decides
        return idle

    def _guard(self, fence: Fence) -> Callable[[], None]:
        """What is asked right before a commit: raises FenceLost or Cancelled."""
        held = guard(self._platform, fence)

        def check() -> None:
            self._go_on()
            held()

        return check

    def _rows_a_plan(self, planned: Mapping[str, Planned]) -> int | None:
        """Rows that one plan of the compute step sees: all of them, but an endpoint's partitions are computed one by one."""
        if self._contract.kind == "endpoint" and not self._contract.ranged:
            each = [plan.rows_in for plan in planned.values()]
            return None if None in each else max(rows or 0 for rows in each)
        return _total(plan.rows_in for plan in planned.values())

    def _staged(self, planned: Mapping[str, Planned], run: StepRun) -> dict[str, Staged]:
        """Computes and stages; what was not staged is answered."""
        try:
            answers = self._step.compute(list(planned.values()), run)
        except Exception as error:  # noqa: BLE001 - a step that raises fails all it was asked for
            answers = {key: self._blame.raised(key, error) for key in planned}
        staged: dict[str, Staged] = {}
        for key, answer in answers.items():
            if isinstance(answer, Staged):
                staged[key] = answer
            elif isinstance(answer, Waiting):
                self._answers.wait(answer)
            elif answer.kind is FailureKind.INTERRUPTED and not self._holds(key):
                self._lost.append(key)
            else:
                self._fail(key, answer, planned[key])
        return staged

    # --- answers ---------------------------------------------------------------------------------------------------------------------------------

    def _fail(self, key: str, failure: Failure, planned: Planned | None, tell: bool = True) -> None:
        self._go_on()
        self._answers.fail(key, failure, planned, tell)

    def _all_lost(self, planned: Mapping[str, Planned]) -> None:
        """Other runs decide about these: what they published is good, what not is theirs to tell."""
        published = self._published(list(planned))
        for key, plan in planned.items():
            version = published.get(key)
            if version is not None and version.run_id != self._work.run_id and version.built_at >= self._answers.began:
                self._answers.skip(key, f"current, built by run {version.run_id}", version)
            else:
                self._fail(key, self._blame.taken_over(key), plan, tell=False)

    def _give_up(self, planned: Mapping[str, Planned], held: Held) -> None:
        for key in planned:
            run = held.by.get(key, "another run")
            self._answers.wait(Waiting(key, (f"run {run}",), f"run {run} builds it and did not end within {self._wait_seconds:.0f} s", 300))

    # --- the ledger ------------------------------------------------------------------------------------------------------------------------------

    def _published(self, keys: Sequence[str]) -> dict[str, Published]:
        return self._platform.ledger.partitions.published(self._key, keys)

    def _holds(self, key: str) -> bool:
        return key in self._platform.ledger.leases.of_run(self._work.run_id).get(self._key, [])


def _total(rows: Iterable[int | None]) -> int | None:
    """All of them together; None if one is not known."""
    known = list(rows)
    return None if None in known else sum(each or 0 for each in known)


def _blame(work: Work, platform: Platform) -> Blame:
    """Who is named in failures. Where raw values are handled, an error's text goes to the run's own log and nowhere else."""
    blame = blame_of(work.declared)
    if work.declared.contract.kind == "endpoint":
        return blame
    log = RunLog(platform.run_logs, work.run_id)

    def tell(error: BaseException) -> tuple[str, str | None]:
        log.keep(error, work.declared.contract.key)
        return said(error), None

    return replace(blame, tell=tell)
