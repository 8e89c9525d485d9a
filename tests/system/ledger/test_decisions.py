"""What people decide: written beside the lake first, kept in the ledger, restored from the records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from platform_defs.lake.layout import Lake
from platform_defs.lake.records import DecisionRecord, read_records
from platform_defs.ledger import Ledger
from platform_defs.ledger.decisions import DecisionRefused, find, lose, pause, reopen, reopenable, restore_all, resume
from platform_defs.ledger.rebuild import rebuild
from platform_defs.planning.facts import Pause
from platform_defs.planning.places import NotItsPartition
from platform_defs.planning.states import PartitionState as S
from platform_defs.planning.states import decide
from tests.fixtures.contracts import endpoint
from tests.system.ledger.conftest import Clock
from tests.system.ledger.telling import DAILY, EVENT, H2, H3, H4, NOON, RATE, counts, published, run, seal

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def decisions(lake: Lake) -> list[DecisionRecord]:
    return [record for record in read_records(lake) if isinstance(record, DecisionRecord)]


def became(ledger: Ledger, endpoint: str, cadence: str = "hourly") -> list[tuple[str, str, str]]:
    return [(each.was, each.became, each.reason) for partition, each in ledger.transitions.of(endpoint, cadence) if partition is None]  # type: ignore[arg-type]


# pauses


def test_a_pause_is_a_row_a_record_and_a_transition_of_each_endpoint(filled: Ledger, lake: Lake, clock: Clock) -> None:
    made = pause(filled, lake, "charts", "figures move house", NOON + DAY)
    assert made == Pause("charts", "figures move house", NOON, NOON + DAY)
    assert filled.pauses.open() == [made]
    assert filled.pauses.of([EVENT, RATE, DAILY]) == {RATE: made, DAILY: made}
    (record,) = decisions(lake)
    assert (record.decision, record.subject, record.until, record.note, record.at) == ("pause", "charts", NOON + DAY, "figures move house", NOON)
    assert became(filled, RATE) == [("active", "paused", "figures move house")]
    assert became(filled, DAILY, "daily") == [("active", "paused", "figures move house")]
    assert became(filled, EVENT) == []


def test_the_planner_leaves_it_alone_until_it_is_resumed(filled: Ledger, lake: Lake, clock: Clock) -> None:
    filled.partitions.record([published(EVENT, H3), published(EVENT, H4)], run())

    def state() -> tuple[S, bool]:
        decided = decide(filled.facts("charts", NOON - DAY, clock.now), clock.now)
        return next((each.shown, each.ask) for each in decided if (each.endpoint, each.partition) == (RATE, H3))

    assert state() == (S.DUE, True)
    pause(filled, lake, RATE, "wrong since the release")
    assert state() == (S.PAUSED, False)
    clock.now += MINUTE
    resume(filled, lake, RATE)
    assert state() == (S.DUE, True)
    assert became(filled, RATE) == [("active", "paused", "wrong since the release"), ("paused", "active", "resumed")]


def test_its_time_over_it_ends_by_itself(filled: Ledger, lake: Lake, clock: Clock) -> None:
    pause(filled, lake, RATE, "until lunch is over", NOON + MINUTE)
    clock.now += 2 * MINUTE
    assert filled.pauses.open() == []
    with pytest.raises(DecisionRefused, match=r"charts/rate is not paused; paused: nothing"):
        resume(filled, lake, RATE)
    assert filled.pauses.settle() == []
    (left,) = [each for partition, each in filled.transitions.of(RATE, "hourly") if each.became == "active"]
    assert (left.at, left.reason) == (NOON + MINUTE, "its time was over")


def test_an_expired_pause_does_not_end_the_one_that_replaced_it(filled: Ledger, lake: Lake, clock: Clock) -> None:
    pause(filled, lake, RATE, "first", NOON + MINUTE)
    pause(filled, lake, RATE, "second", NOON + DAY)
    clock.now += 2 * MINUTE
    assert filled.pauses.settle() == []
    assert [each.why for each in filled.pauses.open()] == ["second"]


def test_the_same_again_is_one_pause_and_other_words_replace_it(filled: Ledger, lake: Lake, clock: Clock) -> None:
    first = pause(filled, lake, "charts", "history")
    clock.now += MINUTE
    assert pause(filled, lake, "charts", "history") == first
    assert len(decisions(lake)) == 1
    pause(filled, lake, "charts", "history, three days of it")
    assert [each.why for each in filled.pauses.open()] == ["history, three days of it"]
    assert len(became(filled, RATE)) == 1


def test_an_endpoint_stays_paused_while_one_of_two_pauses_holds(filled: Ledger, lake: Lake, clock: Clock) -> None:
    pause(filled, lake, "charts", "all of it")
    clock.now += MINUTE
    pause(filled, lake, RATE, "this too")
    resume(filled, lake, "charts")
    assert set(filled.pauses.of([RATE, DAILY])) == {RATE}
    assert (len(became(filled, RATE)), len(became(filled, DAILY, "daily"))) == (1, 2)


def test_a_domains_pause_holds_for_endpoints_it_gets_later(filled: Ledger, lake: Lake) -> None:
    pause(filled, lake, "charts", "all of it")
    filled.registry.apply([*filled.registry.current().values(), endpoint("charts/new")], "r")
    assert "charts/new" in filled.pauses.of(["charts/new"])


@pytest.mark.parametrize(
    ("name", "why", "until", "words"),
    [
        ("chart", "x", None, "there is no domain and no dataset chart: did you mean charts"),
        ("charts/rates", "x", None, "did you mean charts/rate"),
        ("charts", " ", None, "say why charts is paused"),
        ("charts", "x", NOON, "cannot be paused until 2026-10-01 12:00: that is over"),
    ],
)
def test_a_pause_that_makes_no_sense_is_not_written(filled: Ledger, lake: Lake, name: str, why: str, until: object, words: str) -> None:
    with pytest.raises(DecisionRefused, match=words):
        pause(filled, lake, name, why, until)  # type: ignore[arg-type]
    assert (decisions(lake), filled.pauses.open()) == ([], [])


def test_who_resumes_what_is_not_paused_is_told_what_is(filled: Ledger, lake: Lake) -> None:
    pause(filled, lake, "charts", "all")
    with pytest.raises(DecisionRefused, match=r"charts/rate is paused with its whole domain: \./backline resume charts"):
        resume(filled, lake, RATE)
    resume(filled, lake, "charts")
    pause(filled, lake, RATE, "one")
    with pytest.raises(DecisionRefused, match=r"charts as a whole is not paused; of it charts/rate is: \./backline resume charts/rate"):
        resume(filled, lake, "charts")


# reopening


def parked(ledger: Ledger, clock: Clock) -> None:
    """An hour with ten rows, and six that came four days later and lie in the late table."""
    ledger.landing.record_seal(seal(1, H3, at=NOON - MINUTE))
    ledger.partitions.record([published(EVENT, H3, counts=counts(10)), published(RATE, H2), published(RATE, H3), published(DAILY, "2026-10-01")], run())
    clock.now = NOON + 4 * DAY
    ledger.landing.record_seal(seal(2, H3, rows=6, at=clock.now))
    clock.now += MINUTE
    ledger.partitions.record([published(EVENT, H3, at=clock.now, counts=counts(16, parked=5, duplicate=1))], run("run-2", clock.now))
    clock.now += MINUTE


def test_what_a_reopening_would_do_is_said_without_doing_it(filled: Ledger, lake: Lake, clock: Clock) -> None:
    parked(filled, clock)
    found = reopenable(filled, EVENT, H3)
    assert (found.rows, found.segments, found.in_lane) == (6, 1, 5)
    assert dict(found.readers) == {RATE: (H2, H3), DAILY: ("2026-10-01", "2026-10-01")}
    assert (decisions(lake), filled.reopenings.of(EVENT, [H3])) == ([], {})


def test_a_reopened_hour_is_followed_and_asked_for(filled: Ledger, lake: Lake, clock: Clock) -> None:
    parked(filled, clock)
    cursor = filled.landing.changed_since(0)[1]
    reopen(filled, lake, EVENT, H3, "the phones were offline")
    assert [change.hour for change in filled.landing.changed_since(cursor)[0]] == [H3]
    decided = {each.partition: each for each in decide(filled.facts([EVENT], NOON - DAY, NOON), clock.now)}
    assert (decided[H3].state, decided[H3].ask) == (S.STALE, True)
    (record,) = decisions(lake)
    assert (record.decision, record.endpoint, record.partitions, record.note) == ("reopen", EVENT, (H3,), "the phones were offline")
    with pytest.raises(DecisionRefused, match="nothing of listening/played 2026-10-01T03 is parked"):
        reopen(filled, lake, EVENT, H3, "again")


def test_an_hour_whose_landing_expired_is_reopened_from_its_late_table(filled: Ledger, lake: Lake, clock: Clock) -> None:
    parked(filled, clock)
    filled.landing.expire([seal(number, H3).segments[0].path for number in (1, 2)])
    found = reopen(filled, lake, EVENT, H3, "late phones")
    assert (found.rows, found.segments, found.in_lane, found.whole) == (5, 0, 5, False)
    decided = {each.partition: each for each in decide(filled.facts([EVENT], NOON - DAY, NOON), clock.now)}
    assert (decided[H3].state, decided[H3].ask) == (S.STALE, True)
    with pytest.raises(DecisionRefused, match=r"reopened at .*, and its next build takes that in"):
        reopen(filled, lake, EVENT, H3, "again")


@pytest.mark.parametrize(
    ("event", "hour", "words"),
    [
        ("listening/playd", H3, "is not there: did you mean listening/played"),
        (RATE, H3, "is no event type"),
        (EVENT, "2027-10-01T03", "is not over before 2027-10-01 04:00 UTC"),
        (EVENT, "2020-10-01T03", "is before its start"),
        (EVENT, H4, "was never built: its first build takes all rows"),
    ],
)
def test_only_built_hours_of_events_can_be_reopened(filled: Ledger, clock: Clock, event: str, hour: str, words: str) -> None:
    parked(filled, clock)
    with pytest.raises(DecisionRefused, match=words):
        reopenable(filled, event, hour)
    with pytest.raises(NotItsPartition, match="is hourly, 2026-10-01 is a day: write one of its hours, as in 2026-10-01T00"):
        reopenable(filled, EVENT, "2026-10-01")


# receivers


def test_a_lost_receiver_holds_nothing_open_until_it_is_found(filled: Ledger, lake: Lake, clock: Clock) -> None:
    filled.landing.beat("r2", NOON - DAY, NOON - DAY)
    eleven = "2026-10-01T10"

    def state() -> S:
        return next(each.state for each in decide(filled.facts([EVENT], NOON - DAY, NOON), clock.now) if each.partition == eleven)

    assert state() == S.WAITING
    lose(filled, lake, "r2", "its disk died")
    assert state() == S.DUE
    assert [(each.state, each.why) for each in filled.landing.receivers()] == [("lost", "its disk died")]
    clock.now += MINUTE / 60
    find(filled, lake, "r2")
    assert state() == S.WAITING
    assert [(record.decision, record.subject, record.note) for record in decisions(lake)] == [("lost", "r2", "its disk died"), ("found", "r2", "found")]


def test_its_log_sealed_later_comes_as_late_rows(filled: Ledger, lake: Lake, clock: Clock) -> None:
    filled.landing.beat("r2", NOON - DAY, NOON - DAY)
    lose(filled, lake, "r2", "its disk died")
    filled.partitions.record([published(EVENT, H3, counts=counts(0))], run())
    clock.now += MINUTE
    filled.landing.record_seal(seal(1, H3, receiver="r2", at=clock.now))
    decided = next(each for each in decide(filled.facts([EVENT], NOON - DAY, NOON), clock.now) if each.partition == H3)
    assert (decided.state, decided.late) == (S.STALE, 10)
    assert filled.landing.receivers()[0].state == "lost"  # a seal is no sign of life
    filled.landing.beat("r2", clock.now, clock.now)
    assert filled.landing.receivers()[0].state == "live"


def test_what_cannot_be_lost_or_found_is_said_why(filled: Ledger, lake: Lake, clock: Clock) -> None:
    filled.landing.beat("r1", NOON, NOON - MINUTE / 6)
    filled.landing.beat("r2", NOON, NOON - DAY)
    filled.landing.beat("r3", NOON, NOON - DAY)
    filled.landing.deregister("r3")
    for receiver, why, words in (
        ("r1", "x", "beat 10 s ago: it is alive"),
        ("r2", "", "say why r2 is given up"),
        ("r3", "x", "shut down in order"),
        ("r9", "x", "there is no receiver r9; known: r1, r2, r3"),
    ):
        with pytest.raises(DecisionRefused, match=words):
            lose(filled, lake, receiver, why)
    with pytest.raises(DecisionRefused, match="r2 is not lost, it is live"):
        find(filled, lake, "r2")
    lose(filled, lake, "r2", "gone")
    with pytest.raises(DecisionRefused, match="r2 is lost already: gone"):
        lose(filled, lake, "r2", "gone")


# rebuilding


def test_a_rebuilt_ledger_knows_what_people_decided(filled: Ledger, lake: Lake, new_ledger: Callable[[], Ledger], clock: Clock) -> None:
    parked(filled, clock)
    filled.landing.beat("r1", clock.now, clock.now - DAY)
    filled.landing.beat("r2", clock.now, clock.now - DAY)
    filled.landing.record_seal(seal(9, H3, receiver="r2", at=NOON))
    pause(filled, lake, "charts", "history")
    pause(filled, lake, EVENT, "an hour", clock.now + 60 * MINUTE)
    pause(filled, lake, DAILY, "both")
    reopen(filled, lake, EVENT, H3, "late phones")
    lose(filled, lake, "r1", "disk")
    lose(filled, lake, "r2", "flood")
    clock.now += MINUTE
    find(filled, lake, "r1")
    resume(filled, lake, DAILY)
    clock.now += 90 * MINUTE

    fresh = new_ledger()
    fresh.store.clock = clock
    fresh.registry.apply(filled.registry.current().values(), "abc123")
    manifests = [seal(1, H3, at=NOON - MINUTE), seal(2, H3, rows=6, at=NOON + 4 * DAY), seal(9, H3, receiver="r2", at=NOON)]
    for _ in range(2):
        done = rebuild(fresh, manifests, read_records(lake))
        assert done.decisions == 8
        assert fresh.pauses.open() == filled.pauses.open()
        assert [each.name for each in fresh.pauses.open()] == ["charts"]
        assert fresh.reopenings.of(EVENT, [H3]) == filled.reopenings.of(EVENT, [H3])
        assert {each.id: (each.state, each.why, each.sealed_until) for each in fresh.landing.receivers()}["r2"] == ("lost", "flood", NOON)
        assert [each.became for _, each in fresh.transitions.of(RATE, "hourly")] == ["paused"]


def test_a_receiver_that_beat_since_is_not_lost_again(filled: Ledger, lake: Lake, clock: Clock) -> None:
    filled.landing.beat("r2", NOON - DAY, NOON - DAY)
    lose(filled, lake, "r2", "disk")
    clock.now += MINUTE
    filled.landing.beat("r2", clock.now, clock.now)
    rebuild(filled, [], read_records(lake))
    assert filled.landing.receivers()[0].state == "live"


def test_decisions_about_what_is_not_known_any_more_are_passed_over(filled: Ledger) -> None:
    old = DecisionRecord(id="1", decision="reopen", endpoint="listening/gone", partitions=(H3,), at=NOON)
    other = DecisionRecord(id="2", decision="accepted", at=NOON)
    long_ago = DecisionRecord(id="3", decision="pause", subject="charts", note="old", at=NOON - 90 * DAY)
    assert restore_all(filled, [other, old, long_ago]) == 1
    assert [each.since for each in filled.pauses.open()] == [NOON - 90 * DAY]
    assert became(filled, RATE) == []
