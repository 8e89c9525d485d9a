"""The demo's closing table: what became of every endpoint, by the ledger's own books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import keys_between

if TYPE_CHECKING:
    from rich.table import Table

    from platform_defs.ledger import Ledger
    from platform_defs.planning.facts import Published


@dataclass(frozen=True)
class Row:
    """One endpoint; `name` None: events of no known type. Counts are of events, `rows` of the table, `seconds` of work."""

    name: str | None
    partitions: int = 0
    rows: int = 0
    received: int = 0
    duplicates: int = 0
    rejected: int = 0
    quarantined: int = 0
    late: int = 0
    checks_passed: int = 0
    checks_failed: int = 0
    seconds: float = 0.0


def rows(ledger: Ledger, now: datetime) -> list[Row]:
    """A row for every contract in force, and one for events of no known type if there were any."""
    contracts = ledger.registry.current()
    received, rejected = _accounts(ledger, now)
    found = [_row(ledger, contract, received, rejected) for _, contract in sorted(contracts.items())]
    unknown = {key for key in received if key not in contracts}
    if unknown:
        found.append(Row(None, received=sum(received[key] for key in unknown), rejected=sum(rejected[key] for key in unknown)))
    return found


def as_json(found: list[Row]) -> list[dict[str, Any]]:
    """The rows as the demo's `--json` has them."""
    return [{key: value for key, value in asdict(row).items() if key != "seconds"} for row in found]


def shown(found: list[Row]) -> Table:
    """The rows as a table for people."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    heads = ("partitions", "rows", "received", "duplicates", "rejected", "quarantined", "late", "checks passed", "failed", "seconds")
    table.add_column("endpoint", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in found:
        numbers = list(asdict(row).values())[1:-1]
        table.add_row(row.name or "(no known type)", *(f"{number:,}" if number else "·" for number in numbers), f"{row.seconds:.1f}")
    return table


def _row(ledger: Ledger, contract: Contract, received: Mapping[str | None, int], rejected: Mapping[str | None, int]) -> Row:
    published: dict[str, Published] = {}
    for first, last in ledger.partitions.ranges(contract.key, contract.cadence):
        published |= ledger.partitions.published(contract.key, keys_between(first, last))
    counts = [version.counts for version in published.values() if version.counts is not None]
    return Row(
        name=contract.key,
        partitions=len(published),
        rows=sum(version.rows for version in published.values()),
        received=received.get(contract.key, 0),
        duplicates=sum(count.duplicate for count in counts),
        rejected=rejected.get(contract.key, 0),
        quarantined=sum(count.quarantined for count in counts),
        late=_late(ledger, contract, published),
        checks_passed=sum(version.checks_passed for version in published.values()),
        checks_failed=sum(version.checks_failed for version in published.values()),
        seconds=round(sum(attempt.seconds for attempt in ledger.attempts.of(contract.key, contract.cadence, limit=100_000)), 1),
    )


def _late(ledger: Ledger, contract: Contract, published: Mapping[str, Published]) -> int:
    """Rows of segments that were sealed after their hour was first built."""
    if contract.kind != "event":
        return 0
    return sum(
        one.segment.rows
        for key, segments in ledger.landing.segments(contract.key, published).items()
        for one in segments
        if (first := published[key].first_built_at) is not None and one.sealed_at > first
    )


def _accounts(ledger: Ledger, now: datetime) -> tuple[dict[str | None, int], dict[str | None, int]]:
    received: dict[str | None, int] = {}
    rejected: dict[str | None, int] = {}
    for total in ledger.landing.accounts("2026-01-01", f"{now:%Y-%m-%d}"):
        received[total.event] = received.get(total.event, 0) + total.received
        rejected[total.event] = rejected.get(total.event, 0) + total.rejected
    return received, rejected
