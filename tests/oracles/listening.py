"""Every table of listening, charts and catalogue by the generator's own truth, in plain Python. Nothing here comes from the platform."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from assets.catalogue.library import library, licensed
from platform_defs.cli.demo.listening import hour_of_listening

_LONGEST_OFFLINE = timedelta(hours=3)
# How an encrypted value is shown.
_HIDDEN = "***"


@dataclass(frozen=True)
class Event:
    """One event with the hour it belongs to."""

    hour: str
    time: datetime
    data: dict[str, Any]


class Truth:
    """What was handed in from `begun` to `until` (both aware), by event type's name."""

    def __init__(self, begun: datetime, until: datetime) -> None:
        self.events: dict[str, list[Event]] = defaultdict(list)
        hour = (begun - _LONGEST_OFFLINE).replace(minute=0, second=0, microsecond=0)
        while hour <= until:
            for heard in hour_of_listening(hour):
                if begun <= heard.sent < until:
                    happened = heard.event
                    self.events[happened.type.partition("/")[2]].append(Event(f"{happened.time:%Y-%m-%dT%H}", happened.time, happened.data))
            hour += timedelta(hours=1)

    def table(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Rows of an event table without event_id and received_at, each with the person it is of."""
        return [(event.data["user_id"], {"hour": event.hour, "time": event.time, **_plain(event.data)}) for event in self.events[name]]

    def skip_rate(self) -> Counter[tuple[str, str, int, int]]:
        """(hour, track, starts, plays)."""
        played = {(event.hour, event.data["play_id"]) for event in self.events["track_played"]}
        starts: Counter[tuple[str, str]] = Counter()
        plays: Counter[tuple[str, str]] = Counter()
        for event in self.events["track_started"]:
            if event.data["track_id"] in _licensed(_day_before(event.hour)):
                place = (event.hour, event.data["track_id"])
                starts[place] += 1
                plays[place] += any((hour, event.data["play_id"]) in played for hour in (event.hour, _next(event.hour)))
        return Counter({(*place, count, plays[place]): 1 for place, count in starts.items()})

    def daily_listeners(self) -> Counter[tuple[str, str, int, int, float]]:
        """(day, track, listeners, plays, minutes)."""
        people: dict[tuple[str, str], set[str]] = defaultdict(set)
        plays: Counter[tuple[str, str]] = Counter()
        milliseconds: Counter[tuple[str, str]] = Counter()
        for event in self.events["track_played"]:
            place = (event.hour[:10], event.data["track_id"])
            people[place].add(event.data["user_id"])
            plays[place] += 1
            milliseconds[place] += event.data["ms_played"]
        return Counter({(*place, len(people[place]), count, round(milliseconds[place] / 60_000, 3)): 1 for place, count in plays.items()})


def tracks(day: str) -> Counter[tuple[str, str, bool]]:
    """(track, title, licensed) of one day's snapshot."""
    return Counter({(track.track_id, track.title, licensed(track, date.fromisoformat(day))): 1 for track in library()})


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in data.items() if name != "user_id"}
    if shown.get("email") is not None:
        shown["email"] = _HIDDEN
    return shown


def _licensed(day: date) -> set[str]:
    return {track.track_id for track in library() if licensed(track, day)}


def _day_before(hour: str) -> date:
    """The day of the newest snapshot that ended by the end of this hour: the hour that ends a day sees that day's own."""
    return (_start(hour) + timedelta(hours=1)).date() - timedelta(days=1)


def _next(hour: str) -> str:
    return f"{_start(hour) + timedelta(hours=1):%Y-%m-%dT%H}"


def _start(hour: str) -> datetime:
    return datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=UTC)
