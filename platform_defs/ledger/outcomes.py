"""What a run tells the ledger: one outcome per partition, and who the run was. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from platform_defs.planning.facts import Published

OutcomeState = Literal["published", "skipped", "refused", "failed", "waiting"]


@dataclass(frozen=True)
class RunInfo:
    """The run that tells.

    Attributes:
        trigger: what asked for it (`schedule`, `click`, `range`, `late`, `retry`, `command`).
        caused_by: the root of a wave (`late:listening/track_played 2026-10-01T03`, `erasure:17`), if any.
    """

    run_id: str
    trigger: str
    started_at: datetime
    ended_at: datetime
    caused_by: str | None = None
    request_id: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one partition.

    Attributes:
        reason: in words, without a value of any row; None for a plain publish.
        kind: typed reason (`execution.results.FailureKind`).
        published: the new version, for `published` alone. Its first_built_at, changed_at and seen_at are the ledger's to fill.
        inputs, code: what a refused or failed try was made with; taken from `published` if that is given.
        lasting: a failure that only new code, new input or a person mends: stuck at once, not retried.
        retry_at: for `waiting`, when to look again, if the source said so.
        rows_out: rows of the new version (of the staged one if refused).
    """

    endpoint: str
    partition: str
    state: OutcomeState
    reason: str | None = None
    kind: str | None = None
    published: Published | None = None
    inputs: bytes | None = None
    code: str | None = None
    lasting: bool = False
    retry_at: datetime | None = None
    checks_passed: int = 0
    checks_failed: int = 0
    seconds: float = 0.0
    rows_in: int | None = None
    bytes_in: int | None = None
    rows_out: int | None = None
    bytes_out: int | None = None

    def __post_init__(self) -> None:
        if (self.state == "published") != (self.published is not None):
            raise ValueError(f"{self.endpoint} {self.partition}: outcome {self.state!r} and `published` do not agree: give it for 'published' alone")

    @property
    def tried_inputs(self) -> bytes | None:
        """Digest of what the try was made with."""
        return self.published.inputs if self.published else self.inputs

    @property
    def tried_code(self) -> str | None:
        """Code version of the try."""
        return self.published.code if self.published else self.code
