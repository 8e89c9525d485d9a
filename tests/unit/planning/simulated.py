"""What a simulated platform is made of: receivers, requests, runs, and the endpoints drawn for it. What happens to them is in simulation."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import datetime

from platform_defs.contracts.contract import Contract, Input, Tier
from platform_defs.contracts.partitions import keys_between
from platform_defs.planning.requests import RunRequestPlan
from platform_defs.planning.touched import Place
from tests.fixtures.contracts import DAY, HOUR, as_of, endpoint, event, lateness, reads
from tests.unit.planning.world import at


@dataclass
class Collector:
    """A receiver: what it accepted and has not sealed, by event and hour."""

    name: str
    alive: bool = True
    lost: bool = False
    sealed_until: datetime | None = None
    beat_at: datetime = field(default_factory=lambda: at(0))
    log: list[tuple[str, str, int]] = field(default_factory=list)


@dataclass
class Request:
    """An open request, the run that serves it, and the reason there was for each of its partitions."""

    id: int
    plan: RunRequestPlan
    opened: datetime
    run: int | None = None
    reasons: dict[Place, tuple[object, ...]] = field(default_factory=dict)

    @property
    def places(self) -> list[Place]:
        return self.plan.places

    @property
    def covered(self) -> list[Place]:
        """All of its range: what its run spares counts as requested while it is open."""
        return [(key, partition) for key in self.plan.endpoints for partition in keys_between(self.plan.first, self.plan.last)]


@dataclass
class Job:
    """A partition as a run found it when it started.

    Attributes:
        rows: of an event hour: what was sealed then. read: of each partition it reads, what it found. code: it was built by.
    """

    place: Place
    digest: bytes
    content: bytes
    pins: dict[str, str]
    rows: tuple[tuple[int, datetime], ...]
    read: dict[Place, bytes | None]
    code: str
    began: datetime


@dataclass
class Run:
    """A run: queued until it has its jobs."""

    id: int
    request: int | None
    places: list[Place]
    forced: bool
    ends: datetime | None = None
    jobs: list[Job] = field(default_factory=list)


class Broken(AssertionError):
    """Something that must hold does not; names the seed."""


def hashed(*parts: object) -> bytes:
    """16 bytes of anything."""
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


def drawn_contracts(dice: random.Random) -> list[Contract]:
    """Two or three event types, a daily source, and up to six endpoints on them: hourly and daily, windows back and forth, snapshots, running totals."""
    tiers: list[Tier] = ["high", "normal", "low"]
    made = []
    for number in range(dice.randint(2, 3)):
        settle = dice.choice([(HOUR, 6 * HOUR), (HOUR, 3 * HOUR, 9 * HOUR), (HOUR, 9 * HOUR), (0,)])
        policy = lateness(settle, dice.choice([0.05, 0.3]), dice.choice([None, 2 * HOUR, 2 * HOUR]))
        made.append(event(f"{dice.choice('ab')}/e{number}", start="2026-10-01", lateness=policy, tier=dice.choice(tiers)))
    source = endpoint("a/source", kind="source", cadence="daily", start="2026-09-29", recheck_seconds=dice.choice([None, DAY]))
    made.append(source)
    for number in range(dice.randint(2, 6)):
        daily = dice.random() < 0.3
        readable = [each for each in made if each.kind != "source" and (daily or each.cadence == "hourly")]
        inputs: list[Input] = []
        for read in dice.sample(readable, min(len(readable), dice.randint(1, 2))):
            first = dice.choice([0, 0, 0, -1, -2])
            unit = "hours" if read.cadence == "hourly" else "days"
            inputs.append(reads(read.key, first, dice.choice([0, 0, 1]) if unit == "hours" else 0, unit))
        if dice.random() < 0.4:
            inputs.append(as_of("a/source", 3))
        key = f"{dice.choice('ab')}/x{number}"
        if dice.random() < 0.2:
            inputs.append(reads(key, -1, -1, "days" if daily else "hours"))
        made.append(
            endpoint(
                key,
                *inputs,
                cadence="daily" if daily else "hourly",
                start="2026-10-01",
                tier=dice.choice(tiers),
                corrections_seconds=dice.choice([None, 8 * HOUR, DAY]),
            )
        )
    return made
