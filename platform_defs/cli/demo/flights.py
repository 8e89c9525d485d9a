"""The demo's aviation: sends the flights, builds them by a Dagster backfill, sends the late ones, waits until what they touch is rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from platform_defs.cli.demo.aviation import AHEAD, FIRST_HOUR, Happening, happenings
from platform_defs.cli.demo.damage import post_damaged
from platform_defs.cli.demo.lot import late, twice
from platform_defs.cli.demo.sent import Sent
from platform_defs.collection.sdk import Client
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import Cadence, key_of, shift
from platform_defs.running.dagster_client import DagsterClient
from resources.settings import Settings

DOMAIN = "aviation"
CLIENT = "tower"
_CHUNK = 500


@dataclass(frozen=True)
class Days:
    """The days of flights a demo shows.

    Attributes:
        count: from 2026-01-06.
    """

    count: int

    @property
    def end(self) -> datetime:
        """First instant after the last day."""
        return FIRST_HOUR + timedelta(days=self.count)

    @property
    def sent_until(self) -> datetime:
        """The hours after the last day that its last hours read are sent too."""
        return self.end + AHEAD


def send(days: Days, sent: Sent, client: Client, settings: Settings, token: str, tell: Callable[[int, int], None]) -> int:
    """Sends what is new but for the late ones, some of it twice, and damaged copies; returns how many sound events were sent."""
    new = happenings(sent.flights_until or FIRST_HOUR, days.sent_until)
    timely = [event for event in new if not late(event.id)]
    _send(client, timely, tell)
    _send(client, [event for event in timely if twice(event.id)], lambda done, total: None)
    post_damaged(str(settings.collector_url), token, new)
    return len(timely)


def send_late(days: Days, sent: Sent, client: Client) -> int:
    """Sends the late ones; returns how many."""
    behind = [event for event in happenings(sent.late_until or FIRST_HOUR, days.sent_until) if late(event.id)]
    _send(client, behind, lambda done, total: None)
    return len(behind)


def targets(days: Days, contracts: Mapping[str, Contract]) -> dict[str, tuple[str, str]]:
    """The range of each aviation endpoint that the demo builds: from its start, events six hours further than what reads them."""
    return {key: (_first(contract), _last(contract, days)) for key, contract in contracts.items() if contract.domain == DOMAIN}


def missing(
    wanted: Mapping[str, tuple[str, str]], contracts: Mapping[str, Contract], published: Callable[[str, Cadence], Iterable[tuple[str, str]]]
) -> dict[str, tuple[str, str]]:
    """Of these ranges, what lies from the first partition on that is not published; empty if all are.

    Args:
        published: an endpoint's published partitions, as ranges (first, last) in order. Later ones may be there before the demo's own: a schedule's tick
            before the demo has switched it off builds the newest hours.
    """
    found: dict[str, tuple[str, str]] = {}
    for key, (first, last) in wanted.items():
        begin = first
        for low, high in published(key, contracts[key].cadence):
            if low <= begin <= high:
                begin = shift(high, 1)
        if begin <= last:
            found[key] = (begin, last)
    return found


class NotBuilt(RuntimeError):
    """A backfill that ended without all of its partitions; the message names what is missing."""


def backfill(dagster: DagsterClient, ranges: Mapping[str, tuple[str, str]], tell: Callable[[int, int], None], pause: Callable[[], None]) -> int:
    """Has Dagster build the ranges and waits; how many partitions it built. Raises NotBuilt."""
    identity = dagster.backfill(ranges, title="demo: New York's flights")
    while not (status := dagster.backfill_status(identity)).ended:
        tell(status.partitions.built, status.partitions.targeted)
        pause()
    behind = {key: one.targeted - one.built for key, one in status.assets.items() if one.built < one.targeted}
    if status.error or behind:
        names = ", ".join(f"{key} ({count})" for key, count in sorted(behind.items()))
        raise NotBuilt(f"the backfill {identity} ended {status.status}: {status.error or f'not built: {names}'}. Its runs are in the web pages")
    return status.partitions.built


def _send(client: Client, events: Iterable[Happening], tell: Callable[[int, int], None]) -> None:
    everything = list(events)
    for start in range(0, len(everything), _CHUNK):
        for event in everything[start : start + _CHUNK]:
            data: dict[str, Any] = event.data
            client.send_raw(event.type, data, id=event.id, time=event.time)
        tell(min(start + _CHUNK, len(everything)), len(everything))
    if not client.flush(timeout=120):
        raise RuntimeError(f"the collector did not take the flights within 2 minutes: {client.problem or 'it is slow'}")


def _first(contract: Contract) -> str:
    return contract.start if contract.cadence == "daily" else f"{contract.start[:10]}T00"


def _last(contract: Contract, days: Days) -> str:
    end = days.sent_until if contract.kind == "event" else days.end
    return shift(key_of(contract.cadence, end), -1)
