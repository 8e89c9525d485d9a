"""The checks every partition gets, as pure functions from numbers to verdicts in words: contract, volume, accounting, complete.

Where the numbers come from is the inspection's, the ledger's and the step's matter. No wording here holds a value of a row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from platform_defs.execution.results import CheckResult, Scalar

if TYPE_CHECKING:
    from platform_defs.execution.quality.inspect import Breach, Inspection

CONTRACT, VOLUME, ACCOUNTING, COMPLETE = "contract", "volume", "accounting", "complete"
VOLUME_DAYS = 28
VOLUME_SAMPLES = 5
_SPREAD = 6
_SPELLED = 5
_WORDS = 160
_SIDES = ("good", "duplicate", "conflict", "quarantined", "parked", "pending", "erased")


def contract_check(found: Inspection) -> CheckResult:
    """Whether the rows that stay are what the contract says. Warnings alone fail it softly; quarantined rows are told, and fail nothing."""
    metadata: dict[str, Scalar] = {"rows": found.rows, "quarantined": found.quarantined}
    metadata |= {f"quarantined {rule}": rows for rule, rows in found.quarantined_by.items()}
    taken = f", {found.quarantined} quarantined" if found.quarantined else ""
    if not found.breaches:
        return CheckResult(CONTRACT, True, "error", 0, f"{found.rows} rows hold it{taken}", metadata)
    refusing = [breach for breach in found.breaches if breach.refuses]
    told = refusing or list(found.breaches)
    words = "; ".join(_breach(breach) for breach in told[:_SPELLED]) + (f"; and {len(told) - _SPELLED} more" if len(told) > _SPELLED else "")
    metadata["errors"] = json.dumps(as_pandera(found.breaches), sort_keys=True)
    rows = [breach.rows for breach in told if breach.rows is not None]
    return CheckResult(CONTRACT, False, "error" if refusing else "warn", max(rows) if rows else None, f"{words}{taken}", metadata)


def as_pandera(breaches: Sequence[Breach]) -> dict[str, dict[str, list[dict[str, object]]]]:
    """Breaches in the shape of pandera's error report (category, reason, list of column and check), with counts in place of failing values."""
    report: dict[str, dict[str, list[dict[str, object]]]] = {}
    for breach in breaches:
        if breach.check == "not_nullable":
            category, reason = "SCHEMA", "SERIES_CONTAINS_NULLS"
        else:
            category, reason = "DATA", "DUPLICATES" if breach.check == "unique" else "DATAFRAME_CHECK"
        entry: dict[str, object] = {"column": breach.column, "check": breach.words, "failure_count": breach.rows}
        report.setdefault(category, {}).setdefault(reason, []).append(entry)
    return report


def volume_check(rows: int, samples: Sequence[int]) -> CheckResult:
    """Whether the row count is usual: within the median ± 6 MAD of earlier counts. It only warns.

    Args:
        samples: rows of the same hour of day (of the days before, for a daily partition) on the last 28 days, as far as published.
            Under 5 there is no verdict.
    """
    metadata: dict[str, Scalar] = {"rows": rows, "samples": len(samples)}
    if len(samples) < VOLUME_SAMPLES:
        return CheckResult(VOLUME, True, "warn", None, f"no verdict yet: {len(samples)} of at least {VOLUME_SAMPLES} earlier counts", metadata)
    middle = median(samples)
    spread = median(abs(sample - middle) for sample in samples)
    low, high = max(0.0, middle - _SPREAD * spread), middle + _SPREAD * spread
    metadata |= {"median": middle, "MAD": spread}
    passed = low <= rows <= high
    side = "within" if passed else "fewer than" if rows < low else "more than"
    words = f"{rows} rows, {side} the usual {low:g} to {high:g} (median {middle:g} ± {_SPREAD} MAD of {len(samples)} earlier counts)"
    return CheckResult(VOLUME, passed, "warn", None, words, metadata)


def accounting_check(counts: Mapping[str, int]) -> CheckResult:
    """Whether every landed row is accounted for. A partition that lost or made up rows is not published."""
    landed, accounted = counts.get("landed", 0), sum(counts.get(side, 0) for side in _SIDES)
    sides = " + ".join(f"{counts.get(side, 0)} {side}" for side in _SIDES if counts.get(side, 0)) or "0"
    metadata: dict[str, Scalar] = {"landed": landed, **{side: counts.get(side, 0) for side in _SIDES}}
    if landed == accounted:
        return CheckResult(ACCOUNTING, True, "error", 0, f"{landed} landed = {sides}", metadata)
    words = f"{landed} landed, {accounted} accounted for ({sides}): {abs(landed - accounted)} {'missing' if landed > accounted else 'too many'}"
    return CheckResult(ACCOUNTING, False, "error", abs(landed - accounted), words, metadata)


def complete_check(missing: Sequence[str], inputs: int) -> CheckResult:
    """Whether everybody who should be in the partition is in it. It only warns: the rows of who is missing come as late rows.

    Args:
        missing: who is not, in words.
        inputs: how many inputs or segments were read.
    """
    metadata: dict[str, Scalar] = {"inputs": inputs, "missing": len(missing)}
    if not missing:
        return CheckResult(COMPLETE, True, "warn", None, "nothing is missing", metadata)
    return CheckResult(COMPLETE, False, "warn", None, f"built without {'; '.join(missing)}", metadata)


def _breach(breach: Breach) -> str:
    where = f"{breach.column}: " if breach.column else ""
    words = breach.words if len(breach.words) <= _WORDS else f"{breach.words[:_WORDS]}..."
    if breach.rows is None:
        return f"{where}{words}"
    if breach.check == "unique":
        return f"{where}{words}: {_count(breach.rows, 'key')} more than once"
    return f"{where}{words}: {_count(breach.rows, 'row')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
