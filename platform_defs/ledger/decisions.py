"""What people decide: to pause and resume, to reopen an hour, to give a receiver up and take it back. Each is a record beside the lake, then rows here.

The record comes first: the ledger is an index that is rebuilt from it (`restore`), so a crash between the two loses nothing a person was told.
Whether a decision makes sense is checked before either is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import window_of
from platform_defs.lake.layout import Lake
from platform_defs.lake.records import DecisionRecord, write_record
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.reopenings import Reopening
from platform_defs.planning.facts import Pause, Receiver
from platform_defs.planning.lateness import awaits_reopening
from platform_defs.planning.places import NoSuchPartition, partition_named
from platform_defs.planning.reopening import LandedSegment, downstream, is_whole, parked

# A receiver seals every 10 s and beats with each seal.
_ALIVE = timedelta(minutes=1)


class DecisionRefused(ValueError):
    """A decision that cannot stand; the message names what it is about, says why, and what to do."""


# pausing


def pause(ledger: Ledger, lake: Lake, name: str, why: str, until: datetime | None = None) -> Pause:
    """Leaves a domain, an endpoint, an event type or a source alone: the planner asks for nothing of it and no deadline of it counts.

    What is collected goes on being collected; a person's build still builds. The same pause again (same why, same end) is the one there is.

    Args:
        name: a domain, or the key of an endpoint.
        why: in a person's words; shown wherever somebody waits for it.
        until: when it ends by itself, aware; None: with `resume`.

    Raises:
        DecisionRefused: nothing has that name, no reason is given, or `until` is over.
    """
    now = ledger.store.clock()
    contracts = ledger.registry.current()
    if name not in contracts and name not in _domains(contracts):
        raise DecisionRefused(f"there is no domain and no dataset {name}{_near(name, [*_domains(contracts), *contracts])}")
    _reasoned(why, f"why {name} is paused")
    if until is not None and until <= now:
        raise DecisionRefused(f"{name} cannot be paused until {until:%Y-%m-%d %H:%M}: that is over (it is {now:%Y-%m-%d %H:%M} UTC)")
    ledger.pauses.settle()
    for open_ in ledger.pauses.open():
        if (open_.name, open_.why, open_.until) == (name, why, until):
            return open_
    made = Pause(name, why, now, until)
    write_record(lake, DecisionRecord(id=_id("pause", name, now), decision="pause", subject=name, until=until, note=why, at=now))
    ledger.pauses.set(made)
    return made


def resume(ledger: Ledger, lake: Lake, name: str, why: str = "resumed") -> Pause:
    """Ends a pause; which one.

    Raises:
        DecisionRefused: nothing of that name is paused; the message says what is.
    """
    now = ledger.store.clock()
    ledger.pauses.settle()
    by_name = {each.name: each for each in ledger.pauses.open()}
    if name not in by_name:
        raise DecisionRefused(_not_paused(name, by_name))
    write_record(lake, DecisionRecord(id=_id("resume", name, now), decision="resume", subject=name, note=why, at=now))
    ledger.pauses.end(name, now, why)
    return by_name[name]


def _not_paused(name: str, by_name: Mapping[str, Pause]) -> str:
    domain = name.partition("/")[0]
    if domain in by_name:
        return f"{name} is paused with its whole domain: ./backline resume {domain}"
    inside = [each for each in by_name if each.startswith(f"{name}/")]
    if inside:
        return f"{name} as a whole is not paused; of it {', '.join(inside)} {'is' if len(inside) == 1 else 'are'}: ./backline resume {inside[0]}"
    return f"{name} is not paused; paused: {', '.join(by_name) or 'nothing'}"


# reopening


@dataclass(frozen=True)
class Reopenable:
    """What a reopening would do.

    Attributes:
        rows: parked, as they landed; copies and bad lines among them are found when they are taken in.
        segments: of them that exist. in_lane: good rows of them that lie in the late table by now.
        whole: whether the hour is built anew from landing; else the late table's rows join the published ones.
        readers: endpoint -> (first, last) published partition that is looked at, in order of the graph.
        by_hand: of these, those that no longer follow corrections by themselves.
    """

    event: str
    hour: str
    rows: int
    segments: int
    in_lane: int
    whole: bool
    readers: Mapping[str, tuple[str, str]]
    by_hand: tuple[str, ...]


def reopenable(ledger: Ledger, event: str, hour: str) -> Reopenable:
    """What reopening this hour would admit, and what would be looked at after it. Nothing is changed.

    Raises:
        NotItsPartition: it is written as no hour.
        DecisionRefused: there is no such event type or hour, it was never built, or nothing of it is parked.
    """
    contracts, now = ledger.registry.current(), ledger.store.clock()
    contract = contracts.get(event)
    if contract is None or contract.kind != "event":
        events = [key for key, each in contracts.items() if each.kind == "event"]
        what = "is no event type: late rows are of events alone" if contract else f"is not there{_near(event, events)}"
        raise DecisionRefused(f"{event} {what}")
    try:
        partition_named(hour, contract, now)
    except NoSuchPartition as error:
        raise DecisionRefused(str(error.args[0])) from None
    version = ledger.partitions.published(event, [hour]).get(hour)
    if version is None:
        raise DecisionRefused(f"{event} {hour} was never built: its first build takes all rows, however late they came; build it")
    before = ledger.reopenings.of(event, [hour]).get(hour)
    landed = [LandedSegment(row.receiver, row.seal, row.sealed_at, row.segment.rows) for row in ledger.landing.segments(event, [hour])[hour]]
    whole = is_whole(version, landed, expired=bool(ledger.landing.expired(event, [hour])))
    found = parked(contract.lateness, version, before, landed, whole=whole)
    if not found.rows:
        taken = f"; it was reopened at {before:%Y-%m-%d %H:%M}, and its next build takes that in" if awaits_reopening(version, before) else ""
        raise DecisionRefused(f"nothing of {event} {hour} is parked: every row that landed is in its table or taken in by itself{taken}")
    readers = _published_readers(ledger, contracts, event, hour)
    return Reopenable(event, hour, found.rows, found.segments, found.in_lane, whole, readers, _by_hand(contracts, readers, now))


def reopen(ledger: Ledger, lake: Lake, event: str, hour: str, why: str) -> Reopenable:
    """Makes the parked rows of an hour part of its next build, which the planner then asks for; what that admits.

    Raises:
        DecisionRefused: as `reopenable`, or no reason is given.
    """
    _reasoned(why, f"why {event} {hour} is reopened")
    found = reopenable(ledger, event, hour)
    now = ledger.store.clock()
    name = f"{event}-{hour}"
    write_record(lake, DecisionRecord(id=_id("reopen", name, now), decision="reopen", endpoint=event, partitions=(hour,), note=why, at=now))
    ledger.reopenings.add(Reopening(event, hour, now, why))
    return found


def _published_readers(ledger: Ledger, contracts: Mapping[str, Contract], event: str, hour: str) -> dict[str, tuple[str, str]]:
    """Of what reads the hour, as far as it is published: what was never built reads it anyway."""
    found: dict[str, tuple[str, str]] = {}
    for key, (first, last) in downstream(contracts, event, hour).items():
        held = [(max(low, first), min(high, last)) for low, high in ledger.partitions.ranges(key, contracts[key].cadence) if low <= last and high >= first]
        if held:
            found[key] = (held[0][0], held[-1][1])
    return found


def _by_hand(contracts: Mapping[str, Contract], readers: Mapping[str, tuple[str, str]], now: datetime) -> tuple[str, ...]:
    limits = ((key, contracts[key].corrections_seconds, last) for key, (_, last) in readers.items())
    return tuple(key for key, limit, last in limits if limit is not None and now > window_of(last).end + timedelta(seconds=limit))


# receivers


def lose(ledger: Ledger, lake: Lake, receiver: str, why: str) -> Receiver:
    """Gives a receiver up: hours close without it. Should its log turn up and be sealed, its rows are late rows.

    Raises:
        DecisionRefused: it is unknown, alive, shut down in order, or lost already; or no reason is given.
    """
    now = ledger.store.clock()
    found = _receiver(ledger, receiver)
    _reasoned(why, f"why {receiver} is given up")
    if found.state == "gone":
        raise DecisionRefused(f"{receiver} was shut down in order, all it took is sealed: no hour waits for it")
    if found.state == "lost":
        raise DecisionRefused(f"{receiver} is lost already: {found.why}")
    if found.beat_at > now - _ALIVE:
        raise DecisionRefused(f"{receiver} beat {(now - found.beat_at).seconds} s ago: it is alive and would be back at once; stop its process first")
    write_record(lake, DecisionRecord(id=_id("lost", receiver, now), decision="lost", subject=receiver, note=why, at=now))
    ledger.landing.lose(receiver, why)
    return found


def find(ledger: Ledger, lake: Lake, receiver: str, why: str = "found") -> Receiver:
    """Takes a lost receiver back: hours that are not built wait for it again, until it beats or their hold is over.

    Raises:
        DecisionRefused: it is unknown or not lost.
    """
    now = ledger.store.clock()
    found = _receiver(ledger, receiver)
    if found.state != "lost":
        raise DecisionRefused(f"{receiver} is not lost, it is {found.state}: nothing to take back")
    write_record(lake, DecisionRecord(id=_id("found", receiver, now), decision="found", subject=receiver, note=why, at=now))
    ledger.landing.find(receiver)
    return found


def _receiver(ledger: Ledger, receiver: str) -> Receiver:
    known = {each.id: each for each in ledger.landing.receivers()}
    if receiver not in known:
        raise DecisionRefused(f"there is no receiver {receiver}; known: {', '.join(known) or 'none'} (./backline collector list)")
    return known[receiver]


# restoring


def restore(ledger: Ledger, decision: DecisionRecord) -> bool:
    """Puts a recorded decision into the ledger again, as a rebuild does, in the order of their time; False if it says nothing to this ledger.

    An event type that is no longer declared is passed over. Seals come first: a lost receiver nobody knows any more is known again by them.
    """
    subject = decision.subject
    if decision.decision == "pause" and subject:
        ledger.pauses.set(Pause(subject, decision.note, decision.at, decision.until))
    elif decision.decision == "resume" and subject:
        ledger.pauses.end(subject, decision.at, decision.note)
    elif decision.decision == "lost" and subject:
        ledger.landing.restore_lost(subject, decision.note, decision.at)
    elif decision.decision == "found" and subject:
        ledger.landing.find(subject)
    elif decision.decision == "reopen" and decision.endpoint is not None and decision.endpoint in ledger.registry.current():
        for hour in decision.partitions:
            ledger.reopenings.add(Reopening(decision.endpoint, hour, decision.at, decision.note))
    else:
        return False
    return True


def restore_all(ledger: Ledger, decisions: Sequence[DecisionRecord]) -> int:
    """`restore` of each, oldest first; how many stood. Pauses that ended by themselves since are closed."""
    stood = sum(restore(ledger, decision) for decision in sorted(decisions, key=lambda each: each.at))
    ledger.pauses.settle()
    return stood


def _domains(contracts: Mapping[str, Contract]) -> list[str]:
    return sorted({contract.domain for contract in contracts.values()})


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), 3)
    return f": did you mean {' or '.join(near)}?" if near else "; ./backline status lists what there is"


def _reasoned(why: str, what: str) -> None:
    if not why.strip():
        raise DecisionRefused(f"say {what}: whoever waits for it reads that")


def _id(decision: str, name: str, at: datetime) -> str:
    return f"{decision}-{re.sub(r'[^A-Za-z0-9._-]', '.', name)}-{at:%Y%m%dT%H%M%S%f}"
