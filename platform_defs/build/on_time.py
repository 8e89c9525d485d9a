"""Check `on_time` of the partitions of one run, from what the ledger knows once it is over. What is not built at all is the alerts sensor's to tell."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from platform_defs.build.reporting import Evaluation, why
from platform_defs.contracts.contract import Contract
from platform_defs.execution.results import PartitionResult
from platform_defs.ledger.ledger import Ledger
from platform_defs.planning.deadlines import ON_TIME, Verdict, absent, judged, past_deadline


def on_time(ledger: Ledger, contract: Contract, results: Iterable[PartitionResult], now: datetime) -> list[Evaluation]:
    """A verdict on each partition that is there, and on each that is past its deadline; none for an endpoint without `ready_within`.

    A partition whose deadline is still ahead has no verdict: nothing is wrong yet.
    """
    by_key = {result.key: result for result in results}
    if contract.ready_within_seconds is None or not by_key:
        return []
    versions, since = ledger.partitions.published(contract.key, by_key), ledger.registry.since(contract.key, contract.cadence)
    verdicts = [judged(contract, key, version, since) for key, version in versions.items()]
    late = [key for key in by_key.keys() - versions.keys() if past_deadline(contract, key, since, now) and not by_key[key].good]
    if late and contract.key not in ledger.pauses.of([contract.key]):  # a pause mutes deadlines, also of what a person builds meanwhile
        verdicts += [absent(contract, key, since, why(by_key[key])) for key in late]
    return [_evaluation(verdict) for verdict in verdicts]


def _evaluation(verdict: Verdict) -> Evaluation:
    return Evaluation(ON_TIME, verdict.partition, verdict.passed, "error" if verdict.severe else "warn", verdict.words, verdict.numbers)
