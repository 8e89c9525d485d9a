"""What is missing beyond the look-back: the same as asking about each partition, in ranges; roots first."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from platform_defs.contracts.partitions import hours_of, index_of, key_at, keys_between, window_of
from platform_defs.planning.inputs import view_inputs
from platform_defs.planning.missing import Hole, existing, missing
from platform_defs.planning.spans import Ranges, joined
from platform_defs.planning.states import LOOK_BACK
from tests.fixtures.contracts import DAY, as_of, endpoint, event, reads
from tests.unit.planning.test_random_worlds import graphs
from tests.unit.planning.world import at

NOW = at(12, day=10)
BACK = timedelta(days=2)


def hours(*keys: str) -> Ranges:
    return joined((index_of(key), index_of(key)) for key in keys)


def named(hole: Hole, ranges: Ranges) -> list[tuple[str, str]]:
    return [(key_at(hole.cadence, first), key_at(hole.cadence, last)) for first, last in ranges]


def span(first: str, last: str) -> Ranges:
    return ((index_of(first), index_of(last)),)


EVENT = event("l/played", start="2026-10-01")
RATE = endpoint("c/rate", reads("l/played", 0, 1), start="2026-10-01")
DAILY = endpoint("c/day", reads("c/rate"), cadence="daily", start="2026-10-01")
CONTRACTS = {each.key: each for each in (EVENT, RATE, DAILY)}


def test_nothing_is_missing_within_the_look_back() -> None:
    built = span("2026-10-01T00", "2026-10-08T11")
    published = {"l/played": built, "c/rate": built, "c/day": span("2026-10-01", "2026-10-07")}
    assert missing(CONTRACTS, published, NOW) == []


def test_holes_are_ranges_from_start_to_the_look_back_roots_first() -> None:
    published = {"l/played": joined([*span("2026-10-01T00", "2026-10-03T04"), *span("2026-10-03T07", "2026-10-10T11")])}
    found = {hole.endpoint: hole for hole in missing(CONTRACTS, published, NOW)}
    assert list(found) == ["l/played", "c/rate", "c/day"]
    played, rate, day = found["l/played"], found["c/rate"], found["c/day"]
    assert named(played, played.ready) == [("2026-10-03T05", "2026-10-03T06")]
    assert (played.waiting, played.behind, played.readers) == ((), (), ("c/rate",))
    assert named(rate, rate.waiting) == [("2026-10-03T04", "2026-10-03T06")]
    assert named(rate, rate.ready) == [("2026-10-01T00", "2026-10-03T03"), ("2026-10-03T07", "2026-10-08T11")]
    assert (rate.behind, rate.readers, rate.span) == (("l/played",), ("c/day",), ("2026-10-01T00", "2026-10-08T11"))
    assert named(day, day.waiting) == [("2026-10-01", "2026-10-07")]
    assert (day.ready, day.partitions, day.is_root) == ((), 7, False)


def test_retention_that_begins_later_than_the_start_bounds_it() -> None:
    short = event("l/played", start="2026-10-01", retention_seconds=4 * DAY)
    (hole,) = missing({"l/played": short}, {}, NOW)
    assert hole.span == ("2026-10-06T12", "2026-10-08T11")


def test_paused_endpoints_are_not_told_and_who_waits_for_them_is() -> None:
    published = {"l/played": span("2026-10-01T02", "2026-10-10T11"), "c/day": span("2026-10-01", "2026-10-09")}
    (hole,) = missing(CONTRACTS, published, NOW, paused={"l/played"})
    assert (hole.endpoint, named(hole, hole.waiting), hole.behind) == ("c/rate", [("2026-10-01T00", "2026-10-01T01")], ("l/played",))


def test_hours_whose_landing_expired_are_said_to_be_gone() -> None:
    gone = {"l/played": hours("2026-10-03T05", "2026-10-09T00")}
    (hole,) = missing({"l/played": EVENT}, {"l/played": span("2026-10-03T07", "2026-10-10T11")}, NOW, gone=gone)
    assert named(hole, hole.gone) == [("2026-10-03T05", "2026-10-03T05")]
    assert named(hole, hole.ready) == [("2026-10-01T00", "2026-10-03T04"), ("2026-10-03T06", "2026-10-03T06")]


def test_a_snapshot_within_reach_is_enough() -> None:
    contracts = {"k/tracks": endpoint("k/tracks", cadence="daily", start="2026-09-01"), "c/rate": endpoint("c/rate", as_of("k/tracks", 2), start="2026-10-01")}
    published = {"k/tracks": joined([*span("2026-10-01", "2026-10-01"), *span("2026-10-05", "2026-10-09")])}
    hole = next(each for each in missing(contracts, published, NOW) if each.endpoint == "c/rate")
    assert named(hole, hole.ready) == [("2026-10-01T23", "2026-10-03T23"), ("2026-10-05T23", "2026-10-08T11")]
    assert hole.behind == ("k/tracks",)


def test_running_totals_are_one_backfill() -> None:
    total = endpoint("c/total", reads("c/total", -1, -1, "days"), cadence="daily", start="2026-10-01")
    (hole,) = missing({"c/total": total}, {}, NOW)
    assert (named(hole, hole.ready), hole.waiting) == ([("2026-10-01", "2026-10-07")], ())


@settings(deadline=None, max_examples=60)
@given(graphs(), st.randoms(use_true_random=False))
def test_as_if_each_partition_had_been_asked_about(made: list, random: object) -> None:  # type: ignore[type-arg]
    contracts = {each.key: each.model_copy(update={"start": "2026-10-01"}) for each in made}
    now = at(0, day=5)
    published: dict[str, Ranges] = {}
    for key, contract in contracts.items():
        keys = [f"2026-10-0{day}" for day in range(1, 5)]
        keys = keys if contract.cadence == "daily" else [hour for day in keys for hour in hours_of(day)]
        published[key] = hours(*(each for each in keys if random.random() < 0.8))  # type: ignore[attr-defined]

    def content(key: str, partition: str) -> bytes | None:
        number = index_of(partition)
        return b"c" if any(first <= number <= last for first, last in published[key]) else None

    holes = {hole.endpoint: hole for hole in missing(contracts, published, now, back=BACK)}
    for key, contract in contracts.items():
        ready, waiting = set(), set()
        for first, last in existing(contract, now, BACK):
            for partition in keys_between(key_at(contract.cadence, first), key_at(contract.cadence, last)):
                assert window_of(partition).end <= now - BACK
                if content(key, partition) is None:
                    lacks = [each for each in view_inputs(contract, partition, contracts, content).missing if each.endpoint != key]
                    (waiting if lacks else ready).add(partition)
        hole = holes.get(key)
        spelled = [] if hole is None else [{each for pair in named(hole, part) for each in keys_between(*pair)} for part in (hole.ready, hole.waiting)]
        assert spelled == ([ready, waiting] if ready or waiting else []), key


def test_the_default_look_back_is_the_planners() -> None:
    (hole,) = missing({"l/played": EVENT}, {}, NOW)
    assert window_of(hole.span[1]).end == NOW - LOOK_BACK
