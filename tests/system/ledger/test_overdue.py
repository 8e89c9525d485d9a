"""Deadlines in the ledger: who is past theirs, noted once on the way in and out, and told with the root, a bounded number a look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event as engine_event

from platform_defs.contracts.partitions import hours_of
from platform_defs.ledger import Ledger
from platform_defs.ledger.surveying import Survey, survey
from platform_defs.planning.deadlines import Moves
from platform_defs.planning.facts import Pause
from tests.fixtures.contracts import HOUR, endpoint, event, lateness, reads
from tests.system.ledger.conftest import Clock
from tests.system.ledger.telling import DAILY, EVENT, NOON, RATE, failed, published, run

MINUTE, HOURS = timedelta(minutes=1), hours_of("2026-10-01")
NOW = NOON + timedelta(minutes=30)
YESTERDAY = datetime(2026, 9, 30, 22, 30, tzinfo=UTC)


@pytest.fixture
def promising(new_ledger: Callable[[], Ledger], clock: Clock) -> Ledger:
    """Contracts with deadlines, applied late in the evening before; a receiver that has been silent since 02:15; it is half past noon."""
    ledger = new_ledger()
    ledger.store.clock = clock
    clock.now = YESTERDAY
    ledger.registry.apply(
        [
            event(EVENT, lateness=lateness((HOUR,), 0.0, None), ready_within_seconds=HOUR),
            endpoint(RATE, reads(EVENT), ready_within_seconds=3 * HOUR),
            endpoint(DAILY, reads(EVENT), cadence="daily"),
        ],
        "abc123",
    )
    clock.now = NOW
    silent = NOW.replace(hour=2, minute=15)
    ledger.landing.beat("r2", silent, silent)
    return ledger


def told(ledger: Ledger, domain: str = "charts", most: int = 300) -> Survey:
    """One look that is told and noted."""
    found = survey(ledger, domain, most)
    ledger.overdue.record(found.moves, found.told, ledger.store.clock(), found.words)
    return found


def history(ledger: Ledger, endpoint: str, partition: str) -> list[tuple[str, str]]:
    return [(each.was, each.became) for _, each in ledger.transitions.of(endpoint, "hourly", partition)]


def build(ledger: Ledger, endpoint: str, *partitions: str, **given: object) -> None:
    ledger.partitions.record([published(endpoint, key, at=ledger.store.clock(), **given) for key in partitions], run("run-9", ledger.store.clock()))


def test_facts_know_when_an_endpoint_was_first_applied(promising: Ledger, clock: Clock) -> None:
    clock.now = NOW + MINUTE
    promising.registry.apply([event(EVENT, ready_within_seconds=2 * HOUR)], "later", domains=["listening"])
    facts = promising.facts([RATE, EVENT], NOW - timedelta(hours=3), NOW)
    assert {key: each.since for key, each in facts.endpoints.items()} == {RATE: YESTERDAY, EVENT: YESTERDAY}
    assert promising.registry.since(DAILY, "daily") == YESTERDAY


def test_what_ended_before_is_promised_to_nobody(promising: Ledger) -> None:
    """The first hour that ended after the contract was applied is 22 of the day before; what was due at 12:00 or earlier is overdue."""
    found = told(promising)
    assert [partition for _, partition in found.moves.entered] == ["2026-09-30T22", "2026-09-30T23", *HOURS[:9]]
    assert found.overdue == 11


def test_the_root_is_told_once_of_each_across_domains(promising: Ledger, clock: Clock) -> None:
    build(promising, EVENT, "2026-09-30T22", "2026-09-30T23", HOURS[0])
    build(promising, RATE, "2026-09-30T22", "2026-09-30T23", HOURS[0])
    first = told(promising)
    assert [(each.endpoint, each.partition, each.passed) for each in first.verdicts] == [(RATE, hour, False) for hour in HOURS[1:9]]
    assert first.verdicts[1].words == (
        f"not there by 2026-10-01 06:00 (ready within 3h): waits for {EVENT} {HOURS[2]}; receiver r2 silent since 2026-10-01 02:15: "
        "restart it or give it up with `backline collector lost r2 --why TEXT`"
    )
    clock.now += MINUTE
    again = told(
        promising,
    )
    assert (again.verdicts, again.moves.entered, again.overdue) == ((), (), 8)
    assert history(promising, RATE, HOURS[2]) == [("in time", "overdue")]
    (_, noted) = promising.transitions.of(RATE, "hourly", HOURS[2])[0]
    assert noted.reason.startswith(f"waits for {EVENT} {HOURS[2]}; receiver r2 silent")
    assert noted.at == NOW


def test_it_is_told_again_when_the_root_is_another_one(promising: Ledger, clock: Clock) -> None:
    told(promising)
    clock.now += MINUTE
    build(promising, EVENT, *HOURS[:4])
    promising.partitions.record([failed(RATE, HOURS[3], "refused")], run("run-2", clock.now))
    found = told(
        promising,
    )
    assert {each.partition for each in found.verdicts} == set(HOURS[:4])  # these wait for their own builds now
    (refused,) = [each for each in found.verdicts if each.partition == HOURS[3]]
    assert refused.words.startswith("not there by 2026-10-01 07:00 (ready within 3h): refused: it refused")
    clock.now += MINUTE
    assert (
        told(
            promising,
        ).verdicts
        == ()
    )


def test_what_is_there_leaves_and_is_noted_once(promising: Ledger, clock: Clock) -> None:
    told(promising)
    clock.now += MINUTE
    build(promising, RATE, HOURS[3])
    found = told(
        promising,
    )
    assert (found.moves.left, found.verdicts) == ({(RATE, HOURS[3]): "published"}, ())  # its build has told its verdict
    promising.overdue.record(found.moves, found.told, clock.now)
    assert history(promising, RATE, HOURS[3]) == [("in time", "overdue"), ("overdue", "current")]


def test_an_imported_partition_passes(promising: Ledger, clock: Clock) -> None:
    told(promising)
    clock.now += MINUTE
    build(promising, RATE, HOURS[3], origin="imported")
    (verdict,) = told(
        promising,
    ).verdicts
    assert (verdict.partition, verdict.passed, verdict.words) == (HOURS[3], True, "imported: no deadline holds for it")


def test_a_pause_mutes_and_its_end_tells_again(promising: Ledger, clock: Clock) -> None:
    told(promising)
    clock.now += MINUTE
    promising.pauses.set(Pause("charts", "figures move house", clock.now))
    found = told(
        promising,
    )
    assert {(each.passed, each.words) for each in found.verdicts} == {(True, "its deadline is muted: paused since 2026-10-01 12:31: figures move house")}
    assert (len(found.verdicts), found.overdue) == (11, 0)
    clock.now += timedelta(hours=1)
    assert told(
        promising,
    ) == Survey(Moves(), (), {}, 0)
    promising.pauses.end("charts", clock.now, "done")
    after = told(
        promising,
    )
    assert (len(after.moves.resumed), [partition for _, partition in after.moves.entered]) == (11, [HOURS[9]])
    assert not any(each.passed for each in after.verdicts)
    assert history(promising, RATE, HOURS[2]) == [("in time", "overdue"), ("overdue", "paused"), ("paused", "overdue")]
    assert history(promising, RATE, HOURS[9]) == [("in time", "overdue")]


def test_a_look_tells_no_more_than_it_may_and_the_oldest_first(promising: Ledger, clock: Clock) -> None:
    spoken = [each.partition for each in told(promising, most=4).verdicts]
    assert spoken == ["2026-09-30T22", "2026-09-30T23", *HOURS[:2]]
    assert history(promising, RATE, HOURS[8]) == [("in time", "overdue")]  # noted all the same
    while more := told(promising, most=4).verdicts:
        assert len(more) <= 4
        spoken += [each.partition for each in more]
        clock.now += MINUTE
    assert spoken == ["2026-09-30T22", "2026-09-30T23", *HOURS[:9]]


def test_what_was_not_noted_is_told_again(promising: Ledger, clock: Clock) -> None:
    first = survey(promising, "charts")
    clock.now += MINUTE
    assert told(promising).verdicts == first.verdicts
    clock.now += MINUTE
    assert told(promising).verdicts == ()


def test_an_endpoint_that_is_no_more_leaves_nothing_behind(promising: Ledger, clock: Clock) -> None:
    told(promising)
    clock.now += MINUTE
    promising.registry.apply([endpoint("charts/other")], "later", domains=["charts"])
    found = told(
        promising,
    )
    assert (set(found.moves.left.values()), len(found.moves.left), found.verdicts) == ({"gone"}, 11, ())
    assert (
        told(
            promising,
        ).moves
        == Moves()
    )


def test_a_domain_with_nothing_overdue_costs_a_few_statements(promising: Ledger) -> None:
    promising.registry.apply(
        [*promising.registry.current().values(), *[endpoint(f"charts/e{n}", reads(EVENT), ready_within_seconds=24 * HOUR) for n in range(50)]], "more"
    )
    build(promising, RATE, "2026-09-30T22", "2026-09-30T23", *HOURS)
    survey(promising, "charts")  # what a process learns once
    statements: list[str] = []
    engine_event.listen(promising.store.engine, "after_cursor_execute", lambda *args: statements.append(args[2]))
    assert survey(promising, "charts").overdue == 0
    assert len(statements) <= 6
