"""What a change of contracts would do: who is concerned, and which partitions."""

from __future__ import annotations

from datetime import timedelta

from platform_defs.contracts.contract import Column, Contract
from platform_defs.contracts.partitions import hours_of
from platform_defs.planning.facts import Facts, Receiver
from platform_defs.planning.proposals import Outlook, Proposal, concerned, outlook, proposals, rebuilt
from tests.fixtures.contracts import DAY, endpoint, event, reads
from tests.unit.planning.world import World, at

NOW = at(10, day=3)
PLAYED = event("l/played", start="2026-10-01")
RATE = endpoint("c/rate", reads("l/played"), start="2026-10-01")
DAILY = endpoint("c/day", reads("c/rate"), cadence="daily", start="2026-10-01")
OWED = endpoint("s/owed", reads("c/day", unit="days"), cadence="daily", start="2026-10-01")
ALL = {each.key: each for each in (PLAYED, RATE, DAILY, OWED)}


def changed(contract: Contract, **given: object) -> list[Proposal]:
    return proposals(ALL, ALL | {contract.key: contract.model_copy(update=given)}, {})


def only(contract: Contract, **given: object) -> Proposal:
    (found,) = changed(contract, **given)
    return found


def test_nothing_changes_nothing() -> None:
    assert proposals(ALL, ALL, {}) == []


def test_readers_are_named_and_those_behind_them_where_the_change_reaches() -> None:
    wider = only(RATE, columns=(*RATE.columns, Column(name="n", type="INT")))
    assert (wider.what, wider.readers, wider.further, wider.breaking) == ("changed", ("c/day",), ("s/owed",), ())
    words = only(RATE, description="other")
    assert (words.readers, words.further) == (("c/day",), ())
    closed = only(RATE, readers=("group:x",))
    assert (closed.readers, closed.further, bool(closed.breaking)) == (("c/day",), ("s/owed",), True)


def test_what_is_removed_names_whom_it_leaves() -> None:
    (found,) = proposals(ALL, {key: each for key, each in ALL.items() if key != "c/day"}, {})
    assert (found.key, found.what, found.readers, found.contract) == ("c/day", "removed", ("s/owed",), DAILY)
    assert found.breaking


def test_what_is_new_is_compatible() -> None:
    (found,) = proposals(ALL, ALL | {"c/new": endpoint("c/new", reads("c/rate"))}, {})
    assert (found.what, found.breaking, found.readers) == ("added", (), ())


def test_what_once_was_counts() -> None:
    once = RATE.model_copy(update={"columns": (*RATE.columns, Column(name="n", type="INT"))})
    back = ALL | {"c/rate": RATE.model_copy(update={"columns": (*RATE.columns, Column(name="n", type="STRING"))})}
    assert not proposals(ALL, back, {})[0].breaking
    assert proposals(ALL, back, {"c/rate": [once]})[0].breaking


SPAN = [("2026-10-01T00", "2026-10-02T23")]


def test_other_code_makes_partitions_outdated() -> None:
    assert outlook(only(RATE, code_version="2"), SPAN, 0, NOW) == Outlook(published=48, outdated=48)
    assert outlook(only(RATE, description="other"), SPAN, 0, NOW) == Outlook(published=48)


def test_an_earlier_start_brings_partitions_and_a_later_one_hides_them() -> None:
    assert outlook(only(RATE, start="2026-09-29"), SPAN, 0, NOW) == Outlook(published=48, new=48)
    assert outlook(only(RATE, start="2026-10-02"), SPAN, 0, NOW) == Outlook(published=48, hidden=24)


def test_a_shorter_retention_deletes() -> None:
    assert outlook(only(RATE, retention_seconds=DAY), SPAN, 0, NOW) == Outlook(published=48, hidden=34)
    assert outlook(only(RATE, retention_seconds=DAY, code_version="2"), SPAN, 0, NOW) == Outlook(published=48, outdated=14, hidden=34)


def test_another_cadence_begins_anew() -> None:
    assert outlook(only(RATE, cadence="daily"), SPAN, 0, NOW) == Outlook(published=48, new=2, hidden=48)


def test_a_new_dataset_has_its_past_to_build() -> None:
    (found,) = proposals({}, {"c/rate": RATE}, {})
    assert outlook(found, [], 48, NOW) == Outlook(by_itself=48, new=58)


# --- what the planner would do -----------------------------------------------------------------------------------------------------------------


def world() -> World:
    world = World(*ALL.values())
    world.receivers = [Receiver("r1", NOW, NOW, "live")]
    hours = [hour for day in ("2026-10-01", "2026-10-02") for hour in hours_of(day)] + [f"2026-10-03T0{n}" for n in range(9)]
    world.build("l/played", *hours)
    world.build("c/rate", *hours)
    world.build("c/day", "2026-10-01", "2026-10-02")
    world.build("s/owed", "2026-10-01", "2026-10-02")
    return world


def facts(world: World, found: list[Proposal]) -> Facts:
    keys, reach = concerned(found, world.contracts)
    since = NOW - timedelta(days=2) - reach
    return Facts(since, NOW, tuple(sorted(keys)), world.facts, tuple(world.receivers))


def test_other_inputs_are_built_by_themselves() -> None:
    found = changed(RATE, inputs=(reads("l/played", -1, 0),))
    assert concerned(found, ALL)[1] == timedelta(hours=1)
    there = world()
    assert rebuilt(found, facts(there, found), NOW) == {"c/rate": 47}  # the look-back, but for what is asked for anyway


def test_other_code_is_not() -> None:
    found = changed(RATE, code_version="2")
    assert rebuilt(found, facts(world(), found), NOW) == {}


def test_a_new_dataset_is_built_as_far_as_the_look_back() -> None:
    found = proposals(ALL, ALL | {"c/new": endpoint("c/new", reads("c/rate"), start="2026-10-01")}, {})
    assert rebuilt(found, facts(world(), found), NOW) == {"c/new": 47}


def test_what_reads_something_that_goes_is_left_to_the_check_of_contracts() -> None:
    (found,) = proposals(ALL, {key: each for key, each in ALL.items() if key != "c/day"}, {})
    assert rebuilt([found], facts(world(), [found]), NOW) == {}
