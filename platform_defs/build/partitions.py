"""Cadences and windows in Dagster's terms: partitions definitions, mappings of inputs, backfill policies. Pure.

Which partitions an input really reads is `planning.windows`; what is drawn here is the same, as far as Dagster can express it. A test holds the two together.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import dagster as dg

from platform_defs.contracts.contract import AsOfInput, Input
from platform_defs.contracts.partitions import DAY_FORMAT, HOUR_FORMAT, Cadence, key_of, window_of

# Partitions of one run. A day of hours shares one inspection and one commit; a week of days is about as much data.
KEYS_PER_RUN: dict[Cadence, int] = {"hourly": 24, "daily": 7}

Partitions = dg.HourlyPartitionsDefinition | dg.DailyPartitionsDefinition


def partitions_of(cadence: Cadence, start: str) -> Partitions:
    """All partitions of a cadence from `start` (`2026-01-01` or `2026-01-01T00`, UTC) to the last one that has ended."""
    first = key_of(cadence, window_of(start).start)
    if cadence == "hourly":
        return dg.HourlyPartitionsDefinition(start_date=first, fmt=HOUR_FORMAT, timezone="UTC")
    return dg.DailyPartitionsDefinition(start_date=first, fmt=DAY_FORMAT, timezone="UTC")


def backfill_policy(cadence: Cadence) -> dg.BackfillPolicy:
    """How a backfill is cut into runs."""
    return dg.BackfillPolicy.multi_run(KEYS_PER_RUN[cadence])


def mapping_of(reader: Cadence, read: Input) -> dg.TimeWindowPartitionMapping:
    """The mapping of one input.

    Offsets are in the reader's partitions where cadences differ, so a daily reader's `hours=(0, 1)` is drawn as the whole next day: never less than
    what is read. An hour's `as_of` snapshot is drawn as all snapshots it may choose from.
    """
    if isinstance(read, AsOfInput):
        days = read.within_seconds // 86_400
        # By the hour: the newest day that ended by this hour's end E holds the instant before E - 23 h, the oldest still allowed holds E - 1 h - within.
        first, last = (-days, 0) if reader == "daily" else (-(read.within_seconds // 3600), -23)
    elif reader == "daily":
        first, last = (read.first // 24, -(-read.last // 24)) if read.unit == "hours" else (read.first, read.last)
    else:
        # All hours of some days around the hour: from the day's last hour back, from its first hour on.
        first, last = (read.first, read.last) if read.unit == "hours" else (read.first * 24 - 23, read.last * 24 + 23)
    return offset_mapping(first, last)


@lru_cache(maxsize=1024)  # thousands of inputs are read over a handful of windows
def offset_mapping(first: int, last: int) -> dg.TimeWindowPartitionMapping:
    """The mapping to the partitions from `first` to `last` around the reader's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        # The first partitions reach before the start, an `as_of` near now past the end: both are answered by the platform, neither is an error.
        return dg.TimeWindowPartitionMapping(start_offset=first, end_offset=last, allow_nonexistent_upstream_partitions=True)
