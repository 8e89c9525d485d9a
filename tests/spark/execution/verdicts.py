"""What pandera and the compiled pass say of the same rows, in one form: column and wording of each check that did not hold."""

from __future__ import annotations

from typing import Any

from pandera.pyspark import DataFrameSchema
from pyspark.sql import DataFrame

from platform_defs.execution.quality.inspect import Inspection

Verdict = set[tuple[str | None, str]]


def of_pandera(schema: DataFrameSchema, frame: DataFrame) -> Verdict:
    """Pandera's own validation of a frame."""
    verdict: Any = schema.validate(frame)
    entries = [entry for reasons in verdict.pandera.errors.values() for each in reasons.values() for entry in each]
    return {(None if entry["check"] == "unique" else entry["column"], entry["check"]) for entry in entries}


def of_ours(inspection: Inspection) -> Verdict:
    """What the pass found."""
    return {(breach.column, breach.check if breach.check == "unique" else breach.words) for breach in inspection.breaches}
