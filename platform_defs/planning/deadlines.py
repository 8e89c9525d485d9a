"""Deadlines (`ready_within`): which partitions they hold for, which are past theirs, what became of those that were, and the words of check `on_time`.

No deadline holds for partitions that had ended when their endpoint was first applied: they are history that nobody promised. Why something is past its
deadline is said in roots; what a pause holds for in pausing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.durations import words
from platform_defs.contracts.partitions import index_of, key_at, key_of, step, window_of
from platform_defs.planning.facts import Published
from platform_defs.planning.spans import Ranges, joined, without
from platform_defs.planning.windows import first_key

ON_TIME = "on_time"
Place = tuple[str, str]
End = Literal["published", "gone"]
"""How a partition stops being overdue: it is there, or no deadline holds for it any more (retention, another contract)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Verdict:
    """One verdict of check `on_time`.

    Attributes:
        severe: it is not there; what came late is less than that.
        deadline: None where none holds.
        spare: seconds between its being there and its deadline; negative for what came late, None for what is not there.
    """

    endpoint: str
    partition: str
    passed: bool
    severe: bool
    words: str
    deadline: datetime | None = None
    spare: int | None = None

    @property
    def numbers(self) -> dict[str, str | int]:
        """What stands beside the words."""
        told: dict[str, str | int] = {}
        if self.deadline is not None:
            told["deadline"] = f"{self.deadline:%Y-%m-%d %H:%M} UTC"
        if self.spare is not None:
            told["seconds to spare"] = self.spare
        return told


@dataclass(frozen=True)
class Promise:
    """One endpoint's deadline and how far it is.

    Attributes:
        contract: one with `ready_within`.
        published: of all time, or from as early as is asked about.
        since: see `facts.EndpointFacts`.
    """

    contract: Contract
    published: Ranges
    since: datetime | None


@dataclass(frozen=True)
class Open:
    """A partition that is known to be past its deadline.

    Attributes:
        muted: by a pause.
        root: the name of the root that was told last (see roots); None: none yet.
    """

    muted: bool = False
    root: str | None = None


@dataclass(frozen=True)
class Moves:
    """What changed since the last look; each in the order of time.

    Attributes:
        entered: past their deadline and not known to be. muted: a pause began to hold for them. resumed: a pause has ended and left them overdue.
        left: known ones that are overdue no more, with how that ended. still: known ones that stay as they were, muted ones aside.
    """

    entered: tuple[Place, ...] = ()
    muted: tuple[Place, ...] = ()
    resumed: tuple[Place, ...] = ()
    left: Mapping[Place, End] = field(default_factory=dict)
    still: tuple[Place, ...] = ()


def deadline_of(contract: Contract, partition: str, since: datetime | None) -> datetime | None:
    """When a partition should be there; None if no deadline holds for it.

    Args:
        since: when the endpoint was first applied; None: not known, it always was.
    """
    if contract.ready_within_seconds is None:
        return None
    end = window_of(partition).end
    return None if since is not None and end <= since else end + timedelta(seconds=contract.ready_within_seconds)


def past_deadline(contract: Contract, partition: str, since: datetime | None, now: datetime) -> bool:
    """Whether a partition's deadline is over."""
    deadline = deadline_of(contract, partition, since)
    return deadline is not None and now > deadline


def overdue(promise: Promise, now: datetime, back: timedelta | None = None) -> Ranges:
    """The partitions of an endpoint that were never published and are past their deadline, in sets: thousands of endpoints are looked at in a blink.

    Args:
        back: those alone whose deadline passed this long ago at most; None: all that are kept.
    """
    contract, size = promise.contract, step(promise.contract.cadence)
    if contract.ready_within_seconds is None:
        return ()
    allowed = timedelta(seconds=contract.ready_within_seconds)
    # A deadline is over an instant after it: what ended just so long ago is not overdue yet.
    newest = -((_EPOCH - (now - allowed)) // size) - 2
    oldest = max(index_of(first_key(contract)), index_of(key_of(contract.cadence, now - timedelta(seconds=contract.retention_seconds))))
    if promise.since is not None:
        oldest = max(oldest, (promise.since - _EPOCH) // size)
    if back is not None:
        oldest = max(oldest, (now - back - allowed - _EPOCH) // size)
    return without(joined([(oldest, newest)]), promise.published)


def moves(promises: Mapping[str, Promise], known: Mapping[Place, Open], paused: Collection[str], now: datetime, back: timedelta) -> Moves:
    """What became overdue and what no longer is.

    Args:
        promises: of the endpoints in question; known places of others are gone.
        known: what was overdue at the last look.
        paused: endpoints whose deadlines are muted.
        back: what is not known is looked for among deadlines this young; later a person looks (`status --missing`).
    """
    late = {key: overdue(promises[key], now) for key in {key for key, _ in known} & promises.keys()}
    fresh = [
        (key, key_at(promise.contract.cadence, number))
        for key, promise in promises.items()
        if key not in paused
        for first, last in overdue(promise, now, back)
        for number in range(first, last + 1)
    ]
    muted: list[Place] = []
    resumed: list[Place] = []
    still: list[Place] = []
    left: dict[Place, End] = {}
    for place, open_ in known.items():
        key, partition = place
        if not _holds(late.get(key, ()), index_of(partition)):
            left[place] = _end(promises.get(key), partition)
        elif key in paused:
            if not open_.muted:
                muted.append(place)
        else:
            (resumed if open_.muted else still).append(place)
    entered = [place for place in fresh if place not in known]
    return Moves(_sorted(entered), _sorted(muted), _sorted(resumed), {place: left[place] for place in _sorted(left)}, _sorted(still))


def judged(contract: Contract, partition: str, version: Published, since: datetime | None) -> Verdict:
    """What check `on_time` says of a published partition: its first version counts, however often it was rebuilt."""
    key, deadline = contract.key, deadline_of(contract, partition, since)
    if version.origin == "imported":
        return Verdict(key, partition, True, False, "imported: no deadline holds for it")
    if deadline is None:
        told = f": it had ended when {key} was first applied, at {since:%Y-%m-%d %H:%M}" if since else ""
        return Verdict(key, partition, True, False, f"no deadline holds for it{told}")
    at = version.first_built_at or version.built_at
    spare = int((deadline - at).total_seconds())
    if at <= deadline:
        return Verdict(key, partition, True, False, f"there {spell(spare)} before its deadline, {_by(contract, deadline)}", deadline, spare)
    told = f"came {spell(-spare)} late, at {at:%Y-%m-%d %H:%M}; its deadline was {_by(contract, deadline)}"
    return Verdict(key, partition, False, False, told, deadline, spare)


def absent(contract: Contract, partition: str, since: datetime | None, why: str) -> Verdict:
    """What check `on_time` says of a partition that is past its deadline and not there. `why`: the root, and what to do."""
    deadline = deadline_of(contract, partition, since)
    told = f"not there by {_by(contract, deadline)}: {why}" if deadline else why
    return Verdict(contract.key, partition, False, True, told, deadline)


def spell(seconds: int) -> str:
    """A length of time for a person: its two largest units."""
    parts = [(seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min")]
    told = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(told) or f"{seconds} s"


def _by(contract: Contract, deadline: datetime) -> str:
    return f"{deadline:%Y-%m-%d %H:%M} (ready within {words(contract.ready_within_seconds or 0)})"


def _end(promise: Promise | None, partition: str) -> End:
    return "published" if promise is not None and _holds(promise.published, index_of(partition)) else "gone"


def _holds(ranges: Ranges, number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)


def _sorted(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple(sorted(places, key=lambda place: (window_of(place[1]).start, place)))
