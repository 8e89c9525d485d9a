"""Reopened hours: taken up once, by the build that knew of it; and what is looked at after."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from platform_defs.planning.lateness import is_parked, reopening_pins
from platform_defs.planning.reopening import downstream, parked
from platform_defs.planning.states import PartitionState as S
from tests.fixtures.contracts import HOUR, as_of, endpoint, event, lateness, reads
from tests.unit.planning.world import World, at

H3 = "2026-10-01T03"
BUILT = at(4.2)
AGE = timedelta(hours=1)


def world() -> World:
    made = World(event("l/played", lateness=lateness((HOUR,), 0.5)))
    made.land("l/played", H3, 10, at(4))
    made.build("l/played", H3, when=BUILT)
    return made


def test_segments_sealed_before_the_reopening_are_taken_and_later_ones_parked_again() -> None:
    policy = lateness((HOUR,))
    sealed, reopened = BUILT + AGE + timedelta(minutes=1), BUILT + timedelta(hours=5)
    assert is_parked(policy, BUILT, sealed)
    assert not is_parked(policy, BUILT, sealed, reopened)
    assert not is_parked(policy, BUILT, reopened, reopened)
    assert is_parked(policy, BUILT, reopened + timedelta(microseconds=1), reopened)


def test_a_reopened_hour_is_asked_for_until_a_build_has_taken_that_up() -> None:
    found = world()
    reopened = at(10)
    found.reopened("l/played")[H3] = reopened
    asked = found.decide(at(11))[f"l/played {H3}"]
    assert (asked.state, asked.ask) == (S.STALE, True)
    assert asked.reason == "reopened at 2026-10-01 10:00: its parked rows join it"
    # A build that had begun before the reopening and ended after it knew nothing of it.
    found.build("l/played", H3, when=at(10.5))
    assert found.decide(at(11))[f"l/played {H3}"].ask
    found.published("l/played")[H3] = replace(found.published("l/played")[H3], pins=reopening_pins(reopened))
    assert found.decide(at(11))[f"l/played {H3}"].state == S.CURRENT
    found.reopened("l/played")[H3] = at(12)
    assert found.decide(at(13))[f"l/played {H3}"].ask


def test_a_build_that_fails_is_not_asked_for_without_end() -> None:
    found = world()
    found.reopened("l/played")[H3] = at(10)
    found.trouble("l/played", H3, "failed", at(11), again=at(12))
    assert not found.decide(at(11.5))[f"l/played {H3}"].ask
    found.trouble("l/played", H3, "stuck", at(11))
    assert not found.decide(at(15))[f"l/played {H3}"].ask
    found.reopened("l/played")[H3] = at(16)
    assert found.decide(at(17))[f"l/played {H3}"].ask


def test_what_is_parked_is_counted_in_segments_and_rows() -> None:
    policy = lateness((HOUR,))
    segments = [(at(4), 10), (BUILT + AGE, 7), (BUILT + AGE * 2, 5), (BUILT + AGE * 9, 3)]
    assert parked(policy, BUILT, None, segments) == (2, 8)
    assert parked(policy, BUILT, BUILT + AGE * 5, segments) == (1, 3)
    assert parked(policy, None, None, segments) == (0, 0)
    assert parked(None, BUILT, None, segments) == (0, 0)


def test_readers_are_followed_over_windows_to_the_end_of_the_graph() -> None:
    contracts = {
        each.key: each
        for each in (
            event("l/played"),
            endpoint("c/rate", reads("l/played", 0, 1)),
            endpoint("c/day", reads("c/rate"), cadence="daily"),
            endpoint("c/week", reads("c/day", -6, 0, "days"), cadence="daily"),
            endpoint("c/total", reads("c/day", 0, 0, "days"), reads("c/total", -1, -1, "days"), cadence="daily"),
            endpoint("c/pinned", as_of("c/day")),
            endpoint("c/other", reads("l/none")),
            event("l/none"),
        )
    }
    assert downstream(contracts, "l/played", "2026-10-01T00") == {
        "c/rate": ("2026-09-30T23", "2026-10-01T00"),
        "c/day": ("2026-09-30", "2026-10-01"),
        "c/week": ("2026-09-30", "2026-10-07"),
        "c/total": ("2026-09-30", "2026-10-01"),
    }
