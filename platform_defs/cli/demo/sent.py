"""What the demo has sent so far, kept beside the platform's state, so that a second demo sends only what is new."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel


class Sent(BaseModel):
    """How far each feed is.

    Attributes:
        flights_until: flights up to this instant were sent, the late ones apart.
        late_until: the late ones too.
        listening_until: what phones handed in up to this instant.
    """

    flights_until: datetime | None = None
    late_until: datetime | None = None
    listening_until: datetime | None = None

    @classmethod
    def load(cls, home: Path) -> Sent:
        """What was noted; nothing if this is the first demo."""
        try:
            return cls.model_validate_json(_file(home).read_text())
        except FileNotFoundError:
            return cls()

    def save(self, home: Path) -> None:
        """Notes it."""
        temporary = _file(home).with_suffix(".new")
        temporary.write_text(json.dumps(self.model_dump(mode="json")))
        temporary.replace(_file(home))


def _file(home: Path) -> Path:
    return home / "demo.json"
