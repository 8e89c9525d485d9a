"""One sensor per domain that follows the ledger: late rows of its events, and changed content of anything it reads, however old the partition.

A tick takes what changed since its cursor, asks the planner about just the partitions that may have become stale, and keeps in its cursor those that
are not settled yet (asked for, waiting for a settle age, to be tried again). Schedules look at the last days only; a wave of rebuilds goes as far back as
the rows that started it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import dagster as dg
from pydantic import BaseModel, ConfigDict

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import keys_between, ranges, start_of, window_of
from platform_defs.ledger.landing import LandedChange
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.partitions import ContentChange
from platform_defs.planning.states import Decision, PartitionState, decide
from platform_defs.planning.windows import readers_of
from sensors.asking import OpenLedger, ask, in_words, run_request, settle

INTERVAL_SECONDS = 10
# What one cursor may hold. A tick that finds more leaves the rest of the changes for the next one.
MAX_PENDING = 5_000
_CHANGES = 2_000
# Facts are read per stretch of time; stretches closer than this are read as one.
_GAP = timedelta(days=7)
_LATE_STATES = (PartitionState.STALE, PartitionState.REQUESTED, PartitionState.RUNNING)


class Cursor(BaseModel):
    """Where the sensor is.

    Attributes:
        landed, content: how far it has read the ledger's changes.
        pending: endpoint -> ranges of its partitions that are not settled.
    """

    model_config = ConfigDict(frozen=True)

    landed: int = 0
    content: int = 0
    pending: dict[str, list[tuple[str, str]]] = {}

    @property
    def partitions(self) -> set[tuple[str, str]]:
        """The pending partitions, as (endpoint, key)."""
        return {(endpoint, key) for endpoint, spans in self.pending.items() for first, last in spans for key in keys_between(first, last)}


def late_data_sensor(domain: str, jobs: Sequence[dg.UnresolvedAssetJobDefinition], ledger: OpenLedger) -> dg.SensorDefinition:
    """The sensor of a domain, which asks for runs of these jobs."""

    @dg.sensor(
        name=f"{domain}_late_data",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Rebuilds what late rows and changed inputs touch in {domain}",
    )
    def tick(context):  # type: ignore[no-untyped-def]
        with_ledger = ledger()
        before = Cursor.model_validate_json(context.cursor) if context.cursor else Cursor()
        landed, content, after = follow(with_ledger, domain, before)
        settle(with_ledger, context.instance)
        decisions = decide_on(with_ledger, after.partitions)
        asked = ask(with_ledger, decisions, domain, ["hourly", "daily"])
        cursor = after.model_copy(update={"pending": unsettled(decisions)}).model_dump_json()
        events = observations(landed, decisions)
        if asked:
            return dg.SensorResult(run_requests=[run_request(request, "late") for request in asked], asset_events=events, cursor=cursor)
        words = f"{len(landed)} hours with new rows, {len(content)} changed partitions; {in_words(decisions) if decisions else 'nothing in question'}"
        return dg.SensorResult(skip_reason=dg.SkipReason(words), asset_events=events, cursor=cursor)

    return tick


def follow(ledger: Ledger, domain: str, before: Cursor) -> tuple[list[LandedChange], list[ContentChange], Cursor]:
    """What changed since a cursor, and the cursor after it, with the partitions of `domain` that may have become stale by it among its pending ones."""
    contracts = ledger.registry.current()
    # What is paused stays in the cursor until it is resumed: it must not keep the rest of the domain from being followed.
    paused = ledger.pauses.of(before.pending)
    if sum(endpoint not in paused for endpoint, _ in before.partitions) >= MAX_PENDING:
        return [], [], before
    landed, landed_to = ledger.landing.changed_since(before.landed, _CHANGES)
    content, content_to = ledger.partitions.changed_since(before.content, _CHANGES)
    mine = [change for change in landed if change.event in contracts and contracts[change.event].domain == domain]
    touched = before.partitions | {(change.event, change.hour) for change in mine}
    for change in content:
        touched |= readers(contracts, domain, change.endpoint, change.partition)
    held = {(endpoint, key) for endpoint, key in touched if endpoint in contracts and window_of(key).cadence == contracts[endpoint].cadence}
    return mine, content, Cursor(landed=landed_to, content=content_to, pending=_spans(held))


def readers(contracts: Mapping[str, Contract], domain: str, endpoint: str, partition: str) -> set[tuple[str, str]]:
    """The partitions of a domain that read this one over a window. Of `as_of` there are none: a newer snapshot makes nothing stale."""
    return {
        (contract.key, key)
        for contract in contracts.values()
        if contract.domain == domain
        for item in contract.inputs
        if item.kind == "window" and item.endpoint == endpoint
        for key in readers_of(item, partition, contract.cadence)
    }


def decide_on(ledger: Ledger, partitions: set[tuple[str, str]]) -> list[Decision]:
    """The planner's decisions on just these partitions."""
    now = ledger.store.clock()
    decisions: list[Decision] = []
    for stretch in _stretches(partitions):
        keys = [key for _, key in stretch]
        facts = ledger.facts(sorted({endpoint for endpoint, _ in stretch}), min(map(start_of, keys)), max(window_of(key).end for key in keys))
        decisions += [decision for decision in decide(facts, now) if (decision.endpoint, decision.partition) in stretch]
    return decisions


def unsettled(decisions: Iterable[Decision]) -> dict[str, list[tuple[str, str]]]:
    """What must be looked at again: built partitions that are asked for, being built, or stale but not due yet, and those to be tried again."""
    again = {
        (decision.endpoint, decision.partition)
        for decision in decisions
        if decision.state in _LATE_STATES or (decision.next_look is not None and decision.state is PartitionState.FAILED)
    }
    return _spans(again)


def observations(landed: Iterable[LandedChange], decisions: Iterable[Decision]) -> list[dg.AssetObservation]:
    """What landed late, as Dagster shows it: rows and a data version per hour. Hours that were never built are not late and not shown."""
    late = {(decision.endpoint, decision.partition): decision for decision in decisions if decision.late}
    return [
        dg.AssetObservation(
            asset_key=dg.AssetKey(change.event.split("/")),
            partition=change.hour,
            description=late[change.event, change.hour].reason,
            metadata={
                "late rows": late[change.event, change.hour].late,
                "landed rows": change.rows,
                "segments": change.segments,
                "last sealed": dg.MetadataValue.timestamp(change.last_sealed_at),
            },
            tags={"dagster/data_version": f"{change.segments}-{change.rows}-{change.last_sealed_at.timestamp():.0f}"},
        )
        for change in landed
        if (change.event, change.hour) in late
    ]


def _spans(partitions: Iterable[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    by_endpoint: dict[str, list[str]] = {}
    for endpoint, key in partitions:
        by_endpoint.setdefault(endpoint, []).append(key)
    return {endpoint: list(ranges(keys)) for endpoint, keys in sorted(by_endpoint.items())}


def _stretches(partitions: set[tuple[str, str]]) -> list[set[tuple[str, str]]]:
    """The partitions by stretch of time, so that one old hour does not make the planner read a year."""
    found: list[set[tuple[str, str]]] = []
    end = None
    for endpoint, key in sorted(partitions, key=lambda each: start_of(each[1])):
        if end is None or start_of(key) > end + _GAP:
            found.append(set())
        found[-1].add((endpoint, key))
        end = window_of(key).end if end is None else max(end, window_of(key).end)
    return found
