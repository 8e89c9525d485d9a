"""An endpoint and a partition as a person names them: whether there is such a place, and what to write where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.durations import words
from platform_defs.contracts.partitions import PartitionKeyError, key_of, shift, window_of
from platform_defs.planning.windows import before_start, first_key


class NoSuchEndpoint(LookupError):
    """No endpoint has that name; the message names the nearest."""


class NotItsPartition(ValueError):
    """A text that is no partition of the endpoint: of a wrong form, or of another cadence."""


class NoSuchPartition(LookupError):
    """A partition the endpoint does not have: not over yet, before its start, or past its retention."""


def endpoint_named(name: str, contracts: Mapping[str, Contract]) -> Contract:
    """The contract of that key. Raises NoSuchEndpoint."""
    if name in contracts:
        return contracts[name]
    inside = sorted(key for key, contract in contracts.items() if contract.domain == name)
    if inside:
        raise NoSuchEndpoint(f"{name} is a domain: name one of its {len(inside)} datasets, as in {inside[0]}")
    raise NoSuchEndpoint(f"there is no {name}" + did_you_mean(name, contracts))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that says a name is not known."""
    every = sorted(known)
    same = [each for each in every if each.rpartition("/")[2] == name.rpartition("/")[2]]
    near = list(dict.fromkeys([*same, *get_close_matches(name, every, 3)]))[:3]
    return f": did you mean {' or '.join(near)}?" if near else "; ./backline status lists what there is"


def partition_named(text: str, contract: Contract, now: datetime) -> str:
    """The partition key of that text.

    Raises:
        NotItsPartition: it has no form of a key, or that of the other cadence.
        NoSuchPartition: it is not over at `now`, before the endpoint's start, or past its retention.
    """
    try:
        window = window_of(text)
    except PartitionKeyError as error:
        raise NotItsPartition(str(error)) from None
    key = contract.key
    if window.cadence != contract.cadence:
        write = f"one of its hours, as in {text}T00" if window.cadence == "daily" else f"the day, {text[:10]}"
        raise NotItsPartition(f"{key} is {contract.cadence}, {text} is {'a day' if window.cadence == 'daily' else 'an hour'}: write {write}")
    newest = shift(key_of(contract.cadence, now), -1)
    if window.end > now:
        raise NoSuchPartition(f"{key} {text} is not over before {window.end:%Y-%m-%d %H:%M} UTC and nothing is decided about it; the newest that is: {newest}")
    if before_start(contract, text):
        first = first_key(contract)
        raise NoSuchPartition(
            f"{key} {text} is before its start ({contract.start}): it is never built, and counts for readers as complete and empty; the first is {first}"
        )
    retention = timedelta(seconds=contract.retention_seconds)
    if window.end <= now - retention:
        oldest = key_of(contract.cadence, now - retention)
        kept = words(contract.retention_seconds)
        raise NoSuchPartition(f"{key} {text} is past its retention ({kept}): its rows are dropped and it is not built again; the oldest that is kept: {oldest}")
    return text
