"""Everything the ledger knows about one partition, put together for a person: its state down to the root, its build, what it was built from, its readers.

Reads alone; states are planning's to judge. How it is shown belongs to the command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from platform_defs.contracts.contract import AsOfInput, Contract
from platform_defs.contracts.partitions import index_of, window_of
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.looking import facts_of, look
from platform_defs.planning.facts import EndpointFacts, Facts, Published
from platform_defs.planning.inputs import view_inputs
from platform_defs.planning.missing import existing
from platform_defs.planning.places import endpoint_named, partition_named
from platform_defs.planning.reopening import LandedSegment, is_whole, parked
from platform_defs.planning.states import Decision, decide
from platform_defs.planning.tracing import Node, Tracer, state_of
from platform_defs.planning.windows import readers_of

Place = tuple[str, str]
# Partitions that read a snapshot are looked at up to so many.
_READER_PARTITIONS = 200
_TRIES = 5


@dataclass(frozen=True)
class Build:
    """The build that readers see.

    Attributes:
        seconds, trigger, caused_by: of its run; None when that is older than history is kept.
        first_at: when the partition was first built. changed_at: when its content last became another.
        version: Delta version that holds it. older_code: built by other code than is in force.
    """

    at: datetime
    run_id: str
    seconds: float | None
    trigger: str | None
    caused_by: str | None
    first_at: datetime | None
    changed_at: datetime | None
    version: int
    older_code: bool
    imported: bool


@dataclass(frozen=True)
class Try:
    """One try to build it. `seconds`: its own part of the run."""

    at: datetime
    run_id: str
    trigger: str
    caused_by: str | None
    outcome: str
    reason: str | None
    seconds: float


@dataclass(frozen=True)
class InputUse:
    """What it reads of one input.

    Attributes:
        first, last, partitions: which and how many; none where an `as_of` found no snapshot.
        versions: lowest and highest Delta version in which these are published now.
        pinned: the snapshot an `as_of` chose.
        changed: those whose content became another since this partition was built, with when.
        missing: how many are not published.
    """

    param: str
    endpoint: str
    first: str | None
    last: str | None
    partitions: int
    versions: tuple[int, int] | None
    pinned: str | None
    changed: tuple[tuple[str, datetime], ...]
    missing: int


@dataclass(frozen=True)
class LandingUse:
    """What landed of an event hour, or of a source's partition.

    Attributes:
        segments, rows: that exist. since: rows sealed after the last build. parked: rows beyond the last settle age, in the late table or for it.
        expired: whether a segment no longer exists, so that it cannot be built from landing again.
        reopened_at: when a person had the parked rows of before taken in.
        rejected: events of this type that receivers turned away on that day, by reason.
    """

    segments: int
    rows: int
    receivers: tuple[str, ...]
    last_sealed_at: datetime | None
    since: int
    parked: int
    expired: bool
    reopened_at: datetime | None
    rejected: Mapping[str, int]


@dataclass(frozen=True)
class ReaderUse:
    """An endpoint that is built from it.

    Attributes:
        first, last: its partitions that read this one. states: how many of them are in which state.
        pinned: of an `as_of` reader, how many were built from just this snapshot; else None.
    """

    endpoint: str
    first: str
    last: str
    states: Mapping[str, int]
    pinned: int | None


@dataclass(frozen=True)
class Explanation:
    """See the module. `rows`: of the published version. `failing`: checks that did not pass, in words. `counts`: accounting of landed rows."""

    endpoint: str
    partition: str
    kind: str
    owner: str
    state: str
    overdue: bool
    reason: str
    waits_for: tuple[Node, ...]
    built: Build | None
    rows: int | None
    counts: Mapping[str, int]
    checks_passed: int
    checks_failed: int
    failing: tuple[str, ...]
    inputs: tuple[InputUse, ...]
    landing: LandingUse | None
    tries: tuple[Try, ...]
    readers: tuple[ReaderUse, ...]


def explain(ledger: Ledger, endpoint: str, partition: str) -> Explanation:
    """What is the matter with one partition, and why.

    Raises:
        NoSuchEndpoint, NotItsPartition, NoSuchPartition: see `planning.places`; each message says what to write.
    """
    now, contracts = ledger.store.clock(), ledger.registry.current()
    contract = endpoint_named(endpoint, contracts)
    place = (contract.key, partition_named(partition, contract, now))
    ((facts, _),) = facts_of(ledger, [place])
    (decision,) = decide(facts, now, only=[place])
    mine = facts.endpoints[contract.key]
    version = mine.published.get(partition)
    tries = _tries(ledger, contract, partition)
    passed, failed, failing = _checks(mine, partition, tries)
    return Explanation(
        endpoint=contract.key,
        partition=partition,
        kind=contract.kind,
        owner=contract.owner,
        state=state_of(decision),
        overdue=decision.overdue,
        reason=decision.reason,
        waits_for=_tree(ledger, contracts, decision, now),
        built=None if version is None else _build(contract, version, tries),
        rows=version.rows if version else None,
        counts=asdict(version.counts) if version and version.counts else {},
        checks_passed=passed,
        checks_failed=failed,
        failing=failing,
        inputs=_inputs(facts, contracts, contract, partition, version),
        landing=None if contract.kind == "endpoint" else _landing(ledger, contract, partition, version),
        tries=tries[:_TRIES],
        readers=_readers(ledger, contracts, contract, partition, now),
    )


def _tree(ledger: Ledger, contracts: Mapping[str, Contract], decision: Decision, now: datetime) -> tuple[Node, ...]:
    def published(endpoint: str) -> tuple[tuple[int, int], ...]:
        return tuple((index_of(first), index_of(last)) for first, last in ledger.partitions.ranges(endpoint, contracts[endpoint].cadence))

    return Tracer(contracts, lambda places: look(ledger, places, now), published, now).trace(decision)


def _tries(ledger: Ledger, contract: Contract, partition: str) -> tuple[Try, ...]:
    found = ledger.attempts.of(contract.key, contract.cadence, partition)
    return tuple(Try(each.ended_at, each.run_id, each.trigger, each.caused_by, each.outcome, each.reason, each.seconds) for each in found)


def _build(contract: Contract, version: Published, tries: tuple[Try, ...]) -> Build:
    run = next((each for each in tries if each.run_id == version.run_id and each.outcome == "published"), None)
    return Build(
        at=version.built_at,
        run_id=version.run_id,
        seconds=run.seconds if run else None,
        trigger=run.trigger if run else None,
        caused_by=run.caused_by if run else None,
        first_at=version.first_built_at,
        changed_at=version.changed_at,
        version=version.version,
        older_code=version.code != contract.code_version,
        imported=version.origin == "imported",
    )


def _checks(mine: EndpointFacts, partition: str, tries: tuple[Try, ...]) -> tuple[int, int, tuple[str, ...]]:
    """Of the published version, with its warnings in words; a refusal since is told as well."""
    version, trouble = mine.published.get(partition), mine.troubles.get(partition)
    failing = []
    if trouble is not None and trouble.state == "refused":
        failing.append(f"refused by run {trouble.run_id}: {trouble.reason}")
    if version is not None and version.checks_failed:
        words = next((each.reason for each in tries if each.run_id == version.run_id and each.outcome == "published" and each.reason), None)
        failing.append(words or "older than history is kept in words: see the checks of its run")
    return version.checks_passed if version else 0, version.checks_failed if version else 0, tuple(failing)


def _inputs(facts: Facts, contracts: Mapping[str, Contract], contract: Contract, partition: str, version: Published | None) -> tuple[InputUse, ...]:
    def published(endpoint: str, key: str) -> Published | None:
        held = facts.endpoints.get(endpoint)
        return held.published.get(key) if held else None

    def content(endpoint: str, key: str) -> bytes | None:
        found = published(endpoint, key)
        return found.content if found else None

    uses = []
    for read in view_inputs(contract, partition, contracts, content, version.pins if version else None).reads:
        held = {key: found for key in read.keys if (found := published(read.endpoint, key)) is not None}
        numbers = [found.version for found in held.values()]
        changed = [
            (key, found.changed_at)
            for key, found in held.items()
            if version is not None and found.changed_at is not None and found.changed_at > version.built_at
        ]
        first, last = (read.keys[0], read.keys[-1]) if read.keys else (None, None)
        spread = (min(numbers), max(numbers)) if numbers else None
        missing = len(read.keys) - len(held) if read.keys else 1 if _is_snapshot(contract, read.param) else 0
        uses.append(InputUse(read.param, read.endpoint, first, last, len(read.keys), spread, read.pinned, tuple(changed), missing))
    return tuple(uses)


def _is_snapshot(contract: Contract, param: str) -> bool:
    return any(item.param == param and isinstance(item, AsOfInput) for item in contract.inputs)


def _landing(ledger: Ledger, contract: Contract, partition: str, version: Published | None) -> LandingUse:
    rows = ledger.landing.segments(contract.key, [partition])[partition]
    reopened = ledger.reopenings.of(contract.key, [partition]).get(partition)
    landed = [LandedSegment(row.receiver, row.seal, row.sealed_at, row.segment.rows) for row in rows]
    expired = bool(ledger.landing.expired(contract.key, [partition]))
    rejected = Counter[str]()
    for account in ledger.landing.accounts(partition[:10], partition[:10]):
        if account.event == contract.key:
            rejected.update(account.reasons)
    return LandingUse(
        segments=len(rows),
        rows=sum(row.segment.rows for row in rows),
        receivers=tuple(sorted({row.receiver for row in rows})),
        last_sealed_at=max((row.sealed_at for row in rows), default=None),
        since=sum(row.segment.rows for row in rows if version is not None and row.sealed_at > version.built_at),
        parked=parked(contract.lateness, version, reopened, landed, whole=is_whole(version, landed, expired=expired)).rows if version else 0,
        expired=expired,
        reopened_at=reopened,
        rejected=dict(rejected),
    )


def _readers(ledger: Ledger, contracts: Mapping[str, Contract], contract: Contract, partition: str, now: datetime) -> tuple[ReaderUse, ...]:
    uses = []
    for reader in sorted(contracts.values(), key=lambda each: each.key):
        held = existing(reader, now)
        for item in reader.inputs:
            if item.endpoint != contract.key or reader.key == contract.key:
                continue
            keys = [key for key in readers_of(item, partition, reader.cadence) if window_of(key).end > now or any(a <= index_of(key) <= b for a, b in held)]
            if isinstance(item, AsOfInput):  # a year of hours may come to read a snapshot: of those to come the next one says enough
                over = sum(window_of(key).end <= now for key in keys)
                keys = keys[: max(1, min(over, _READER_PARTITIONS))]
            if keys:
                places = [(reader.key, key) for key in keys]
                decided = look(ledger, places, now)
                states = Counter(state_of(decided[place]) if place in decided else "not over" for place in places)
                pinned = _pinned(ledger, places, item.param, partition) if isinstance(item, AsOfInput) else None
                uses.append(ReaderUse(reader.key, keys[0], keys[-1], dict(states), pinned))
    return tuple(uses)


def _pinned(ledger: Ledger, places: list[Place], param: str, snapshot: str) -> int:
    found = ledger.partitions.published(places[0][0], [key for _, key in places])
    return sum(version.pins.get(param) == snapshot for version in found.values())
