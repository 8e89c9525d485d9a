"""Partition keys and the time they stand for. Arithmetic on hours and days in UTC belongs here; which partitions are due does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

Cadence = Literal["hourly", "daily"]

HOUR_FORMAT = "%Y-%m-%dT%H"
DAY_FORMAT = "%Y-%m-%d"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP: dict[Cadence, timedelta] = {"hourly": timedelta(hours=1), "daily": timedelta(days=1)}
_COLUMN: dict[Cadence, str] = {"hourly": "hour", "daily": "day"}


class PartitionKeyError(ValueError):
    """A text that is no partition key; the message says which forms are."""


@dataclass(frozen=True, slots=True)
class Window:
    """One partition as a span of event time.

    Attributes:
        key: `2026-10-01T03` (an hour) or `2026-10-01` (a day), UTC.
        cadence: `hourly` or `daily`.
        start: first instant inside, aware, UTC.
        end: first instant after, aware, UTC.
    """

    key: str
    cadence: Cadence
    start: datetime
    end: datetime


def step(cadence: Cadence) -> timedelta:
    """How long one partition of this cadence is."""
    return _STEP[cadence]


def partition_column(cadence: Cadence) -> str:
    """The table column the platform owns for this cadence: `hour` or `day`."""
    return _COLUMN[cadence]


def cadence_of(key: str) -> Cadence:
    """`hourly` for `2026-10-01T03`, `daily` for `2026-10-01`; raises PartitionKeyError for anything else."""
    return window_of(key).cadence


@lru_cache(maxsize=1 << 16)  # strptime takes 8 µs, and planning asks for the same few thousand keys again and again
def window_of(key: str) -> Window:
    """The span a key stands for; raises PartitionKeyError unless the key is exactly of one of the two forms."""
    forms: tuple[tuple[Cadence, str], ...] = (("hourly", HOUR_FORMAT), ("daily", DAY_FORMAT))
    for cadence, form in forms:
        try:
            start = datetime.strptime(key, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if start.strftime(form) == key:
            return Window(key, cadence, start, start + _STEP[cadence])
    raise PartitionKeyError(f"{key!r} is no partition: write an hour as 2026-10-01T03 or a day as 2026-10-01 (UTC)")


def start_of(key: str) -> datetime:
    """First instant of the partition, aware, UTC."""
    return window_of(key).start


def key_of(cadence: Cadence, at: datetime) -> str:
    """The partition that holds the instant `at` (aware); raises ValueError for a naive datetime."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone: partitions are UTC, give an aware datetime")
    return at.astimezone(UTC).strftime(HOUR_FORMAT if cadence == "hourly" else DAY_FORMAT)


@lru_cache(maxsize=1 << 16)
def index_of(key: str) -> int:
    """Hours (or days) since 1970-01-01T00 UTC: the compact form of a key in the ledger."""
    window = window_of(key)
    return (window.start - _EPOCH) // _STEP[window.cadence]


@lru_cache(maxsize=1 << 16)
def key_at(cadence: Cadence, index: int) -> str:
    """The inverse of `index_of`."""
    return key_of(cadence, _EPOCH + index * _STEP[cadence])


def shift(key: str, by: int) -> str:
    """The key `by` partitions later (earlier if negative)."""
    return key_at(cadence_of(key), index_of(key) + by)


def keys_between(first: str, last: str) -> list[str]:
    """All keys from `first` to `last`, both included; empty if `last` is earlier; raises PartitionKeyError if their cadences differ."""
    cadence = cadence_of(first)
    if cadence_of(last) != cadence:
        raise PartitionKeyError(f"{first} and {last} are of different cadences: give two hours or two days")
    return [key_at(cadence, i) for i in range(index_of(first), index_of(last) + 1)]


def hours_of(key: str) -> list[str]:
    """The hour keys inside a partition: 24 for a day, itself for an hour."""
    window = window_of(key)
    if window.cadence == "hourly":
        return [key]
    first = index_of(key) * 24
    return [key_at("hourly", i) for i in range(first, first + 24)]


def day_of(key: str) -> str:
    """The day key that holds a partition."""
    return key[:10]


def ranges(keys: list[str]) -> Iterator[tuple[str, str]]:
    """Contiguous ranges (first, last) that cover the given keys of one cadence, in order."""
    run: list[str] = []
    for key in sorted(set(keys)):
        if run and index_of(key) != index_of(run[-1]) + 1:
            yield run[0], run[-1]
            run = []
        run.append(key)
    if run:
        yield run[0], run[-1]
