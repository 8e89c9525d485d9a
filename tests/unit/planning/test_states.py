"""The state of a partition, one situation a test."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from platform_defs.contracts.partitions import hours_of
from platform_defs.planning.facts import CHANGED_OUTSIDE, Receiver
from platform_defs.planning.states import WAVE, first_look, sight
from platform_defs.planning.states import PartitionState as S
from tests.fixtures.contracts import DAY, HOUR, as_of, contract, endpoint, event, lateness, reads
from tests.unit.planning.world import World, at

H3, H4 = "2026-10-01T03", "2026-10-01T04"


@pytest.fixture
def world() -> World:
    return World(
        event("l/played", lateness=lateness((HOUR,), 0.5)),
        endpoint("c/rate", reads("l/played", 0, 1), ready_within_seconds=3 * HOUR),
        endpoint("c/day", reads("l/played"), cadence="daily"),
    )


def test_an_hour_waits_until_it_closes_and_then_is_due(world: World) -> None:
    world.receivers = [Receiver("r2", at(3.5), at(3.5), "live")]
    open_ = world.decide(at(4.5))[f"l/played {H3}"]
    assert (open_.state, open_.ask) == (S.WAITING, False)
    assert "receiver r2 silent since 2026-10-01 03:30" in open_.reason
    assert open_.next_look == at(6) + timedelta(minutes=2)
    world.receivers = [Receiver("r2", at(4.5), at(4.5), "live")]
    closed = world.decide(at(4.5))[f"l/played {H3}"]
    assert (closed.state, closed.ask, closed.reason) == (S.DUE, True, "closed, nothing landed")


def test_nothing_is_said_of_hours_that_are_not_over(world: World) -> None:
    assert f"l/played {H4}" not in world.decide(at(4.99))
    assert f"l/played {H4}" in world.decide(at(5))


def test_a_partition_waits_for_named_hours(world: World) -> None:
    world.build("l/played", H3)
    found = world.decide(at(5))[f"c/rate {H3}"]
    assert (found.state, found.ask) == (S.WAITING, False)
    assert [str(missing) for missing in found.waiting_for] == [f"l/played {H4}"]
    assert found.reason == f"waits for l/played {H4}"
    world.build("l/played", H4)
    assert world.decide(at(5.5))[f"c/rate {H3}"].state == S.DUE


def test_a_day_waits_for_its_missing_hours(world: World) -> None:
    world.build("l/played", *[hour for hour in hours_of("2026-10-01") if hour not in (H3, H4)])
    found = world.decide(at(1, day=2))["c/day 2026-10-01"]
    assert found.state == S.WAITING
    assert [missing.partition for missing in found.waiting_for] == [H3, H4]
    world.build("l/played", H3, H4)
    assert world.decide(at(1, day=2))["c/day 2026-10-01"].state == S.DUE


def test_hours_before_the_start_count_as_there(world: World) -> None:
    world.change("l/played", start="2026-10-01T05")
    found = world.decide(at(6))
    assert f"l/played {H3}" not in found
    assert found[f"c/rate {H3}"].state == S.DUE
    assert found[f"c/rate {H4}"].waiting_for[0].partition == "2026-10-01T05"


def test_overdue_past_ready_within(world: World) -> None:
    assert world.decide(at(7))[f"c/rate {H3}"].shown == S.WAITING
    late = world.decide(at(7) + timedelta(seconds=1))[f"c/rate {H3}"]
    assert (late.shown, late.state, late.overdue) == (S.OVERDUE, S.WAITING, True)
    world.build("l/played", H3, H4)
    world.build("c/rate", H3)
    assert world.decide(at(9))[f"c/rate {H3}"].shown == S.CURRENT


def test_what_is_in_flight_is_not_asked_again(world: World) -> None:
    world.build("l/played", H3, H4)
    world.flight("c/rate", H3, "requested", at(5))
    asked = world.decide(at(6))[f"c/rate {H3}"]
    assert (asked.state, asked.ask) == (S.REQUESTED, False)
    world.flight("c/rate", H3, "running", at(5))
    assert world.decide(at(6))[f"c/rate {H3}"].state == S.RUNNING


def test_beyond_the_look_back_a_person_asks(world: World) -> None:
    world.build("l/played", H3, H4)
    within = world.decide(at(4, day=3))[f"c/rate {H3}"]
    beyond = world.decide(at(5, day=3))[f"c/rate {H3}"]
    assert (within.state, within.ask) == (S.DUE, True)
    assert (beyond.state, beyond.ask) == (S.DUE, False)
    assert "older than 48 h" in beyond.reason


def test_partitions_past_retention_are_not_spoken_of(world: World) -> None:
    world.change("l/played", retention_seconds=DAY)
    assert f"l/played {H3}" not in world.decide(at(5, day=2))


def test_late_rows(world: World) -> None:
    world.land("l/played", H3, 100, at(3.5))
    world.build("l/played", H3, when=at(4.1))
    assert world.decide(at(4.5))[f"l/played {H3}"].state == S.CURRENT
    world.land("l/played", H3, 10, at(4.2))
    soon = world.decide(at(4.5))[f"l/played {H3}"]
    assert (soon.state, soon.ask, soon.late) == (S.STALE, False, 10)
    assert soon.next_look == at(5.1)
    assert world.decide(at(5.1))[f"l/played {H3}"].ask
    world.build("l/played", H3, when=at(5.2))
    assert world.decide(at(5.3))[f"l/played {H3}"].state == S.CURRENT


def test_readers_follow_only_changed_content(world: World) -> None:
    world.build("l/played", H3, H4, content="one")
    world.build("c/rate", H3, when=at(5.2))
    world.build("l/played", H3, when=at(6), content="one")
    assert world.decide(at(6.5))[f"c/rate {H3}"].state == S.CURRENT
    world.build("l/played", H3, when=at(7), content="two")
    stale = world.decide(at(7.5))[f"c/rate {H3}"]
    assert (stale.state, stale.ask) == (S.STALE, True)
    assert stale.reason == f"changed since: l/played {H3}"
    world.build("c/rate", H3, when=at(7.6))
    assert world.decide(at(7.7))[f"c/rate {H3}"].state == S.CURRENT


def test_a_rebuild_waits_for_the_wave_but_not_for_ever(world: World) -> None:
    """A day of which one hour changed and another is being rebuilt is rebuilt once, after both; a stream of changes holds it an hour."""
    world.build("l/played", *hours_of("2026-10-01"), content="one")
    world.build("c/day", "2026-10-01", when=at(0.5, day=2))
    world.build("l/played", H3, when=at(1, day=2), content="two")
    world.flight("l/played", H4, "running", at(1, day=2))
    held = world.decide(at(1.2, day=2))["c/day 2026-10-01"]
    assert (held.state, held.ask) == (S.STALE, False)
    assert "once what it reads has settled" in held.reason
    assert world.decide(at(1, day=2) + WAVE)["c/day 2026-10-01"].ask
    world.facts["l/played"].in_flight.clear()  # type: ignore[attr-defined]
    assert world.decide(at(1.2, day=2))["c/day 2026-10-01"].ask


def test_the_wave_is_seen_through_a_level_between() -> None:
    world = World(event("l/played"), endpoint("c/hour", reads("l/played")), endpoint("c/day", reads("c/hour"), cadence="daily"))
    world.build("l/played", *hours_of("2026-10-01"))
    world.build("c/hour", *hours_of("2026-10-01"))
    world.build("c/day", "2026-10-01", when=at(0.5, day=2))
    world.build("c/hour", H3, when=at(1, day=2), content="two")
    world.flight("l/played", H4, "requested", at(1, day=2))
    assert not world.decide(at(1.2, day=2))["c/day 2026-10-01"].ask


def test_corrections_beyond_the_age_are_not_followed(world: World) -> None:
    world.change("c/day", corrections_seconds=3 * DAY)
    world.build("l/played", *hours_of("2026-10-01"))
    world.build("c/day", "2026-10-01", when=at(1, day=2))
    world.build("l/played", H3, when=at(0, day=5), content="two")
    assert world.decide(at(2, day=5))["c/day 2026-10-01"].state == S.STALE
    world.build("c/day", "2026-10-01", when=at(3, day=5))
    world.build("l/played", H3, when=at(4, day=5), content="three")
    old = world.decide(at(5, day=5))["c/day 2026-10-01"]
    assert (old.state, old.ask) == (S.OUTDATED, False)
    assert "after the 3 days" in old.reason


def test_new_code_outdates_and_changes_nothing_by_itself(world: World) -> None:
    world.build("l/played", H3, H4)
    world.build("c/rate", H3)
    world.change("c/rate", code_version="code-2")
    found = world.decide(at(6))[f"c/rate {H3}"]
    assert (found.state, found.ask) == (S.OUTDATED, False)


def test_a_newer_snapshot_makes_nothing_stale() -> None:
    world = World(endpoint("k/tracks", cadence="daily", kind="source"), endpoint("c/x", as_of("k/tracks")))
    world.build("k/tracks", "2026-09-29")
    world.build("c/x", H3)
    world.build("k/tracks", "2026-09-30", when=at(6), content="newer")
    found = world.decide(at(7), asked=["c/x"])
    assert found[f"c/x {H3}"].state == S.CURRENT
    assert world.published("c/x")[H3].pins == {"tracks": "2026-09-29"}
    assert found[f"c/x {H4}"].state == S.DUE


def test_no_snapshot_within_waits() -> None:
    world = World(endpoint("k/tracks", cadence="daily", kind="source"), endpoint("c/x", as_of("k/tracks", days=3)))
    world.build("k/tracks", "2026-09-26")
    found = world.decide(at(7), asked=["c/x"])[f"c/x {H3}"]
    assert found.state == S.WAITING
    assert found.reason == "waits for k/tracks 2026-09-30 or an earlier one"


def test_running_totals_go_one_after_the_other() -> None:
    world = World(endpoint("c/total", reads("c/total", -1, -1, "days"), cadence="daily", start="2026-10-01"))
    found = world.decide(at(1, day=4))
    assert [found[f"c/total 2026-10-0{n}"].state for n in (1, 2, 3)] == [S.DUE, S.WAITING, S.WAITING]


def test_failed_refused_stuck(world: World) -> None:
    world.build("l/played", H3, H4)
    world.trouble("c/rate", H3, "failed", at(6), again=at(6) + timedelta(minutes=5))
    wait = world.decide(at(6.01))[f"c/rate {H3}"]
    assert (wait.state, wait.ask, wait.next_look) == (S.FAILED, False, at(6) + timedelta(minutes=5))
    again = world.decide(at(6.1))[f"c/rate {H3}"]
    assert (again.state, again.ask, again.attempt) == (S.FAILED, True, 2)
    for state in ("refused", "stuck"):
        world.trouble("c/rate", H3, state, at(6))
        assert not world.decide(at(20))[f"c/rate {H3}"].ask
        world.build("l/played", H3, when=at(7), content=f"new for {state}")
        news = world.decide(at(20))[f"c/rate {H3}"]
        assert (news.state, news.ask) == (S(state), True)
        assert "new input since" in news.reason
        world.trouble("c/rate", H3, state, at(8), code="code-0")
        assert "new code since" in world.decide(at(20))[f"c/rate {H3}"].reason


def test_new_code_is_tried_at_once_also_where_a_later_try_was_promised(world: World) -> None:
    world.build("l/played", H3, H4)
    world.trouble("c/rate", H3, "failed", at(6), again=at(7), tries=3, code="code-0")
    found = world.decide(at(6.1))[f"c/rate {H3}"]
    assert (found.state, found.ask) == (S.FAILED, True)
    assert "new code since" in found.reason


def test_trouble_whose_inputs_went_missing_waits(world: World) -> None:
    world.build("l/played", H3, H4)
    world.trouble("c/rate", H3, "failed", at(6), again=at(6.1))
    del world.published("l/played")[H4]
    found = world.decide(at(7))[f"c/rate {H3}"]
    assert (found.state, found.ask) == (S.WAITING, False)


def test_a_failed_rebuild_whose_inputs_went_missing_is_not_tried(world: World) -> None:
    world.build("l/played", H3, H4)
    world.build("c/rate", H3)
    world.trouble("c/rate", H3, "failed", at(6), again=at(6.1))
    assert world.decide(at(7))[f"c/rate {H3}"].ask
    del world.published("l/played")[H4]
    found = world.decide(at(7))[f"c/rate {H3}"]
    assert (found.state, found.ask, [m.partition for m in found.waiting_for]) == (S.FAILED, False, [H4])


def test_a_refused_rebuild_keeps_its_name_while_the_last_good_version_stays(world: World) -> None:
    world.build("l/played", H3, H4)
    world.build("c/rate", H3)
    world.trouble("c/rate", H3, "refused", at(6))
    assert world.decide(at(7))[f"c/rate {H3}"].state == S.REFUSED


def test_a_stuck_event_hour_is_tried_when_rows_come(world: World) -> None:
    world.trouble("l/played", H3, "stuck", at(5), inputs=None)
    assert not world.decide(at(6))[f"l/played {H3}"].ask
    world.land("l/played", H3, 5, at(5.5))
    assert world.decide(at(6))[f"l/played {H3}"].ask


def test_rows_that_come_while_an_hour_is_tried_are_new_input(world: World) -> None:
    world.land("l/played", H3, 5, at(5.5))
    world.trouble("l/played", H3, "refused", at(6), inputs=None, began=at(5.6))
    assert not world.decide(at(7))[f"l/played {H3}"].ask
    world.trouble("l/played", H3, "refused", at(6), inputs=None, began=at(5.4))
    assert world.decide(at(7))[f"l/played {H3}"].ask


def test_what_changes_while_a_partition_is_built_is_followed_no_longer_than_other_corrections() -> None:
    world = World(event("l/played", lateness=lateness((HOUR,), 0.5)), endpoint("c/rate", reads("l/played"), corrections_seconds=DAY))
    world.build("l/played", H3, when=at(3, day=2))
    world.build("c/rate", H3, when=at(5, day=2), inputs=b"of before it changed")
    found = world.decide(at(6, day=2))[f"c/rate {H3}"]
    assert (found.state, found.ask) == (S.STALE, True)
    world.build("l/played", H3, when=at(4.5, day=2), content="changed too late")
    found = world.decide(at(6, day=2))[f"c/rate {H3}"]
    assert (found.state, found.ask) == (S.OUTDATED, False)


def test_a_source_is_looked_at_for_as_long_as_it_says() -> None:
    source = contract("k/chart", kind="source", cadence="daily", start="2026-10-01", recheck_seconds=3 * DAY)
    assert sight(endpoint("c/rate")) == sight(source.model_copy(update={"recheck_seconds": None})) == first_look()
    assert sight(source) > timedelta(days=4)  # its day, and three more


def test_a_source_that_is_not_ready_is_looked_at_when_it_said() -> None:
    world = World(contract("k/chart", kind="source", cadence="daily", start="2026-10-01", recheck_seconds=3 * DAY))
    assert world.decide(at(1, day=2))["k/chart 2026-10-01"].state == S.DUE
    world.trouble("k/chart", "2026-10-01", "waiting", at(1, day=2), again=at(1.5, day=2), tries=0)
    wait = world.decide(at(1.2, day=2))["k/chart 2026-10-01"]
    assert (wait.state, wait.ask) == (S.WAITING, False)
    assert world.decide(at(1.6, day=2))["k/chart 2026-10-01"].state == S.DUE
    world.trouble("k/chart", "2026-10-01", "waiting", at(1, day=2), again=at(1.5, day=2), tries=0, code="code-0")
    mended = world.decide(at(1.2, day=2))["k/chart 2026-10-01"]
    assert (mended.state, mended.ask) == (S.DUE, True)
    world.build("k/chart", "2026-10-01", when=at(2, day=2))
    assert not world.decide(at(7, day=2))["k/chart 2026-10-01"].ask
    recheck = world.decide(at(8, day=2))["k/chart 2026-10-01"]
    assert (recheck.state, recheck.ask) == (S.CURRENT, True)
    assert not world.decide(at(8, day=6))["k/chart 2026-10-01"].ask


def test_imported_partitions_are_left_alone(world: World) -> None:
    world.build("l/played", H3, H4)
    world.build("c/rate", H3, origin="imported", inputs=b"other", code="none")
    assert world.decide(at(9))[f"c/rate {H3}"].state == S.CURRENT


def test_what_was_changed_outside_is_built_again_and_what_was_imported_waits_for_a_person(world: World) -> None:
    world.build("l/played", H3, H4)
    world.build("c/rate", H3)
    world.trouble("c/rate", H3, "failed", at(6), again=at(6), tries=0, kind=CHANGED_OUTSIDE)
    found = world.decide(at(6))[f"c/rate {H3}"]
    assert (found.state, found.ask, found.attempt) == (S.STALE, True, 1)
    del world.published("l/played")[H4]  # what it would be built from is not there
    assert not world.decide(at(6))[f"c/rate {H3}"].ask
    world.published("c/rate")[H3] = replace(world.published("c/rate")[H3], origin="imported")
    world.trouble("c/rate", H3, "stuck", at(6), kind=CHANGED_OUTSIDE)
    found = world.decide(at(6))[f"c/rate {H3}"]
    assert (found.state, found.ask, found.reason) == (S.STUCK, False, "it stuck")


def test_what_a_build_found_current_is_not_asked_for_again(world: World) -> None:
    """Should planner and build ever see it differently, the build is believed: no run every tick."""
    world.build("l/played", H3, H4)
    world.build("c/rate", H3, when=at(5), inputs=b"seen differently", seen_at=at(9))
    assert world.decide(at(10))[f"c/rate {H3}"].state == S.CURRENT
    world.build("l/played", H3, when=at(11), content="new")
    assert world.decide(at(12))[f"c/rate {H3}"].ask


def test_a_cycle_is_an_error_not_a_loop() -> None:
    world = World(endpoint("c/a", reads("c/b")), endpoint("c/b", reads("c/a")))
    with pytest.raises(ValueError, match="cycle"):
        world.decide(at(3))


def test_decide_is_a_function_of_its_facts(world: World) -> None:
    world.build("l/played", H3)
    assert world.decide(at(6)) == world.decide(at(6))
