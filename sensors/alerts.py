"""One sensor per domain that says what waits for somebody: check `on_time` of what is past its deadline, with the root in words, and messages to owners
when a partition gets into trouble that does not mend itself, and when it is over.

What is trouble, and why, is planning's judgement; where owners are told is one address, given by the environment. Nothing is told twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import httpx
from pydantic import BaseModel, ConfigDict

from platform_defs.contracts.contract import Contract
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.looking import look
from platform_defs.ledger.surveying import Survey, survey
from platform_defs.planning.deadlines import ON_TIME, Place, Verdict
from platform_defs.planning.states import LOOK_BACK, PartitionState
from sensors.asking import OpenLedger

ADDRESS = "BACKLINE_ALERTS_URL"
INTERVAL_SECONDS = 60
# Failed partitions are tried again by themselves; these wait for a person, as do overdue ones.
_ALARMING = (PartitionState.REFUSED, PartitionState.STUCK)
_SPELLED = 10
# Messages of an address that does not answer for hours: the oldest are dropped.
_KEPT = 100

Deliver = Callable[[Mapping[str, object]], None]


class Cursor(BaseModel):
    """Where the sensor is.

    Attributes:
        told: the state that owners were told of each refused or stuck partition (`endpoint partition`); the ledger knows what is overdue.
        unsent: messages that could not be delivered yet.
    """

    model_config = ConfigDict(frozen=True)

    told: dict[str, str] = {}
    unsent: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Alarm:
    """A partition that waits for somebody, and why."""

    endpoint: str
    partition: str
    state: str
    words: str

    @property
    def name(self) -> str:
        """`endpoint partition`."""
        return f"{self.endpoint} {self.partition}"


def alerts_sensor(domain: str, ledger: OpenLedger, deliver: Deliver | None = None) -> dg.SensorDefinition:
    """The sensor of a domain.

    Args:
        deliver: takes one message; None: posts it as JSON to BACKLINE_ALERTS_URL, and does nothing where that is not set.
    """

    @dg.sensor(
        name=f"{domain}_alerts",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Says in check {ON_TIME} why partitions of {domain} are not there; tells owners of refused, stuck and overdue ones: POST to {ADDRESS}",
    )
    def tick(context):  # type: ignore[no-untyped-def]
        opened = ledger()
        now = opened.store.clock()
        before = Cursor.model_validate_json(context.cursor) if context.cursor else Cursor()
        send = deliver or _posting(os.environ.get(ADDRESS))
        seen = survey(opened, domain)
        after, words = before, f"{ADDRESS} is not set: nobody is told"
        if send is not None:
            new, over, told = _changes(opened, domain, before.told, seen)
            unsent, trouble = _sent([*before.unsent, *messages(new, over, opened.registry.current())], send)
            after = Cursor(told=told, unsent=unsent[-_KEPT:])
            words = f"{len(new)} new, {len(over)} over" + (f"; messages not delivered ({trouble}), tried again: {len(unsent)}" if unsent else "")
        tell(context.instance, domain, seen.verdicts)
        # Only now: verdicts that did not reach Dagster are told at the next tick.
        opened.overdue.record(seen.moves, seen.told, now, seen.words)
        return dg.SensorResult(
            skip_reason=dg.SkipReason(f"{seen.overdue} overdue, {len(seen.verdicts)} verdicts told; {words}"), cursor=after.model_dump_json()
        )

    return tick


def tell(instance: dg.DagsterInstance, domain: str, verdicts: Iterable[Verdict]) -> None:
    """Has Dagster keep these verdicts.

    Not as a sensor's `asset_events`: Dagster 1.13 takes one verdict of a check and partition that belongs to no run, and fails at the next one (its index
    of runs, checks and partitions is unique). These name this tick where others name their run.
    """
    told_by = f"alerts-{domain}-{uuid4()}"
    for verdict in verdicts:
        event = dg.DagsterEvent(dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, job_name=f"{domain}_alerts", event_specific_data=evaluation(verdict))
        instance.report_dagster_event(event, told_by)


def evaluation(verdict: Verdict) -> dg.AssetCheckEvaluation:
    """A verdict as Dagster's check `on_time` shows it."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(verdict.endpoint.split("/")),
        check_name=ON_TIME,
        partition=verdict.partition,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if verdict.severe else dg.AssetCheckSeverity.WARN,
        description=verdict.words,
        metadata=verdict.numbers,
    )


def _changes(ledger: Ledger, domain: str, told: Mapping[str, str], seen: Survey) -> tuple[list[Alarm], list[str], dict[str, str]]:
    """What owners are told now: new alarms, names of what is over; and what they have been told then of refused and stuck ones."""
    now = ledger.store.clock()
    overdue = {*seen.moves.entered, *seen.moves.resumed, *seen.moves.still}
    troubled = {(each.endpoint, each.partition) for each in ledger.planner.troubles_since(now - LOOK_BACK - timedelta(days=1)) if each.state in _ALARMING}
    known = ledger.registry.current()
    asked = {place for place in {*troubled, *map(_place, told)} - overdue if place[0] in known and known[place[0]].domain == domain}
    decisions = look(ledger, asked, now)
    # A pause mends nothing: what is paused is neither new nor over, and is not told again when the pause ends.
    kept = {name: told[name] for place, each in decisions.items() if each.paused and (name := " ".join(place)) in told}
    broken = [Alarm(*place, str(each.shown), each.reason) for place, each in decisions.items() if each.shown in _ALARMING]
    late = [Alarm(*place, PartitionState.OVERDUE, seen.words.get(place, "past its deadline")) for place in seen.moves.entered]
    now_told = kept | {alarm.name: alarm.state for alarm in broken}
    there = {" ".join(place) for place, end in seen.moves.left.items() if end == "published"}
    over = there | {name for name in told if _place(name) not in overdue}
    return [*late, *(alarm for alarm in broken if told.get(alarm.name) != alarm.state)], sorted(over - now_told.keys()), now_told


def messages(new: Iterable[Alarm], over: Iterable[str], contracts: Mapping[str, Contract]) -> list[dict[str, Any]]:
    """One message per owner: what is new in words, what is over by name."""
    by_owner: dict[str, tuple[list[Alarm], list[str]]] = {}
    for alarm in new:
        by_owner.setdefault(contracts[alarm.endpoint].owner, ([], []))[0].append(alarm)
    for name in over:
        contract = contracts.get(_place(name)[0])
        if contract is not None:
            by_owner.setdefault(contract.owner, ([], []))[1].append(name)
    return [_message(owner, alarms, ended) for owner, (alarms, ended) in sorted(by_owner.items())]


def _message(owner: str, alarms: Sequence[Alarm], ended: Sequence[str]) -> dict[str, Any]:
    lines = [f"{one.name} is {one.state}: {one.words}" for one in alarms[:_SPELLED]]
    lines += [f"{name} is well again" for name in ended[:_SPELLED]]
    rest = max(0, len(alarms) - _SPELLED) + max(0, len(ended) - _SPELLED)
    if rest:
        lines.append(f"and {rest} more: ./backline status")
    return {"owner": owner, "text": "\n".join(lines), "new": [one.name for one in alarms], "over": ended}


def _sent(waiting: Sequence[dict[str, Any]], send: Deliver) -> tuple[list[dict[str, Any]], str]:
    """The messages that could not be delivered, and what kept the first of them: it comes last at the next tick, the others are not tried now.

    An address that is silent takes 10 s a message, and one message it will not take must hold up neither the others nor the verdicts.
    """
    for number, message in enumerate(waiting):
        try:
            send(message)
        except Exception as error:  # noqa: BLE001 - whatever a client of that address raises: its type and a later try must do
            return [*waiting[number + 1 :], message], type(error).__name__
    return [], ""


def _place(name: str) -> Place:
    endpoint, _, partition = name.partition(" ")
    return endpoint, partition


def _posting(address: str | None) -> Deliver | None:
    if not address:
        return None

    def post(message: Mapping[str, object]) -> None:
        httpx.post(address, json=dict(message), timeout=10).raise_for_status()

    return post
