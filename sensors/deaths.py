"""Runs that end without a word on what they were asked for: killed, or out of memory. One is asked for again at once; of the next one what it was asked for
has failed, is tried again as what failed is, and in the end is stuck. Else such a partition would kill a run a minute, and nobody would hear of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import dagster as dg

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import index_of
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.ledger.requests import Death
from platform_defs.planning.states import Decision

# Dagster's tag on a run that failed: of one whose steps said so themselves it is this.
_REASON, _BY_A_STEP = "dagster/failure_reason", "STEP_FAILURE"
# The last pause of what failed is an hour: two deaths with it between them are still two in a row.
_IN_A_ROW = timedelta(hours=3)


def died(run: dg.DagsterRun) -> bool:
    """Whether a run that has ended failed without one of its steps having failed."""
    return run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(_REASON) != _BY_A_STEP


def told_of_deaths(ledger: Ledger, contracts: Mapping[str, Contract], decisions: Sequence[Decision]) -> list[Decision]:
    """The decisions without those that ask for what two runs in a row died of: the ledger is told that it has failed, and when it is tried again."""
    asked = {(each.endpoint, each.partition): each for each in decisions if each.ask}
    if not asked:
        return list(decisions)
    now = ledger.store.clock()
    killed = _killed(ledger.requests.deaths(now - _IN_A_ROW), asked)
    for run_id in dict.fromkeys(killed.values()):
        told = [_outcome(asked[place], contracts[place[0]], run_id) for place, by in killed.items() if by == run_id]
        ledger.partitions.record(told, RunInfo(run_id, "schedule", now, now))
    return [each for each in decisions if not (each.ask and (each.endpoint, each.partition) in killed)]


def _killed(deaths: Sequence[Death], asked: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Of these partitions, those that two runs died of; the later of the two."""
    by_endpoint: dict[str, list[Death]] = {}
    for death in deaths:
        by_endpoint.setdefault(death.endpoint, []).append(death)
    found = dict[tuple[str, str], str]()
    for endpoint, partition in asked:
        mine = [each for each in by_endpoint.get(endpoint, ()) if index_of(each.first) <= index_of(partition) <= index_of(each.last)]
        if len(mine) > 1:
            found[endpoint, partition] = mine[-1].run_id
    return found


def _outcome(decision: Decision, contract: Contract, run_id: str) -> Outcome:
    reason = f"run {run_id} ended without a word, and so did the one before it: killed, or memory ran out. See `backline logs {run_id}`"
    return Outcome(decision.endpoint, decision.partition, "failed", reason=reason, kind="interrupted", inputs=decision.inputs, code=contract.code_version)
