"""The root of a delay in words, with what to do; what is news about it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from platform_defs.contracts.partitions import index_of, keys_between
from platform_defs.planning.facts import Facts, Pause, Receiver
from platform_defs.planning.pausing import pauses_of
from platform_defs.planning.roots import Root, Roots, is_news
from platform_defs.planning.spans import joined
from platform_defs.planning.states import Decision, decide
from tests.fixtures.contracts import HOUR, contract, endpoint, event, lateness, reads
from tests.unit.planning.world import World, at

HOURS = keys_between("2026-10-01T00", "2026-10-01T23")
H3, H4 = HOURS[3:5]
PLAYED, RATE, DAILY, TOTALS, PRICES, PAID = "l/played", "c/rate", "c/day", "c/totals", "v/prices", "c/paid"


def a_world() -> World:
    return World(
        event(PLAYED, lateness=lateness((HOUR,), 0.0, None)),
        endpoint(RATE, reads(PLAYED, 0, 1), ready_within_seconds=3 * HOUR),
        endpoint(DAILY, reads(RATE), cadence="daily", ready_within_seconds=6 * HOUR),
        endpoint(TOTALS, reads(DAILY, unit="days"), reads(TOTALS, -1, -1, "days"), cadence="daily", start="2026-09-29", ready_within_seconds=HOUR),
        contract(PRICES, kind="source", cadence="daily", ready_within_seconds=HOUR),
        endpoint(PAID, reads(DAILY, unit="days"), reads(PRICES, unit="days"), cadence="daily", ready_within_seconds=HOUR),
    )


class Traced:
    """The roots of some places in a world, and how often it was looked at."""

    def __init__(self, world: World, now: datetime, *places: tuple[str, str]) -> None:
        self.looks = 0

        def look(wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], Decision]:
            self.looks += 1
            facts = Facts(at(0, -9), now, tuple(world.facts), world.facts, tuple(world.receivers), tuple(world.pauses))
            return {(each.endpoint, each.partition): each for each in decide(facts, now, only=wanted)}

        def published(endpoint: str) -> tuple[tuple[int, int], ...]:
            return joined((index_of(key), index_of(key)) for key in world.published(endpoint))

        pauses = pauses_of(world.pauses, world.facts, now)
        self.roots = Roots(world.contracts, look, published, pauses, now).of(places)
        self.only: Root = next(iter(self.roots.values())) if self.roots else Root("", "", False)


def silent(world: World, *receivers: str, since: float = 2.25) -> None:
    world.receivers[:] = [Receiver(each, at(since), at(since), "live") for each in receivers]


def test_a_silent_receiver_is_named_with_what_to_do() -> None:
    world = a_world()
    silent(world, "r2")
    world.build(PLAYED, *HOURS[:3])
    root = Traced(world, at(10), (RATE, H3)).only
    assert root.words == (
        f"waits for {PLAYED} {H3} to {H4} (2); receiver r2 silent since 2026-10-01 02:15: restart it or give it up with `backline collector lost r2 --why TEXT`"
    )
    assert (root.name, root.moving) == (f"{PLAYED} waiting r2", False)


def test_the_root_is_the_far_end_not_the_next_thing() -> None:
    world = a_world()
    silent(world, "r2")
    world.build(PLAYED, *HOURS[:3])
    far = Traced(world, at(10, 2), (DAILY, "2026-10-01"))
    assert far.only.name == f"{PLAYED} waiting r2"
    assert far.only.words.startswith(f"waits for {PLAYED} {H3} to 2026-10-02T00 (22); receiver r2 silent")
    # What keeps hours apart is no other cause: the receiver comes nearer, the root stays.
    silent(world, "r2", since=5.5)
    world.build(PLAYED, *HOURS[3:5])
    assert not is_news(far.only.name, Traced(world, at(10, 2), (DAILY, "2026-10-01")).only)
    silent(world, "r3", since=5.5)
    assert is_news(far.only.name, Traced(world, at(10, 2), (DAILY, "2026-10-01")).only)


def test_refused_stuck_and_failed_are_said_with_the_next_step() -> None:
    world = a_world()
    world.build(PLAYED, *HOURS)
    for state in ("refused", "stuck"):
        world.trouble(RATE, H3, state, at(6))
        own = Traced(world, at(10), (RATE, H3)).only
        assert own.name == f"{RATE} {state} {H3}"
        assert own.words == f"{state}: it {state}; waits for new input, new code or a person; mend data or code, `backline why {RATE} {H3}` shows what failed"
        below = Traced(world, at(10, 2), (DAILY, "2026-10-01"))
        assert below.only.words.startswith(f"waits for {RATE} {H3}; {state}: it {state}")
    world.trouble(RATE, H3, "failed", at(6), again=at(11))
    assert Traced(world, at(10), (RATE, H3)).only.words == "failed: it failed; next try at 11:00"


def test_a_pause_names_how_to_end_it() -> None:
    world = a_world()
    world.pauses.append(Pause("l", "phones lie", at(1)))
    root = Traced(world, at(10), (RATE, H3)).only
    assert root.name == f"{PLAYED} paused"
    assert root.words.endswith("(`backline resume l`)")
    assert "paused since 2026-10-01 01:00: phones lie" in root.words


def test_what_nobody_asks_for_any_more_comes_with_its_command() -> None:
    world = a_world()
    world.build(PLAYED, *HOURS)
    assert Traced(world, at(10, 9), (RATE, H3)).only.words == (
        f"its inputs are complete; older than 48 h: ask for it with a backfill: `backline backfill {RATE} --from {H3} --to {H3}`"
    )


def test_the_first_of_a_row_is_the_root_of_a_running_total() -> None:
    world = a_world()
    for day in ("2026-09-29", "2026-09-30", "2026-10-01", "2026-10-02"):
        world.build(DAILY, day)
    world.build(TOTALS, "2026-09-29")
    world.trouble(TOTALS, "2026-09-30", "refused", at(6))
    root = Traced(world, at(10, 3), (TOTALS, "2026-10-02")).only
    assert root.name == f"{TOTALS} refused 2026-09-30"


def test_two_causes_are_both_said_and_builds_among_them_are_not() -> None:
    world = a_world()
    world.build(PLAYED, *HOURS)
    world.build(RATE, *[hour for hour in HOURS if hour not in (H3, H4)])
    world.trouble(RATE, H3, "refused", at(6))
    world.flight(RATE, H4, "running", at(9))
    world.trouble(PRICES, "2026-10-01", "waiting", at(9, 2), again=at(9.5, 2))
    root = Traced(world, at(9.25, 2), (PAID, "2026-10-01")).only
    assert root.name == f"{RATE} refused {H3}; {PRICES} waiting"
    assert f"; and waits for {PRICES} 2026-10-01; it waiting; next try at 09:30" in root.words
    assert "running" not in root.words


def test_what_is_being_built_is_no_news_until_it_is_another_thing() -> None:
    world = a_world()
    told = f"{RATE} refused {H3}"
    world.build(PLAYED, *HOURS)
    world.flight(RATE, H3, "requested", at(9))
    moving = Traced(world, at(10), (RATE, H3)).only
    assert (moving.moving, moving.words) == (True, "requested: asked for at 09:00, in the queue")
    assert is_news(None, moving)
    assert not is_news(told, moving)
    assert is_news(f"{PLAYED} waiting r2", moving)
    world.facts[RATE].in_flight.clear()  # type: ignore[attr-defined]
    world.trouble(RATE, H3, "refused", at(6))
    assert not is_news(told, Traced(world, at(10), (RATE, H3)).only)
    world.trouble(RATE, H3, "stuck", at(7))
    assert is_news(told, Traced(world, at(10), (RATE, H3)).only)


def test_many_are_traced_with_one_look_a_level() -> None:
    world = a_world()
    silent(world, "r2")
    traced = Traced(world, at(10, 2), *[(RATE, hour) for hour in HOURS], (DAILY, "2026-10-01"), (PAID, "2026-10-01"))
    assert len(traced.roots) == 26
    assert traced.looks <= 4


def test_what_is_there_has_no_root() -> None:
    world = a_world()
    world.build(PLAYED, *HOURS)
    world.build(RATE, H3)
    assert Traced(world, at(10), (RATE, H3), (RATE, "2026-10-01T15")).roots == {}
