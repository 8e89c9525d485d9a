"""Listeners made up by a seeded generator: people, sessions, phones that were offline for a while. The same hour is always the same events.

Everything said of a person here is invented by rule (`listener-0042`, `listener-0042@example.org`); nobody is behind it.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from assets.catalogue.library import LibraryTrack, library
from platform_defs.cli.demo.aviation import Happening

PEOPLE = 500
_SEED = "listening-1"
_NAMESPACE = uuid.UUID("8d3a9a52-2f0c-5b44-9a53-6f1c1f1c7b10")
# Share of the people with a session in an hour of the day (UTC): asleep at 3, most at 18.
_BUSY = [0.05, 0.03, 0.02, 0.02, 0.02, 0.04, 0.10, 0.18, 0.22, 0.20, 0.18, 0.18, 0.20, 0.20, 0.18, 0.20, 0.24, 0.30, 0.34, 0.32, 0.28, 0.22, 0.14, 0.08]
_OFFLINE = 0.04  # of the sessions: the phone hands them in later
_HEARD = 0.7  # of the started tracks: heard for 30 seconds or to the end

Platform = Literal["ios", "android", "web", "desktop"]
_PLATFORMS: tuple[Platform, ...] = ("ios", "android", "web", "desktop")
_COUNTRIES = ("DE", "ES", "FR", "GB", "JP", "SE", "US")


@dataclass(frozen=True)
class Heard:
    """One event of the generator.

    Attributes:
        event: what happened.
        sent: when the phone hands it in (aware): at once, or up to two hours later for an offline phone.
    """

    event: Happening
    sent: datetime


@dataclass(frozen=True)
class Listener:
    """One invented person."""

    user_id: str
    email: str | None
    platform: Platform
    country: str


def people() -> list[Listener]:
    """The whole audience; every third has no e-mail address on file."""
    dice = random.Random(_SEED)  # noqa: S311 - a generator of examples, not of secrets
    return [
        Listener(f"listener-{n:04d}", None if n % 3 == 0 else f"listener-{n:04d}@example.org", dice.choice(_PLATFORMS), dice.choice(_COUNTRIES))
        for n in range(PEOPLE)
    ]


def hour_of_listening(hour: datetime) -> list[Heard]:
    """All that happens in the hour that starts at `hour` (aware, on the hour), in order of time."""
    hour = hour.astimezone(UTC)
    dice = random.Random(f"{_SEED}:{hour:%Y-%m-%dT%H}")  # noqa: S311
    tracks = library()
    found: list[Heard] = []
    for listener in people():
        if dice.random() < _BUSY[hour.hour]:
            found.extend(_session(listener, hour, tracks, dice))
    return sorted(found, key=lambda heard: (heard.event.time, heard.event.id))


def _session(listener: Listener, hour: datetime, tracks: tuple[LibraryTrack, ...], dice: random.Random) -> Iterator[Heard]:
    at = hour + timedelta(seconds=dice.uniform(0, 3000))
    delay = timedelta(minutes=dice.uniform(10, 120)) if dice.random() < _OFFLINE else timedelta()
    opened = uuid.uuid5(_NAMESPACE, f"{listener.user_id}:{hour:%Y-%m-%dT%H}")
    app = {"user_id": listener.user_id, "platform": listener.platform, "app_version": "4.2.1", "country": listener.country}
    yield _heard("listening/app_opened", str(opened), at, delay, app)
    weights = [track.popularity for track in tracks]
    for number, track in enumerate(dice.choices(tracks, weights, k=dice.randint(1, 6))):
        play_id = str(uuid.uuid5(_NAMESPACE, f"{opened}:{number}"))
        common: dict[str, Any] = {"play_id": play_id, "user_id": listener.user_id, "track_id": track.track_id, "platform": listener.platform}
        yield _heard("listening/track_started", f"{play_id}-started", at, delay, {**common, "offline": bool(delay)})
        if dice.random() < _HEARD:
            heard = min(track.duration_ms, dice.randint(30_000, 330_000))
            at += timedelta(milliseconds=heard)
            yield _heard("listening/track_played", f"{play_id}-played", at, delay, {**common, "email": listener.email, "ms_played": heard})
        else:
            at += timedelta(seconds=dice.uniform(2, 29))


def _heard(kind: str, id: str, at: datetime, delay: timedelta, data: dict[str, Any]) -> Heard:
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return Heard(Happening(kind, id, at, data), at + delay)
