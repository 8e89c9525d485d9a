"""One sensor per domain that tells somebody when a partition gets into trouble that does not mend itself, and when it is over.

What is trouble is planning's judgement; where it is told is one address, given by the environment. Nothing is told twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import dagster as dg
import httpx
from pydantic import TypeAdapter

from platform_defs.contracts.contract import Contract
from platform_defs.planning.states import LOOK_BACK, Decision, PartitionState, decide
from sensors.asking import OpenLedger

ADDRESS = "BACKLINE_ALERTS_URL"
INTERVAL_SECONDS = 60
# Failed partitions are tried again by themselves; these wait for a person.
_ALARMING = (PartitionState.REFUSED, PartitionState.STUCK, PartitionState.OVERDUE)
_SPELLED = 10
_TOLD = TypeAdapter(dict[str, str])

Deliver = Callable[[Mapping[str, object]], None]


def alerts_sensor(domain: str, ledger: OpenLedger, deliver: Deliver | None = None) -> dg.SensorDefinition:
    """The sensor of a domain.

    Args:
        deliver: takes one message; None: posts it as JSON to BACKLINE_ALERTS_URL, and does nothing where that is not set.
    """

    @dg.sensor(
        name=f"{domain}_alerts",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells the owners of {domain} of refused, stuck and overdue partitions: POST to {ADDRESS}",
    )
    def tick(context):  # type: ignore[no-untyped-def]
        send = deliver or _posting(os.environ.get(ADDRESS))
        if send is None:
            return dg.SkipReason(f"{ADDRESS} is not set: nobody is told")
        opened = ledger()
        now = opened.store.clock()
        decisions = decide(opened.facts(domain, now - LOOK_BACK - timedelta(days=1), now), now)
        known = _TOLD.validate_json(context.cursor) if context.cursor else {}
        alarming = {f"{one.endpoint} {one.partition}": one for one in decisions if one.shown in _ALARMING}
        new = [one for name, one in alarming.items() if known.get(name) != one.shown]
        # A pause mends nothing: what is paused is neither new nor over, and is not told again when the pause ends.
        paused = {name: known[name] for one in decisions if one.paused and (name := f"{one.endpoint} {one.partition}") in known}
        over = sorted(known.keys() - alarming.keys() - paused.keys())
        for message in messages(new, over, opened.registry.current()):
            send(message)
        # Only now: a message that could not be delivered is told again at the next tick.
        return dg.SensorResult(
            skip_reason=dg.SkipReason(f"{len(new)} new, {len(over)} over, {len(alarming)} in all"),
            cursor=_TOLD.dump_json(paused | {name: str(one.shown) for name, one in alarming.items()}).decode(),
        )

    return tick


def messages(new: Iterable[Decision], over: Iterable[str], contracts: Mapping[str, Contract]) -> list[dict[str, object]]:
    """One message per owner: what is new in words, what is over by name."""
    by_owner: dict[str, tuple[list[Decision], list[str]]] = {}
    for decision in new:
        by_owner.setdefault(contracts[decision.endpoint].owner, ([], []))[0].append(decision)
    for name in over:
        contract = contracts.get(name.partition(" ")[0])
        if contract is not None:
            by_owner.setdefault(contract.owner, ([], []))[1].append(name)
    return [_message(owner, alarms, ended) for owner, (alarms, ended) in sorted(by_owner.items())]


def _message(owner: str, alarms: list[Decision], ended: list[str]) -> dict[str, object]:
    lines = [f"{one.endpoint} {one.partition} is {one.shown}: {one.reason}" for one in alarms[:_SPELLED]]
    lines += [f"{name} is well again" for name in ended[:_SPELLED]]
    rest = max(0, len(alarms) - _SPELLED) + max(0, len(ended) - _SPELLED)
    if rest:
        lines.append(f"and {rest} more: ./backline status")
    return {"owner": owner, "text": "\n".join(lines), "new": [f"{one.endpoint} {one.partition}" for one in alarms], "over": ended}


def _posting(address: str | None) -> Deliver | None:
    if not address:
        return None

    def post(message: Mapping[str, object]) -> None:
        httpx.post(address, json=dict(message), timeout=10).raise_for_status()

    return post
