"""Reopened hours: taken up once, by the build that knew of it; and what is looked at after."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from platform_defs.planning.facts import Counts, Published
from platform_defs.planning.lateness import is_parked, reopening_pins
from platform_defs.planning.reopening import LandedSegment, Parked, downstream, is_whole, parked
from platform_defs.planning.seals import is_unread, seals_pin
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


def landed(*seals: tuple[datetime, int]) -> list[LandedSegment]:
    return [LandedSegment("r1", number, at_, rows) for number, (at_, rows) in enumerate(seals, 1)]


def version(counts: Counts | None = None, **given: Any) -> Published:
    made = world().published("l/played")[H3]
    return replace(made, first_built_at=BUILT, counts=counts, **given)


def test_what_is_parked_is_counted_in_segments_and_rows() -> None:
    policy = lateness((HOUR,))
    segments = landed((at(4), 10), (BUILT + AGE, 7), (BUILT + AGE * 2, 5), (BUILT + AGE * 9, 3))
    assert parked(policy, version(), None, segments, whole=True) == Parked(8, 2, 0)
    assert parked(policy, version(), BUILT + AGE * 5, segments, whole=True) == Parked(3, 1, 0)
    assert parked(None, version(), None, segments, whole=True) == Parked(0, 0, 0)


def test_of_what_landing_has_lost_the_late_table_says_what_is_parked() -> None:
    policy = lateness((HOUR,))
    read = version(Counts(landed=15, good=10, parked=5), pins=seals_pin([("r1", 1), ("r1", 3)]), built_at=BUILT + AGE * 3)
    left = landed((at(4), 10), (BUILT + AGE, 7), (BUILT + AGE * 2, 5), (BUILT + AGE * 9, 3))[2:]
    assert parked(policy, read, None, left, whole=False) == Parked(8, 1, 5)
    reopened = BUILT + AGE * 5  # and not taken up yet: only what came later is parked
    assert parked(policy, read, reopened, left, whole=False) == Parked(3, 1, 0)
    taken = replace(read, counts=Counts(landed=15, good=15), pins={**read.pins, **reopening_pins(reopened)})
    assert parked(policy, taken, reopened, left, whole=False) == Parked(3, 1, 0)


def test_an_hour_is_whole_while_landing_holds_all_it_was_built_from() -> None:
    built = version(Counts(landed=15, good=15))
    there = landed((at(4), 10), (BUILT, 5))
    assert is_whole(built, there, expired=False)
    assert is_whole(built, [*there, *landed((BUILT, 1))], expired=False)
    assert not is_whole(built, there, expired=True)
    assert not is_whole(built, there[:1], expired=False)


def test_a_build_has_read_a_receivers_seals_up_to_its_newest() -> None:
    read = version(pins=seals_pin([("r1", 3), ("r2", 7), ("r1", 2)]))
    assert [is_unread(read, *seal, at(9)) for seal in (("r1", 3), ("r1", 4), ("r2", 7), ("r2", 8), ("r3", 1))] == [False, True, False, True, True]
    later = replace(read, pins=seals_pin([("r1", 5)], read))
    assert [is_unread(later, *seal, at(9)) for seal in (("r1", 5), ("r2", 7), ("r2", 8))] == [False, False, True]
    silent = version(built_at=at(9))
    assert [is_unread(silent, "r1", 1, when) for when in (at(9), at(9.1))] == [False, True]


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
