"""Leases, fences and requests."""

from __future__ import annotations

from datetime import timedelta

import pytest

from platform_defs.ledger import Fence, Held, Ledger, RunEnded
from platform_defs.planning.requests import RunRequestPlan
from tests.system.ledger.conftest import Clock
from tests.system.ledger.telling import EVENT, H2, H3, H4, H5, RATE


def held(ledger: Ledger, run_id: str, *keys: str) -> Fence:
    fence = ledger.leases.acquire(RATE, keys, run_id)
    assert isinstance(fence, Fence)
    return fence


def test_all_or_nothing_and_the_holder_is_named(filled: Ledger) -> None:
    fence = held(filled, "run-1", H4, H3)
    assert fence.partitions == (H3, H4)
    refused = filled.leases.acquire(RATE, [H2, H3, H4, H5], "run-2")
    assert isinstance(refused, Held)
    assert (dict(refused.by), refused.void) == ({H3: "run-1", H4: "run-1"}, False)
    assert refused.words == "charts/rate: held: 2026-10-01T03 and 1 more by run run-1"
    assert filled.leases.of_run("run-2") == {}
    held(filled, "run-2", H2, H5)
    assert isinstance(filled.leases.acquire(EVENT, [H3], "run-3"), Fence)


def test_fences_only_grow_and_a_new_one_voids_the_old(filled: Ledger) -> None:
    first = held(filled, "run-1", H3)
    second = held(filled, "run-1", H3)
    assert second.number > first.number
    assert not filled.leases.holds(first)
    assert filled.leases.holds(second)
    filled.leases.release(second)
    assert not filled.leases.holds(second)
    assert held(filled, "run-2", H3).number > second.number


def test_releasing_late_takes_nothing_from_the_next(filled: Ledger) -> None:
    old = held(filled, "run-1", H3)
    new = filled.leases.take_over(RATE, [H3], "run-2", force=True)
    assert isinstance(new, Fence)
    filled.leases.release(old)
    assert filled.leases.holds(new)


def test_a_living_run_is_taken_over_by_force_alone(filled: Ledger) -> None:
    old = held(filled, "run-1", H3)
    assert isinstance(filled.leases.take_over(RATE, [H3], "run-2"), Held)
    new = filled.leases.take_over(RATE, [H3], "run-2", force=True)
    assert isinstance(new, Fence)
    assert new.interrupt == ("run-1",)
    assert not filled.leases.holds(old)


def test_leases_of_an_ended_run_are_void_until_taken_over(filled: Ledger) -> None:
    held(filled, "run-1", H3, H4)
    filled.leases.end_run("run-1")
    filled.leases.end_run("run-1")
    refused = filled.leases.acquire(RATE, [H3], "run-2")
    assert isinstance(refused, Held)
    assert refused.void
    assert [run for run, _ in filled.leases.abandoned()] == ["run-1"]
    taken = filled.leases.take_over(RATE, [H2, H3], "run-2")
    assert isinstance(taken, Fence)
    assert taken.interrupt == ("run-1",)
    filled.leases.stopped(taken)
    filled.leases.release(taken)
    assert filled.leases.of_run("run-2") == {}
    assert filled.leases.of_run("run-1") == {RATE: [H4]}


def test_a_taker_that_dies_before_it_interrupted_leaves_word(filled: Ledger) -> None:
    """run-1 may still be writing in the server when run-2, which took over, is killed: run-3 must interrupt both."""
    held(filled, "run-1", H3)
    filled.leases.end_run("run-1")
    second = filled.leases.take_over(RATE, [H3], "run-2")
    assert isinstance(second, Fence)
    filled.leases.release(second)  # released without `stopped`: nobody knows whether run-1 is quiet
    filled.leases.end_run("run-2")
    third = filled.leases.take_over(RATE, [H3], "run-3")
    assert isinstance(third, Fence)
    assert third.interrupt == ("run-1", "run-2")


def test_an_ended_run_gets_nothing(filled: Ledger) -> None:
    filled.leases.end_run("run-1")
    with pytest.raises(RunEnded, match="run run-1 was declared ended"):
        filled.leases.acquire(RATE, [H3], "run-1")


def test_a_lease_of_nothing_is_an_error(filled: Ledger) -> None:
    with pytest.raises(ValueError, match="a lease of no partition"):
        filled.leases.acquire(RATE, [], "run-1")
    with pytest.raises(ValueError, match="different cadences"):
        filled.leases.acquire(RATE, [H3, "2026-10-01"], "run-1")


def plan(*endpoints: str, first: str = H3, last: str = H4) -> RunRequestPlan:
    return RunRequestPlan("charts", "hourly", endpoints, first, last, "normal", b"d" * 16, 2)


def test_a_request_is_asked_once(filled: Ledger) -> None:
    (made,) = filled.requests.add([plan(EVENT, RATE)])
    assert (made.endpoints, made.first, made.last, made.inputs, made.attempt, made.run_id) == ((RATE, EVENT), H3, H4, b"d" * 16, 2, None)
    assert filled.requests.add([plan(EVENT, RATE)]) == []
    assert filled.requests.add([plan(RATE, first=H4, last=H5)]) == []
    (other,) = filled.requests.add([plan(RATE, first=H5, last=H5)])
    assert [request.id for request in filled.requests.open()] == [made.id, other.id]


def test_what_is_left_of_a_plan_is_asked(filled: Ledger) -> None:
    filled.requests.add([plan(RATE)])
    (made,) = filled.requests.add([plan(EVENT, RATE)])
    assert made.endpoints == (EVENT,)
    assert filled.requests.add([plan(EVENT)]) == []


def test_a_request_ends_with_its_run(filled: Ledger) -> None:
    (made,) = filled.requests.add([plan(RATE)])
    filled.requests.started(made.id, "run-7")
    assert filled.requests.open()[0].run_id == "run-7"
    assert filled.requests.close(made.id)
    assert not filled.requests.close(made.id)
    assert filled.requests.open() == []
    assert len(filled.requests.add([plan(RATE)])) == 1


def test_a_request_expires_only_when_no_run_lives(filled: Ledger, clock: Clock) -> None:
    (made,) = filled.requests.add([plan(RATE)], expires_after=timedelta(hours=1))
    assert filled.requests.expire(live=[]) == []
    clock.now += timedelta(hours=2)
    assert filled.requests.expire(live=[made.id]) == []
    assert [request.id for request in filled.requests.expire(live=[])] == [made.id]
    assert filled.requests.open() == []
    assert filled.requests.forget(clock.now + timedelta(seconds=1)) == 1
