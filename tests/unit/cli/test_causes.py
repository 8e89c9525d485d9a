"""What is broken is told once, with all that waits for it, however long the way there."""

from datetime import UTC, datetime

from platform_defs.cli.causes import causes, resting
from platform_defs.planning.facts import Pause, Trouble
from platform_defs.planning.inputs import Missing
from platform_defs.planning.states import Decision, PartitionState

HOURS = [f"2026-10-01T{hour:02d}" for hour in range(3)]


def waits(endpoint: str, partition: str, *missing: str, overdue: bool = False) -> Decision:
    return Decision(endpoint, partition, PartitionState.WAITING, "waits", tuple(Missing(one, partition) for one in missing), overdue=overdue)


def refused(endpoint: str, partition: str, reason: str = "unique failed") -> Decision:
    return Decision(endpoint, partition, PartitionState.REFUSED, reason)


def trouble(state: str) -> Trouble:
    return Trouble(state, "an old one", 1, datetime(2026, 1, 1, tzinfo=UTC), None, None, None, "run")  # type: ignore[arg-type]


def test_all_that_waits_is_counted_at_the_root() -> None:
    found = causes([refused("a/a", HOURS[0]), waits("b/b", HOURS[0], "a/a"), waits("c/c", HOURS[0], "b/b"), waits("d/d", HOURS[0], "x/x")], {})
    assert [(cause.endpoint, cause.waiting, cause.datasets) for cause in found] == [("a/a", 2, ("b/b", "c/c"))]


def test_what_waits_for_two_is_counted_at_both() -> None:
    found = causes([refused("a/a", HOURS[0]), refused("b/b", HOURS[0]), waits("c/c", HOURS[0], "a/a", "b/b")], {})
    assert [(cause.endpoint, cause.waiting) for cause in found] == [("a/a", 1), ("b/b", 1)]


def test_one_reason_is_one_cause_and_the_weightiest_comes_first() -> None:
    found = causes([*(refused("a/a", hour) for hour in HOURS), refused("b/b", HOURS[0]), *(waits("c/c", hour, "b/b") for hour in HOURS[:1])], {})
    assert [(cause.endpoint, cause.partitions) for cause in found] == [("b/b", (HOURS[0],)), ("a/a", tuple(HOURS))]


def test_other_reasons_are_other_causes() -> None:
    assert len(causes([refused("a/a", HOURS[0], "unique failed"), refused("a/a", HOURS[1], "ge failed")], {})) == 2


def test_overdue_counts_only_at_its_root_and_not_while_it_is_built() -> None:
    late = Decision("a/a", HOURS[0], PartitionState.WAITING, "receiver r2 is silent", overdue=True)
    running = Decision("b/b", HOURS[0], PartitionState.RUNNING, "since 03:10", overdue=True)
    found = causes([late, running, waits("c/c", HOURS[0], "a/a", overdue=True)], {})
    assert [(cause.endpoint, cause.state, cause.waiting) for cause in found] == [("a/a", "overdue", 1)]


def test_the_overdue_are_followed_to_what_has_no_deadline_of_its_own() -> None:
    silent = Decision("a/a", HOURS[0], PartitionState.WAITING, "receiver r2 is silent")
    readers = [waits("b/b", HOURS[0], "a/a"), waits("c/c", HOURS[0], "b/b", overdue=True)]
    (found,) = causes([silent, *readers], {})
    assert (found.endpoint, found.state, found.reason, found.waiting, found.datasets) == ("a/a", "waiting", "receiver r2 is silent", 2, ("b/b", "c/c"))
    assert causes([silent, *readers[:1]], {}) == []  # nobody was promised anything


def test_what_holds_the_overdue_up_is_told_unless_it_passes_or_is_told_already() -> None:
    late = waits("b/b", HOURS[0], "a/a", overdue=True)
    asked = Decision("a/a", HOURS[0], PartitionState.DUE, "closed", ask=True)
    running = Decision("a/a", HOURS[0], PartitionState.RUNNING, "since 03:10")
    old = Decision("a/a", HOURS[0], PartitionState.DUE, "older than 48 h: ask for it with a backfill")
    for passing in (asked, running, paused("a/a", HOURS[0])):
        assert causes([passing, late], {}) == []
    assert [(cause.endpoint, cause.state, cause.waiting) for cause in causes([old, late], {})] == [("a/a", "due", 1)]
    assert [(cause.endpoint, cause.state, cause.waiting) for cause in causes([refused("a/a", HOURS[0]), late], {})] == [("a/a", "refused", 1)]
    # Troubles are told however old; of what else lies so far back nothing is known, and the overdue one stands for itself.
    assert [(cause.endpoint, cause.waiting) for cause in causes([late], {("a/a", HOURS[0]): trouble("stuck")})] == [("a/a", 1)]
    assert [(cause.endpoint, cause.state) for cause in causes([late], {})] == [("b/b", "overdue")]


def test_a_long_row_that_waits_for_its_first_is_one_cause() -> None:
    row = [Decision("a/a", "0000", PartitionState.REFUSED, "unique failed")]
    row += [Decision("a/a", f"{n:04}", PartitionState.WAITING, "waits", (Missing("a/a", f"{n - 1:04}"),)) for n in range(1, 3000)]
    (found,) = causes(row, {})
    assert (found.partitions, found.waiting) == (("0000",), 2999)


def test_old_troubles_are_told_though_nobody_looked_so_far_back() -> None:
    found = causes([], {("a/a", "2026-01-01T00"): trouble("stuck"), ("b/b", "2026-01-01T00"): trouble("waiting")})
    assert [(cause.endpoint, cause.state) for cause in found] == [("a/a", "stuck")]


def test_a_trouble_that_was_judged_is_not_told_twice_nor_once_it_passed() -> None:
    current = Decision("b/b", HOURS[0], PartitionState.CURRENT, "")
    found = causes([refused("a/a", HOURS[0]), current], {("a/a", HOURS[0]): trouble("refused"), ("b/b", HOURS[0]): trouble("refused")})
    assert [cause.endpoint for cause in found] == ["a/a"]


def paused(endpoint: str, partition: str, state: PartitionState = PartitionState.DUE) -> Decision:
    return Decision(endpoint, partition, state, "paused", paused=True)


def test_what_is_paused_is_not_broken_and_tells_what_waits_for_it() -> None:
    pause = Pause("a", "history", datetime(2026, 10, 1, tzinfo=UTC))
    other = Pause("z/z", "nothing of it is due", datetime(2026, 10, 1, tzinfo=UTC))
    decisions = [
        paused("a/a", HOURS[0]),
        paused("a/b", HOURS[0], PartitionState.REFUSED),
        waits("b/b", HOURS[0], "a/a"),
        waits("c/c", HOURS[0], "b/b", overdue=True),
    ]
    assert causes(decisions, {("a/a", "2026-01-01T00"): trouble("stuck")}, {"a/a", "a/b"}) == []
    found = resting(decisions, {"a/a": pause, "a/b": pause}, [pause, other])
    assert [(each.pause, each.partitions, each.waiting, each.datasets) for each in found] == [(pause, 2, 2, ("b/b", "c/c")), (other, 0, 0, ())]


def test_what_is_tried_again_already_is_no_other_cause() -> None:
    again = Decision("a/a", HOURS[1], PartitionState.STUCK, "it raised; new input since: tried again", ask=True)
    still = Decision("a/a", HOURS[0], PartitionState.STUCK, "it raised; waits for a person")
    same = Trouble("stuck", "it raised", 1, datetime(2026, 10, 1, tzinfo=UTC), None, None, None, "run")
    (found,) = causes([still, again], {("a/a", hour): same for hour in HOURS[:2]})
    assert (found.partitions, found.reason) == (tuple(HOURS[:2]), again.reason)
