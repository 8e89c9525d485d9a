"""What a backfill is made of: words to endpoints, spans to partitions, partitions to what is built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.contracts.partitions import hours_of, keys_between
from platform_defs.planning.backfills import BackfillPlan, plan_backfill
from platform_defs.planning.facts import Counts, Facts, Landed, Pause, Receiver
from platform_defs.planning.ranges import Candidates, candidates
from platform_defs.planning.selection import Refused, Selection, nearest, select
from tests.fixtures.contracts import DAY, as_of, endpoint, event, reads
from tests.unit.planning.world import World, at

NOW = at(10, day=4)
ONE, TWO, THREE = "2026-10-01", "2026-10-02", "2026-10-03"


@pytest.fixture
def world() -> World:
    """Three days of an event type, an hourly reader and one of the next domain, a daily one and its running totals; all built."""
    world = World(
        event("l/played", start="2026-10-01"),
        endpoint("c/rate", reads("l/played", 0, 1), start="2026-10-01"),
        endpoint("c/same", reads("l/played"), start="2026-10-01"),
        endpoint("s/owed", reads("c/rate", -1, 0), start="2026-10-01"),
        endpoint("c/day", reads("c/rate"), cadence="daily", start="2026-10-01"),
        endpoint("c/total", reads("c/day", unit="days"), reads("c/total", -1, -1, unit="days"), cadence="daily", start="2026-10-01"),
        endpoint("c/named", as_of("c/day"), start="2026-10-03"),
    )
    world.receivers = [Receiver("r1", NOW, NOW, "live")]
    hours = [hour for day in (ONE, TWO, THREE) for hour in hours_of(day)]
    for hour in [*hours, "2026-10-04T00"]:
        world.land("l/played", hour, 10, at(0, day=5))
        world.build("l/played", hour, content=f"l{hour}")
    for key in ("c/rate", "c/same", "s/owed"):
        world.build(key, *hours)
    for key in ("c/day", "c/total"):
        world.build(key, ONE, TWO, THREE)
    world.build("c/named", *hours_of(THREE), *keys_between("2026-10-04T00", "2026-10-04T09"))
    return world


def planned(world: World, words: str, first: str | None = ONE, last: str | None = THREE, now: datetime = NOW, **given: Any) -> BackfillPlan:
    """The plan as the command makes it."""
    wanted = candidates(select(words.split(), world.contracts), first, last, world.contracts, now)
    return plan_backfill(facts_of(world, wanted), wanted, now, spanned=first is not None, **given)


def facts_of(world: World, wanted: Candidates, pauses: Iterable[Pause] = ()) -> Facts:
    since, until = wanted.span
    return Facts(since, until, wanted.endpoints, world.facts, tuple(world.receivers), pauses=tuple(pauses))


def built(plan: BackfillPlan) -> dict[str, tuple[str, ...]]:
    return {part.endpoint: part.partitions for part in plan.parts}


def remove(world: World, endpoint: str, *partitions: str) -> None:
    for partition in partitions:
        del world.published(endpoint)[partition]


# --- words -------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "endpoints", "named", "followed"),
    [
        ("c/rate", {"c/rate"}, {"c/rate"}, set()),
        ("c/rate,l/played", {"c/rate", "l/played"}, {"c/rate", "l/played"}, set()),
        ('key:"c/rate"+', {"c/rate"}, {"c/rate"}, {"c/rate"}),
        ("s", {"s/owed"}, set(), set()),
        ("c/* l", {"c/rate", "c/same", "c/day", "c/total", "c/named", "l/played"}, set(), set()),
        ("*/owed+", {"s/owed"}, set(), {"s/owed"}),
    ],
)
def test_words_choose_endpoints(world: World, words: str, endpoints: set[str], named: set[str], followed: set[str]) -> None:
    assert select(words.split(), world.contracts) == Selection(tuple(sorted(endpoints)), frozenset(named), frozenset(followed))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("c/rat", r"there is no dataset c/rat: did you mean c/rate"),
        ("x/owed", r"there is no dataset x/owed: did you mean s/owed"),
        ("zzzzz", r"there is no dataset or domain zzzzz: \./backline status lists"),
        ("q/*", r"there is no dataset q/\*"),
        ("+c/rate", r"'\+c/rate' is not understood: write keys"),
        ("group:endpoints", r"not understood"),
        ("c/rate|c/day s/owd", r"there is no dataset c/rate\|c/day[\s\S]*s/owd: did you mean s/owed"),
        (",", r"nothing is chosen"),
    ],
)
def test_words_that_choose_nothing_are_answered(world: World, words: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        select(words.split(), world.contracts)


def test_the_nearest_name_may_be_in_another_domain() -> None:
    assert nearest("x/rate", ["c/rate", "c/ratio", "a/b"])[0] == "c/rate"


# --- spans -------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "first", "last", "said"),
    [
        ("c/rate", "yesterday", THREE, r"--from 'yesterday' is no partition: write an hour as 2026-10-01T03 or a day as 2026-10-01"),
        ("c/rate", ONE, "2026-10-01T3", r"--to '2026-10-01T3' is no partition"),
        ("c/rate", TWO, ONE, r"--from 2026-10-02 is later than --to 2026-10-01: change their places"),
        ("c/rate", ONE, "2026-10-04", r"c/rate 2026-10-04T23 is not over \(it is 2026-10-04T10:00 UTC\): write --to 2026-10-04T09 or earlier"),
        ("c", ONE, "2027-01-01", r"is not over"),
        ("c/day", "2026-10-01T05", "2026-10-02T04", r"c/day is daily, and no whole day lies between .*: write days, as in --from 2026-10-01 --to 2026-10-02"),
        ("c/rate", "2026-09-30", ONE, r"c/rate 2026-09-30T00 is before its start \(2026-10-01\): write --from 2026-10-01T00 or later"),
        ("c/named", ONE, THREE, r"c/named 2026-10-01T00 is before its start"),
        ("c/* l", "2026-09-01", "2026-09-02", r"no partition of what was chosen lies between"),
    ],
)
def test_spans_that_mean_nothing_are_answered(world: World, words: str, first: str, last: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        planned(world, words, first, last)


def test_what_is_past_its_retention_is_refused(world: World) -> None:
    world.change("c/rate", retention_seconds=2 * DAY)
    with pytest.raises(Refused, match=r"c/rate 2026-10-01T00 is past its retention \(2d\) and would be deleted again: write --from 2026-10-02T10 or later"):
        planned(world, "c/rate", force=True)


def test_of_a_domain_what_does_not_exist_is_left_out_and_told(world: World) -> None:
    wanted = candidates(select(["c"], world.contracts), ONE, THREE, world.contracts, NOW)
    assert wanted.asked["c/named"] == tuple(hours_of(THREE))
    assert wanted.notes == ("c/named 2026-10-01T00 is before its start (2026-10-03): write --from 2026-10-03T00 or later; what is before is left out",)


def test_a_day_is_its_hours_and_hours_are_the_days_they_fill(world: World) -> None:
    wanted = candidates(select(["c/rate", "c/day"], world.contracts), "2026-10-01T07", TWO, world.contracts, NOW)
    assert wanted.asked == {"c/rate": tuple(keys_between("2026-10-01T07", "2026-10-02T23")), "c/day": (TWO,)}


def test_without_a_span_all_that_is_kept_is_meant(world: World) -> None:
    wanted = candidates(select(["c/day"], world.contracts), None, None, world.contracts, NOW)
    assert wanted.asked == {"c/day": (ONE, TWO, THREE)}


# --- what is built -----------------------------------------------------------------------------------------------------------------------------


def test_what_is_current_is_left_alone(world: World) -> None:
    plan = planned(world, "c/rate c/day")
    assert plan.parts == ()
    assert plan.current == {"c/rate": 72, "c/day": 3}


def test_what_is_missing_stale_outdated_or_broken_is_built(world: World) -> None:
    remove(world, "c/rate", "2026-10-01T05")
    world.build("l/played", "2026-10-02T00", content="another", when=at(9, day=4))  # read by c/rate 23 and 00
    world.trouble("c/rate", "2026-10-03T07", "refused", at(8, day=3))
    world.build("c/rate", "2026-10-03T09", code="code-0")
    plan = planned(world, "c/rate")
    (part,) = plan.parts
    assert part.partitions == ("2026-10-01T05", "2026-10-01T23", "2026-10-02T00", "2026-10-03T07", "2026-10-03T09")
    assert part.why == {"missing": 1, "stale": 2, "refused": 1, "outdated": 1}
    assert plan.current == {"c/rate": 67}


def test_force_builds_all(world: World) -> None:
    (part,) = planned(world, "c/rate", force=True).parts
    assert len(part.partitions) == 72
    assert part.why == {"asked": 72}
    assert (part.ranges, part.runs) == ((("2026-10-01T00", "2026-10-03T23"),), 3)


def test_outdated_builds_only_what_older_code_built(world: World) -> None:
    remove(world, "c/rate", "2026-10-01T05")
    world.build("c/rate", "2026-10-03T09", code="code-0")
    plan = planned(world, "c/rate", outdated=True)
    assert built(plan) == {"c/rate": ("2026-10-03T09",)}
    assert built(planned(world, "c/rate", None, None, outdated=True)) == {"c/rate": ("2026-10-03T09",)}


def test_imported_partitions_are_not_outdated(world: World) -> None:
    world.build("c/day", TWO, code="code-0", origin="imported")
    assert planned(world, "c/day", outdated=True).parts == ()


def test_imported_partitions_are_rebuilt_by_force_alone(world: World) -> None:
    """Not because what they read is built: a build would leave them alone."""
    remove(world, "c/rate", "2026-10-02T05")
    world.build("c/day", TWO, origin="imported")
    assert built(planned(world, "c/rate+", TWO, TWO))["c/rate"] == ("2026-10-02T05",)
    assert "c/day" not in built(planned(world, "c/rate+", TWO, TWO))
    world.build("c/rate", "2026-10-02T05")
    assert next(part.why for part in planned(world, "c/day", TWO, TWO, force=True).parts) == {"asked": 1}


def test_readers_come_with_downstream_and_only_what_reads_what_is_built(world: World) -> None:
    world.build("c/rate", "2026-10-02T23", code="code-0")
    plan = planned(world, "c/rate+", TWO, TWO)
    assert built(plan) == {
        "c/rate": ("2026-10-02T23",),
        "s/owed": ("2026-10-02T23", "2026-10-03T00"),
        "c/day": (TWO,),
        "c/total": (TWO, THREE),
        "c/named": tuple(hours_of(THREE)[:-1]),  # those that chose this day's snapshot: from its last hour on the third day's is newer
    }
    assert next(part.why for part in plan.parts if part.endpoint == "c/total") == {"input": 2}


def test_a_reader_of_another_snapshot_is_left_alone(world: World) -> None:
    world.build("c/day", ONE, code="code-0")
    assert "c/named" not in built(planned(world, "c/day+", ONE, ONE)), "its hours chose later snapshots"


def test_downstream_of_totals_goes_on_to_the_newest(world: World) -> None:
    world.build("c/total", ONE, code="code-0")
    assert built(planned(world, "c/total", ONE, ONE)) == {"c/total": (ONE,)}
    plan = planned(world, "c/total+", ONE, ONE)
    assert built(plan) == {"c/total": (ONE, TWO, THREE)}
    assert plan.parts[0].serial


def test_endpoints_that_read_the_same_hours_share_runs(world: World) -> None:
    plan = planned(world, "l/played c/same c/rate c/day", force=True)
    assert {part.endpoint: (part.step, part.together) for part in plan.parts} == {
        "l/played": (0, ("l/played",)),
        "c/same": (1, ("c/rate", "c/same")),
        "c/rate": (1, ("c/rate", "c/same")),
        "c/day": (2, ("c/day",)),
    }
    assert plan.runs == 3 + 3 + 1
    assert [(shape.endpoints, shape.count, shape.partitions) for shape in plan.shapes] == [
        (("l/played",), 3, 24),
        (("c/rate", "c/same"), 3, 24),
        (("c/day",), 1, 3),
    ]


def test_parent_and_child_of_one_domain_share_runs() -> None:
    world = World(endpoint("c/a", start=ONE), endpoint("c/b", reads("c/a"), start=ONE), endpoint("c/c", reads("c/b", 0, 1), start=ONE))
    plan = planned(world, "c", ONE, ONE)
    assert [(part.endpoint, part.step, part.together) for part in plan.parts] == [
        ("c/a", 0, ("c/a", "c/b")),
        ("c/b", 0, ("c/a", "c/b")),
        # its last hour reads the first of the next day, which nobody chose
        ("c/c", 1, ("c/c",)),
    ]
    assert [(left.endpoint, left.partitions) for left in plan.blocked] == [("c/c", ("2026-10-01T23",))]
    assert plan.runs == 2


def test_what_waits_for_something_else_is_told_and_left_out(world: World) -> None:
    remove(world, "l/played", "2026-10-02T05")
    remove(world, "c/same", "2026-10-02T05", "2026-10-02T06")
    plan = planned(world, "c/same")
    assert built(plan) == {"c/same": ("2026-10-02T06",)}
    (left,) = plan.blocked
    assert (left.endpoint, left.partitions) == ("c/same", ("2026-10-02T05",))
    assert left.reason == "what it reads of l/played is not published: choose that too, or wait for it"
    both = planned(world, "c/same l/played")
    assert both.blocked == ()
    assert built(both) == {"c/same": ("2026-10-02T05", "2026-10-02T06"), "l/played": ("2026-10-02T05",)}


def test_a_backfill_of_nothing_but_what_waits_is_refused(world: World) -> None:
    remove(world, "l/played", "2026-10-02T05")
    remove(world, "c/same", "2026-10-02T05")
    with pytest.raises(Refused, match=r"c/same 2026-10-02T05 cannot be built: what it reads of l/played is not published"):
        planned(world, "c/same", "2026-10-02T05", "2026-10-02T05")


def test_an_hour_that_is_still_open_is_refused_with_its_reason(world: World) -> None:
    world.receivers = [Receiver("r2", at(5, day=4), at(5, day=4), "live")]
    with pytest.raises(Refused, match=r"l/played 2026-10-04T09 cannot be built: the hour closes at 10:02"):
        planned(world, "l/played", "2026-10-04T09", "2026-10-04T09")
    with pytest.raises(Refused, match=r"l/played 2026-10-04T08 cannot be built: receiver r2 silent since 2026-10-04 05:00: restart it"):
        planned(world, "l/played", "2026-10-04T08", "2026-10-04T08")


def test_a_pause_is_told_and_holds_nobody_up(world: World) -> None:
    remove(world, "c/rate", "2026-10-01T05")
    wanted = candidates(select(["c/rate"], world.contracts), ONE, ONE, world.contracts, NOW)
    plan = plan_backfill(facts_of(world, wanted, [Pause("c", "we look at it", NOW - timedelta(hours=1))]), wanted, NOW)
    assert built(plan) == {"c/rate": ("2026-10-01T05",)}
    assert "c/rate is paused since 2026-10-04 09:00: we look at it; this builds it nevertheless" in plan.notes


# --- the landing -------------------------------------------------------------------------------------------------------------------------------


def expire(world: World, *hours: str) -> None:
    for hour in hours:
        world.landed("l/played")[hour] = replace(world.landed("l/played")[hour], expired=True)


def test_hours_whose_landing_has_expired_are_refused_before_anything_starts(world: World) -> None:
    expire(world, *hours_of(ONE))
    for force in (True, False):
        with pytest.raises(
            Refused, match=r"l/played 2026-10-01T00 to 2026-10-01T23: the landing of 24 partitions has expired, .* overwrite good data with nothing"
        ):
            planned(world, "l/played", ONE, ONE, force=force)
    with pytest.raises(Refused, match="has expired"):
        planned(world, "l/played c/rate", force=True)


def test_readers_are_rebuilt_from_what_is_published_of_them(world: World) -> None:
    expire(world, *hours_of(ONE))
    world.build("c/rate", "2026-10-01T05", code="code-0")
    plan = planned(world, "l/played c/rate")
    assert built(plan) == {"c/rate": ("2026-10-01T05",)}
    assert "l/played: 24 partitions cannot be rebuilt, their landing has expired; what is published of them stays" in plan.notes


def test_an_outdated_hour_whose_landing_has_expired_is_refused_if_its_span_was_said(world: World) -> None:
    expire(world, "2026-10-01T05")
    world.build("l/played", "2026-10-01T05", "2026-10-02T05", code="code-0")
    with pytest.raises(Refused, match="has expired"):
        planned(world, "l/played", outdated=True)
    plan = planned(world, "l/played", None, None, outdated=True)
    assert built(plan) == {"l/played": ("2026-10-02T05",)}
    assert any("1 partition cannot be rebuilt" in note for note in plan.notes)


def test_segments_missing_on_disk_count_as_expired(world: World) -> None:
    with pytest.raises(Refused, match="has expired"):
        planned(world, "l/played", force=True, lost={("l/played", "2026-10-02T05")})


def test_published_rows_that_no_known_segment_holds_are_not_overwritten(world: World) -> None:
    """A ledger that was rebuilt knows of no segment that expired before."""
    del world.landed("l/played")["2026-10-02T05"]
    world.build("l/played", "2026-10-02T05", counts=Counts(landed=10, good=10))
    with pytest.raises(Refused, match="has expired"):
        planned(world, "l/played", force=True)
    world.build("l/played", "2026-10-02T05", counts=None, rows=3, origin="imported")
    with pytest.raises(Refused, match="has expired"):
        planned(world, "l/played", force=True)


def test_an_hour_in_which_nothing_landed_may_be_built_again(world: World) -> None:
    del world.landed("l/played")["2026-10-02T05"]
    world.build("l/played", "2026-10-02T05", counts=Counts(), code="code-0")
    assert built(planned(world, "l/played")) == {"l/played": ("2026-10-02T05",)}


def test_an_hour_never_built_whose_landing_is_partly_gone_is_refused(world: World) -> None:
    remove(world, "l/played", "2026-10-02T05")
    world.landed("l/played")["2026-10-02T05"] = Landed(10, 2, at(5, day=2), expired=True)
    with pytest.raises(Refused, match="has expired"):
        planned(world, "l/played")


# --- properties --------------------------------------------------------------------------------------------------------------------------------

HOURS = keys_between("2026-10-01T00", "2026-10-01T05")


@given(missing=st.sets(st.sampled_from(HOURS)), old=st.sets(st.sampled_from(HOURS)), force=st.booleans(), outdated=st.booleans())
def test_a_plan_builds_each_candidate_once_and_never_before_what_it_reads(missing: set[str], old: set[str], force: bool, outdated: bool) -> None:
    world = World(endpoint("c/a", start=ONE), endpoint("c/b", reads("c/a", -1, 0), start=ONE), endpoint("c/c", reads("c/b"), start=ONE))
    for key in ("c/a", "c/b", "c/c"):
        world.build(key, *HOURS)
    for hour in old:
        world.build("c/a", hour, code="code-0")
    remove(world, "c/a", *missing)
    wanted = candidates(select(["c/a+"], world.contracts), HOURS[0], HOURS[-1], world.contracts, NOW)
    plan = plan_backfill(facts_of(world, wanted), wanted, NOW, force=force, outdated=outdated)
    steps = {part.endpoint: part.step for part in plan.parts}
    for part in plan.parts:
        assert set(part.partitions) <= set(wanted.of(part.endpoint))
        assert list(part.partitions) == sorted(set(part.partitions))
        assert sum(part.why.values()) == len(part.partitions)
        assert [key for first, last in part.ranges for key in keys_between(first, last)] == list(part.partitions)
        assert all(steps[other] <= part.step for other in part.together)
    if "c/b" in steps and "c/a" in steps:
        assert steps["c/a"] < steps["c/b"], "a window over neighbours is not built in one run with what it reads"
    found = {key: set(each) for key, each in built(plan).items()}
    if force and not outdated:
        assert found["c/a"] == set(HOURS)
    elif outdated:
        assert found.get("c/a", set()) == old - missing
    else:
        assert found.get("c/a", set()) == missing | old
    for hour in found.get("c/a", set()):
        readers = [hour, *([HOURS[HOURS.index(hour) + 1]] if hour != HOURS[-1] else [])]
        left = {key for each in plan.blocked if each.endpoint == "c/b" for key in each.partitions}
        assert set(readers) <= found.get("c/b", set()) | left, "who reads what is built is built"
