"""What the demo has left to build of its flights."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from platform_defs.cli.demo.flights import missing
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import Cadence
from tests.fixtures.contracts import endpoint

KEY = "aviation/flight_outcomes"
FIRST, LAST = "2026-01-06T00", "2026-01-07T23"


@pytest.mark.parametrize(
    ("published", "begin"),
    [
        ((), FIRST),
        (((FIRST, "2026-01-06T23"),), "2026-01-07T00"),
        # A schedule's tick before the demo has switched it off builds the newest hours before the first flight is.
        ((("2026-11-28T10", "2026-11-30T09"),), FIRST),
        (((FIRST, "2026-01-06T23"), ("2026-11-28T10", "2026-11-30T09")), "2026-01-07T00"),
        # A range that failed in its middle is asked from there; what is current after it is skipped.
        (((FIRST, "2026-01-06T05"), ("2026-01-06T07", LAST)), "2026-01-06T06"),
        ((("2026-01-05T00", "2026-01-06T03"),), "2026-01-06T04"),
        (((FIRST, LAST),), None),
        (((FIRST, LAST), ("2026-11-28T10", "2026-11-30T09")), None),
    ],
)
def test_missing_is_what_follows_the_first_gap(published: tuple[tuple[str, str], ...], begin: str | None) -> None:
    def ranges(key: str, cadence: Cadence) -> Iterable[tuple[str, str]]:
        assert (key, cadence) == (KEY, "hourly")
        return published

    contracts: dict[str, Contract] = {KEY: endpoint(KEY)}
    assert missing({KEY: (FIRST, LAST)}, contracts, ranges) == ({} if begin is None else {KEY: (begin, LAST)})
