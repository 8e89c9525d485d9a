"""What people do in the apps. Needs pydantic alone: the services that send these events import this file."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from platform_defs.contracts import Event, Lateness, Personal

TRACK_ID = r"^trk_[a-z0-9]{8}$"
Platform = Literal["ios", "android", "web", "desktop"]
# Phones play offline and send when they are back: most within an hour, some after days in a drawer.
OFFLINE = Lateness(settle=["1h", "6h", "24h", "72h"], hold="2h")


class TrackStarted(Event, tier="high", lateness=OFFLINE):
    """A track began to play."""

    play_id: UUID = Field(description="One playing of a track; its TrackPlayed has the same")
    user_id: Annotated[str, Personal("person")]
    track_id: str = Field(pattern=TRACK_ID)
    platform: Platform
    offline: bool = Field(default=False, description="Played from the device's own copy")


class TrackPlayed(Event, tier="high", lateness=OFFLINE):
    """A track was played for 30 seconds or to its end."""

    play_id: UUID
    user_id: Annotated[str, Personal("person")]  # pseudonymised before any table
    email: Annotated[str | None, Personal("email", of="user_id")] = None  # encrypted under that person's key
    track_id: str = Field(pattern=TRACK_ID)
    ms_played: int = Field(ge=0, le=86_400_000)
    platform: Platform


class AppOpened(Event):
    """Somebody opened one of the apps."""

    user_id: Annotated[str, Personal("person")]
    platform: Platform
    app_version: str = Field(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$")
    country: str = Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1, of the store the app came from")


class SearchMade(Event, tier="low"):
    """Somebody searched the catalogue."""

    user_id: Annotated[str, Personal("person")]
    # What people type into a search box may name anybody, so it belongs to the one who typed it.
    query: Annotated[str, Personal("search", of="user_id")] = Field(max_length=200)
    results: int = Field(ge=0, le=10_000)
    chosen: str | None = Field(default=None, pattern=TRACK_ID, description="The track played from the results, if one was")
