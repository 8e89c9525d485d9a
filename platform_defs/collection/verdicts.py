"""What the sender of a body is told: a verdict for each event, and the answer's JSON. How verdicts are come by is in `validation`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypedDict

from pydantic_core import to_json

from platform_defs.collection.record import Group, Reason, Rejected

_ACCEPTED = '","status":"accepted","reason":null,"detail":null},{"id":"'  # between two ids; the last eight characters begin the next one


class Verdict(TypedDict):
    """The answer about one event, in the order sent."""

    id: str | None
    status: Literal["accepted", "rejected"]
    reason: Reason | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A body taken apart.

    Attributes:
        ids: of all events, in the order sent; None where there is none.
        rejected: in that order too, and `places` where in it.
    """

    ids: list[str | None]
    groups: tuple[Group, ...]
    rejected: tuple[Rejected, ...]
    places: tuple[int, ...]

    @property
    def unknown(self) -> bool:
        """Whether some event's type is in no contract (a newer registry may know it)."""
        return any(one.reason == "unknown_type" for one in self.rejected)

    @property
    def verdicts(self) -> list[Verdict]:
        """One for each event."""
        said: list[Verdict] = [{"id": id_, "status": "accepted", "reason": None, "detail": None} for id_ in self.ids]
        for place, one in zip(self.places, self.rejected, strict=True):
            said[place] = {"id": self.ids[place], "status": "rejected", "reason": one.reason, "detail": one.detail}
        return said

    def answer(self) -> bytes:
        """What the sender is told, as JSON: the numbers, and `events` with a verdict for each."""
        received, rejected = len(self.ids), len(self.rejected)
        head = f'{{"received":{received},"accepted":{received - rejected},"rejected":{rejected},"events":'.encode()
        if self.ids and not rejected:
            ids: list[str] = self.ids  # type: ignore[assignment]  # what is accepted has one
            if plain_text(ids):  # a fifteenth of the time of writing each verdict
                return head + f'[{{"id":"{_ACCEPTED.join(ids)}{_ACCEPTED[:-8]}]}}'.encode()
        return head + to_json(self.verdicts) + b"}"


def plain_text(texts: Iterable[str]) -> bool:
    """Whether all stand in JSON as they are."""
    text = "".join(texts)
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text
