"""What a build answers, per partition: outcome, checks, counts, and failures said so that their author can mend them.

Plain frozen data, no behaviour beyond wording. How an outcome is reached is in building; how checks are judged in checks and quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Severity = Literal["warn", "error"]
OutcomeName = Literal["published", "skipped", "refused", "failed", "waiting"]
Scalar = str | int | float | bool


class FailureKind(StrEnum):
    """Why a partition was not published. `PASSING_KINDS` are over one day without anybody's doing; of the others trying again changes nothing."""

    RAISED = "raised"
    NOT_A_FRAME = "not_a_frame"
    MISSING_COLUMNS = "missing_columns"
    EXTRA_COLUMNS = "extra_columns"
    WRONG_TYPES = "wrong_types"
    OTHER_PARTITION = "other_partition"
    DUPLICATE_KEYS = "duplicate_keys"
    BROKEN_CONTRACT = "broken_contract"
    UNACCOUNTED = "unaccounted"
    SEGMENTS_GONE = "segments_gone"
    NOT_TAKEN = "not_taken"
    SOURCE = "source"
    DISK = "disk"
    ENGINE = "engine"
    INTERRUPTED = "interrupted"


# The server is gone or past its deadline, another writer was first, a vendor or a disk is not there: tried again after a while.
PASSING_KINDS = frozenset({FailureKind.SOURCE, FailureKind.DISK, FailureKind.ENGINE, FailureKind.INTERRUPTED})
# Of these the action is no more than that it is tried again, or that a function that raised is to be mended.
_PLAIN = (PASSING_KINDS - {FailureKind.DISK}) | {FailureKind.RAISED}


@dataclass(frozen=True)
class Failure:
    """Why one partition of one endpoint failed or was refused.

    Attributes:
        endpoint: key of the endpoint.
        function: the author's function, `assets.charts.listening.skip_rate`; the step's own name for intake.
        key: the partition.
        why: what happened, one sentence, without any value of an event.
        action: what to do.
        detail: more to read (a traceback of endpoint code; error conditions only for intake and sources). Never a raw value.
    """

    kind: FailureKind
    endpoint: str
    function: str
    key: str
    why: str
    action: str
    detail: str | None = None

    @property
    def lasting(self) -> bool:
        """Whether only new code, new input or a person helps: such a partition is stuck at once, not retried."""
        return self.kind not in PASSING_KINDS

    @property
    def remembered(self) -> str:
        """What the ledger keeps of it and `status` and `why` show: why, and what to do where that is not plain. The same for all partitions it is true of."""
        return f"{self.why}. {self.action}" if self.kind not in _PLAIN else self.why

    @property
    def words(self) -> str:
        """The failure in one line: endpoint, function, partition, why, what to do."""
        return f"{self.endpoint} {self.key} ({self.function}): {self.why}. {self.action}"


@dataclass(frozen=True)
class CheckResult:
    """The verdict of one check on one partition.

    Attributes:
        severity: `error` keeps the partition out of the table when it fails, `warn` does not.
        failed_rows: rows that failed it, where rows can be counted.
        description: the verdict in words, without values of rows.
        metadata: the numbers behind it.
    """

    name: str
    passed: bool
    severity: Severity
    failed_rows: int | None
    description: str
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class PartitionResult:
    """What became of one partition of one build.

    Attributes:
        key: the partition.
        outcome: `published` (also when its commit changed nothing), `skipped` (current already, or before start), `refused` (failed its
            checks, the last good version stays), `failed`, `waiting` (for the inputs named in `waiting_for`).
        rows: rows of the published version; of the staged one where refused.
        reason: why, in words; empty for a plain publish.
        counts: accounting of an event or source partition (see steps.Staged), `quarantined` for all.
        version: Delta version that holds the partition; None if never published.
        seconds: wall time of its own computing, its share of inspect and publish included.
        metadata: more for the catalogue (table, run that built it, pins, quarantined rows by rule).
        waiting_for: what it waits for, `listening/track_played 2026-10-01T03`.
        retry_seconds: when a wait should be looked at again, if its source said so.
    """

    key: str
    outcome: OutcomeName
    rows: int
    reason: str
    checks: tuple[CheckResult, ...]
    counts: Mapping[str, int]
    version: int | None
    seconds: float
    metadata: Mapping[str, Scalar]
    failure: Failure | None = None
    waiting_for: tuple[str, ...] = ()
    retry_seconds: int | None = None

    @property
    def good(self) -> bool:
        """Whether a reader finds this partition as it should be."""
        return self.outcome in ("published", "skipped")

    @property
    def warned(self) -> str:
        """The checks that did not pass, in words; empty if all did."""
        return "; ".join(f"{check.name}: {check.description}" for check in self.checks if not check.passed)
