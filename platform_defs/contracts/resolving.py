"""Rules between contracts, over everything that would be in force: inputs exist and fit, nothing reads itself in a ring, data has time to arrive.

Pure: contracts in, problems out. Rules within one declaration are in `compiling`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from platform_defs.contracts.contract import AsOfInput, Contract, Input
from platform_defs.contracts.durations import words
from platform_defs.contracts.errors import ContractError, ContractErrors

SETTLE_MARGIN_SECONDS = 48 * 3600
_TRACES = ("person", "personal")


def resolve(contracts: Iterable[Contract], known: Mapping[str, Contract]) -> None:
    """Judges contracts against each other and against those in force elsewhere.

    Args:
        contracts: the ones to judge, usually one domain's, all of it.
        known: what else there is by key, the registry or other domains' `contracts.json`; contracts of a domain that is being judged are
            ignored there, for what is no longer declared is no longer there.

    Raises:
        ContractErrors: all that is wrong.
    """
    judged = list(contracts)
    domains = {contract.domain for contract in judged}
    everything = {key: contract for key, contract in known.items() if contract.domain not in domains}
    problems: list[ContractError] = []
    names: dict[str, Contract] = {}
    for contract in judged:
        if contract.key in names:
            problems.append(ContractError(contract.key, f"it is declared twice, as {names[contract.key].kind} and as {contract.kind}", "Give one another name"))
        names[contract.key] = contract
    everything.update(names)
    for contract in judged:
        problems += _late_names(contract, everything)
        problems += _landing(contract)
        for one in contract.inputs:
            problems += _input(contract, one, everything)
    problems += _cycles(judged, everything)
    if problems:
        raise ContractErrors(problems)


def _late_names(contract: Contract, everything: Mapping[str, Contract]) -> list[ContractError]:
    base = contract.key.removesuffix("__late")
    if base != contract.key and base in everything and everything[base].kind == "event":
        return [ContractError(contract.key, f"{contract.key} is where {base}'s late rows are kept", "Give it another name")]
    return []


def _landing(contract: Contract) -> list[ContractError]:
    lateness = contract.lateness
    if contract.kind != "event" or lateness is None:
        return []
    least = lateness.settle_seconds[-1] + SETTLE_MARGIN_SECONDS
    if lateness.landing_seconds >= least:
        return []
    why = f"landing keeps raw rows for {words(lateness.landing_seconds)}, but the last rebuild may need them after {words(least)} (last settle age and 48 h)"
    return [ContractError(f"{contract.key} lateness", why, f'Write Lateness(..., landing="{words(least)}") or earlier settle ages')]


def _input(reader: Contract, one: Input, everything: Mapping[str, Contract]) -> list[ContractError]:
    where = f"{reader.key} inputs[{one.param!r}]"
    target = everything.get(one.endpoint)
    if target is None:
        near = get_close_matches(one.endpoint, everything, 1)
        write = f"Did you mean {near[0]}?" if near else "Name a dataset that is declared; a parameter without an input means one of this domain"
        return [ContractError(where, f"there is no {one.endpoint}", write)]
    return [*_cadence(reader, one, target, where), *_purpose(reader, target, where)]


def _cadence(reader: Contract, one: Input, target: Contract, where: str) -> list[ContractError]:
    key = one.endpoint
    if isinstance(one, AsOfInput):
        if target.cadence != "daily":
            write = f"Read a window of it: window({key!r}, hours=(-24, 0))"
            return [ContractError(where, f"{key} is hourly, and as_of takes daily snapshots", write)]
        return []
    if target.cadence == "daily" and reader.cadence == "hourly":
        return [ContractError(where, f"{key} is daily, and an hour is only a part of its day", f"Read the newest day that ended: as_of({key!r}, within='3d')")]
    if one.unit == "hours" and target.cadence == "daily":
        return [ContractError(where, f"{key} is daily, and its window is in hours", f"Write window({key!r}, days=(...))")]
    if one.unit == "days" and target.cadence == "hourly" and not (reader.cadence == "daily" and one.first == one.last == 0):
        hours = f"hours=({one.first * 24}, {one.last * 24})"
        return [ContractError(where, f"{key} is hourly, and its window is in days", f"Write window({key!r}, {hours})")]
    return []


def _purpose(reader: Contract, target: Contract, where: str) -> list[ContractError]:
    if target.purpose == reader.purpose or not any(column.mark in _TRACES for column in target.columns):
        return []
    why = f"{target.key} holds personal data for the purpose {target.purpose!r}, and this is for {reader.purpose!r}"
    return [ContractError(where, why, f'Write purpose="{target.purpose}" if that is what it is for; pseudonyms join inside one purpose only')]


def _cycles(judged: Sequence[Contract], everything: Mapping[str, Contract]) -> list[ContractError]:
    """One problem a ring. A read of one's own earlier partitions is none: `compiling` holds those in the past."""
    problems: list[ContractError] = []
    told: set[frozenset[str]] = set()
    done: set[str] = set()
    for contract in judged:
        ring = _ring(contract.key, everything, done)
        if ring is not None and frozenset(ring) not in told:
            told.add(frozenset(ring))
            path = " reads ".join([*ring, ring[0]])
            problems.append(ContractError(ring[0], f"it waits for itself: {path}", "Take one of these inputs out, or split the endpoint that both need"))
    return problems


def _ring(start: str, everything: Mapping[str, Contract], done: set[str]) -> list[str] | None:
    """A ring reachable from `start` as its keys in order, else None; keys without one are added to `done`. No recursion: chains may be long."""
    path: list[str] = []
    on_path: set[str] = set()
    stack: list[tuple[str, list[str]]] = []

    def enter(key: str) -> None:
        contract = everything.get(key)
        path.append(key)
        on_path.add(key)
        stack.append((key, sorted({one.endpoint for one in contract.inputs if one.endpoint != key} if contract else ())))

    if start not in done:
        enter(start)
    while stack:
        key, inputs = stack[-1]
        if not inputs:
            stack.pop()
            path.pop()
            on_path.discard(key)
            done.add(key)
            continue
        following = inputs.pop()
        if following in on_path:
            ring = path[path.index(following) :]
            done.update(path)
            return ring
        if following not in done:
            enter(following)
    return None
