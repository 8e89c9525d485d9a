"""Many at once, and death in the middle: nothing is lost, nothing is done twice, nobody waits for ever."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from platform_defs.contracts.partitions import hours_of
from platform_defs.ledger import Fence, FenceLost, Held, Ledger, RunEnded
from platform_defs.planning.requests import RunRequestPlan
from tests.fixtures.contracts import endpoint
from tests.system.ledger.telling import DAILY, EVENT, H3, H4, NOON, RATE, failed, published, run, seal

HOURS = hours_of("2026-10-01")


def together(*works: Callable[[], Any]) -> list[Any]:
    """Runs them at once, started at the same moment; a deadlock in the database raises, a hang fails after a minute."""
    gate = threading.Barrier(len(works))

    def one(work: Callable[[], Any]) -> Any:
        gate.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(timeout=120) for future in [pool.submit(one, work) for work in works]]


def test_two_that_create_at_once(filled: Ledger) -> None:
    with filled.store.transaction() as connection:
        connection.execute(text("DROP TABLE requests, leases"))
    together(*[filled.create for _ in range(4)])
    assert filled.requests.open() == []


def test_applies_at_once_leave_one_of_them_whole(filled: Ledger) -> None:
    versions = together(
        *[lambda n=n: filled.registry.apply([endpoint(f"a/x{m}", tier="high" if n % 2 else "low") for m in range(5)], f"ref-{n}") for n in range(6)]
    )
    assert filled.registry.version() == max(applied.version for applied in versions)
    current = filled.registry.current()
    assert set(current) == {f"a/x{m}" for m in range(5)}
    assert len({contract.tier for contract in current.values()}) == 1


def test_leases_of_one_range_have_one_holder(filled: Ledger) -> None:
    """Runs take overlapping ranges in any order, again and again: no deadlock, never two holders of one hour."""
    holders: dict[str, str] = {}
    guard = threading.Lock()
    clashes: list[str] = []
    won = [0]

    def work(name: str) -> None:
        rng = random.Random(name)
        for turn in range(12):
            keys = rng.sample(HOURS, rng.randint(1, 12))
            run_id = f"{name}-{turn}"
            fence = filled.leases.acquire(RATE, keys, run_id)
            if isinstance(fence, Held):
                continue
            with guard:
                won[0] += 1
                clashes.extend(f"{key}: {holders[key]} and {run_id}" for key in keys if key in holders)
                holders.update(dict.fromkeys(keys, run_id))
            assert filled.leases.holds(fence)
            with guard:
                for key in keys:
                    del holders[key]
            filled.leases.release(fence)

    together(*[lambda n=n: work(f"run-{n}") for n in range(6)])
    assert clashes == []
    assert won[0] > 0
    assert filled.leases.abandoned() == []


def test_a_take_over_and_a_record_never_both_win(filled: Ledger) -> None:
    """Whoever is first decides: either the old run recorded before it lost its fence, or it is refused."""
    for number in range(15):
        key = HOURS[number]
        fence = filled.leases.acquire(RATE, [key], f"old-{number}")
        assert isinstance(fence, Fence)

        def old(key: str = key, fence: Fence = fence, number: int = number) -> str:
            try:
                filled.partitions.record([published(RATE, key, "old")], run(f"old-{number}"), [fence])
            except FenceLost:
                return "refused"
            return "recorded"

        def new(key: str = key, number: int = number) -> bool:
            taken = filled.leases.take_over(RATE, [key], f"new-{number}", force=True)
            assert isinstance(taken, Fence)
            return key in filled.partitions.published(RATE, [key])

        told, seen = together(old, new)
        assert (told == "recorded") == (key in filled.partitions.published(RATE, [key]))
        # What the taker saw after it took over is final: nothing of the old run comes later.
        assert seen == (told == "recorded")


def test_a_run_declared_ended_does_not_slip_a_lease_through(filled: Ledger) -> None:
    for number in range(15):
        run_id, key = f"run-{number}", HOURS[number]

        def take(run_id: str = run_id, key: str = key) -> None:
            with contextlib.suppress(RunEnded):
                filled.leases.acquire(RATE, [key], run_id)

        def end(run_id: str = run_id) -> None:
            filled.leases.end_run(run_id)

        together(take, end)
        after = filled.leases.acquire(RATE, [key], "other")
        assert isinstance(after, Fence) or after.void


def test_hours_of_one_day_recorded_at_once_are_all_there(filled: Ledger) -> None:
    def tell(hours: Sequence[str], run_id: str) -> None:
        for hour in hours:
            both = [published(EVENT, hour, run_id=run_id), published(RATE, hour, run_id=run_id), failed(DAILY, "2026-10-01")]
            random.Random(hour).shuffle(both)
            filled.partitions.record(both, run(run_id))

    together(*[lambda n=n: tell(HOURS[n::6], f"run-{n}") for n in range(6)])
    for key in (EVENT, RATE):
        assert set(filled.partitions.published(key, HOURS)) == set(HOURS)
        assert filled.partitions.ranges(key, "hourly") == [(HOURS[0], HOURS[23])]
    changes, _ = filled.partitions.changed_since(0)
    assert len({(c.endpoint, c.partition) for c in changes}) == 48


def follow(read: Callable[[int], tuple[list[Any], int]], done: threading.Event) -> list[Any]:
    cursor, seen = 0, []
    while True:
        finished = done.is_set()
        changes, cursor = read(cursor)
        seen += changes
        if finished and not changes:
            return seen


def test_a_follower_misses_nothing_that_is_committed_meanwhile(filled: Ledger) -> None:
    done = threading.Event()

    def build(number: int) -> None:
        for hour in HOURS[number::4]:
            filled.partitions.record([published(EVENT, hour)], run(f"run-{number}"))

    def receive(number: int) -> None:
        for count in range(6):
            filled.landing.record_seal(seal(count, HOURS[count], receiver=f"r{number}"))

    def write() -> None:
        try:
            together(*[partial(build, n) for n in range(4)], *[partial(receive, n) for n in range(4)])
        finally:
            done.set()

    contents, landed, _ = together(
        lambda: follow(lambda cursor: filled.partitions.changed_since(cursor, 3), done),
        lambda: follow(lambda c: filled.landing.changed_since(c, 1), done),
        write,
    )
    assert sorted(c.partition for c in contents) == HOURS
    assert max(c.rows for c in landed if c.hour == HOURS[5]) == 40
    assert {c.hour for c in landed} == set(HOURS[:6])


def test_the_lock_is_what_keeps_a_follower_from_missing(filled: Ledger) -> None:
    """A recorder that is slow to commit holds the number it drew: nobody gets a higher one past it."""
    with filled.store.transaction() as slow:
        from platform_defs.ledger.store import Lock, Store

        number = Store.next_change(slow, Lock.PARTITION_ORDER, "partition_change")
        other = threading.Thread(target=lambda: filled.partitions.record([published(EVENT, H3)], run()))
        other.start()
        other.join(0.3)
        assert other.is_alive()
        assert filled.partitions.changed_since(0) == ([], 0)
    other.join(60)
    assert filled.partitions.changed_since(0)[1] > number


def test_one_seal_told_by_many_counts_once(filled: Ledger) -> None:
    told = together(*[lambda: filled.landing.record_seal(seal(1, H3, H4)) for _ in range(6)])
    assert sorted(told) == [False] * 5 + [True]
    assert [t.accepted for t in filled.landing.accounts("2026-10-01", "2026-10-01") if t.event] == [20]


def test_planners_that_tick_at_once_ask_once(filled: Ledger) -> None:
    plan = RunRequestPlan("charts", "hourly", (RATE, EVENT), H3, H4, "normal", b"")
    made = together(*[lambda: filled.requests.add([plan]) for _ in range(6)])
    assert sorted(len(requests) for requests in made) == [0] * 5 + [1]


def test_a_failed_record_leaves_nothing(filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks between the first statement and the commit."""
    fence = filled.leases.acquire(RATE, [H3, H4], "run-1")
    assert isinstance(fence, Fence)
    for broken in ("_troubles.update", "_attempts.add", "_widen_frontiers", "_write_days"):
        owner, _, name = broken.rpartition(".")
        target = getattr(filled.partitions, owner) if owner else filled.partitions
        with monkeypatch.context() as patch:
            patch.setattr(target, name, lambda *_, **__: (_ for _ in ()).throw(ConnectionError("broken")))
            with pytest.raises(ConnectionError):
                filled.partitions.record([published(RATE, H3), failed(RATE, H4)], run(), [fence])
        assert filled.partitions.published(RATE, [H3]) == {}
        assert filled.partitions.ranges(RATE, "hourly") == []
        assert filled.troubles.all() == {}
        assert filled.attempts.of(RATE, "hourly") == []
        assert filled.partitions.changed_since(0) == ([], 0)
    filled.partitions.record([published(RATE, H3), failed(RATE, H4)], run(), [fence])
    assert H3 in filled.partitions.published(RATE, [H3])


def test_a_client_killed_in_its_transaction_holds_nobody_up(filled: Ledger) -> None:
    """kill -9 with rows locked and the change lock held: the database lets go, the next one records, and sees no trace."""
    url = filled.store.engine.url.render_as_string(hide_password=False)
    code = (
        "import sys, time\n"
        "from platform_defs.ledger import Ledger\n"
        "from tests.system.ledger.telling import *\n"
        "ledger = Ledger(sys.argv[1])\n"
        "write = ledger.partitions._write_days\n"
        "def stop(connection, days, changed):\n"
        "    write(connection, days, changed); print('held', flush=True); time.sleep(600)\n"
        "ledger.partitions._write_days = stop\n"
        "ledger.partitions.record([published(EVENT, H3, 'lost')], run('dead'))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        waiting = threading.Thread(target=lambda: filled.partitions.record([published(EVENT, H3, "kept")], run("next")))
        waiting.start()
        os.kill(child.pid, signal.SIGKILL)
        waiting.join(60)
    assert not waiting.is_alive()
    assert filled.partitions.published(EVENT, [H3])[H3].content == b"kept"
    assert [a.run_id for a in filled.attempts.of(EVENT, "hourly")] == ["next"]


def test_a_fork_does_not_share_connections(filled: Ledger) -> None:
    filled.registry.version()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # as a run host forks a run
        with os.fdopen(writing, "w") as out:
            try:
                filled.partitions.record([published(EVENT, H3)], run())
                out.write(f"{filled.registry.version()}")
            except BaseException as error:  # noqa: BLE001 the child must end here whatever happens
                out.write(repr(error))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert [filled.registry.version() for _ in range(20)] == [1] * 20
        assert told.read() == "1"
    os.waitpid(child, 0)
    assert H3 in filled.partitions.published(EVENT, [H3])


def test_the_database_restarting_costs_one_try(filled: Ledger) -> None:
    """Pooled connections that died are replaced unseen."""
    filled.registry.version()
    with filled.store.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    other = Ledger(filled.store.engine.url.render_as_string(hide_password=False))
    with other.store.engine.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"))
    assert filled.registry.version() == 1
    filled.partitions.record([published(EVENT, H3, at=NOON + timedelta(hours=1))], run())
    other.close()
