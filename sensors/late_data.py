"""One sensor per domain that follows the ledger: late rows of its events, changed content of anything it reads, however old the partition; and what is
changed in its tables past the platform.

A tick takes what changed since its cursor, asks the planner about just the partitions that may have become stale, and keeps in its cursor those that
are not settled yet: to be looked at again at the next tick (asked for, being built) or at a known instant (a settle age, the next try). Schedules look at
the last days only; a wave of rebuilds goes as far back as the rows that started it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import dagster as dg
from pydantic import BaseModel, ConfigDict

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import Cadence, cadence_of, index_of, key_at, keys_between, ranges, start_of, window_of
from platform_defs.lake.layout import Lake
from platform_defs.ledger.landing import LandedChange
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.outside import changed_outside, note_changes
from platform_defs.ledger.partitions import ContentChange
from platform_defs.planning.requests import MAX_KEYS
from platform_defs.planning.states import Decision, decide, first_look
from platform_defs.planning.sweep import swept
from platform_defs.planning.touched import Place, Readers, Unsettled, unsettled
from sensors.asking import Knowledge, OpenLake, OpenLedger, ask, in_words, run_request, settle

INTERVAL_SECONDS = 10
# What one tick may look at. With more in hand it leaves the changes for later ticks.
MAX_PENDING = 5_000
_CHANGES = 2_000
# Of these so many are read at first, then twice as many: one corrected snapshot may touch days of all that read it, a thousand of them more than a tick can do.
_FIRST_CHANGES = 25
# Facts are read per stretch of time; stretches closer than this are read as one.
_GAP = timedelta(days=7)
# What is to be looked at later is kept by the minute: hours of one range that settle together are then one entry.
_MINUTE = timedelta(minutes=1)


class Cursor(BaseModel):
    """Where the sensor is.

    Attributes:
        landed, content: how far it has read the ledger's changes.
        pending: endpoint -> ranges of its partitions that are looked at at the next tick.
        later: endpoint -> ranges that are not settled before an instant, with that instant in minutes since 1970.
        looked: the minute in which it last looked at tables' own logs.
    """

    model_config = ConfigDict(frozen=True)

    landed: int = 0
    content: int = 0
    pending: dict[str, list[tuple[str, str]]] = {}
    later: dict[str, list[tuple[str, str, int]]] = {}
    looked: int = 0

    @property
    def partitions(self) -> set[Place]:
        """The pending partitions, as (endpoint, key)."""
        return {(endpoint, key) for endpoint, spans in self.pending.items() for first, last in spans for key in keys_between(first, last)}

    @property
    def waiting(self) -> dict[Place, int]:
        """The minutes from which on the others are to be looked at."""
        return {(endpoint, key): at for endpoint, spans in self.later.items() for first, last, at in spans for key in keys_between(first, last)}

    def holding(self, soon: Iterable[Place], later: Mapping[Place, int]) -> Cursor:
        """The same place in the changes with these partitions."""
        by_minute: dict[int, list[Place]] = {}
        for place, at in later.items():
            by_minute.setdefault(at, []).append(place)
        spans: dict[str, list[tuple[str, str, int]]] = {}
        for at, places in sorted(by_minute.items()):
            for endpoint, pieces in _spans(places).items():
                spans.setdefault(endpoint, []).extend((first, last, at) for first, last in pieces)
        return self.model_copy(update={"pending": _spans(soon), "later": spans})


def late_data_sensor(domain: str, jobs: Sequence[dg.UnresolvedAssetJobDefinition], ledger: OpenLedger, lake: OpenLake | None = None) -> dg.SensorDefinition:
    """The sensor of a domain, which asks for runs of these jobs. `lake`: whose tables are looked at for changes past the platform; None: none."""
    knowledge = Knowledge()

    @dg.sensor(
        name=f"{domain}_late_data",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Rebuilds what late rows and changed inputs touch in {domain}",
    )
    def tick(context):  # type: ignore[no-untyped-def]
        with_ledger = ledger()
        now = with_ledger.store.clock()
        before = Cursor.model_validate_json(context.cursor) if context.cursor else Cursor()
        before = look_for_tries(with_ledger, domain, before, now)
        if lake is not None:
            try:
                before = look_outside(with_ledger, lake(), domain, before, now)
            except (OSError, ValueError) as error:  # a table's log that cannot be read must not keep late rows back
                context.log.warning(f"tables of {domain} cannot be looked at for changes from outside: {error}")
        landed, content, after = follow(with_ledger, domain, before, now)
        settle(with_ledger, context.instance)
        looked_at = decide_on(with_ledger, after.partitions)
        decisions = [each for each in looked_at if (each.endpoint, each.partition) in after.partitions]
        between = [each for each in looked_at if not each.ask]
        asked = ask(with_ledger, knowledge.standings(with_ledger).graph, [each for each in decisions if each.ask] + between, domain, ["hourly", "daily"])
        cursor = settled(after, unsettled(decisions, now)).model_dump_json()
        events = observations(landed, decisions)
        if asked:
            return dg.SensorResult(run_requests=[run_request(request, "late") for request in asked], asset_events=events, cursor=cursor)
        words = f"{len(landed)} hours with new rows, {len(content)} changed partitions; {in_words(decisions) if decisions else 'nothing in question'}"
        return dg.SensorResult(skip_reason=dg.SkipReason(words), asset_events=events, cursor=cursor)

    return tick


def look_outside(ledger: Ledger, lake: Lake, domain: str, before: Cursor, now: datetime) -> Cursor:
    """The cursor with what of the domain was changed past the platform: a share of its tables is looked at each minute (all of a small domain's)."""
    if before.looked != (minute := int(now.timestamp()) // 60):
        note_changes(ledger, lake, swept((key for key, contract in ledger.registry.current().items() if contract.domain == domain), now))
    looked, found = before.model_copy(update={"looked": minute}), changed_outside(ledger, domain)
    return looked.holding(looked.partitions | found, looked.waiting) if found else looked


def look_for_tries(ledger: Ledger, domain: str, before: Cursor, now: datetime) -> Cursor:
    """The cursor with what failed and is to be tried again now, older than what schedules look at: a backfill's, or what a person asked for by itself.

    Looked for once a minute. What was looked at and could not be asked for is left to its own time, what is paused to the end of its pause.
    """
    if before.looked == _minute(now):
        return before
    names = {pause.name for pause in ledger.pauses.open()}
    paused = [key for key, contract in ledger.registry.current().items() if not names.isdisjoint((key, contract.domain))]
    waiting = before.waiting
    found = {place for place in ledger.troubles.to_try_again(domain, now, now - first_look(), paused) if waiting.get(place, 0) <= _minute(now)}
    return before.holding(before.partitions | found, waiting) if found else before


def follow(ledger: Ledger, domain: str, before: Cursor, now: datetime) -> tuple[list[LandedChange], list[ContentChange], Cursor]:
    """What changed since a cursor, and the cursor after it: pending is what of `domain` the changes touch, was pending, or whose time has come.

    Changes are read until they touch as much as a tick may look at; the rest is read by later ticks.
    """
    contracts = ledger.registry.current()
    waiting, minute = before.waiting, _minute(now)
    touched = before.partitions | {place for place, at in waiting.items() if at <= minute}
    mine: list[LandedChange] = []
    content: list[ContentChange] = []
    to = (before.landed, before.content)
    if len(touched) < MAX_PENDING:
        landed, landed_to = ledger.landing.changed_since(before.landed, _CHANGES)
        mine = [change for change in landed if change.event in contracts and contracts[change.event].domain == domain]
        touched |= {(change.event, change.hour) for change in mine}
        readers_, content_to, few = Readers(contracts, domain), before.content, _FIRST_CHANGES
        while len(touched) < MAX_PENDING and len(content) < _CHANGES:
            read, content_to = ledger.partitions.changed_since(content_to, few)
            content += read
            for change in read:
                touched.update(readers_.of(change.endpoint, change.partition, now))
            if len(read) < few:
                break
            few *= 2
        to = (landed_to, content_to)
    held = {(endpoint, key) for endpoint, key in touched if endpoint in contracts and window_of(key).cadence == contracts[endpoint].cadence}
    rest = {place: at for place, at in waiting.items() if place not in touched}
    return mine, content, Cursor(landed=to[0], content=to[1], looked=before.looked).holding(held, rest)


def settled(cursor: Cursor, left: Unsettled) -> Cursor:
    """The cursor once its pending partitions were looked at."""
    return cursor.holding(left.soon, cursor.waiting | {place: _minute(at + _MINUTE - timedelta(microseconds=1)) for place, at in left.later.items()})


def readers(contracts: Mapping[str, Contract], domain: str, endpoint: str, partition: str) -> set[Place]:
    """The partitions of a domain that read this one, or may: over a window, or as the newest snapshot."""
    return set(Readers(contracts, domain).of(endpoint, partition))


def decide_on(ledger: Ledger, partitions: set[Place]) -> list[Decision]:
    """The planner's decisions on these partitions, and on those that a run of them would hold too (see planning.requests)."""
    now = ledger.store.clock()
    decisions: list[Decision] = []
    for stretch in _stretches(partitions):
        keys = [key for _, key in stretch]
        facts = ledger.facts(sorted({endpoint for endpoint, _ in stretch}), min(map(start_of, keys)), max(window_of(key).end for key in keys))
        decisions += decide(facts, now, only=stretch | _between(stretch))
    return decisions


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


def _between(stretch: set[Place]) -> set[Place]:
    """Of the same endpoints, the partitions of the stretches of runs in which these lie, from the first to the last of any of them."""
    first: dict[tuple[Cadence, int], int] = {}
    last: dict[tuple[Cadence, int], int] = {}
    members: dict[tuple[Cadence, int], set[str]] = {}
    for endpoint, key in stretch:
        cadence, number = cadence_of(key), index_of(key)
        run = cadence, number // MAX_KEYS[cadence]
        first[run], last[run] = min(number, first.get(run, number)), max(number, last.get(run, number))
        members.setdefault(run, set()).add(endpoint)
    return {(endpoint, key_at(run[0], number)) for run, endpoints in members.items() for endpoint in endpoints for number in range(first[run], last[run] + 1)}


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


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
