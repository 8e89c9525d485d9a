"""What a change of contracts would do: to each dataset, to those who read it, and to the partitions there are. Pure; nothing is applied here.

Whether a change breaks anything is said in contracts.compatibility.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from platform_defs.contracts.compatibility import Change, breaking, changes_of
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import index_of, key_of, start_of
from platform_defs.planning.facts import EndpointFacts, Facts
from platform_defs.planning.ranges import existing
from platform_defs.planning.states import LOOK_BACK, decide
from platform_defs.planning.windows import keys_read

What = Literal["added", "changed", "removed"]
# Changes of these kinds reach further than the next reader: what is made of other rows or columns is another thing itself.
_REACHING = frozenset({"identity", "field", "column", "input", "code"})


@dataclass(frozen=True)
class Proposal:
    """What becomes of one dataset.

    Attributes:
        changes: in a fixed order; never empty. readers: who reads it, by key. further: who reads those, where the change may reach them.
        was, will: the contract in force and the one that would be; one of them may be None.
    """

    key: str
    what: What
    changes: tuple[Change, ...]
    readers: tuple[str, ...]
    further: tuple[str, ...]
    was: Contract | None
    will: Contract | None

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that need a person's decision."""
        return tuple(breaking(list(self.changes)))

    @property
    def contract(self) -> Contract:
        """The one that would be, or the last one."""
        found = self.will or self.was
        assert found is not None
        return found


@dataclass(frozen=True)
class Outlook:
    """What becomes of a dataset's partitions.

    Attributes:
        published: how many there are now. outdated: of these, built by code that would be older; rebuilt when somebody asks.
        by_itself: would be built or rebuilt by the planner, though not without the change, among those of the look-back.
        new: come into being (declared for the first time, or an earlier start). hidden: published, and deleted or not shown any more.
    """

    published: int = 0
    outdated: int = 0
    by_itself: int = 0
    new: int = 0
    hidden: int = 0


def proposals(old: Mapping[str, Contract], new: Mapping[str, Contract], earlier: Mapping[str, Sequence[Contract]]) -> list[Proposal]:
    """What changes from the contracts in force to those that would be; by key.

    Args:
        earlier: contracts that were in force before, newest first, by key, where there were any.
    """
    readers = _readers([*old.values(), *new.values()])
    found = []
    for key in sorted(old.keys() | new.keys()):
        was, will = old.get(key), new.get(key)
        changes = changes_of(was, will, earlier.get(key, ()))
        if not changes:
            continue
        what: What = "added" if was is None else "removed" if will is None else "changed"
        direct = readers.get(key, set())
        reaching = any(change.breaking or change.kind in _REACHING for change in changes)
        further = _closure(key, readers) - direct - {key} if reaching else set()
        found.append(Proposal(key, what, tuple(changes), tuple(sorted(direct)), tuple(sorted(further)), was, will))
    return found


def concerned(found: Iterable[Proposal], known: Mapping[str, Contract]) -> tuple[set[str], timedelta]:
    """Datasets whose facts an outlook needs, of those that are known, and how far before the look-back their partitions may read."""
    keys: set[str] = set()
    reach = timedelta()
    for each in found:
        keys |= {each.key} | {item.endpoint for item in each.will.inputs} if each.will else {each.key}
        reach = max(reach, _reach(each, known))
    return keys & known.keys(), reach


def outlook(proposal: Proposal, published: Sequence[tuple[str, str]], by_itself: int, now: datetime) -> Outlook:
    """What becomes of one dataset's partitions.

    Args:
        published: ranges (first, last) of its published partitions. by_itself: see `rebuilt`.
    """
    count = sum(index_of(last) - index_of(first) + 1 for first, last in published)
    was, will = proposal.was, proposal.will
    if will is None:
        return Outlook(published=count)
    oldest, newest = existing(will, now)
    total = max(0, index_of(newest) - index_of(oldest) + 1)
    if was is None:
        return Outlook(count, 0, by_itself, max(0, total - count))
    if was.cadence != will.cadence:
        return Outlook(count, 0, by_itself, total, count)
    kept = sum(max(0, index_of(min(last, newest)) - index_of(max(first, oldest)) + 1) for first, last in published)
    before = existing(was, now)[0]
    return Outlook(
        published=count,
        outdated=kept if was.code_version != will.code_version else 0,
        by_itself=by_itself,
        new=max(0, index_of(before) - index_of(oldest)) if was.start != will.start else 0,
        hidden=count - kept if (was.start, was.retention_seconds) != (will.start, will.retention_seconds) else 0,
    )


def rebuilt(found: Sequence[Proposal], facts: Facts, now: datetime) -> dict[str, int]:
    """How many partitions of the look-back the planner would ask for with the new contracts and does not ask for with those in force, by dataset.

    Args:
        facts: of the datasets that are `concerned`, as the ledger has them now.
    """
    asked = {(each.endpoint, each.partition) for each in decide(facts, now) if each.ask}
    endpoints = dict(facts.endpoints)
    for each in found:
        if each.will is None:
            endpoints.pop(each.key, None)
        else:
            known = endpoints.get(each.key)
            same = known is not None and known.cadence == each.will.cadence
            endpoints[each.key] = replace(known, contract=each.will) if known is not None and same else EndpointFacts(each.will)
    able = tuple(
        each.key for each in found if each.will is not None and all(item.endpoint in endpoints for item in each.will.inputs)
    )  # what reads something that is gone is refused before
    if not able:
        return {}
    since = now - LOOK_BACK
    counts: dict[str, int] = {}
    for decision in decide(replace(facts, asked=able, endpoints=endpoints), now):
        if decision.ask and (decision.endpoint, decision.partition) not in asked and start_of(decision.partition) >= since:
            counts[decision.endpoint] = counts.get(decision.endpoint, 0) + 1
    return counts


def _readers(contracts: Iterable[Contract]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for contract in contracts:
        for item in contract.inputs:
            if item.endpoint != contract.key:
                found.setdefault(item.endpoint, set()).add(contract.key)
    return found


def _closure(key: str, readers: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = [key]
    while ahead:
        for reader in readers.get(ahead.pop(), ()):
            if reader not in found:
                found.add(reader)
                ahead.append(reader)
    return found


def _reach(proposal: Proposal, known: Mapping[str, Contract]) -> timedelta:
    if proposal.will is None:
        return timedelta()
    sample = key_of(proposal.will.cadence, datetime.fromisoformat("2026-01-15T00:00:00+00:00"))
    starts = [
        start_of(key)
        for item in proposal.will.inputs
        if item.endpoint in known
        for key in keys_read(item, sample, known[item.endpoint].cadence)
    ]  # fmt: skip
    return max((start_of(sample) - start for start in starts), default=timedelta())
