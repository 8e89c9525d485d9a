"""Why a partition may be built: worked out from what happened to it alone, by the words of the design, with nothing of the planner's.

A simulated platform writes down every try here. A request must have a reason when it is made, and no reason is spent on two builds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from platform_defs.contracts.contract import AsOfInput, Contract, LatenessPolicy
from tests.unit.planning.recomputed import candidates, ends, places_read
from tests.unit.planning.simulated import Collector

Place = tuple[str, str]
# What and when: equal ones are one reason.
Reason = tuple[object, ...]
GRACE = timedelta(minutes=2)
RETRIES = tuple(timedelta(minutes=minutes) for minutes in (5, 20, 60))
PARKED_EVERY = timedelta(days=1)
RECHECKED_EVERY = {"hourly": timedelta(hours=1), "daily": timedelta(hours=6)}


@dataclass(frozen=True)
class Try:
    """A build that ended.

    Attributes:
        read: what it found of each partition it reads when it began. rows: of an event hour, how many had been sealed by then.
        failures: how many like it in a row, itself among them, where it failed.
    """

    began: datetime
    ended: datetime
    state: str
    code: str
    pins: Mapping[str, str]
    read: Mapping[Place, bytes | None]
    rows: int
    failures: int = 0

    def like(self, other: Try) -> bool:
        """Whether nothing that matters was another in both."""
        return (self.code, self.rows, self.read) == (other.code, other.rows, other.read)


@dataclass
class Story:
    """What happened to one partition.

    Attributes:
        version: the try that published what there is. last: the last one, if it published nothing. looked: when a build last found it current.
        spent: the reasons it was built for by the planner. asked: builds a person asked for.
    """

    version: Try | None = None
    last: Try | None = None
    first_built: datetime | None = None
    looked: datetime | None = None
    spent: set[Reason] = field(default_factory=set)
    asked: int = 0

    def current(self, now: datetime) -> None:
        """A build looked and found nothing to do."""
        self.looked, self.last = now, None

    def tried(self, one: Try) -> None:
        """A build ended."""
        if one.state == "published":
            self.version, self.last, self.looked = one, None, one.ended
            self.first_built = self.first_built or one.ended
        else:
            self.last = one


@dataclass(frozen=True)
class Reasons:
    """Looks for the reason to build a partition now.

    Attributes:
        content: of a published partition. sealed: rows of an event hour in segments. moved: when the content of a partition became another.
    """

    contracts: Callable[[], Mapping[str, Contract]]
    stories: Mapping[Place, Story]
    content: Callable[[str, str], bytes | None]
    sealed: Callable[[Place], int]
    moved: Mapping[Place, list[datetime]]
    collectors: Collection[Collector]
    look_back: timedelta
    _reads: dict[tuple[Place, tuple[tuple[str, str], ...]], list[Place]] = field(default_factory=dict)

    def find(self, place: Place, now: datetime) -> Reason | None:
        """The reason to build it now; None: there is none."""
        story, contract = self.stories[place], self.contracts()[place[0]]
        if now < ends(place[1]):
            return None
        if story.version is None and not self._possible(contract, place, now):
            return None
        if story.last is not None:
            pins = story.version.pins if story.version else self._newest(contract, place[1])
            return self._again(contract, place, story.last, pins, now)
        if story.version is None:
            return ("first",) if ends(place[1]) + self.look_back + GRACE >= now else None
        if contract.kind == "event":
            return self._late(contract, place, story, story.version, now)
        if contract.kind == "source":
            return self._rechecked(contract, place, story.looked or story.version.ended, now)
        return self._changed(contract, place, story.version)

    def owed(self, place: Place, now: datetime) -> Reason | None:
        """The reason for which it must be asked for before long.

        New code is tried within the look-back: for older partitions a person asks. Where corrections are followed for a while only, one that came in time may
        be hidden by one that did not: such a partition is listed as outdated.
        """
        reason, limit = self.find(place, now), self.contracts()[place[0]].corrections_seconds
        if reason is None:
            return None
        if reason[0] == "new code" and ends(place[1]) + self.look_back < now:
            return None
        if reason[0] == "changed input" and limit is not None and now > ends(place[1]) + timedelta(seconds=limit):
            return None
        return reason

    def read(self, contract: Contract, partition: str, pins: Mapping[str, str]) -> dict[Place, bytes | None]:
        """What is published of all that a partition reads."""
        name = (contract.key, partition), tuple(sorted(pins.items()))
        if name not in self._reads:
            self._reads[name] = places_read(contract, partition, self.contracts(), pins)
        return {each: self.content(*each) for each in self._reads[name]}

    def _possible(self, contract: Contract, place: Place, now: datetime) -> bool:
        """Whether its hour is closed, or its inputs are complete."""
        if contract.kind == "event":
            assert contract.lateness is not None
            return self._closed(contract.lateness, place[1], now)
        if contract.kind == "source":
            return True
        pins = self._newest(contract, place[1])
        snapshots = sum(isinstance(item, AsOfInput) for item in contract.inputs)
        return len(pins) == snapshots and all(held is not None for held in self.read(contract, place[1], pins).values())

    def _newest(self, contract: Contract, partition: str) -> dict[str, str]:
        """The snapshots that a first build would choose."""
        chosen = {}
        for item in contract.inputs:
            if isinstance(item, AsOfInput):
                held = [key for endpoint, key in candidates(item, contract, partition, self.contracts()) if self.content(endpoint, key) is not None]
                chosen |= {item.param: max(held)} if held else {}
        return chosen

    def _closed(self, policy: LatenessPolicy, hour: str, now: datetime) -> bool:
        ready = ends(hour) + GRACE
        if now < ready:
            return False
        if policy.hold_seconds is not None and now >= ready + timedelta(seconds=policy.hold_seconds):
            return True
        return all(each.lost or (each.sealed_until is not None and each.sealed_until >= ready) for each in self.collectors)

    def _again(self, contract: Contract, place: Place, last: Try, pins: Mapping[str, str], now: datetime) -> Reason | None:
        """After a try that published nothing."""
        if last.code != contract.code_version:
            return "new code", contract.code_version, last.ended
        if last.state == "failed" and last.failures <= len(RETRIES):
            return ("retry", last.ended) if now >= last.ended + RETRIES[last.failures - 1] else None
        if contract.kind == "event":
            return ("new input", last.ended) if self.sealed(place) > last.rows else None
        return ("new input", last.ended) if self.read(contract, place[1], pins) != last.read else None

    def _late(self, contract: Contract, place: Place, story: Story, version: Try, now: datetime) -> Reason | None:
        policy, late = contract.lateness, self.sealed(place) - version.rows
        assert policy is not None
        assert story.first_built is not None
        if late <= 0:
            return None
        if 0 in policy.settle_seconds:
            return "at once", version.rows
        if late > policy.share * version.rows:
            return "share", version.rows
        for age in policy.settle_seconds:
            boundary = story.first_built + timedelta(seconds=age)
            if version.ended < boundary:
                return ("settle", boundary) if boundary <= now else None
        again = (story.looked or version.ended) + PARKED_EVERY
        return ("parked", version.ended) if now >= again else None

    def _rechecked(self, contract: Contract, place: Place, looked: datetime, now: datetime) -> Reason | None:
        within = contract.recheck_seconds is not None and now < ends(place[1]) + timedelta(seconds=contract.recheck_seconds)
        return ("recheck", looked) if within and now >= looked + RECHECKED_EVERY[contract.cadence] else None

    def _changed(self, contract: Contract, place: Place, version: Try) -> Reason | None:
        now = self.read(contract, place[1], version.pins)
        different = [each for each, held in now.items() if held != version.read.get(each)]
        if not different:
            return None
        if contract.corrections_seconds is not None:
            limit = ends(place[1]) + timedelta(seconds=contract.corrections_seconds)
            if all(at > limit for each in different for at in self.moved[each] if at >= version.began):
                return None
        return "changed input", version.ended
