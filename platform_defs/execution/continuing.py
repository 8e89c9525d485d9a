"""An event hour of whose landing something is gone: its published rows stay, and what is new joins them or goes to the late lane.

    published rows at a pinned version + parked rows that a person wants in + what was sealed since -> one copy of each event -> staged as any hour

Identity is that of a build from landing: one row an `event_id`, another payload is a conflict. The published copy wins, for whose segment and line nobody
knows any more; then the parked ones by theirs. Which hours these are, and whether there is anything new, is intake's to say.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import partition_column
from platform_defs.execution.batches import Batch, Cleaned
from platform_defs.execution.platform import Platform
from platform_defs.execution.quality.contenthash import row_hash
from platform_defs.execution.steps import FAILED, LINE, SEGMENT, StepRun
from platform_defs.lake import delta_log
from platform_defs.lake.columns import lane_ddl, staged_ddl
from platform_defs.lake.files import files_of
from platform_defs.lake.layout import Lane
from platform_defs.lake.staging import kept_writer
from platform_defs.lake.tables import read_table
from platform_defs.planning.facts import Counts, Published

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

LATE = "late"
"""Pin of an hour with rows in the late lane: the version of that table which holds them."""
_KEPT, _BAD = "kept", "bad"
# What tells two copies of one event apart: not when each came.
_NOT_PAYLOAD = ("event_id", "received_at")


@dataclass(frozen=True)
class Hour:
    """An hour that is continued.

    Attributes:
        published: what readers see of it. table: the version it is read at.
        late: the version its parked rows are read at; None: it has none. admits: they join it.
    """

    key: str
    published: Published
    table: int
    late: int | None
    admits: bool


def hour_of(platform: Platform, contract: Contract, key: str, published: Published, *, admits: bool) -> Hour:
    """The hour as it was recorded: a commit that came later and was not recorded (a run died on it, somebody wrote past the platform) is passed over.

    So a run that died between its two commits and their record is done again from the same rows, and takes none in twice.
    """
    lake = platform.lake
    table = delta_log.pinned(lake.table(contract.key), {key: published.version})
    late: int | None = None
    if published.counts is not None and published.counts.parked:
        recorded, newest = published.pins.get(LATE), delta_log.newest(lake.late(contract.key))
        late = newest if recorded is None else delta_log.pinned(lake.late(contract.key), {key: int(recorded)})
    return Hour(key, published, table, late, admits)


class Continuation:
    """Continues hours of one event type."""

    def __init__(self, contract: Contract, platform: Platform, run: StepRun) -> None:
        self._contract, self._platform, self._run = contract, platform, run
        self._column = partition_column(contract.cadence)
        self._names = [column.name for column in contract.columns]

    def staged(self, hour: Hour, batch: Batch, cleaned: Cleaned) -> Cleaned:
        """The whole hour, staged. `cleaned`: what was sealed since it was published, `batch`, cleaned by itself. Raises what Spark raises."""
        began = time.monotonic()
        base = f"{self._run.staging}/continued.{hour.key}"
        new = [segment.path for segment in batch.segments]
        lane = self._lane(hour, new)
        joined = self._one_copy(self._published(hour), lane if hour.admits else None, self._new(cleaned, good=True))
        kept_writer(joined.unionByName(self._bad(hour, new, cleaned))).partitionBy("_part").parquet(base)
        path, bad, files = f"{base}/_part={_KEPT}", f"{base}/_part={_BAD}", files_of(self._platform.lake.root)
        files.make_folder(path)
        late = None if cleaned.late_path is None else self._late(hour, None if hour.admits else lane, cleaned.late_path)
        counts = self._counts(hour, cleaned.staged.counts, self._dropped(base))
        seconds = cleaned.staged.seconds + time.monotonic() - began
        there = bad if files.names(bad) else None
        staged = replace(cleaned.staged, path=path, bad=there, has_failed=True, has_origin=True, counts=counts, seconds=seconds, empty=False)
        return Cleaned(staged, late)

    # --- rows ------------------------------------------------------------------------------------------------------------------------------------

    def _published(self, hour: Hour) -> DataFrame:
        return self._form(self._read("table", hour.table, hour.key))

    def _lane(self, hour: Hour, new: Sequence[str]) -> DataFrame | None:
        """The parked rows, without any of the segments that are read again now."""
        return None if hour.late is None else self._read("late", hour.late, hour.key).where(_of_others(new))

    def _new(self, cleaned: Cleaned, *, good: bool) -> DataFrame | None:
        """Of what was sealed since, the rows that are not parked."""
        if cleaned.staged.empty:
            return None
        path = cleaned.staged.path if good else cleaned.staged.bad
        return None if path is None else self._run.session.read.schema(staged_ddl(self._contract, failed=True, origin=True)).parquet(path)

    def _bad(self, hour: Hour, new: Sequence[str], cleaned: Cleaned) -> DataFrame:
        """Rows that broke a rule: those in quarantine, without any of the segments that are read again now, and the new ones."""
        found = self._new(cleaned, good=False)
        head = delta_log.newest(self._platform.lake.quarantine(self._contract.key))
        counts = hour.published.counts
        if head is not None and counts is not None and counts.quarantined:
            kept = self._form(self._read("quarantine", head, hour.key).where(_of_others(new)))
            found = kept if found is None else kept.unionByName(found)
        empty = self._run.session.createDataFrame([], staged_ddl(self._contract, failed=True, origin=True))
        return (empty if found is None else found).withColumn("_part", F.lit(_BAD))

    def _one_copy(self, *given: DataFrame | None) -> DataFrame:
        """These rows, those of the first frame before those of the next: `_part` says what becomes of each."""
        united: DataFrame | None = None
        for rank, each in enumerate(given):
            if each is not None:
                rows = self._form(each).withColumn("_rank", F.lit(rank))
                united = rows if united is None else united.unionByName(rows)
        assert united is not None
        payload = [field for field in united.schema.fields if field.name in self._names and field.name not in _NOT_PAYLOAD]
        same = Window.partitionBy("event_id").orderBy("_rank", SEGMENT, LINE)
        marked = united.withColumn("_payload", row_hash(T.StructType(payload)))
        other = F.when(F.col("_payload") == F.first("_payload").over(same), "duplicate").otherwise("conflict")
        marked = marked.withColumn("_part", F.when(F.row_number().over(same) > 1, other).otherwise(_KEPT))
        # Only rows in quarantine say where they came from.
        return marked.select(*self._names, self._column, FAILED, *_nowhere(), "_part")

    def _late(self, hour: Hour, kept: DataFrame | None, parked: str) -> str:
        """Folder of the rows that the late lane holds from now on: those that stay in it, and those that were parked now."""
        path = f"{self._run.staging}/continued-late.{hour.key}"
        files_of(self._platform.lake.root).make_folder(parked)
        rows = self._run.session.read.schema(lane_ddl(self._contract, "late")).parquet(parked)
        kept_writer(rows if kept is None else kept.select(*rows.columns).unionByName(rows)).parquet(path)
        return path

    def _read(self, lane: Lane, version: int, key: str) -> DataFrame:
        return read_table(self._run.session, self._platform.lake.lane(self._contract.key, lane), version, [key], self._column)

    def _form(self, rows: DataFrame) -> DataFrame:
        """The staged form; what a frame lacks of it is null."""
        extra: dict[str, Column] = {FAILED: F.lit(None).cast("ARRAY<STRING>"), SEGMENT: F.lit(None).cast("STRING"), LINE: F.lit(None).cast("BIGINT")}
        there = set(rows.columns)
        return rows.select(*self._names, self._column, *(F.col(name) if name in there else value.alias(name) for name, value in extra.items()))

    # --- counts ----------------------------------------------------------------------------------------------------------------------------------

    def _dropped(self, base: str) -> dict[str, int]:
        """Copies among what joined, from what was written."""
        rows = self._run.session.read.schema("event_id BINARY, _part STRING").parquet(base)
        return {row[0]: row[1] for row in rows.groupBy("_part").count().collect()}

    def _counts(self, hour: Hour, new: Mapping[str, int], dropped: Mapping[str, int]) -> dict[str, int]:
        """The hour's accounting: what it was, and what the new segments and the admitted rows add. Good and quarantined ones the inspection counts."""
        before = hour.published.counts or Counts()
        return {
            "landed": before.landed + new.get("landed", 0),
            "duplicate": before.duplicate + new.get("duplicate", 0) + dropped.get("duplicate", 0),
            "conflict": before.conflict + new.get("conflict", 0) + dropped.get("conflict", 0),
            "parked": (0 if hour.admits else before.parked) + new.get("parked", 0),
            "erased": before.erased + new.get("erased", 0),
        }


def _of_others(segments: Sequence[str]) -> Column:
    """Whether a row comes from none of these segments."""
    return F.col(SEGMENT).isNull() | ~F.col(SEGMENT).isin(list(segments)) if segments else F.lit(True)


def _nowhere() -> list[Column]:
    return [F.lit(None).cast("STRING").alias(SEGMENT), F.lit(None).cast("BIGINT").alias(LINE)]
