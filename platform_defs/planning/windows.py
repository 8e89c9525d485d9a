"""Which partitions an input reads for a partition, and which partitions read one: the same question from both ends.

Whether they are there is not asked here. Execution reads by the same functions as the planner plans by.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from platform_defs.contracts.contract import AsOfInput, Contract, Input, WindowInput
from platform_defs.contracts.partitions import Cadence, index_of, key_at, key_of, shift, start_of, window_of

_HOURS_A_DAY = 24


def before_start(contract: Contract, key: str) -> bool:
    """Whether a partition begins before its endpoint's `start`: it is never built and counts for readers as complete and empty."""
    return start_of(key) < start_of(contract.start)


def first_key(contract: Contract) -> str:
    """The first partition of an endpoint that is not before its start."""
    key = key_of(contract.cadence, start_of(contract.start))
    return shift(key, 1) if before_start(contract, key) else key


def keys_read(item: Input, key: str, read: Cadence) -> tuple[str, ...]:
    """The partitions of the input's endpoint that this input may read for partition `key`.

    Args:
        item: the input. A window reads all of them; of an `as_of` these are the candidates, newest first, of which it reads one.
        key: the partition being built.
        read: cadence of the endpoint that is read.

    Hours run from the partition's first hour + a to its last hour + b, so a day with (0, 1) reads 25 hours. A window in days over an hourly
    endpoint reads all hours of those days.
    """
    if isinstance(item, AsOfInput):
        return _snapshots(item, key, read)
    return _keys_within(item.unit, item.first, item.last, key, read)


@lru_cache(maxsize=1 << 13)  # many endpoints read the same few windows of the same few days
def _keys_within(unit: Literal["hours", "days"], first: int, last: int, key: str, read: Cadence) -> tuple[str, ...]:
    low, high = _window(unit, first, last, key, read)
    return tuple(key_at(read, index) for index in range(low, high + 1))


def readers_of(item: Input, changed: str, reader: Cadence) -> tuple[str, ...]:
    """The inverse: the partitions of an endpoint of cadence `reader` whose `keys_read` holds the partition `changed`, in order."""
    if isinstance(item, AsOfInput):
        ended = window_of(changed).end
        # Ends of reader partitions in [ended, ended + within].
        first = _first_ending_at(reader, ended)
        last = index_of(key_of(reader, ended + timedelta(seconds=item.within_seconds))) - 1
        return tuple(key_at(reader, index) for index in range(first, last + 1))
    index = index_of(changed)
    first, last = reader_span(item, index, index, window_of(changed).cadence, reader)
    return tuple(key_at(reader, each) for each in range(first, last + 1))


def reader_span(item: WindowInput, first: int, last: int, read: Cadence, reader: Cadence) -> tuple[int, int]:
    """The partitions (first, last), by number, of an endpoint of cadence `reader` that read any of a span of partitions of cadence `read`."""
    if item.unit == "hours":
        low, high = (first, last) if read == "hourly" else (first * _HOURS_A_DAY, last * _HOURS_A_DAY + _HOURS_A_DAY - 1)
        low, high = low - item.last, high - item.first
        return (low, high) if reader == "hourly" else (low // _HOURS_A_DAY, high // _HOURS_A_DAY)
    low, high = (first, last) if read == "daily" else (first // _HOURS_A_DAY, last // _HOURS_A_DAY)
    low, high = low - item.last, high - item.first
    return (low, high) if reader == "daily" else (low * _HOURS_A_DAY, high * _HOURS_A_DAY + _HOURS_A_DAY - 1)


def _window(unit: Literal["hours", "days"], first: int, last: int, key: str, read: Cadence) -> tuple[int, int]:
    """First and last partition number of what a window reads."""
    if unit == "hours":
        low, high = _hours(key)
        low, high = low + first, high + last
        return (low, high) if read == "hourly" else (low // _HOURS_A_DAY, high // _HOURS_A_DAY)
    day = index_of(key) if window_of(key).cadence == "daily" else index_of(key) // _HOURS_A_DAY
    low, high = day + first, day + last
    return (low, high) if read == "daily" else (low * _HOURS_A_DAY, high * _HOURS_A_DAY + _HOURS_A_DAY - 1)


def _hours(key: str) -> tuple[int, int]:
    """First and last hour inside a partition, as hours since 1970."""
    index = index_of(key)
    return (index, index) if window_of(key).cadence == "hourly" else (index * _HOURS_A_DAY, index * _HOURS_A_DAY + _HOURS_A_DAY - 1)


def _snapshots(item: AsOfInput, key: str, read: Cadence) -> tuple[str, ...]:
    end = window_of(key).end
    newest = index_of(key_of(read, end)) - 1  # the partition before the one that holds the instant `end` is the last that ended by then
    oldest = _first_ending_at(read, end - timedelta(seconds=item.within_seconds))
    return tuple(key_at(read, index) for index in range(newest, oldest - 1, -1))


def _first_ending_at(cadence: Cadence, instant: datetime) -> int:
    """Number of the first partition that ends at `instant` or later."""
    index = index_of(key_of(cadence, instant))
    return index - 1 if window_of(key_at(cadence, index)).start == instant else index
