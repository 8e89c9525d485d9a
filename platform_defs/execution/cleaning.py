"""From landed lines to staged rows: one Spark job over the segments of an hour or a range. The same for events and sources.

    read the listed segments -> judge every line (validation) -> one copy of each event -> pseudonyms, ciphertexts -> one Parquet folder a partition

Lines are parsed once and kept in Spark's private block store while ids are collected, because everything after needs them: parsing is half of the cost.
Raw ids leave the server only for this process, which asks the vault and writes what Spark joins into a private folder. A key is in no plan: that of
event ids is a one-row file there, joined as two columns. Which segments are read, and what becomes of the staged rows, is intake's and sources'.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import StorageLevel
from pyspark.sql import Column, Window
from pyspark.sql import functions as F

from platform_defs.contracts.contract import Contract, WireField
from platform_defs.contracts.partitions import partition_column
from platform_defs.execution.steps import FAILED, LINE, SEGMENT, Staged, StepRun
from platform_defs.execution.validation import Judge, LineForm
from platform_defs.lake.landing import LandingStore, Segment
from platform_defs.privacy.identity import keyed_name_column, plain_name_column
from platform_defs.privacy.pseudonyms import CIPHERTEXTS_DDL, PADS_DDL, PEOPLE_DDL, PrivateFolder, write_ciphertexts, write_pads, write_people
from platform_defs.privacy.vault import Vault

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

OTHER_PARTITION = "time:other_partition"
_DROPPED = "dropped"
_LATE = "late."
_CHUNK = 20_000
_JUDGED = pa.schema([("_segment", pa.string()), ("_place", pa.int64()), ("_text", pa.string()), (FAILED, pa.list_(pa.string()))])
_JUDGED_DDL = f"_segment STRING, _place BIGINT, _text STRING, {FAILED} ARRAY<STRING>"


class SegmentDamaged(RuntimeError):
    """A segment that does not hold the lines its manifest lists. The message names it and the numbers."""


@dataclass(frozen=True)
class Batch:
    """What one partition is made of.

    Attributes:
        late: paths of those that were sealed after the partition's first build.
        parked: of these, those beyond the last settle age: their good rows go to the late lane.
        reopened: rows that were parked earlier are taken in: the late lane is written even if nothing is left for it.
    """

    key: str
    segments: tuple[Segment, ...]
    late: frozenset[str] = frozenset()
    parked: frozenset[str] = frozenset()
    reopened: bool = False


@dataclass(frozen=True)
class Cleaned:
    """One partition, staged.

    Attributes:
        late_path: folder of the rows for the late lane; None if it has no parked segment and never had one that was taken in since.
    """

    staged: Staged
    late_path: str | None = None


@dataclass(frozen=True)
class _Landed:
    """What is known of a segment once it was read."""

    rows: int
    first: int
    unsure: int


@dataclass
class Cleaner:
    """Cleans partitions of one contract.

    Attributes:
        vault: needed for events (their ids) and wherever a field is personal.
    """

    contract: Contract
    landing: LandingStore
    vault: Vault | None
    _form: LineForm = field(init=False)

    def __post_init__(self) -> None:
        self._form = LineForm.of(self.contract)
        self._event = self.contract.kind == "event"
        self._column = partition_column(self.contract.cadence)
        self._persons = [f for f in self.contract.fields if f.personal is not None and f.personal.of is None]
        self._values = [f for f in self.contract.fields if f.personal is not None and f.personal.of is not None]

    def clean(self, batches: Sequence[Batch], run: StepRun, folder: PrivateFolder, name: str) -> dict[str, Cleaned]:
        """Stages the partitions.

        Args:
            folder: for this run's private files; `name` tells those of one call, and its staged folder, from another's.

        Raises:
            SegmentDamaged: a segment is not as its manifest says; nothing was staged.
            whatever Spark and the vault raise.
        """
        began = time.monotonic()
        base = f"{run.staging}/{name}"
        filled = [batch for batch in batches if batch.segments]
        counts: dict[str, dict[str, int]] = {batch.key: {"landed": 0} for batch in batches}
        lost: dict[str, int] = {}
        if filled:
            lines = self._lines(run.session, filled).persist(StorageLevel.DISK_ONLY)
            try:
                landed = self._landed(lines, filled)
                rows = self._judged(run.session, lines, sum(each.unsure for each in landed.values()), folder, name)
                self._stage(run.session, rows, filled, landed, folder, name, base)
            finally:
                lines.unpersist()
            found, lost = self._counted(run.session, filled, landed, base)
            counts |= found
        seconds = (time.monotonic() - began) / max(1, len(batches))
        return {batch.key: self._cleaned(batch, base, counts[batch.key], lost.get(batch.key, 0), seconds) for batch in batches}

    def _cleaned(self, batch: Batch, base: str, counts: Mapping[str, int], lost: int, seconds: float) -> Cleaned:
        late = sum(segment.rows for segment in batch.segments if segment.path in batch.late)
        notes = {"late rows": late, "values without their person": lost}
        notes = {name: number for name, number in notes.items() if number}
        path, empty = f"{base}/_part={batch.key}", not batch.segments
        staged = Staged(batch.key, path, counts=counts, seconds=seconds, has_failed=True, has_origin=True, empty=empty, notes=notes)
        return Cleaned(staged, f"{base}/_part={_LATE}{batch.key}" if batch.parked or batch.reopened else None)

    # --- lines -----------------------------------------------------------------------------------------------------------------------------------

    def _lines(self, session: SparkSession, batches: Sequence[Batch]) -> DataFrame:
        """Every line of the segments with its place; parsed where it is good without a doubt, as bytes where it must be looked at."""
        paths = [self.landing.path(segment.path) for batch in batches for segment in batch.segments]
        # Segments are gzip, so none is split: a line's place within its file is its number less that of the file's first line.
        # Left to itself Spark would also end lines at \r.
        text = session.read.option("lineSep", "\n").text(paths)
        segment = F.concat(F.lit(f"segments/{self.contract.key}/"), F.substring_index("_metadata.file_path", "/", -2))
        placed = text.select(segment.alias("_segment"), F.monotonically_increasing_id().alias("_place"), F.col("value").alias("_text"))
        parsed = placed.withColumn("_parsed", self._form.parsed(F.col("_text")))
        judged = parsed.withColumn("_sure", self._form.sure(F.col("_text"), F.col("_parsed")))
        shown = judged.withColumn("_parsed", F.when(F.col("_sure"), F.col("_parsed")))
        return shown.select(
            "_segment",
            "_place",
            "_sure",
            F.when(~F.col("_sure"), F.col("_text").cast("binary")).alias("_raw"),
            *self._values_of(F.col("_text"), F.col("_parsed")),
        )

    def _values_of(self, text: Column, parsed: Column) -> list[Column]:
        """A line's parts as columns: the platform's own begin with `_`, fields have their names; personal ones are texts still."""
        raw = {f.name: parsed["data"][f.name].cast("string") for f in (*self._persons, *self._values)}
        columns = [(raw.get(name, typed)).alias(name) for name, typed in self._form.columns(parsed).items()]
        columns.append(parsed["time"].alias("_time"))
        if not self._event:
            return columns
        # In the one spelling `,"data":` cannot stand inside a text, whose quotes are escaped: it is where the payload begins.
        payload = F.xxhash64(parsed["time"], F.substr(text, F.locate(',"data":', text)))
        envelope = {"_client": parsed["client"], "_id": parsed["id"], "_payload": payload, "_received": parsed["received_at"]}
        return [*(value.alias(name) for name, value in envelope.items()), *columns]

    def _landed(self, lines: DataFrame, batches: Sequence[Batch]) -> dict[str, _Landed]:
        """Lines by segment. Raises SegmentDamaged unless each holds as many as its manifest lists."""
        grouped = lines.groupBy("_segment").agg(F.count(F.lit(1)), F.min("_place"), F.count_if(~F.col("_sure")))
        landed = {row[0]: _Landed(row[1], row[2], row[3]) for row in grouped.collect()}
        for batch in batches:
            for segment in batch.segments:
                found = landed.get(segment.path, _Landed(0, 0, 0)).rows
                if found != segment.rows:
                    raise SegmentDamaged(f"{segment.path} holds {found} lines, its manifest lists {segment.rows}: restore the segment")
        return landed

    def _judged(self, session: SparkSession, lines: DataFrame, unsure: int, folder: PrivateFolder, name: str) -> DataFrame:
        """All lines with verdicts (`_failed`), those Spark could not be sure of by Pydantic's word."""
        sure = lines.where("_sure").drop("_sure", "_raw").withColumn(FAILED, F.lit(None).cast("ARRAY<STRING>"))
        rows = sure
        if unsure:
            path = folder.file(f"{name}-judged.parquet")
            asked = lines.where(~F.col("_sure")).select("_segment", "_place", "_raw").toLocalIterator(prefetchPartitions=True)
            _write_verdicts(path, Judge(self.contract), asked)
            text, parsed = F.col("_text"), F.col("_parsed")
            read = session.read.schema(_JUDGED_DDL).parquet(path).withColumn("_parsed", self._form.parsed(text))
            rows = sure.unionByName(read.select("_segment", "_place", FAILED, *self._values_of(text, parsed)))
        part = F.substring_index(F.substring_index("_segment", "/", -2), "/", 1)
        rows = rows.withColumn(self._column, part)
        if not self._event:
            return rows
        length = 13 if self._column == "hour" else 10
        strange = F.substring("_time", 1, length) != F.col(self._column)
        told = F.concat(F.coalesce(F.col(FAILED), F.array().cast("ARRAY<STRING>")), F.array(F.lit(OTHER_PARTITION)))
        return rows.withColumn(FAILED, F.when(strange, told).otherwise(F.col(FAILED)))

    # --- rows ------------------------------------------------------------------------------------------------------------------------------------

    def _stage(
        self, session: SparkSession, rows: DataFrame, batches: Sequence[Batch], landed: Mapping[str, _Landed], folder: PrivateFolder, name: str, base: str
    ) -> None:
        """Writes all rows, by what becomes of them: a folder for each partition, for its late lane, and one for those that are dropped."""
        parked = sorted({path for batch in batches for path in batch.parked})
        rows = rows.withColumn("_parked", F.col("_segment").isin(parked) if parked else F.lit(False))
        if self._event:
            rows = self._named(session, rows, folder, name)
        candidates = F.col(FAILED).isNull() & ~F.col("_parked")
        kept = self._one_copy(rows.where(candidates))
        others = rows.where(~candidates).withColumn("_verdict", F.lit(None).cast("STRING")).withColumn("_origin", F.col("_segment"))
        places = session.createDataFrame([(path, each.first) for path, each in landed.items()], "_segment STRING, _first BIGINT")
        others = others.join(F.broadcast(places), "_segment").withColumn(LINE, F.col("_place") - F.col("_first") + 1)
        kept = kept.withColumn("_origin", F.lit(None).cast("STRING")).withColumn(LINE, F.lit(None).cast("BIGINT"))
        united = kept.unionByName(others.drop("_first"))
        private = self._private(session, united, rows, folder, name)
        part = (
            F.when(F.col("_verdict").isNotNull(), F.lit(_DROPPED))
            .when(F.col("_parked") & F.col(FAILED).isNull(), F.concat(F.lit(_LATE), F.col(self._column)))
            .otherwise(F.col(self._column))
        )
        private.select(*self._columns(), self._column, FAILED, F.col("_origin").alias(SEGMENT), LINE, "_verdict", "_lost", part.alias("_part")).write.mode(
            "overwrite"
        ).partitionBy("_part").parquet(base)

    def _named(self, session: SparkSession, rows: DataFrame, folder: PrivateFolder, name: str) -> DataFrame:
        """Events get their stored id. The key comes as columns of a one-row file, so that it is in no plan and no log."""
        path = write_pads(folder, f"{name}-pads.parquet", self._keys.event_key)
        pads = session.read.schema(PADS_DDL).parquet(path)
        identity = keyed_name_column(F.col("_inner"), F.col("_outer"), F.col("_client"), F.lit(self.contract.key), F.col("_id"))
        return rows.crossJoin(F.broadcast(pads)).withColumn("_event", identity).drop("_inner", "_outer", "_client", "_id")

    def _one_copy(self, rows: DataFrame) -> DataFrame:
        """`_verdict`: null for the winner of each identity (the first by segment and line), `duplicate` or `conflict` for the others."""
        if not self._event:
            return rows.withColumn("_verdict", F.lit(None).cast("STRING"))
        same = Window.partitionBy(self._column, "_event").orderBy("_segment", "_place")
        other = F.when(F.col("_payload") == F.first("_payload").over(same), "duplicate").otherwise("conflict")
        return rows.withColumn("_verdict", F.when(F.row_number().over(same) > 1, other))

    def _private(self, session: SparkSession, united: DataFrame, rows: DataFrame, folder: PrivateFolder, name: str) -> DataFrame:
        """Personal fields become pseudonyms and ciphertexts; what an erased person did before is dropped. `_lost`: values without their person."""
        lost = F.lit(0)
        if not self._persons:
            return united.withColumn("_lost", lost)
        path = write_people(folder, f"{name}-people.parquet", self._keys, self.contract.purpose, _identities(rows, self._persons))
        people = session.read.schema(PEOPLE_DDL).parquet(path)
        erased = F.lit(False)
        for value in self._values:
            owner = self._owner(value)
            path = write_ciphertexts(folder, f"{name}-{value.name}.parquet", self._keys, value.name, _owned(rows, owner, value))
            texts = session.read.schema(CIPHERTEXTS_DDL).parquet(path).select(F.col("_name").alias("_of"), F.col("_ciphertext").alias(f"_c_{value.name}"))
            named = plain_name_column(F.lit(_kind(owner)), F.col(owner.name), F.col(value.name))
            united = united.withColumn("_of", named).join(texts, "_of", "left").drop("_of")
            lost = lost + F.when(F.col(value.name).isNotNull() & F.col(owner.name).isNull(), 1).otherwise(0)
        united = united.withColumn("_lost", lost)
        for person in self._persons:
            own = people.select(F.col("_name").alias("_of"), F.col("_pseudonym").alias(f"_p_{person.name}"), F.col("_erased_at").alias(f"_e_{person.name}"))
            united = united.withColumn("_of", plain_name_column(F.lit(_kind(person)), F.col(person.name))).join(own, "_of", "left").drop("_of")
            before = LineForm.instant(F.col("_time")) < F.col(f"_e_{person.name}")
            erased = erased | F.coalesce(before, F.lit(False))
        return united.withColumn("_verdict", F.coalesce(F.col("_verdict"), F.when(erased, "erased")))

    def _columns(self) -> list[Column]:
        """The table's columns; all null in a row that is dropped, of which only the count is wanted."""
        marks = {f.name: "_p_" if f.personal.of is None else "_c_" for f in (*self._persons, *self._values) if f.personal is not None}
        own = (
            {"event_id": F.col("_event"), "time": LineForm.instant(F.col("_time")), "received_at": LineForm.instant(F.col("_received"))} if self._event else {}
        )
        found = []
        for column in self.contract.columns:
            value = own[column.name] if column.name in own else F.col(f"{marks.get(column.name, '')}{column.name}")
            found.append(F.when(F.col("_verdict").isNull(), value).alias(column.name))
        return found

    def _owner(self, value: WireField) -> WireField:
        assert value.personal is not None
        return next(person for person in self._persons if person.name == value.personal.of)

    @property
    def _keys(self) -> Vault:
        if self.vault is None:
            raise RuntimeError(f"{self.contract.key} cannot be taken in without the vault: start it with ./backline up")
        return self.vault

    # --- counts ----------------------------------------------------------------------------------------------------------------------------------

    def _counted(
        self, session: SparkSession, batches: Sequence[Batch], landed: Mapping[str, _Landed], base: str
    ) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
        """What became of the landed lines by partition, and lost values; from what was written, not from what was meant."""
        ddl = f"{self._column} STRING, _verdict STRING, _lost INT, _part STRING, {FAILED} ARRAY<STRING>"
        part, good = F.col("_part"), F.col(FAILED).isNull()
        what = F.when(part == _DROPPED, F.col("_verdict")).when(part.startswith(_LATE), "parked").when(good, "good").otherwise("quarantined")
        read = session.read.schema(ddl).option("basePath", base).parquet(base)
        totals = read.groupBy(self._column, what.alias("what")).agg(F.count(F.lit(1)).alias("rows"), F.sum("_lost").alias("lost")).collect()
        counts = {batch.key: {"landed": sum(landed[segment.path].rows for segment in batch.segments if segment.path in landed)} for batch in batches}
        lost: dict[str, int] = {}
        for key, name, rows, values in totals:
            if name not in ("good", "quarantined"):  # the inspection counts these
                counts[key][name] = rows
            lost[key] = lost.get(key, 0) + (values if name in ("good", "quarantined", "parked") else 0)
        return counts, lost


def _kind(person: WireField) -> str:
    assert person.personal is not None
    return person.personal.kind


def _identities(rows: DataFrame, persons: Sequence[WireField]) -> Iterator[tuple[str, str]]:
    """Every (kind, id) once."""
    each = [rows.where(F.col(person.name).isNotNull()).select(F.lit(_kind(person)).alias("kind"), F.col(person.name).alias("id")) for person in persons]
    united = each[0]
    for more in each[1:]:
        united = united.unionByName(more)
    yield from _tuples(united.distinct())


def _owned(rows: DataFrame, owner: WireField, value: WireField) -> Iterator[tuple[str, str, str, Any]]:
    """Every (kind, id, text, value) of a reversible field once."""
    given = rows.where(F.col(owner.name).isNotNull() & F.col(value.name).isNotNull())
    for identifier, text in _tuples(given.select(F.col(owner.name).alias("id"), F.col(value.name).alias("text")).distinct()):
        yield _kind(owner), identifier, text, int(text) if value.type.kind == "integer" else text


def _tuples(frame: DataFrame) -> Iterator[tuple[str, str]]:
    for batch in frame.toArrow().to_batches(max_chunksize=_CHUNK):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _write_verdicts(path: str, judge: Judge, asked: Iterator[Any]) -> None:
    with pq.ParquetWriter(path, _JUDGED, write_statistics=False) as writer:
        rows: list[tuple[str, int, str | None, tuple[str, ...] | None]] = []
        for segment, place, raw in asked:
            verdict = judge.judge(bytes(raw))
            rows.append((segment, place, verdict.line, verdict.rules or None))
            if len(rows) == _CHUNK:
                _flush(writer, rows)
        _flush(writer, rows)


def _flush(writer: Any, rows: list[tuple[str, int, str | None, tuple[str, ...] | None]]) -> None:
    if rows:
        writer.write_table(pa.table([pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), _JUDGED, strict=True)], schema=_JUDGED))
        rows.clear()
