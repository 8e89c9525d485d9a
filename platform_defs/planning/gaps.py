"""What may be asked for without a look at each partition: gaps among what is published, and tries that are due again. Sets of partitions are integers here.

Tens of thousands of endpoints are judged in a second so, by the same rules as in states: what `gaps` asks for, `decide` asks for too. The opposite does not
hold: changed contents (late rows, stale readers, new input for what was refused) need each partition's versions and are found by whoever follows changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from platform_defs.contracts.contract import AsOfInput, Contract, Input, Kind, Tier, WindowInput
from platform_defs.contracts.partitions import Cadence, index_of, key_at, key_of, step
from platform_defs.planning.closing import GRACE, closing
from platform_defs.planning.facts import Pause, Receiver, TroubleName
from platform_defs.planning.levels import levels
from platform_defs.planning.pausing import pauses_of
from platform_defs.planning.requests import MAX_PARTITIONS
from platform_defs.planning.states import LOOK_BACK, Decision, PartitionState
from platform_defs.planning.windows import first_key, keys_read

Ranges = tuple[tuple[int, int], ...]
_HOURS = 24
_OLD_SHARE = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OpenTrouble(NamedTuple):
    """A partition in trouble, as much of it as matters here; see `facts.Trouble`. `number`: of the partition. `built`: a version of it is published."""

    endpoint: str
    number: int
    state: TroubleName
    tries: int
    next_try: datetime | None
    code: str | None
    built: bool
    imported: bool = False


class Span(NamedTuple):
    """Partitions of an endpoint by number, ends included."""

    endpoint: str
    first: int
    last: int


@dataclass(frozen=True)
class Standing:
    """How far everything is, at one instant.

    Attributes:
        since, until: partitions that begin in this span are looked at.
        asked: the endpoints to look at.
        published: what is published of them and of all they read, as ranges of partition numbers; from as early as their windows reach.
        in_flight: what is asked for or being built, of the asked.
        troubles: of the asked, those that may be tried again by `until`.
        receivers, pauses: all that are known.
        at_rest: partitions of the asked in trouble about which nothing is to be done by then: a number, and the endpoints.
    """

    since: datetime
    until: datetime
    asked: tuple[str, ...]
    published: Mapping[str, Ranges]
    in_flight: Sequence[Span] = ()
    troubles: Sequence[OpenTrouble] = ()
    receivers: tuple[Receiver, ...] = ()
    pauses: tuple[Pause, ...] = ()
    at_rest: Sequence[tuple[int, Sequence[str]]] = ()


class Line(NamedTuple):
    """What a tick must know of an endpoint, at hand. `needs`: numbers of its inputs' shapes; `shape`: of its span. Equal ones are worked out once."""

    key: str
    cadence: Cadence
    kind: Kind
    tier: Tier
    hold: int | None
    needs: tuple[int, ...]
    shape: int


class Graph:
    """What follows from the contracts alone: made once for a registry, not at every tick.

    Attributes:
        level: of each endpoint; raises graphlib.CycleError for a cycle.
        first: number of the first partition of each that is not before its start.
    """

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self.contracts = contracts
        self.level = levels(contracts.values())
        starts: dict[tuple[Cadence, str], int] = {}
        for contract in contracts.values():
            if (contract.cadence, contract.start) not in starts:
                starts[contract.cadence, contract.start] = index_of(first_key(contract))
        self.first = {key: starts[contract.cadence, contract.start] for key, contract in contracts.items()}
        self.needs: list[tuple[Input, Cadence]] = []
        self.shapes: list[tuple[Cadence, int, int]] = []
        needs: dict[tuple[object, ...], int] = {}
        shapes: dict[tuple[Cadence, int, int], int] = {}
        self.lines: dict[str, Line] = {}
        for key, contract in contracts.items():
            mine = tuple(self._need(item, contract.cadence, needs) for item in contract.inputs)
            shape = (contract.cadence, contract.retention_seconds, self.first[key])
            if shape not in shapes:
                shapes[shape] = len(self.shapes)
                self.shapes.append(shape)
            hold = contract.lateness.hold_seconds if contract.lateness else None
            self.lines[key] = Line(key, contract.cadence, contract.kind, contract.tier, hold, mine, shapes[shape])
        self._reads = {key: tuple(item.endpoint for item in contract.inputs) for key, contract in contracts.items()}
        self._reach = {key: max(map(_reach, contract.inputs), default=timedelta()) for key, contract in contracts.items()}

    def _need(self, item: Input, reader: Cadence, known: dict[tuple[object, ...], int]) -> int:
        window = (item.within_seconds,) if isinstance(item, AsOfInput) else (item.unit, item.first, item.last)
        name = (item.endpoint, reader, *window)
        if name not in known:
            known[name] = len(self.needs)
            self.needs.append((item, reader))
        return known[name]

    def needed(self, asked: Iterable[str]) -> set[str]:
        """These endpoints and all they read."""
        keys = set(asked)
        return keys.union(*(self._reads[key] for key in keys))

    def reach(self, asked: Iterable[str]) -> timedelta:
        """How far before a partition's start its inputs may begin."""
        return max((self._reach[key] for key in asked), default=timedelta())


def gaps(graph: Graph, standing: Standing, now: datetime, look_back: timedelta = LOOK_BACK, most: int = MAX_PARTITIONS) -> list[Decision]:
    """What is to be asked for: partitions that were never built and could be, within the look-back; failed ones and waiting sources whose time has come;
    troubled ones for which there is new code. Each with `ask` set, and `newest` where it is; without the digest of its inputs.

    Args:
        most: never built partitions of one tier that are worth naming: beyond, each endpoint's newest and some of its oldest are.
    """
    return _Look(graph, standing, now, look_back).asks(most)


def _reach(item: Input) -> timedelta:
    if isinstance(item, AsOfInput):
        return timedelta(seconds=item.within_seconds) + timedelta(days=2)
    return max(timedelta(), timedelta(hours=-item.first) if item.unit == "hours" else timedelta(days=1 - item.first))


@dataclass
class _Look:
    """One look. Bit i of a set of hours stands for the hour `hour0 + i`, of a set of days for `day0 + i`."""

    graph: Graph
    standing: Standing
    now: datetime
    look_back: timedelta
    _sets: dict[Ranges, dict[Cadence, int]] = field(default_factory=dict)
    _ready: dict[int, int] = field(default_factory=dict)
    _held: dict[tuple[int, bool], int] = field(default_factory=dict)
    _closed: dict[int | None, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        since = self.standing.since - self.graph.reach(self.standing.asked)
        self.zero: dict[Cadence, int] = {"daily": index_of(key_of("daily", since))}
        self.zero["hourly"] = self.zero["daily"] * _HOURS
        self.newest: dict[Cadence, int] = {
            cadence: index_of(key_of(cadence, min(self.standing.until, self.now))) - 1 - self.zero[cadence] for cadence in ("hourly", "daily")
        }
        self.flight: dict[str, int] = {}
        for key, first, last in self.standing.in_flight:
            self.flight[key] = self.flight.get(key, 0) | self._bits(self.graph.lines[key].cadence, ((first, last),))
        self.paused = pauses_of(self.standing.pauses, self.standing.asked, self.now)

    def asks(self, most: int) -> list[Decision]:
        """See `gaps`."""
        taken = self._taken()
        by_tier: dict[Tier, dict[str, int]] = {}
        known: dict[str, int] = {}
        for key in self.standing.asked:
            if key in self.paused:
                continue
            line = self.graph.lines[key]
            there = self._published(line) | taken.get(key, 0)
            missing = self._spoken(line.shape, recent=True) & ~there
            if missing and (missing := self._buildable(line, missing)):
                by_tier.setdefault(line.tier, {})[key] = missing
                known[key] = there.bit_length()
        asks: list[Decision] = []
        for found in by_tier.values():
            share = max(1, most // len(found)) if sum(map(int.bit_count, found.values())) > most else most
            # Whoever finds no place now does so at the next tick, when these are in flight.
            for key, missing in islice(found.items(), most):
                line = self.graph.lines[key]
                zero, why = self.zero[line.cadence], _WHY[line.kind]
                for place in _ends(list(_places(missing)), share):
                    newest = known[key] <= place == missing.bit_length() - 1
                    asks.append(Decision(key, key_at(line.cadence, zero + place), PartitionState.DUE, why, ask=True, newest=newest))
        return asks + [ask for trouble in self.standing.troubles if (ask := self._again(trouble)) is not None]

    def _taken(self) -> dict[str, int]:
        """What is in flight or in trouble, by endpoint."""
        taken = dict(self.flight)
        troubles = [(each.number, (each.endpoint,)) for each in self.standing.troubles]
        for number, keys in (*troubles, *self.standing.at_rest):
            for key in keys:
                place = number - self.zero[self.graph.lines[key].cadence]
                if place >= 0:
                    taken[key] = taken.get(key, 0) | 1 << place
        return taken

    def _again(self, trouble: OpenTrouble) -> Decision | None:
        """Whether a partition in trouble is tried again now."""
        contract = self.graph.contracts[trouble.endpoint]
        if trouble.imported or trouble.endpoint in self.paused:
            return None
        if trouble.built and trouble.state == "waiting" and contract.kind != "source":
            return None
        news = trouble.code is not None and trouble.code != contract.code_version
        if not news and (trouble.next_try is None or trouble.next_try > self.now):
            return None
        line = self.graph.lines[trouble.endpoint]
        bit = self._bits(line.cadence, ((trouble.number, trouble.number),)) & self._spoken(line.shape, recent=False) & ~self.flight.get(trouble.endpoint, 0)
        if line.kind != "event" or not trouble.built:
            bit = bit and self._buildable(line, bit)
        if not bit:
            return None
        state = PartitionState.DUE if trouble.state == "waiting" else PartitionState(trouble.state)
        words = "new code since: tried again" if news else "tried again now"
        attempt = 1 if news else trouble.tries + 1
        return Decision(trouble.endpoint, key_at(contract.cadence, trouble.number), state, f"{trouble.state}; {words}", ask=True, attempt=attempt)

    def _buildable(self, line: Line, wanted: int) -> int:
        """Those of the wanted partitions whose inputs are complete, or whose hour is closed."""
        if line.kind == "event":
            return wanted & self._closed_hours(line.hold)
        for need in line.needs:
            found = self._ready.get(need)
            if found is None:
                found = self._ready[need] = self._work_out(*self.graph.needs[need])
            wanted &= found
            if not wanted:
                break
        return wanted

    def _spoken(self, shape: int, *, recent: bool) -> int:
        """Partitions that have ended, begin in the span, are neither before start nor past retention; `recent`: nor beyond the look-back."""
        found = self._held.get((shape, recent))
        if found is None:
            cadence, retention_seconds, first = self.graph.shapes[shape]
            size, retention = step(cadence), timedelta(seconds=retention_seconds)
            low = max(first, -((_EPOCH - self.standing.since) // size), (self.now - retention - _EPOCH) // size)
            if recent:
                low = max(low, -((_EPOCH - self.now + self.look_back + GRACE) // size) - 1)
            found = self._held[shape, recent] = _from(low - self.zero[cadence]) & _upto(self.newest[cadence])
        return found

    def _closed_hours(self, hold: int | None) -> int:
        found = self._closed.get(hold)
        if found is None:
            found = 0
            for place in range(self._first("hourly"), self.newest["hourly"] + 1):
                if closing(key_at("hourly", self.zero["hourly"] + place), self.now, self.standing.receivers, hold).closed:
                    found |= 1 << place
            self._closed[hold] = found
        return found

    def _first(self, cadence: Cadence) -> int:
        """The first place that is asked about; those before it are there because windows reach back."""
        return index_of(key_of(cadence, self.standing.since)) - self.zero[cadence]

    def _published(self, line: Line) -> int:
        ranges = self.standing.published.get(line.key)
        return self._bits(line.cadence, ranges) if ranges else 0

    def _bits(self, cadence: Cadence, ranges: Ranges) -> int:
        """A set from ranges; what lies before its beginning is left out."""
        sets = self._sets.setdefault(ranges, {})
        if cadence not in sets:
            zero, bits = self.zero[cadence], 0
            for first, last in ranges:
                bits |= _from(first - zero) & _upto(last - zero)
            sets[cadence] = bits
        return sets[cadence]

    def _work_out(self, item: Input, reader: Cadence) -> int:
        """The partitions of a reader of that cadence for which this input is complete."""
        read = self.graph.contracts[item.endpoint]
        published = self._published(self.graph.lines[item.endpoint])
        before = _upto(self.graph.first[item.endpoint] - 1 - self.zero[read.cadence])
        if isinstance(item, WindowInput) and (read.cadence, item.unit) == ("hourly", "hours"):
            if reader == "hourly":
                return _all(published | before, item.first, item.last)
            return self._sampled(_all(published | before, item.first, item.last + _HOURS - 1))
        if isinstance(item, WindowInput) and (read.cadence, item.unit, reader) == ("daily", "days", "daily"):
            return _all(published | before, item.first, item.last)
        # The rare ones: an hour over days, snapshots.
        holds: Callable[[Iterable[bool]], bool] = any if isinstance(item, AsOfInput) else all
        there = published & ~before if isinstance(item, AsOfInput) else published | before
        zero, found = self.zero[read.cadence], 0
        for place in range(self._first(reader), self.newest[reader] + 1):
            keys = keys_read(item, key_at(reader, self.zero[reader] + place), read.cadence)
            if holds(_has(there, index_of(key) - zero) for key in keys):
                found |= 1 << place
        return found

    def _sampled(self, hours: int) -> int:
        """The days whose first hour is in a set of hours."""
        found = 0
        for day in range(self._first("daily"), self.newest["daily"] + 1):
            if hours >> day * _HOURS & 1:
                found |= 1 << day
        return found


_WHY = {"event": "closed and never built", "endpoint": "its inputs are complete", "source": "its time is over"}


def _from(place: int) -> int:
    """All places from this one on."""
    return -1 << place if place > 0 else -1


def _upto(place: int) -> int:
    """All places up to this one."""
    return (1 << place + 1) - 1 if place >= 0 else 0


def _has(places: int, place: int) -> bool:
    return place >= 0 and bool(places >> place & 1)


def _all(places: int, first: int, last: int) -> int:
    """Places p for which all of p + first to p + last are in the set; what lies before its beginning is not."""
    held, wide, wanted = places, 1, last - first + 1
    while wide < wanted:
        more = min(wide, wanted - wide)
        held &= held >> more
        wide += more
    return held >> first if first >= 0 else held << -first


def _ends(places: list[int], most: int) -> list[int]:
    """No more than so many of them: the newest, and a quarter from the oldest end."""
    if len(places) <= most:
        return places
    old = most // _OLD_SHARE
    return places[:old] + places[old - most :]


def _places(places: int) -> Iterable[int]:
    while places:
        low = places & -places
        yield low.bit_length() - 1
        places ^= low
