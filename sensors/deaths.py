"""Runs that end without a word on what they were asked for: killed, out of memory, or never begun. One is asked for again as it was. After two in a row each
partition gets a run of its own, and what that one dies of has failed: it is tried again as what failed is, and in the end is stuck. Else a partition that
kills its run would do so every minute, and nobody would hear of it.
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

# Dagster's tag on a run that failed. These say themselves what happened: one of its steps failed, or it was told to end, as where Backline stops.
_REASON, _SAID = "dagster/failure_reason", frozenset({"STEP_FAILURE", "UNEXPECTED_TERMINATION"})
# The last pause of what failed is an hour: two deaths with it between them are still two in a row.
_IN_A_ROW = timedelta(hours=3)


def died(run: dg.DagsterRun) -> bool:
    """Whether a run that has ended failed without having said why."""
    return run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(_REASON) not in _SAID


def after_deaths(ledger: Ledger, contracts: Mapping[str, Contract], domain: str, decisions: Sequence[Decision]) -> tuple[list[Decision], list[Decision]]:
    """The decisions on a domain, apart: to be asked for as ever; and to be asked for each in a run of its own.

    Those whose own run died are in neither: the ledger is told that they failed, and so when they are tried again.
    """
    asked = {(each.endpoint, each.partition): each for each in decisions if each.ask}
    if not asked:
        return list(decisions), []
    deaths = _in_a_row(ledger, asked, ledger.requests.deaths(domain, ledger.store.clock() - _IN_A_ROW))
    failed = {place: mine[-1] for place, mine in deaths.items() if mine[-1].alone}
    for run_id, at in {death.run_id: death.at for death in failed.values()}.items():
        told = [_outcome(asked[place], contracts[place[0]], run_id) for place, death in failed.items() if death.run_id == run_id]
        ledger.partitions.record(told, RunInfo(run_id, "schedule", at, at))  # at its own instant: told by two ticks at once it counts once
    rest = [each for each in decisions if not each.ask or (each.endpoint, each.partition) not in deaths]
    return rest, [asked[place] for place in deaths if place not in failed]


def _in_a_row(ledger: Ledger, asked: Iterable[tuple[str, str]], deaths: Sequence[Death]) -> dict[tuple[str, str], list[Death]]:
    """Of these partitions, those that runs died of at least twice since they were last found good; the deaths of each, oldest first."""
    by_endpoint: dict[str, list[Death]] = {}
    for death in deaths:
        by_endpoint.setdefault(death.endpoint, []).append(death)
    keys_of: dict[str, list[str]] = {}
    for endpoint, partition in asked:
        if len(by_endpoint.get(endpoint, ())) > 1:
            keys_of.setdefault(endpoint, []).append(partition)
    found: dict[tuple[str, str], list[Death]] = {}
    for endpoint, keys in keys_of.items():
        mine, good = by_endpoint[endpoint], ledger.partitions.published(endpoint, keys)
        for key in keys:
            since = good[key].seen_at if key in good else None
            of_key = [each for each in mine if index_of(each.first) <= index_of(key) <= index_of(each.last) and (since is None or each.asked > since)]
            if len(of_key) > 1:
                found[endpoint, key] = of_key
    return found


def _outcome(decision: Decision, contract: Contract, run_id: str) -> Outcome:
    reason = f"run {run_id} ended without a word, and so did the one before it: killed, out of memory, or never begun. See `backline logs {run_id}`"
    return Outcome(decision.endpoint, decision.partition, "failed", reason=reason, kind="interrupted", inputs=decision.inputs, code=contract.code_version)
