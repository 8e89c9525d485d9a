"""The tracks of the library, as a daily snapshot."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from assets.catalogue.library import library, licensed
from platform_defs.contracts import NotPersonal, Record, Window, source


class Track(Record):
    """A track as the service may offer it."""

    track_id: str = Field(pattern=r"^trk_[a-z0-9]{8}$")
    title: Annotated[str, NotPersonal("titles of works")] = Field(min_length=1, max_length=200)
    artist: Annotated[str, NotPersonal("names artists publish under")] = Field(min_length=1, max_length=200)
    genre: Literal["ambient", "electronic", "folk", "hip_hop", "indie", "jazz", "pop", "rock"]
    duration_ms: int = Field(ge=1000, le=3_600_000)
    released: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="Day of release")
    licensed: bool = Field(description="May be played on the day")


@source(row=Track, partitions="daily", key=["track_id"], ready_within="6h")
def tracks(at: Window) -> Iterator[dict[str, object]]:
    """All tracks, with the licences of the day."""
    for track in library():
        yield {
            "track_id": track.track_id,
            "title": track.title,
            "artist": track.artist,
            "genre": track.genre,
            "duration_ms": track.duration_ms,
            "released": track.released.isoformat(),
            "licensed": licensed(track, at.start.date()),
        }
