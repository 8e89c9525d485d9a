"""The ledger made anew from what does not lie in it: landing manifests and the lake's records.

Contracts come from `apply`, before. What people decided (pauses, reopened hours, lost receivers) comes back from their records. What only the ledger
knew is gone with it: open requests, leases, failures and their retries, history older than its records. Receivers make themselves known with their next
beat; until then hours close without them, and what they bring is late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import text

from platform_defs.contracts.partitions import cadence_of
from platform_defs.lake.landing import SealManifest
from platform_defs.lake.records import BuildRecord, DecisionRecord, PublishedPartition, RefusedPartition
from platform_defs.ledger.attempts import KEEP_DAYS
from platform_defs.ledger.decisions import restore_all
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.planning.facts import Counts, Published

_EMPTIED = (
    "partition_days",
    "frontiers",
    "exceptions",
    "lake_looks",
    "seals",
    "segments",
    "landed_partitions",
    "account_days",
    "attempts",
    "transitions",
    "leases",
    "requests",
    "pauses",
    "reopenings",
)


class LedgerBusy(RuntimeError):
    """Runs hold leases: emptying the ledger under them would let others build the same partitions."""


@dataclass(frozen=True)
class Rebuilt:
    """How much was read back. `unknown`: endpoints that have records and no contract any more; their partitions were left out. `decisions`: of people."""

    seals: int
    segments_gone: int
    published: int
    refused: int
    unknown: tuple[str, ...]
    decisions: int = 0


def rebuild(
    ledger: Ledger,
    manifests: Iterable[SealManifest],
    records: Iterable[BuildRecord | DecisionRecord],
    exists: Callable[[str], bool] = lambda path: True,
) -> Rebuilt:
    """Empties the index and fills it again; interrupted, it is simply run again.

    Args:
        manifests: all that landing holds, in any order.
        records: all that the lake holds, in the order of their time (`lake.records.read_records`).
        exists: whether a segment is still on disk; what is not counts as expired.

    Change numbers go on from where they were: whoever follows changes by a cursor sees every partition once more, and nothing is missed.

    Raises:
        LedgerBusy: a run that has not ended holds a lease; nothing was changed.
    """
    _empty(ledger)
    seals = gone = 0
    for manifest in manifests:
        seals += ledger.landing.record_seal(manifest)
        gone += ledger.landing.expire([segment.path for segment in manifest.segments if not exists(segment.path)])
    known = {(contract.key, contract.cadence) for contract in ledger.registry.current().values()}
    unknown: set[str] = set()
    published = refused = 0
    decided: list[DecisionRecord] = []
    oldest = ledger.store.clock() - timedelta(days=KEEP_DAYS)
    for record, outcomes in _in_order(_builds(records, decided)):
        kept = [outcome for outcome in outcomes if (outcome.endpoint, cadence_of(outcome.partition)) in known]
        unknown |= {outcome.endpoint for outcome in outcomes} - {outcome.endpoint for outcome in kept}
        times = [outcome.published.built_at for outcome in kept if outcome.published] or [record.at]
        run = RunInfo(record.run_id, record.trigger, min(times), record.at, record.caused_by)
        ledger.partitions.record(kept, run, history=record.at >= oldest)
        published += sum(outcome.state == "published" for outcome in kept)
        refused += sum(outcome.state == "refused" for outcome in kept)
    return Rebuilt(seals, gone, published, refused, tuple(sorted(unknown)), restore_all(ledger, decided))


def _empty(ledger: Ledger) -> None:
    with ledger.store.transaction() as connection:
        connection.execute(text("LOCK TABLE leases IN ACCESS EXCLUSIVE MODE"))
        query = text("SELECT DISTINCT r.run_id FROM leases l JOIN runs r ON r.id = l.run WHERE r.ended_at IS NULL ORDER BY 1")
        runs = [row.run_id for row in connection.execute(query)]
        if runs:
            raise LedgerBusy(f"{len(runs)} runs are building ({runs[0]}, ...): wait for them or cancel them, then rebuild the ledger")
        connection.execute(text(f"TRUNCATE {', '.join(_EMPTIED)}"))


def _builds(records: Iterable[BuildRecord | DecisionRecord], decided: list[DecisionRecord]) -> Iterator[BuildRecord]:
    """The records of builds as they come; those of decisions go to `decided`: there are few, and they are put back when all else is there."""
    for record in records:
        if isinstance(record, BuildRecord):
            yield record
        else:
            decided.append(record)


def _in_order(builds: Iterable[BuildRecord]) -> Iterator[tuple[BuildRecord, list[Outcome]]]:
    """What was published and refused, oldest first, in pieces of one record.

    A run's record of a day is one file with the time of its last word, so two runs that took turns overlap: a day is put in order partition by partition.
    """
    for _, day in groupby(builds, key=lambda record: record.at.date()):
        entries: list[tuple[datetime, int, BuildRecord, Outcome]] = []
        for number, record in enumerate(day):
            entries += [(each.built_at, number, record, _published(record, each)) for each in record.published]
            entries += [(each.at, number, record, _refused(record, each)) for each in record.refused]
        entries.sort(key=lambda entry: entry[:2])
        for _, piece in groupby(entries, key=lambda entry: entry[1]):
            together = list(piece)
            yield together[0][2], [outcome for _, _, _, outcome in together]


def _published(record: BuildRecord, each: PublishedPartition) -> Outcome:
    version = Published(
        content=bytes.fromhex(each.content),
        inputs=bytes.fromhex(each.inputs),
        rows=each.rows,
        version=each.version,
        code=each.code,
        built_at=each.built_at,
        run_id=record.run_id,
        counts=None if each.counts is None else Counts(**{name: n for name, n in each.counts.items() if name in Counts.__dataclass_fields__}),
        pins=each.pins,
        checks_passed=each.checks_passed,
        checks_failed=each.checks_failed,
        origin=each.origin,
    )
    return Outcome(record.endpoint, each.key, "published", published=version, checks_passed=each.checks_passed, checks_failed=each.checks_failed)


def _refused(record: BuildRecord, each: RefusedPartition) -> Outcome:
    return Outcome(
        record.endpoint,
        each.key,
        "refused",
        reason=each.reason,
        inputs=bytes.fromhex(each.inputs),
        code=each.code,
        checks_passed=each.checks_passed,
        checks_failed=each.checks_failed,
    )
