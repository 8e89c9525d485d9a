"""Which partitions a span of time means for an endpoint, and which of its readers' partitions stand on them. Pure; what is built of them is not said here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.durations import words
from platform_defs.contracts.partitions import PartitionKeyError, index_of, key_at, key_of, keys_between, shift, start_of, window_of
from platform_defs.planning.levels import levels
from platform_defs.planning.selection import Refused, Selection
from platform_defs.planning.windows import first_key, readers_of


@dataclass(frozen=True)
class Candidates:
    """Partitions to look at.

    Attributes:
        asked: by endpoint, in order: what the span means. reached: of readers, what stands on these.
        notes: what was left out and why, a sentence each.
    """

    asked: Mapping[str, tuple[str, ...]]
    reached: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """All of them, sorted."""
        return tuple(sorted(self.asked.keys() | self.reached.keys()))

    def of(self, endpoint: str) -> tuple[str, ...]:
        """The partitions of one endpoint, in order."""
        return tuple(sorted({*self.asked.get(endpoint, ()), *self.reached.get(endpoint, ())}))

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The first instant of the first and the end of the last; raises ValueError if there are none."""
        every = [keys for found in (self.asked, self.reached) for keys in found.values() if keys]
        return min(start_of(keys[0]) for keys in every), max(window_of(keys[-1]).end for keys in every)


def candidates(selection: Selection, first: str | None, last: str | None, contracts: Mapping[str, Contract], now: datetime) -> Candidates:
    """The partitions that a span means for a selection.

    An hour stands for itself and a day for its hours; a daily endpoint takes the days that lie whole in the span.

    Args:
        first, last: ends of the span, both included; None: as far as partitions are kept, and up to the newest that is over.

    Raises:
        Refused: a wrong or reversed span; a named endpoint without a whole partition in it, or with some that do not exist: not over yet, before its
            start, past its retention. Of endpoints that came with a domain or a pattern such partitions are left out, with a note.
    """
    begin, end = _span(first, last)
    problems: list[str] = []
    notes: list[str] = []
    asked: dict[str, tuple[str, ...]] = {}
    for endpoint in selection.endpoints:
        contract = contracts[endpoint]
        oldest, newest = existing(contract, now)
        wanted = _within(contract, begin or start_of(oldest), end or window_of(newest).end)
        problem = _problem(contract, wanted, oldest, newest, first, last, now)
        if problem is not None and (endpoint in selection.named or (wanted and wanted[-1] > newest)):
            problems.append(problem)
            continue
        kept = tuple(key for key in wanted if oldest <= key <= newest)
        if problem is not None:
            notes.append(f"{problem}; left out" if not kept else f"{problem}; what is before is left out")
        if kept:
            asked[endpoint] = kept
    if not problems and not asked:
        problems = [f"no partition of what was chosen lies between {first} and {last}", *notes]
    if problems:
        raise Refused("\n".join(problems))
    return Candidates(asked, _reached(asked, selection.followed, contracts, now), tuple(notes))


def existing(contract: Contract, now: datetime) -> tuple[str, str]:
    """The oldest partition that is kept and not before start, and the newest that is over; the first may be later than the second."""
    newest = shift(key_of(contract.cadence, now), -1)
    # kept are those that ended after now - retention
    kept = key_of(contract.cadence, now - timedelta(seconds=contract.retention_seconds))
    return max(kept, first_key(contract)), newest


def _span(first: str | None, last: str | None) -> tuple[datetime | None, datetime | None]:
    for option, key in (("--from", first), ("--to", last)):
        if key is not None:
            try:
                window_of(key)
            except PartitionKeyError as error:
                raise Refused(f"{option} {error}") from None
    begin, end = start_of(first) if first else None, window_of(last).end if last else None
    if begin is not None and end is not None and begin >= end:
        raise Refused(f"--from {first} is later than --to {last}: change their places")
    return begin, end


def _within(contract: Contract, begin: datetime, end: datetime) -> list[str]:
    """Partitions that lie whole between two instants."""
    key = key_of(contract.cadence, begin)
    low = index_of(key) + (start_of(key) < begin)
    high = index_of(key_of(contract.cadence, end)) - 1
    return [key_at(contract.cadence, index) for index in range(low, high + 1)]


def _problem(contract: Contract, wanted: Sequence[str], oldest: str, newest: str, first: str | None, last: str | None, now: datetime) -> str | None:
    """Why not all of these can be built; the worst reason first."""
    key = contract.key
    if not wanted:
        if oldest > newest:
            return f"{key} has no partition yet: it starts {contract.start}"
        return f"{key} is daily, and no whole day lies between {first} and {last}: write days, as in --from {str(first)[:10]} --to {str(last)[:10]}"
    if wanted[-1] > newest:
        return f"{key} {wanted[-1]} is not over (it is {now:%Y-%m-%dT%H:%M} UTC): write --to {newest} or earlier"
    if wanted[0] < first_key(contract):
        return f"{key} {wanted[0]} is before its start ({contract.start}): write --from {first_key(contract)} or later"
    if wanted[0] < oldest:
        return f"{key} {wanted[0]} is past its retention ({words(contract.retention_seconds)}) and would be deleted again: write --from {oldest} or later"
    return None


def _reached(asked: Mapping[str, Sequence[str]], followed: Iterable[str], contracts: Mapping[str, Contract], now: datetime) -> dict[str, tuple[str, ...]]:
    """Partitions of readers, and of theirs, that may read one of the followed endpoints' partitions."""
    level = levels(contracts.values())
    through = set(followed)
    found: dict[str, set[str]] = {endpoint: set(asked[endpoint]) for endpoint in through & asked.keys()}
    for endpoint in sorted(contracts, key=lambda key: (level[key], key)):
        contract = contracts[endpoint]
        oldest, newest = existing(contract, now)
        mine = found.get(endpoint, set())
        for item in contract.inputs:
            if item.endpoint != endpoint and item.endpoint in found:
                for changed in found[item.endpoint]:
                    mine.update(key for key in readers_of(item, changed, contract.cadence) if oldest <= key <= newest)
        if mine and any(item.endpoint == endpoint for item in contract.inputs):
            mine.update(keys_between(min(mine), newest))  # running totals: each stands on the one before
        if mine:
            found[endpoint] = mine
    return {endpoint: tuple(sorted(keys - set(asked.get(endpoint, ())))) for endpoint, keys in found.items() if keys - set(asked.get(endpoint, ()))}
