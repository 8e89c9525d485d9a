"""The seam between the common path of a partition (building) and what differs: how an endpoint, an event type or a source is computed.

A step plans (what would be read, at which versions, without Spark), then computes and stages. Leases, skipping, inspection, publishing and
recording are building's, the same for all.

The staged form, one Parquet folder a key: the contract's columns by name in the contract's types, the platform's partition column (`hour` or
`day`, STRING) equal to the key in every row, and, where rows can be quarantined, `_failed ARRAY<STRING>`: null or empty for a good row, else the
names of the rules it broke (`ms_played:less_than_or_equal_to`). Rows with rules go to quarantine whole and may have nulls in not-null columns; intake
adds `_segment STRING` and `_line BIGINT` to say where the row came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from platform_defs.execution.platform import never
from platform_defs.execution.results import Failure
from platform_defs.lake.columns import FAILED, LINE, SEGMENT
from platform_defs.lake.engine import Zone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["FAILED", "LINE", "SEGMENT", "ComputeStep", "Planned", "Read", "Staged", "StepRun", "Waiting"]


@dataclass(frozen=True)
class Read:
    """One thing a partition reads: an input endpoint's partitions at a version, or landing segments.

    Attributes:
        endpoint: key of what is read; for intake the event type itself.
        keys: its partitions, or segment paths.
        version: Delta version it is pinned at; None for segments and for an input that was never published.
        pinned: the snapshot's key where it was chosen by `as_of`.
    """

    endpoint: str
    keys: tuple[str, ...]
    version: int | None
    pinned: str | None = None


@dataclass(frozen=True)
class Planned:
    """A partition that can be built now.

    Attributes:
        digest: 16 bytes over the content of everything it reads (planning.digest); equal digest and code mean "current".
        pins: what a rebuild must choose again, parameter -> snapshot key (`as_of`).
        rows_in, bytes_in: size of what is read, where known.
        missing: who is not in it though it should be, in words ("receiver r2 silent since 02:14"); check `complete` warns with it.
        code: code version its rows were made by, where that is not the one in force: they are those of the published version.
        refusal: why it cannot be computed anew, where nothing is new and all there is to do is to put the published rows back.
    """

    key: str
    digest: bytes
    reads: tuple[Read, ...]
    pins: Mapping[str, str] = field(default_factory=dict)
    rows_in: int | None = None
    bytes_in: int | None = None
    missing: tuple[str, ...] = ()
    code: str | None = None
    refusal: Failure | None = None


@dataclass(frozen=True)
class Waiting:
    """A partition that cannot be built yet.

    Attributes:
        inputs: each thing it waits for, `listening/track_played 2026-10-01T03`.
        why: in words.
        retry_seconds: when to look again, if a source said so (`NotReady(retry=...)`).
    """

    key: str
    inputs: tuple[str, ...]
    why: str
    retry_seconds: int | None = None


@dataclass(frozen=True)
class Staged:
    """A partition that was computed and lies in staging, in the form the module's docstring gives.

    Attributes:
        path: its folder.
        counts: for events and sources `landed`, `duplicate`, `conflict`, `parked`, `pending`, `erased` (absent is 0); `good` and `quarantined` are
            counted by the inspection. An endpoint has none.
        seconds: wall time of computing.
        bad: the folder of its rows that broke a rule, where these lie apart; `path` then holds none of them.
        has_failed: whether the frame has the column `_failed`.
        has_origin: whether it has `_segment` and `_line`.
        rows: how many lie there, where the step knows.
        alone: whether its folder holds rows of this partition only, all of them with its key: then nobody need read which partition a row is of, and its
            files may become the table's.
        empty: whether it is known to hold no row: nothing lies in `path`, and nobody needs to look. Not of endpoints, whose checks may demand rows.
        notes: further numbers for the catalogue, by name in words ("late rows").
    """

    key: str
    path: str
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    bad: str | None = None
    has_failed: bool = False
    has_origin: bool = False
    rows: int | None = None
    alone: bool = False
    empty: bool = False
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StepRun:
    """What a step is given to compute with.

    Attributes:
        run_id: the run; names the session and the tags.
        session: the run's session in the step's zone.
        staging: folder of this run and endpoint; a key's frame goes to `frame_path(key)`.
        threads: how many keys may be computed at a time.
        fence: of the lease this is done under; what a step commits in `published` carries it.
        cancelled: whether the run is being cancelled, for what no signal and no interrupt of the engine reaches.
    """

    run_id: str
    session: SparkSession
    staging: str
    threads: int = 3
    fence: int = 0
    cancelled: Callable[[], bool] = never

    def frame_path(self, key: str) -> str:
        """Where the frame of one key is staged."""
        return f"{self.staging}/{key}"


class ComputeStep(Protocol):
    """How one kind of endpoint is computed. Made per build; its methods are called in the order given, from one thread."""

    zone: Zone

    def plan(self, keys: Sequence[str]) -> Mapping[str, Planned | Waiting | Failure]:
        """What each key would read now. Called again after a wait for a lease: it must look afresh. No Spark job; one answer for each key asked."""

    def compute(self, planned: Sequence[Planned], run: StepRun) -> Mapping[str, Staged | Waiting | Failure]:
        """Computes and stages each planned key, in one job or several at a time. A key's trouble is its own: it is answered, not raised.

        What is raised fails every key of the call.
        """

    def published(self, keys: Sequence[str], run: StepRun) -> Mapping[str, Mapping[str, str]]:
        """Called after these keys were committed and before that is recorded, again if the run is repeated (the late lane goes here).

        Answers what is kept beside the versions of some, as `Planned.pins` is, and in its place.
        """

    def close(self) -> None:
        """Called once at the end, whatever happened: private files and caches go here."""
