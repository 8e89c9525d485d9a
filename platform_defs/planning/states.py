"""The state of every partition, with its reason in words, from facts alone. Which of them are asked for together is decided in requests.

Order of judgement for one partition: in flight; in trouble; never built (closed, inputs complete); built (late rows, inputs' content, code).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from platform_defs.contracts.contract import AsOfInput, Contract
from platform_defs.contracts.partitions import key_of, keys_between, shift, step, window_of
from platform_defs.planning.closing import GRACE, closing
from platform_defs.planning.deadlines import past_deadline
from platform_defs.planning.facts import EndpointFacts, Facts, Pause, Published, Trouble
from platform_defs.planning.inputs import InputsView, Missing, view_inputs
from platform_defs.planning.lateness import awaits_reopening, late_rows
from platform_defs.planning.levels import levels
from platform_defs.planning.pausing import pause_words, pauses_of
from platform_defs.planning.retry import RETRY_MINUTES
from platform_defs.planning.windows import before_start, keys_read

LOOK_BACK = timedelta(hours=48)
# A wave of rebuilds goes level by level; what waits for it does so no longer than this, or a stream of late rows would hold it for ever.
WAVE = timedelta(hours=1)
# How many levels of readers a wave is looked for below a partition.
_DEEP = 50
# From a first failure to the last try after it.
_RETRIED = timedelta(minutes=sum(RETRY_MINUTES)) + timedelta(minutes=30)
RECHECK_EVERY = {"hourly": timedelta(hours=1), "daily": timedelta(hours=6)}


def first_look(look_back: timedelta = LOOK_BACK) -> timedelta:
    """How long ago a partition may begin that ended within the look-back: who looks at less never sees a day that nobody built yesterday."""
    return look_back + GRACE + timedelta(days=1)


def sight(contract: Contract, look_back: timedelta = LOOK_BACK) -> timedelta:
    """How long ago a partition of it may begin that changes by time alone: a source is asked again for as long as it says, which may be longer than the
    look-back, and what fails then is tried again."""
    rechecked = timedelta(seconds=contract.recheck_seconds or 0) + step(contract.cadence) + _RETRIED
    return max(first_look(look_back), rechecked) if contract.recheck_seconds else first_look(look_back)


class PartitionState(StrEnum):
    """States of DESIGN 1. `overdue` and `paused` are seen from outside (`Decision.shown`): an overdue partition is still waiting, due, failed, ..."""

    WAITING = "waiting"
    DUE = "due"
    REQUESTED = "requested"
    RUNNING = "running"
    CURRENT = "current"
    STALE = "stale"
    OUTDATED = "outdated"
    REFUSED = "refused"
    FAILED = "failed"
    STUCK = "stuck"
    OVERDUE = "overdue"
    PAUSED = "paused"


# Of these a pause changes nothing but that the planner asks for nothing.
_AT_REST = frozenset({PartitionState.REQUESTED, PartitionState.RUNNING, PartitionState.CURRENT, PartitionState.OUTDATED})


@dataclass(frozen=True)
class Decision:
    """What is the matter with one partition, and what the planner does about it.

    Attributes:
        reason: in words, with the next action where a person has to act.
        waiting_for: inputs that are missing; complete, in key order.
        ask: the planner should ask for a build now.
        overdue: never published, and its deadline has passed (see deadlines).
        inputs: digest of what it would read now (empty for events and sources).
        attempt: 1, more after failures.
        next_look: when this may change by time alone; None if only something else can change it.
        late: rows that landed and are in no table yet.
        paused: a person left it alone, so that nothing is done about the state it is in and no deadline counts.
        held_by: receivers for which its hour is still open.
        newest: asked for, never built, and of its endpoint nothing newer is published, on its way or in trouble.
    """

    endpoint: str
    partition: str
    state: PartitionState
    reason: str
    waiting_for: tuple[Missing, ...] = ()
    ask: bool = False
    overdue: bool = False
    inputs: bytes = b""
    attempt: int = 1
    next_look: datetime | None = None
    late: int = 0
    paused: bool = False
    held_by: tuple[str, ...] = ()
    newest: bool = False

    @property
    def shown(self) -> PartitionState:
        """The state as people are told: `paused` where it is left alone, `overdue` where a deadline has passed."""
        return PartitionState.PAUSED if self.paused else PartitionState.OVERDUE if self.overdue else self.state


@dataclass
class _Round:
    """One round of decisions.

    Attributes:
        moving: partitions that are being built or will be; rebuilds of what reads them, over any levels between, wait for the wave.
        still: found to read nothing that moves.
    """

    facts: Facts
    now: datetime
    look_back: timedelta
    contracts: Mapping[str, Contract]
    pauses: Mapping[str, Pause]
    moving: set[tuple[str, str]] = field(default_factory=set)
    still: set[tuple[str, str]] = field(default_factory=set)


def decide(facts: Facts, now: datetime, look_back: timedelta = LOOK_BACK, only: Collection[tuple[str, str]] | None = None) -> list[Decision]:
    """The state of each partition of the endpoints asked about that has ended, begins in the facts' span, and is neither before start nor past retention.

    Args:
        look_back: what was never built is asked for by the planner only this long after its end; later a person asks.
        only: decide about these partitions (endpoint, key) alone; None: about all.

    Returns:
        Decisions by level of the graph, then endpoint and partition.
    """
    contracts = {key: each.contract for key, each in facts.endpoints.items()}
    level = levels(contracts.values())
    round_ = _Round(facts, now, look_back, contracts, pauses_of(facts.pauses, contracts, now))
    for key, each in facts.endpoints.items():
        round_.moving |= {(key, partition) for partition in each.in_flight}
    decided: list[Decision] = []
    wanted: dict[str, list[str]] = {}
    for key, partition in only or ():
        wanted.setdefault(key, []).append(partition)
    for key in sorted(facts.asked, key=lambda k: (level[k], k)):
        contract = contracts[key]
        mine: list[Decision] = []
        for partition in _partitions(contract, facts, now, None if only is None else sorted(wanted.get(key, ()))):
            decision = _judge(round_, facts.endpoints[key], partition)
            if decision.ask:
                round_.moving.add((key, partition))
            mine.append(decision)
        decided += _with_newest(facts.endpoints[key], mine)
    return decided


def _with_newest(mine: EndpointFacts, decisions: list[Decision]) -> list[Decision]:
    """The decisions on an endpoint, in order, of which the newest never built is marked, if nothing newer is known of."""
    asked = next((place for place in range(len(decisions) - 1, -1, -1) if decisions[place].ask), None)
    if asked is not None and decisions[asked].partition > max((*mine.published, *mine.troubles, *mine.in_flight), default=""):
        decisions[asked] = replace(decisions[asked], newest=True)
    return decisions


def _partitions(contract: Contract, facts: Facts, now: datetime, only: Iterable[str] | None) -> Iterable[str]:
    newest = shift(key_of(contract.cadence, min(facts.until, now)), -1)
    for key in keys_between(key_of(contract.cadence, facts.since), newest) if only is None else only:
        window = window_of(key)
        if window.start < facts.since or key > newest or window.cadence != contract.cadence:
            continue
        if not before_start(contract, key) and window.end > now - timedelta(seconds=contract.retention_seconds):
            yield key


def _reads_moving(round_: _Round, contract: Contract, partition: str, deep: int = _DEEP) -> bool:
    """Whether what a partition reads is moving, or reads what is: nothing moves through an endpoint that is paused."""
    if not round_.moving or not deep or (contract.key, partition) in round_.still:
        return False
    for item in contract.inputs:
        read = round_.contracts.get(item.endpoint)
        if read is None or isinstance(item, AsOfInput):
            continue
        through = item.endpoint not in round_.pauses
        for each in keys_read(item, partition, read.cadence):
            if (item.endpoint, each) == (contract.key, partition):
                continue
            if (item.endpoint, each) in round_.moving:
                return True
            if through and window_of(each).start >= round_.facts.since and _reads_moving(round_, read, each, deep - 1):
                return True
    round_.still.add((contract.key, partition))
    return False


def _judge(round_: _Round, mine: EndpointFacts, partition: str) -> Decision:
    contract, now = mine.contract, round_.now
    flight = mine.in_flight.get(partition)
    published = mine.published.get(partition)
    if flight is not None:
        words = f"run {flight.run_id} builds it" if flight.stage == "running" else f"asked for at {flight.since:%H:%M}, in the queue"
        found = Decision(contract.key, partition, PartitionState(flight.stage), words)
    elif published is not None and published.origin == "imported":
        found = _imported(contract, partition, mine.troubles.get(partition))
    elif contract.kind == "event":
        found = _event(round_, mine, partition, published)
    elif contract.kind == "source":
        found = _source(round_, mine, partition, published)
    else:
        found = _endpoint(round_, mine, partition, published)
    if published is None and past_deadline(contract, partition, mine.since, now):
        found = replace(found, overdue=True)
    return _paused(round_, found)


def _paused(round_: _Round, found: Decision) -> Decision:
    """What a pause makes of a decision: nothing is asked for, no deadline counts. Whoever waits for a paused endpoint is told so."""
    pause = round_.pauses.get(found.endpoint)
    if pause is None:
        rest = {each.endpoint: round_.pauses[each.endpoint] for each in found.waiting_for if each.endpoint in round_.pauses}
        told = "".join(f"; {endpoint} is {pause_words(each)} (`backline resume {each.name}`)" for endpoint, each in rest.items())
        return replace(found, reason=found.reason + told) if told else found
    if found.state in _AT_REST:
        return replace(found, ask=False, overdue=False)
    return replace(found, ask=False, overdue=False, paused=True, reason=f"{pause_words(pause)}; {found.state}: {found.reason}")


# one kind each


def _event(round_: _Round, mine: EndpointFacts, partition: str, published: Published | None) -> Decision:
    contract, now = mine.contract, round_.now
    landed, trouble = mine.landed.get(partition), mine.troubles.get(partition)
    policy = contract.lateness
    reopened = mine.reopened.get(partition)
    news = [at for at in (landed.last_sealed_at if landed else None, reopened) if at is not None]
    moved = trouble is not None and any(at > trouble.came_after for at in news)
    if published is None:
        close = closing(partition, now, round_.facts.receivers, policy.hold_seconds if policy else None)
        if not close.closed:
            return Decision(contract.key, partition, PartitionState.WAITING, close.words, next_look=close.until, held_by=close.behind)
        rows = f"{landed.rows} rows landed" if landed else "nothing landed"
        return _unbuilt(round_, contract, partition, trouble, moved, b"", f"closed, {rows}")
    if trouble is not None and trouble.state != "waiting":
        return _troubled(round_, contract, partition, trouble, moved, b"")
    if awaits_reopening(published, reopened):
        return Decision(contract.key, partition, PartitionState.STALE, f"reopened at {reopened:%Y-%m-%d %H:%M}: its parked rows join it", ask=True)
    if policy is not None:
        late = late_rows(policy, published, landed, now)
        # A build that found it current after the last segment came knows better than a sum of rows.
        seen = landed is not None and published.seen_at is not None and published.seen_at > max(published.built_at, landed.last_sealed_at)
        if late.rows and not seen:
            words = f"{late.rows} late rows" if late.due else f"{late.rows} late rows, taken at {late.at:%Y-%m-%d %H:%M}"
            return Decision(contract.key, partition, PartitionState.STALE, words, ask=late.due, next_look=late.at, late=late.rows)
    return _built(contract, partition, published)


def _imported(contract: Contract, partition: str, trouble: Trouble | None) -> Decision:
    """Nothing builds what was imported by itself, not even where it was changed by hand since: that waits for a person."""
    if trouble is not None and trouble.changed_outside:
        return Decision(contract.key, partition, PartitionState.STUCK, trouble.reason)
    return Decision(contract.key, partition, PartitionState.CURRENT, "imported")


def _source(round_: _Round, mine: EndpointFacts, partition: str, published: Published | None) -> Decision:
    contract, now = mine.contract, round_.now
    trouble = mine.troubles.get(partition)
    if published is None:
        return _unbuilt(round_, contract, partition, trouble, False, b"", "its time is over")
    if trouble is not None:
        return _troubled(round_, contract, partition, trouble, False, b"")
    end = window_of(partition).end
    if contract.recheck_seconds and now < end + timedelta(seconds=contract.recheck_seconds):
        again = (published.seen_at or published.built_at) + RECHECK_EVERY[contract.cadence]
        words = f"built by run {published.run_id}; the source is looked at again at {again:%H:%M}"
        return Decision(contract.key, partition, PartitionState.CURRENT, words, ask=again <= now, next_look=again)
    return _built(contract, partition, published)


def _endpoint(round_: _Round, mine: EndpointFacts, partition: str, published: Published | None) -> Decision:
    contract = mine.contract
    trouble = mine.troubles.get(partition)

    def content(endpoint: str, key: str) -> bytes | None:
        facts = round_.facts.endpoints.get(endpoint)
        found = facts.published.get(key) if facts else None
        return found.content if found else None

    view = view_inputs(contract, partition, round_.contracts, content, published.pins if published else None)
    if published is None:
        if not view.complete:
            return Decision(contract.key, partition, PartitionState.WAITING, _waits(view), waiting_for=view.missing, inputs=view.digest)
        moved = trouble is not None and trouble.inputs is not None and trouble.inputs != view.digest
        return _unbuilt(round_, contract, partition, trouble, moved, view.digest, "its inputs are complete")
    moved = view.complete and trouble is not None and trouble.inputs is not None and trouble.inputs != view.digest
    if trouble is not None and trouble.state != "waiting":
        found = _troubled(round_, contract, partition, trouble, moved, view.digest)
        return found if view.complete else replace(found, ask=False, waiting_for=view.missing)
    if view.complete and view.digest != published.inputs:
        return _changed(round_, contract, partition, published, view)
    return replace(_built(contract, partition, published), inputs=view.digest)


def _changed(round_: _Round, contract: Contract, partition: str, published: Published, view: InputsView) -> Decision:
    """A built endpoint partition whose inputs have another content now."""
    now, end = round_.now, window_of(partition).end
    changes: list[tuple[datetime, str]] = []
    for read in view.reads:
        for key in read.keys:
            found = round_.facts.endpoints[read.endpoint].published.get(key)
            if found and found.changed_at and found.changed_at > published.built_at:
                changes.append((found.changed_at, f"{read.endpoint} {key}"))
    changes.sort()
    newest = changes[-1][0] if changes else None
    if newest and published.seen_at and published.seen_at > max(newest, published.built_at):
        return replace(_built(contract, partition, published), inputs=view.digest)
    words = f"changed since: {_list([name for _, name in changes])}" if changes else "other inputs than it was built from"
    limit = contract.corrections_seconds
    # Nothing changed since it was built: then something did while it was, and of that the last change is known.
    corrected = [at for at, _ in changes] or _last_change(round_, view)
    if limit is not None and corrected and all(at > end + timedelta(seconds=limit) for at in corrected):
        words += f", after the {limit // 86400} days for which corrections are followed; rebuild it by hand if it matters"
        return Decision(contract.key, partition, PartitionState.OUTDATED, words, inputs=view.digest)
    since = changes[0][0] if changes else published.built_at
    held = _reads_moving(round_, contract, partition) and now < since + WAVE
    if held:
        words += "; rebuilt once what it reads has settled"
    return Decision(contract.key, partition, PartitionState.STALE, words, ask=not held, inputs=view.digest, next_look=since + WAVE if held else None)


def _last_change(round_: _Round, view: InputsView) -> list[datetime]:
    """When the content of what is read changed last, if anything of it is known."""
    published = [round_.facts.endpoints[read.endpoint].published.get(key) for read in view.reads for key in read.keys]
    return sorted(each.changed_at for each in published if each and each.changed_at)[-1:]


# common to the kinds


def _unbuilt(round_: _Round, contract: Contract, partition: str, trouble: Trouble | None, moved: bool, inputs: bytes, why: str) -> Decision:
    """A partition that was never published and could be built now."""
    if trouble is not None:
        return _troubled(round_, contract, partition, trouble, moved, inputs)
    recent = window_of(partition).end >= round_.now - round_.look_back - GRACE
    words = why if recent else f"{why}; older than {round_.look_back // timedelta(hours=1)} h: ask for it with a backfill"
    return Decision(contract.key, partition, PartitionState.DUE, words, ask=recent, inputs=inputs)


def _troubled(round_: _Round, contract: Contract, partition: str, trouble: Trouble, moved: bool, inputs: bytes) -> Decision:
    """A partition whose last try did not end well. `moved`: its input has changed since."""
    now = round_.now
    settled = trouble.state in ("refused", "stuck")
    # New code is tried at once, whatever is waited for: its author sits before the screen.
    news = "new input" if moved and settled else "new code" if trouble.code is not None and trouble.code != contract.code_version else None
    state = PartitionState(trouble.state)
    if news:
        state = PartitionState.DUE if trouble.state == "waiting" else state
        return Decision(contract.key, partition, state, f"{trouble.reason}; {news} since: tried again", ask=True, inputs=inputs)
    if trouble.next_try is None:
        words = f"{trouble.reason}; waits for new input, new code or a person"
        return Decision(contract.key, partition, state, words, inputs=inputs, attempt=trouble.tries + 1)
    if trouble.changed_outside:
        return Decision(contract.key, partition, PartitionState.STALE, f"{trouble.reason}; rebuilt", ask=True, inputs=inputs)
    ready = now >= trouble.next_try
    words = f"{trouble.reason}; {'tried again now' if ready else f'next try at {trouble.next_try:%H:%M}'}"
    if trouble.state == "waiting" and ready:
        state = PartitionState.DUE
    return Decision(contract.key, partition, state, words, ask=ready, inputs=inputs, attempt=trouble.tries + 1, next_look=trouble.next_try)


def _built(contract: Contract, partition: str, published: Published) -> Decision:
    if published.code != contract.code_version:
        return Decision(contract.key, partition, PartitionState.OUTDATED, f"built by older code ({published.code}); rebuilt when somebody asks")
    return Decision(contract.key, partition, PartitionState.CURRENT, f"built by run {published.run_id}")


def _waits(view: InputsView) -> str:
    by_endpoint: dict[str, list[str]] = {}
    for missing in view.missing:
        by_endpoint.setdefault(missing.endpoint, []).append(missing.partition + (" or an earlier one" if missing.snapshot else ""))
    return "waits for " + "; ".join(f"{endpoint} {_list(keys)}" for endpoint, keys in by_endpoint.items())


def _list(words: list[str], most: int = 4) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
