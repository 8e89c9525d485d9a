"""The library of a music service that does not exist: the same tracks for everybody, drawn by hash from a seed. Plain functions, no Spark.

Stands where a rights system would be asked; whoever needs ids of tracks that exist takes them from here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from functools import cache

SEED = "backline-library-1"
SIZE = 400
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_FIRST = (
    "Quiet",
    "Golden",
    "Paper",
    "Northern",
    "Electric",
    "Borrowed",
    "Distant",
    "Velvet",
    "Broken",
    "Slow",
    "Silver",
    "Second",
    "Hollow",
    "Early",
    "Crooked",
    "Blue",
)
_SECOND = (
    "Harbour",
    "Engine",
    "Summer",
    "Letters",
    "Orchard",
    "Static",
    "Rivers",
    "Lantern",
    "Weather",
    "Machine",
    "Avenue",
    "Winter",
    "Signal",
    "Garden",
    "Mirror",
    "Tide",
)
_ARTISTS = (
    "Larkfield",
    "The Copper Wires",
    "Nine Bridges",
    "Marrow & Pine",
    "Tin Observatory",
    "Saltwater Choir",
    "Low Ceiling",
    "Paper Boat Club",
    "Ostermoor",
    "The Night Shift",
)
_GENRES = ("ambient", "electronic", "folk", "hip_hop", "indie", "jazz", "pop", "rock")


@dataclass(frozen=True, slots=True)
class LibraryTrack:
    """One track of the library.

    Attributes:
        popularity: how often it is chosen against others; few tracks have most of the listening.
    """

    track_id: str
    title: str
    artist: str
    genre: str
    duration_ms: int
    released: date
    popularity: float


@cache
def library() -> tuple[LibraryTrack, ...]:
    """All tracks, most popular first; always the same."""
    return tuple(_track(number) for number in range(SIZE))


def licensed(track: LibraryTrack, day: date) -> bool:
    """Whether the track may be played on that day: 5 % never, and 5 % lapse for every third month."""
    lot = _number("licence", track.track_id) % 100
    if lot < 5:
        return False
    return not (lot < 10 and (day.month + lot) % 3 == 0)


def _track(number: int) -> LibraryTrack:
    bits = _number("id", str(number))
    letters = "".join(_LETTERS[bits // len(_LETTERS) ** place % len(_LETTERS)] for place in range(8))
    pick = _number("words", str(number))
    return LibraryTrack(
        track_id=f"trk_{letters}",
        title=f"{_FIRST[pick % len(_FIRST)]} {_SECOND[pick // 16 % len(_SECOND)]}",
        artist=_ARTISTS[pick // 256 % len(_ARTISTS)],
        genre=_GENRES[pick // 4096 % len(_GENRES)],
        duration_ms=120_000 + _number("duration", str(number)) % 240_000,
        released=date.fromordinal(date(1998, 1, 1).toordinal() + _number("released", str(number)) % 10_000),
        popularity=1 / (number + 10),
    )


def _number(what: str, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{SEED}|{what}|{key}".encode()).digest()[:8], "big")
