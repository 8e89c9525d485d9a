"""Closing of hours, and what late rows lead to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.planning.closing import GRACE, closing
from platform_defs.planning.facts import Counts, Landed, Published, Receiver
from platform_defs.planning.lateness import PARK_EVERY, is_parked, late_rows
from platform_defs.planning.retry import next_try
from tests.fixtures.contracts import lateness

HOUR = "2026-10-01T03"
START = datetime(2026, 10, 1, 3, tzinfo=UTC)
END = START + timedelta(hours=1)
READY = END + GRACE


def receiver(name: str, until: datetime | None, state: str = "live", beat: datetime | None = None) -> Receiver:
    return Receiver(name, until, beat or until or START, state)  # type: ignore[arg-type]


def test_open_until_the_grace_is_over() -> None:
    found = closing(HOUR, READY - timedelta(seconds=1), [receiver("r1", READY)], 7200)
    assert not found.closed
    assert found.until == READY
    assert found.words == "the hour closes at 04:02"


def test_closed_once_every_live_receiver_has_sealed_past_it() -> None:
    assert closing(HOUR, READY, [receiver("r1", READY), receiver("r2", READY)], 7200).closed
    assert not closing(HOUR, READY, [receiver("r1", READY - timedelta(seconds=1))], 7200).closed
    open_ = closing(HOUR, READY, [receiver("r1", READY), receiver("r2", START + timedelta(minutes=14))], 7200)
    assert not open_.closed
    assert open_.words == (
        "receiver r2 silent since 2026-10-01 03:14: restart it or give it up with `backline collector lost r2 --why TEXT`, "
        "else it closes without at 2026-10-01 06:02"
    )


def test_hold_lets_it_close_without_the_missing_and_says_so() -> None:
    silent = [receiver("r1", READY), receiver("r2", START)]
    until = READY + timedelta(hours=2)
    assert not closing(HOUR, until - timedelta(seconds=1), silent, 7200).closed
    late = closing(HOUR, until, silent, 7200)
    assert late.closed
    assert late.without == ("receiver r2 silent since 2026-10-01 03:00",)
    assert not closing(HOUR, until + timedelta(days=30), silent, None).closed


def test_gone_and_lost_receivers_hold_nothing() -> None:
    gone = closing(HOUR, READY, [receiver("r1", START, "gone")], 7200)
    assert gone.closed
    assert gone.without == ()
    lost = closing(HOUR, READY, [receiver("r1", START, "lost", beat=START + timedelta(minutes=1))], 7200)
    assert lost.closed
    assert lost.without == ("receiver r1 silent since 2026-10-01 03:00",)
    long_lost = closing(HOUR, READY, [receiver("r1", START - timedelta(days=9), "lost")], 7200)
    assert long_lost.without == ()


def test_a_receiver_that_never_sealed_holds() -> None:
    assert closing(HOUR, READY, [receiver("r1", None)], 7200).waits_for == ("receiver r1 has sealed nothing yet",)


states = st.sampled_from(["live", "lost", "gone"])
some = st.lists(st.tuples(st.integers(-200, 200), states), max_size=5)


@given(some, st.integers(-100, 400), st.one_of(st.none(), st.integers(0, 200)))
def test_a_closed_hour_stays_closed(given_: list[tuple[int, str]], minutes: int, hold: int | None) -> None:
    """More time and more seals never open an hour again; it is never closed with a live receiver behind before the hold is over."""
    receivers = [receiver(f"r{n}", READY + timedelta(minutes=at), state) for n, (at, state) in enumerate(given_)]
    now = READY + timedelta(minutes=minutes)
    hold_seconds = None if hold is None else hold * 60
    found = closing(HOUR, now, receivers, hold_seconds)
    behind = any(r.state == "live" and r.sealed_until is not None and r.sealed_until < READY for r in receivers)
    assert found.closed == (now >= READY and (not behind or (hold is not None and now >= READY + timedelta(minutes=hold))))
    if found.closed:
        further = [receiver(r.id, READY + timedelta(days=1), r.state) for r in receivers]
        assert closing(HOUR, now + timedelta(hours=1), receivers, hold_seconds).closed
        assert closing(HOUR, now, further, hold_seconds).closed


def built(taken: int, at: datetime = READY, first: datetime | None = None, seen: datetime | None = None) -> Published:
    counts = Counts(landed=taken, good=taken)
    return Published(b"c", b"i", taken, 1, "code-1", at, "run", counts, first_built_at=first or at, changed_at=at, seen_at=seen or at)


def landed(rows: int, at: datetime = READY + timedelta(minutes=1)) -> Landed:
    return Landed(rows, 2, at)


@pytest.mark.parametrize(
    ("settle", "share", "rows", "minutes", "due"),
    [
        ((3600, 21600), 0.01, 1005, 30, False),  # a trickle waits for the first settle age
        ((3600, 21600), 0.01, 1005, 60, True),  # ... and is taken at it
        ((3600, 21600), 0.01, 1010, 1, False),  # exactly the share is not past it
        ((3600, 21600), 0.01, 1011, 1, True),  # past the share: at once
        ((365 * 86400,), 0.0, 1001, 0, True),  # share 0: at once
        ((0,), 1.0, 1001, 0, True),  # settle 0: at once
        ((3600,), 0.01, 1000, 600, False),  # nothing late
    ],
)
def test_when_late_rows_are_taken(settle: tuple[int, ...], share: float, rows: int, minutes: int, due: bool) -> None:
    found = late_rows(lateness(settle, share), built(1000), landed(rows), READY + timedelta(minutes=minutes))
    assert found.due is due
    assert found.rows == rows - 1000


def test_a_settle_age_costs_one_rebuild() -> None:
    """Rows that trickle in after a rebuild at the first age wait for the second, counted from the first build."""
    policy = lateness((3600, 21600), 0.5)
    again = built(1005, at=READY + timedelta(minutes=61), first=READY)
    found = late_rows(policy, again, landed(1006), READY + timedelta(hours=2))
    assert (found.due, found.at) == (False, READY + timedelta(hours=6))
    assert late_rows(policy, again, landed(1006), READY + timedelta(hours=6)).due


def test_beyond_the_last_age_once_a_day() -> None:
    policy = lateness((3600,), 0.5)
    again = built(1005, at=READY + timedelta(hours=2), first=READY)
    found = late_rows(policy, again, landed(1006), READY + timedelta(hours=3))
    assert (found.due, found.at) == (False, again.built_at + PARK_EVERY)
    assert late_rows(policy, again, landed(1006), again.built_at + PARK_EVERY).due


def test_pending_rows_are_not_taken() -> None:
    published = Published(b"c", b"i", 10, 1, "code-1", READY, "run", Counts(landed=12, good=10, pending=2), first_built_at=READY)
    assert late_rows(lateness((3600,), 0.5), published, landed(12), READY).rows == 2


def test_which_segments_are_parked() -> None:
    policy = lateness((3600,))
    assert not is_parked(policy, None, END + timedelta(days=90))
    assert not is_parked(policy, READY, READY + timedelta(hours=1))
    assert is_parked(policy, READY, READY + timedelta(hours=1, seconds=1))
    assert not is_parked(lateness((0,)), READY, READY + timedelta(days=300))


def test_retries() -> None:
    assert [next_try(n, END) for n in (1, 2, 3, 4)] == [END + timedelta(minutes=m) for m in (5, 20, 60)] + [None]
    with pytest.raises(ValueError, match="at least one"):
        next_try(0, END)
