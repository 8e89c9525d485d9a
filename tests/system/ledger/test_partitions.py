"""Recording, reading, changing, failing, forgetting."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_defs.contracts.partitions import hours_of, key_at, window_of
from platform_defs.ledger import Fence, FenceLost, Ledger, Outcome
from tests.system.ledger.telling import DAILY, EVENT, H2, H3, H4, H5, NOON, RATE, counts, failed, published, run

LATER = NOON + timedelta(hours=1)


def test_what_was_recorded_is_read(filled: Ledger) -> None:
    one = published(EVENT, H3, counts=counts(9, duplicate=2), pins={"tracks": "2026-09-30"}, checks_passed=5, checks_failed=1)
    filled.partitions.record([one, published(DAILY, "2026-10-01", rows=4)], run())
    found = filled.partitions.published(EVENT, [H3, H4])
    assert set(found) == {H3}
    assert one.published is not None
    again = found[H3]
    assert (again.content, again.inputs, again.rows, again.version, again.code, again.run_id) == (b"one", b"i" * 16, 7, 3, "code-1", "run-1")
    assert (again.counts, dict(again.pins), again.checks_passed, again.checks_failed) == (counts(9, duplicate=2), {"tracks": "2026-09-30"}, 5, 1)
    assert again.first_built_at == again.changed_at == again.seen_at == again.built_at == NOON
    assert filled.partitions.row_counts(DAILY, ["2026-10-01"]) == {"2026-10-01": 4}
    assert filled.partitions.newest(EVENT, "hourly") == H3
    assert filled.partitions.newest(RATE, "hourly") is None


def test_equal_content_changes_nothing_for_readers(filled: Ledger) -> None:
    filled.partitions.record([published(EVENT, H3)], run())
    _, cursor = filled.partitions.changed_since(0)
    filled.partitions.record([published(EVENT, H3, at=LATER, run_id="run-2")], run("run-2", LATER))
    assert filled.partitions.changed_since(cursor) == ([], cursor)
    same = filled.partitions.published(EVENT, [H3])[H3]
    assert (same.built_at, same.changed_at, same.first_built_at, same.run_id) == (LATER, NOON, NOON, "run-2")
    filled.partitions.record([published(EVENT, H3, "two", at=LATER)], run("run-3", LATER))
    changes, _ = filled.partitions.changed_since(cursor)
    assert [(c.endpoint, c.partition, c.changed_at) for c in changes] == [(EVENT, H3, LATER)]
    assert filled.partitions.published(EVENT, [H3])[H3].first_built_at == NOON


def test_only_the_changed_hours_of_a_day_are_told(filled: Ledger) -> None:
    filled.partitions.record([published(EVENT, hour) for hour in hours_of("2026-10-01")], run())
    _, cursor = filled.partitions.changed_since(0)
    filled.partitions.record([published(EVENT, H3, "two"), published(EVENT, H4), published(DAILY, "2026-10-01")], run("run-2"))
    changes, _ = filled.partitions.changed_since(cursor)
    assert [(c.endpoint, c.partition) for c in changes] == [(DAILY, "2026-10-01"), (EVENT, H3)]


def test_skipped_is_seen_and_clears_trouble(filled: Ledger) -> None:
    filled.partitions.record([published(EVENT, H3)], run())
    filled.partitions.record([failed(EVENT, H3)], run("run-2"))
    filled.partitions.record([Outcome(EVENT, H3, "skipped"), Outcome(EVENT, H4, "skipped", reason="before start")], run("run-3", LATER))
    assert filled.partitions.published(EVENT, [H3])[H3].seen_at == LATER
    assert filled.partitions.published(EVENT, [H4]) == {}
    assert filled.troubles.all() == {}


def test_ranges_grow_together_in_any_order(filled: Ledger) -> None:
    for hours in ([H5], [H2], [H3, H4]):
        filled.partitions.record([published(EVENT, hour) for hour in hours], run())
        if hours == [H2]:
            assert filled.partitions.ranges(EVENT, "hourly") == [(H2, H2), (H5, H5)]
    assert filled.partitions.ranges(EVENT, "hourly") == [(H2, H5)]


def test_failed_partitions_that_begin_before_an_instant_are_found_once_their_time_has_come(filled: Ledger) -> None:
    """Whatever schedules no longer see, the day in which the instant lies too; what is paused is left out."""
    filled.partitions.record([failed(RATE, H3), failed(DAILY, "2026-10-01")], run())
    again = NOON + timedelta(minutes=5)
    domain, inside, start = RATE.partition("/")[0], window_of(H3).start + timedelta(minutes=1), window_of("2026-10-01").start

    def found(now: datetime, before: datetime, *paused: str) -> set[tuple[str, str]]:
        return {place for name in {domain, DAILY.partition("/")[0]} for place in filled.troubles.to_try_again(name, now, before, paused)}

    assert found(again - timedelta(seconds=1), inside) == set()
    assert found(again, inside) == {(RATE, H3), (DAILY, "2026-10-01")}
    assert found(again, window_of(H3).start) == found(again, inside, RATE) == {(DAILY, "2026-10-01")}
    assert found(again, start) == set()


def test_failures_are_retried_three_times_and_then_stuck(filled: Ledger) -> None:
    states = []
    for number in range(5):
        at = NOON + timedelta(minutes=10 * number)
        filled.partitions.record([failed(RATE, H3)], run(f"run-{number}", at))
        filled.partitions.record([failed(RATE, H3)], run(f"run-{number}", at))  # told twice, counted once
        trouble = filled.troubles.all()[RATE, H3]
        states.append((trouble.state, trouble.tries, None if trouble.next_try is None else (trouble.next_try - at).seconds // 60))
    assert states == [("failed", 1, 5), ("failed", 2, 20), ("failed", 3, 60), ("stuck", 4, None), ("stuck", 5, None)]
    filled.partitions.record([failed(RATE, H3, inputs=b"n" * 16)], run("run-9", LATER))
    assert (filled.troubles.all()[RATE, H3].state, filled.troubles.all()[RATE, H3].tries) == ("failed", 1)
    filled.partitions.record([published(RATE, H3, at=LATER)], run("run-10", LATER + timedelta(minutes=1)))
    assert filled.troubles.all() == {}
    told = [(t.was, t.became) for _, t in filled.transitions.of(RATE, "hourly", H3)]
    assert told == [("current", "failed"), ("failed", "stuck"), ("stuck", "failed"), ("failed", "current")]


def test_the_authors_failure_is_stuck_at_once_and_a_refusal_is_not_retried(filled: Ledger) -> None:
    filled.partitions.record([failed(RATE, H3, lasting=True, kind="raised"), failed(RATE, H4, "refused", checks_failed=1)], run())
    troubles = filled.troubles.all()
    assert (troubles[RATE, H3].state, troubles[RATE, H3].next_try) == ("stuck", None)
    assert (troubles[RATE, H4].state, troubles[RATE, H4].next_try, troubles[RATE, H4].inputs) == ("refused", None, b"i" * 16)


def test_a_refused_rebuild_leaves_the_good_version(filled: Ledger) -> None:
    filled.partitions.record([published(RATE, H3)], run())
    filled.partitions.record([failed(RATE, H3, "refused")], run("run-2"))
    assert filled.partitions.published(RATE, [H3])[H3].content == b"one"


def test_a_source_that_waits_says_until_when(filled: Ledger) -> None:
    filled.partitions.record([Outcome(RATE, H3, "waiting", reason="not there yet", retry_at=LATER), Outcome(RATE, H4, "waiting")], run())
    assert {key: (t.state, t.next_try) for key, t in filled.troubles.all().items()} == {(RATE, H3): ("waiting", LATER)}
    assert filled.transitions.of(RATE, "hourly") == []


def test_attempts_are_one_row_a_run_and_told_once(filled: Ledger) -> None:
    filled.partitions.record([published(RATE, H3), failed(RATE, H4, "refused")], run())
    filled.partitions.record([failed(RATE, H4), published(RATE, H5)], run())
    found = filled.attempts.of(RATE, "hourly")
    assert [(a.partition, a.outcome, a.run_id, a.rows_out, a.seconds) for a in found] == [
        (H3, "published", "run-1", 7, 1.5),
        (H4, "failed", "run-1", None, 0.0),
        (H5, "published", "run-1", 7, 1.5),
    ]
    assert [a.partition for a in filled.attempts.of(RATE, "hourly", H4)] == [H4]
    assert filled.attempts.median_seconds([(RATE, "hourly"), (DAILY, "daily")]) == {RATE: 1.5}


def test_run_times_are_of_runs_that_published_something(filled: Ledger) -> None:
    filled.partitions.record([published(RATE, H3, run_id="run-1"), failed(RATE, H4, "refused")], run("run-1"))
    filled.partitions.record([published(RATE, H4, run_id="run-2"), published(RATE, H5, run_id="run-2")], run("run-2", NOON + timedelta(minutes=5)))
    filled.partitions.record([failed(RATE, H3)], run("run-3", NOON + timedelta(minutes=9)))
    assert filled.attempts.run_times([(RATE, "hourly"), (DAILY, "daily")]) == {RATE: [(2, 60.0), (1, 60.0)]}


def test_history_is_dropped_by_day(filled: Ledger) -> None:
    for days in (0, 20, 40):
        filled.partitions.record([failed(RATE, H3, lasting=True)], run(f"run-{days}", NOON + timedelta(days=days)))
    gone = filled.attempts.forget(NOON + timedelta(days=45))
    assert len(gone) == 2
    assert [a.run_id for a in filled.attempts.of(RATE, "hourly")] == ["run-40", "run-20"]
    filled.partitions.record([failed(RATE, H3)], run("run-0", NOON))  # a late word of a day that was dropped
    assert len(filled.attempts.of(RATE, "hourly")) == 3


def test_nothing_is_recorded_under_a_lost_fence(filled: Ledger) -> None:
    fence = filled.leases.acquire(RATE, [H3, H4], "run-1")
    assert isinstance(fence, Fence)
    filled.leases.take_over(RATE, [H4], "run-2", force=True)
    with pytest.raises(FenceLost, match="charts/rate 2026-10-01T03: taken over from run run-1"):
        filled.partitions.record([published(RATE, H3), failed(RATE, H4)], run(), [fence])
    assert filled.partitions.published(RATE, [H3]) == {}
    assert filled.troubles.all() == {}
    assert filled.attempts.of(RATE, "hourly") == []
    assert filled.partitions.changed_since(0) == ([], 0)


def test_forgotten_partitions_were_never_there(filled: Ledger) -> None:
    filled.partitions.record([published(EVENT, hour, counts=counts(3)) for hour in (H2, H3, H4)], run())
    filled.partitions.forget(EVENT, [H3])
    assert set(filled.partitions.published(EVENT, [H2, H3, H4])) == {H2, H4}
    assert filled.partitions.ranges(EVENT, "hourly") == [(H2, H2), (H4, H4)]
    filled.partitions.forget(EVENT, [H2, H4, H5])
    assert filled.partitions.published(EVENT, [H2, H4]) == {}
    assert filled.partitions.changed_since(0)[0] == []
    filled.partitions.record([published(EVENT, H3, at=LATER)], run("run-2", LATER))
    assert filled.partitions.published(EVENT, [H3])[H3].first_built_at == LATER


def test_an_outcome_must_agree_with_itself() -> None:
    with pytest.raises(ValueError, match="do not agree"):
        Outcome(RATE, H3, "published")


steps = st.lists(st.tuples(st.sampled_from(["publish", "refuse", "forget", "skip"]), st.integers(0, 60), st.sampled_from("ab")), min_size=1, max_size=25)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_it_is_a_map_from_partitions_to_versions(filled: Ledger, taken: list[tuple[str, int, str]]) -> None:
    """Whatever is done in whatever order, reading, ranges and changes agree with a dictionary."""
    every = [key_at("hourly", 497_000 + n) for n in range(61)]
    filled.partitions.forget(RATE, every)
    model: dict[str, str] = {}
    for number, (what, place, content) in enumerate(taken):
        key, at = every[place], NOON + timedelta(seconds=number)
        _, cursor = filled.partitions.changed_since(0)
        if what == "publish":
            filled.partitions.record([published(RATE, key, content, at=at)], run(f"run-{number}", at))
        elif what == "forget":
            filled.partitions.forget(RATE, [key])
        else:
            filled.partitions.record([failed(RATE, key, "refused") if what == "refuse" else Outcome(RATE, key, "skipped")], run(f"run-{number}", at))
        changes = [(c.partition) for c in filled.partitions.changed_since(cursor)[0]]
        assert changes == ([key] if what == "publish" and model.get(key) != content else [])
        if what == "publish":
            model[key] = content
        elif what == "forget":
            model.pop(key, None)
    assert {key: version.content.decode() for key, version in filled.partitions.published(RATE, every).items()} == model
    covered = {key for first, last in filled.partitions.ranges(RATE, "hourly") for key in every if first <= key <= last}
    assert covered == set(model)
