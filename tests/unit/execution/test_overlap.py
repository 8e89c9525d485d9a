"""Builds of one run side by side: what may go together, what waits, what a failure and a cancelled run do. The engine is a fake, threads are real."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from platform_defs.contracts.loading import Declared
from platform_defs.execution.overlap import Overlap
from platform_defs.execution.platform import Cancelled, Platform, Work
from platform_defs.execution.results import PartitionResult
from tests.unit.build.contracts import contract, over

HOUR = "2026-10-01T00"
PATIENCE = 30.0


@dataclass
class Engine:
    """Remembers what it was told to interrupt; a build that waits for `interrupted` is one that waits for Spark."""

    runs: list[str] = field(default_factory=list)
    interrupted: threading.Event = field(default_factory=threading.Event)

    def interrupt(self, run_id: str) -> int:
        self.runs.append(run_id)
        self.interrupted.set()
        return 1

    def engines(self) -> Iterator[Engine]:
        yield self


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def overlap(engine: Engine) -> Iterator[Overlap]:
    with Overlap(Platform(engine, None, None, None, None, lambda: datetime.now(UTC)), threads=2) as made:  # type: ignore[arg-type]
        yield made


def work(name: str, *reads: str) -> Work:
    inputs = tuple(over(f"charts/{read}", param=f"from_{read}") for read in reads)
    return Work(Declared(contract(f"charts/{name}", inputs=inputs), None), (HOUR,), "run-1", "range", {}, datetime.now(UTC))  # type: ignore[arg-type]


def answered(work: Work, outcome: Any = "published") -> Sequence[PartitionResult]:
    return [PartitionResult(key, outcome, 1, work.declared.contract.name, (), {}, 1, 0.0, {}) for key in work.keys]


def test_two_assets_are_built_at_the_same_time(overlap: Overlap) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE)

    def build(work: Work, platform: Platform) -> Sequence[PartitionResult]:
        meeting.wait()  # breaks unless another build is there too
        return answered(work)

    works = [work("one"), work("two")]
    assert [overlap.results(each, lambda: works, build)[0].reason for each in works] == ["one", "two"]


def test_no_more_than_the_bound_are_built_at_a_time(overlap: Overlap) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def build(work: Work, platform: Platform) -> Sequence[PartitionResult]:
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
        try:
            return answered(work)
        finally:
            with lock:
                now -= 1

    works = [work(f"asset_{number}") for number in range(50)]
    assert [overlap.results(each, lambda: works, build)[0].reason for each in works] == [each.declared.contract.name for each in works]
    assert most <= 2


def test_each_step_learns_of_its_own_asset(overlap: Overlap) -> None:
    def build(work: Work, platform: Platform) -> Sequence[PartitionResult]:
        match work.declared.contract.name:
            case "raises":
                raise LookupError("no such endpoint")
            case "refused":
                return answered(work, "refused")
            case _:
                return answered(work)

    works = {name: work(name) for name in ("raises", "refused", "good")}
    results = {name: overlap.results(works[name], lambda: list(works.values()), build)[0].outcome for name in ("refused", "good")}
    assert results == {"refused": "refused", "good": "published"}
    with pytest.raises(LookupError, match="no such endpoint"):
        overlap.results(works["raises"], lambda: list(works.values()), build)


def test_an_asset_waits_for_its_upstreams_in_the_run_and_for_no_other(overlap: Overlap) -> None:
    """`after` reads `first`, and `outside`, which the run does not build; `beside` reads nothing and is built while `first` is."""
    order: list[str] = []
    beside_is_done = threading.Event()

    def build(work: Work, platform: Platform) -> Sequence[PartitionResult]:
        name = work.declared.contract.name
        if name == "first":
            assert beside_is_done.wait(PATIENCE)
        order.append(name)
        if name == "beside":
            beside_is_done.set()
        return answered(work)

    works = [work("first"), work("after", "first", "outside"), work("beside"), work("last", "after", "beside")]
    for each in works:
        overlap.results(each, lambda: works, build)
    assert order == ["beside", "first", "after", "last"]


@pytest.mark.parametrize("outcome", ["refused", "failed", "waiting"])
def test_what_stands_on_a_failed_asset_is_not_built(overlap: Overlap, outcome: str) -> None:
    built: list[str] = []

    def build(work: Work, platform: Platform) -> Sequence[PartitionResult]:
        built.append(work.declared.contract.name)
        return answered(work, outcome if work.declared.contract.name == "first" else "published")

    works = [work("first"), work("after", "first"), work("beside")]
    for each in (works[0], works[2]):  # Dagster skips the step of `after`
        overlap.results(each, lambda: works, build)
    overlap.close()
    assert sorted(built) == ["beside", "first"]


def test_an_asset_that_reads_itself_waits_for_nobody(overlap: Overlap) -> None:
    works = [work("totals", "totals"), work("other")]
    assert overlap.results(works[0], lambda: works, lambda work, _: answered(work))[0].good


def test_one_asset_is_built_in_the_steps_own_thread(overlap: Overlap) -> None:
    threads: list[threading.Thread] = []

    def build(work: Work, platform: Platform) -> Sequence[PartitionResult]:
        threads.append(threading.current_thread())
        return answered(work)

    one = work("one")
    overlap.results(one, lambda: [one], build)
    assert threads == [threading.current_thread()]


def test_a_step_that_is_tried_again_builds_again(overlap: Overlap) -> None:
    tries: list[str] = []

    def build(work: Work, platform: Platform) -> Sequence[PartitionResult]:
        tries.append(work.declared.contract.name)
        if tries.count("one") == 1 and work.declared.contract.name == "one":
            raise ConnectionError("the ledger went away")
        return answered(work)

    works = [work("one"), work("two")]
    with pytest.raises(ConnectionError):
        overlap.results(works[0], lambda: works, build)
    assert overlap.results(works[0], lambda: works, build)[0].good
    assert overlap.results(works[1], lambda: works, build)[0].good
    assert sorted(tries) == ["one", "one", "two"]


def test_a_cancelled_run_interrupts_all_and_starts_nothing_more(overlap: Overlap, engine: Engine) -> None:
    begun: list[str] = []
    ended: list[str] = []
    both = threading.Barrier(3, timeout=PATIENCE)

    def build(work: Work, platform: Platform) -> Sequence[PartitionResult]:
        begun.append(work.declared.contract.name)
        both.wait()
        assert engine.interrupted.wait(PATIENCE)
        ended.append(work.declared.contract.name)
        assert work.cancelled()
        raise Cancelled

    works = [work(name) for name in ("one", "two", "three", "four")]

    def step() -> None:
        with pytest.raises(Cancelled):
            overlap.results(works[0], lambda: works, build)

    asked = threading.Thread(target=step)
    asked.start()
    both.wait()
    overlap.close()
    asked.join(PATIENCE)
    assert sorted(begun) == sorted(ended) == ["one", "two"]
    assert set(engine.runs) == {"run-1"}
