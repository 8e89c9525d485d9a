"""Late rows of an event hour: when they are worth a rebuild, and which go to the late table instead (DESIGN 4.7).

A row is late when its segment was sealed after the hour's first build; settle ages run from that build.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_defs.contracts.contract import LatenessPolicy
from platform_defs.planning.facts import Landed, Published

# Rows beyond the last settle age go to the late table; one visit a day is enough for rows that change no table readers wait for.
PARK_EVERY = timedelta(days=1)
REOPENED = "reopened"


@dataclass(frozen=True, slots=True)
class Late:
    """Late rows of a built hour.

    Attributes:
        rows: landed, and in no table yet.
        due: whether a build should take them now. at: when it should otherwise; None if there are none.
    """

    rows: int
    due: bool
    at: datetime | None


def late_rows(policy: LatenessPolicy, published: Published, landed: Landed | None, now: datetime) -> Late:
    """Which late rows a built hour has at `now`, and whether they are due.

    Due once they pass the share of the rows taken so far (a share of 0: at once), or at a settle age since the first build that the last build has not
    seen. A settle age of 0 means at once, whenever they come. Beyond the last age, once a day.
    """
    taken = published.counts.taken if published.counts else 0
    rows = max(0, landed.rows - taken) if landed else 0
    if rows == 0:
        return Late(0, False, None)
    if rows > policy.share * taken or 0 in policy.settle_seconds:
        return Late(rows, True, now)
    first = published.first_built_at or published.built_at
    boundaries = sorted(first + timedelta(seconds=age) for age in policy.settle_seconds)
    ahead = [boundary for boundary in boundaries if boundary > published.built_at]
    at = ahead[0] if ahead else max(published.built_at, published.seen_at or published.built_at) + PARK_EVERY
    return Late(rows, at <= now, at)


def is_parked(policy: LatenessPolicy, first_built_at: datetime | None, sealed_at: datetime, reopened_at: datetime | None = None) -> bool:
    """Whether a segment's rows go to the late table: it was sealed beyond the last settle age after the hour's first build.

    An hour that was never built takes all rows however old, a policy whose last age is 0 always rebuilds, and a reopened hour takes all that was sealed
    before it was reopened, in every later build too.
    """
    last = max(policy.settle_seconds, default=0)
    beyond = first_built_at is not None and last > 0 and sealed_at > first_built_at + timedelta(seconds=last)
    return beyond and not (reopened_at is not None and sealed_at <= reopened_at)


def reopening_pins(reopened_at: datetime | None) -> dict[str, str]:
    """What a build that took up a reopening keeps beside its version: by it the planner sees whether it still has to be taken up."""
    return {} if reopened_at is None else {REOPENED: reopened_at.isoformat()}


def awaits_reopening(published: Published, reopened_at: datetime | None) -> bool:
    """Whether a built hour was reopened and no build has taken that up. When the last build ended says nothing: it may have begun before."""
    return reopened_at is not None and published.pins.get(REOPENED) != reopened_at.isoformat()
