"""What a backfill builds: which of the candidate partitions, why, what cannot be built, and in about which runs. Pure; starting it is not done here.

A partition is built if it needs it (never built, stale, outdated, in trouble), if it reads one that is built, or if everything is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from platform_defs.contracts.contract import AsOfInput, Contract
from platform_defs.contracts.partitions import Cadence, keys_between, ranges
from platform_defs.planning.estimates import RunShape
from platform_defs.planning.facts import Facts, Published
from platform_defs.planning.inputs import Missing, view_inputs
from platform_defs.planning.lateness import awaits_reopening, late_rows
from platform_defs.planning.levels import levels
from platform_defs.planning.pausing import pause_words, pauses_of
from platform_defs.planning.ranges import Candidates
from platform_defs.planning.requests import MAX_KEYS
from platform_defs.planning.selection import Refused
from platform_defs.planning.states import Decision, PartitionState, decide
from platform_defs.planning.windows import keys_read

Place = tuple[str, str]
_BROKEN = (PartitionState.REFUSED, PartitionState.FAILED, PartitionState.STUCK)
_NEEDY = (*_BROKEN, PartitionState.STALE, PartitionState.OUTDATED, PartitionState.DUE)


@dataclass(frozen=True)
class Part:
    """What is built of one endpoint.

    Attributes:
        partitions: in order. why: how many of them for which reason: missing, stale, outdated, refused, failed, stuck, `input` (it reads one that is
            built), `asked` (current, and rebuilt because everything is).
        step: runs of a step wait for those below. together: endpoints that are built in the same runs, this one among them.
    """

    endpoint: str
    cadence: Cadence
    partitions: tuple[str, ...]
    why: Mapping[str, int]
    step: int = 0
    together: tuple[str, ...] = ()
    serial: bool = False

    @property
    def ranges(self) -> tuple[tuple[str, str], ...]:
        """The partitions as contiguous ranges (first, last)."""
        return tuple(ranges(list(self.partitions)))

    @property
    def runs(self) -> int:
        """Into how many runs they are cut."""
        most = MAX_KEYS[self.cadence]
        return sum(-(-len(keys_between(first, last)) // most) for first, last in self.ranges)


@dataclass(frozen=True)
class Left:
    """Partitions that are not built, and why."""

    endpoint: str
    partitions: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class BackfillPlan:
    """What a backfill would do.

    Attributes:
        parts: by step, then endpoint. current: partitions of the candidates that need nothing, by endpoint.
        blocked: what is wanted and cannot be built now. notes: what else to know.
    """

    parts: tuple[Part, ...]
    current: Mapping[str, int] = field(default_factory=dict)
    blocked: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def partitions(self) -> int:
        """How many are built."""
        return sum(len(part.partitions) for part in self.parts)

    @property
    def shapes(self) -> tuple[RunShape, ...]:
        """Its runs, as an estimate wants them."""
        firsts = [part for part in self.parts if part.endpoint == part.together[0]]
        return tuple(RunShape(part.together, part.step, part.runs, -(-len(part.partitions) // part.runs), part.serial) for part in firsts)

    @property
    def runs(self) -> int:
        """About how many runs Dagster makes of it: readers are asked for as what they read becomes ready, so it may cut otherwise."""
        return sum(shape.count for shape in self.shapes)


def plan_backfill(
    facts: Facts, wanted: Candidates, now: datetime, *, force: bool = False, outdated: bool = False, spanned: bool = True, lost: Collection[Place] = ()
) -> BackfillPlan:
    """Chooses among the candidates.

    Args:
        facts: of all endpoints of the candidates, over their span.
        force: also what is current. outdated: only what older code built, and what reads it.
        spanned: somebody said the span: what of it must not be built refuses the whole, and is not just left out.
        lost: event hours of which a landing segment is known to be missing on disk.

    Raises:
        Refused: event hours of a span whose landing has expired would be built, or nothing at all can be.
    """
    chosen = _Choice(facts, wanted, now, force, outdated, frozenset(lost))
    for endpoint in chosen.order:
        chosen.look(endpoint)
    alone = not outdated and not chosen.planned and not chosen.current  # nothing else was asked for: silence would look like success
    if chosen.gone and spanned and (alone or chosen.wants_gone):
        raise Refused("\n".join(_expired(endpoint, keys) for endpoint, keys in chosen.gone.items()))
    blocked = tuple(Left(endpoint, tuple(sorted(keys)), reason) for (endpoint, reason), keys in chosen.blocked.items())
    if not chosen.planned and any(left.endpoint in wanted.asked for left in blocked):
        raise Refused("\n".join(f"{left.endpoint} {_told(left.partitions)} cannot be built: {left.reason}" for left in blocked))
    gone = [f"{key}: {_count(len(keys))} cannot be rebuilt, their landing has expired; what is published of them stays" for key, keys in chosen.gone.items()]
    return BackfillPlan(chosen.parts(), dict(chosen.current), blocked, (*wanted.notes, *gone, *chosen.pause_notes()))


class _Choice:
    """One choosing, endpoint by endpoint from the ground up. `planned`: partitions by endpoint, each with its reason."""

    def __init__(self, facts: Facts, wanted: Candidates, now: datetime, force: bool, outdated: bool, lost: frozenset[Place]) -> None:
        self.facts, self.wanted, self.now, self.force, self.outdated, self.lost = facts, wanted, now, force, outdated, lost
        self.contracts: dict[str, Contract] = {key: each.contract for key, each in facts.endpoints.items()}
        level = levels(self.contracts.values())
        self.order = sorted(wanted.endpoints, key=lambda key: (level[key], key))
        self.decisions: dict[Place, Decision] = {(each.endpoint, each.partition): each for each in decide(facts, now)}
        self.planned: dict[str, dict[str, str]] = {}
        self.current: Counter[str] = Counter()
        self.gone: dict[str, list[str]] = {}
        self.wants_gone = False
        self.blocked: dict[tuple[str, str], list[str]] = {}

    def look(self, endpoint: str) -> None:
        """Chooses among one endpoint's candidates."""
        contract, mine = self.contracts[endpoint], self.facts.endpoints[endpoint]
        for key in self.wanted.of(endpoint):
            published = mine.published.get(key)
            why = self._why(contract, key, published)
            if contract.kind == "event" and self._landing_gone(endpoint, key, published):
                self.gone.setdefault(endpoint, []).append(key)
                self.wants_gone = self.wants_gone or why is not None
            elif why is None:
                self.current[endpoint] += 1
            elif (reason := self._held_up(contract, key, published)) is not None:
                self.blocked.setdefault((endpoint, reason), []).append(key)
            else:
                self.planned.setdefault(endpoint, {})[key] = why

    def _why(self, contract: Contract, key: str, published: Published | None) -> str | None:
        """Why it is built; None: it need not be."""
        decision = self.decisions.get((contract.key, key))
        state = None if decision is None else decision.state
        if published is not None and published.origin == "imported":  # a build leaves it alone, unless it is forced
            return "asked" if self.force and not self.outdated else None
        old = published is not None and (state is PartitionState.OUTDATED or published.code != contract.code_version)
        if not self.outdated:
            if published is None:
                return str(state) if state in _BROKEN else "missing"
            if state in _NEEDY:
                return str(state)
        if old:
            return "outdated"
        if self._reads_planned(contract, key, published):
            return "input"
        return "asked" if self.force and not self.outdated else None

    def _reads_planned(self, contract: Contract, key: str, published: Published | None) -> bool:
        for item in contract.inputs:
            built = self.planned.get(item.endpoint)
            if not built:
                continue
            if isinstance(item, AsOfInput):
                if published is not None and published.pins.get(item.param) in built:  # a newer snapshot makes nothing stale
                    return True
            elif any(read in built for read in keys_read(item, key, self.contracts[item.endpoint].cadence)):
                return True
        return False

    def _landing_gone(self, endpoint: str, key: str, published: Published | None) -> bool:
        """Whether a rebuild would have less to read than there was: it would put nothing, or a part, in the place of good data."""
        landed = self.facts.endpoints[endpoint].landed.get(key)
        if self._has_news(endpoint, key, published):
            return False
        if (landed is not None and landed.expired) or (endpoint, key) in self.lost:
            return True
        if published is None:
            return False
        known = published.counts.landed if published.counts else published.rows
        return published.origin == "imported" or known > (landed.rows if landed else 0)

    def _has_news(self, endpoint: str, key: str, published: Published | None) -> bool:
        """Whether something joins what is published of an event hour: that needs no landing of what came before."""
        mine = self.facts.endpoints[endpoint]
        policy = mine.contract.lateness
        if published is None or published.origin == "imported" or policy is None:
            return False
        return awaits_reopening(published, mine.reopened.get(key)) or late_rows(policy, published, mine.landed.get(key), self.now).rows > 0

    def _held_up(self, contract: Contract, key: str, published: Published | None) -> str | None:
        """Why it cannot be built now, in words."""
        if contract.kind == "event":
            decision = self.decisions.get((contract.key, key))
            return decision.reason if published is None and decision is not None and decision.state is PartitionState.WAITING else None
        if contract.kind == "source":
            return None

        def content(endpoint: str, read: str) -> bytes | None:
            if read in self.planned.get(endpoint, {}):
                return b""
            found = self.facts.endpoints[endpoint].published.get(read) if endpoint in self.facts.endpoints else None
            return found.content if found else None

        missing = view_inputs(contract, key, self.contracts, content).missing
        return _needs(missing) if missing else None

    def pause_notes(self) -> list[str]:
        """What is paused of it: a person's backfill builds it nevertheless."""
        held = pauses_of(self.facts.pauses, self.planned, self.now)
        return [f"{endpoint} is {pause_words(pause)}; this builds it nevertheless" for endpoint, pause in sorted(held.items())]

    # --- runs ------------------------------------------------------------------------------------------------------------------------------------

    def parts(self) -> tuple[Part, ...]:
        """What is planned, cut as Dagster cuts a backfill: one run for endpoints of one domain and cadence that read the same partitions of each other."""
        steps: dict[str, int] = {}
        groups: dict[tuple[str, Cadence, tuple[str, ...], int], list[str]] = {}
        place: dict[str, tuple[str, Cadence, tuple[str, ...], int]] = {}
        for endpoint in self.order:
            if endpoint not in self.planned:
                continue
            contract, keys = self.contracts[endpoint], tuple(sorted(self.planned[endpoint]))
            above = {item.endpoint for item in contract.inputs if item.endpoint in self.planned and item.endpoint != endpoint}
            joins = all(self._joins(contract, keys, other) for other in above) and len({steps[other] for other in above}) == 1
            steps[endpoint] = max((steps[other] for other in above), default=-1) + (0 if joins else 1)
            place[endpoint] = (contract.domain, contract.cadence, keys, steps[endpoint])
            groups.setdefault(place[endpoint], []).append(endpoint)
        return tuple(
            Part(
                endpoint=endpoint,
                cadence=self.contracts[endpoint].cadence,
                partitions=place[endpoint][2],
                why=dict(Counter(self.planned[endpoint].values())),
                step=steps[endpoint],
                together=tuple(groups[place[endpoint]]),
                serial=self._reads_itself(endpoint),
            )
            for endpoint in sorted(steps, key=lambda key: (steps[key], key))
        )

    def _joins(self, contract: Contract, keys: Sequence[str], other: str) -> bool:
        above = self.contracts[other]
        if above.domain != contract.domain or above.cadence != contract.cadence or tuple(sorted(self.planned[other])) != tuple(keys):
            return False
        if self._reads_itself(contract.key):
            return False
        reads = [item for item in contract.inputs if item.endpoint == other]
        return all(not isinstance(item, AsOfInput) and item.first == item.last == 0 for item in reads)

    def _reads_itself(self, endpoint: str) -> bool:
        return any(item.endpoint == endpoint for item in self.contracts[endpoint].inputs)


def _needs(missing: Sequence[Missing]) -> str:
    """The same words for all partitions that wait for the same endpoints."""
    names = sorted({each.endpoint for each in missing})
    return f"what it reads of {' and '.join(names)} is not published: choose that too, or wait for it"


def _expired(endpoint: str, keys: Sequence[str]) -> str:
    return (
        f"{endpoint} {_told(keys)}: the landing of {_count(len(keys))} has expired, so a rebuild would overwrite good data with nothing. "
        "Choose a span whose landing is kept, or restore the segments (`landing` in Backline's home). "
        f"To rebuild what reads it, leave {endpoint} out: what is published of it is read as it is"
    )


def _told(keys: Sequence[str]) -> str:
    ordered = sorted(keys)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _count(number: int) -> str:
    return "1 partition" if number == 1 else f"{number:,} partitions"
