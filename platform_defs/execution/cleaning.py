"""From landed lines to staged rows with Spark: partitions of many lines, in as few passes over them as there can be. The same for events and sources.

    every line is parsed, judged and compared with its copies in one job, which writes it by what becomes of it:
        _part=<partition>   the first copy of each event: as staged, unless somebody is named in it
        _part=dropped       the other copies
        _part=apart         what breaks a rule, is parked, or must be asked Pydantic about: few lines, finished in jobs of their own

Where people are named, what is theirs is still raw in what the first job wrote. A second one collects who is named, once each, what tables hold instead is
derived (see privacy.deriving), and a third job puts it in its place. Everything lies in the run's private folder, below the landing's root: it holds raw
values, and the staged rows too, so that they need not be written twice. A key is in no plan: that of event ids is a one-row file, joined as two columns.
Which segments are read, and what becomes of the staged rows, is intake's and sources'.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, Observation, Window
from pyspark.sql import functions as F

from platform_defs.contracts.contract import Contract, WireField
from platform_defs.contracts.partitions import partition_column
from platform_defs.execution.batches import BAD, LATE, OTHER_PARTITION, Batch, Cleaned, check_lines, cleaned
from platform_defs.execution.steps import FAILED, LINE, SEGMENT, StepRun
from platform_defs.execution.validation import Judge, LineForm
from platform_defs.lake.columns import name as quoted
from platform_defs.lake.files import files_of
from platform_defs.lake.landing import LandingStore, segments_folder
from platform_defs.lake.staging import kept_writer, staged_writer
from platform_defs.privacy.deriving import ERASED_AT, PSEUDONYM
from platform_defs.privacy.identity import keyed_name_column
from platform_defs.privacy.pseudonyms import PADS_DDL, PrivateFolder, people_ddl, write_pads, write_people
from platform_defs.privacy.workers import Deriver

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_DROPPED, _APART = "dropped", "apart"
_CHUNK = 20_000
_JUDGED = pa.schema([(SEGMENT, pa.string()), ("_place", pa.int64()), ("_text", pa.string()), (FAILED, pa.list_(pa.string()))])
_JUDGED_DDL = f"_segment STRING, _place BIGINT, _text STRING, {FAILED} ARRAY<STRING>"


@dataclass(frozen=True)
class _Call:
    """One call of `clean`.

    Attributes:
        batches: those that have segments.
        name: tells this call's private files from another's.
    """

    session: SparkSession
    batches: Sequence[Batch]
    folder: PrivateFolder
    name: str

    def path(self, what: str) -> str:
        """A folder of this call, which Spark makes."""
        return f"{self.folder.path}/{self.name}-{what}"

    def file(self, what: str) -> str:
        """A file of this call, there and closed to others."""
        return self.folder.file(f"{self.name}-{what}.parquet")

    @property
    def parked(self) -> list[str]:
        """Paths of the segments whose good rows go to the late lane."""
        return sorted({path for batch in self.batches for path in batch.parked})


@dataclass
class Cleaner:
    """Cleans partitions of one contract.

    Attributes:
        deriver: needed for events (the vault names them) and wherever a field is personal.
    """

    contract: Contract
    landing: LandingStore
    deriver: Deriver | None
    _form: LineForm = field(init=False)

    def __post_init__(self) -> None:
        self._form = LineForm.of(self.contract)
        self._event = self.contract.kind == "event"
        self._column = partition_column(self.contract.cadence)
        self._folder = segments_folder(self.contract.key) + "/"
        self._key_length = len("2026-10-01T00" if self._column == "hour" else "2026-10-01")
        self._persons = [f for f in self.contract.fields if f.personal is not None and f.personal.of is None]
        self._values = [f for f in self.contract.fields if f.personal is not None and f.personal.of is not None]

    def clean(self, batches: Sequence[Batch], run: StepRun, folder: PrivateFolder, name: str) -> dict[str, Cleaned]:
        """Stages the partitions.

        Args:
            folder: for this run's private files and the staged rows; `name` tells those of one call from another's.

        Raises:
            SegmentDamaged: a segment is not as its manifest says; nothing was staged.
            whatever Spark and the vault raise.
        """
        began = time.monotonic()
        call = _Call(run.session, [batch for batch in batches if batch.segments], folder, name)
        base, counts, lost = self._staged(call) if call.batches else (call.path("rows"), {}, {})
        seconds = (time.monotonic() - began) / max(1, len(batches))
        answers = {}
        for batch in batches:
            landed = {"landed": sum(segment.rows for segment in batch.segments), **counts.get(batch.key, {})}
            answers[batch.key] = cleaned(batch, base, landed, lost.get(batch.key, 0), seconds)
        return answers

    def _staged(self, call: _Call) -> tuple[str, dict[str, dict[str, int]], dict[str, int]]:
        """Where the rows lie; what became of the other lines, and values without their person, by partition."""
        base, judged = call.path("rows"), None
        if self._sort_out(call, base):
            judged = call.file("judged")
            if self._ask(call, base, judged):  # a good one among them may be a copy, or the first of what was not taken for one
                self._sort_out(call, base, judged)
                judged = None
        apart = self._apart(call, base, judged)
        if not self._persons:
            if apart is not None:
                self._write(self._finished(call, self._private(call, apart)), base, "append")
            return base, self._counted(call, [base]), {}
        rows, final = self._read(call, base, [batch.key for batch in call.batches]), call.path("final")
        if rows is not None:
            rows = rows.drop("_place", "_raw").withColumn(LINE, F.lit(None).cast("BIGINT"))
            rows = rows if apart is None else rows.unionByName(apart)
        if (rows := rows if rows is not None else apart) is not None:
            self._write(self._finished(call, self._private(call, rows)), final, "overwrite")
        return final, self._counted(call, [base, final]), self._lost(call, final)

    # --- the pass over all lines -----------------------------------------------------------------------------------------------------------------

    def _sort_out(self, call: _Call, base: str, judged: str | None = None) -> int:
        """Writes every line by what becomes of it; how many must be asked Pydantic about.

        Args:
            judged: his word on those that were asked about before.

        Raises:
            SegmentDamaged: a segment does not hold as many lines as its manifest lists.
        """
        seen = Observation()
        mark = F.crc32(F.col(SEGMENT))
        lines = self._lines(call).withColumn(FAILED, F.lit(None).cast("ARRAY<STRING>"))
        if judged is not None:
            lines = lines.where("_sure").unionByName(self._judged(call, judged))
        lines = self._first_copies(call, self._identified(call, lines))
        # Counted here and not where they are read: that would part in two what is compiled as one.
        lines = lines.observe(seen, F.count(F.lit(1)).alias("lines"), F.sum(mark).alias("marks"), F.count_if(~F.col("_sure")).alias("unsure"))
        stays = self._stays(call)
        part = F.when(~stays, _APART).when(F.col("_verdict").isNotNull(), _DROPPED).otherwise(F.col(self._column))
        kept = [F.when(F.col("_verdict").isNull(), F.col(name)).alias(name) for name in self._names()]
        aside = [F.when(~stays, F.col(name)).alias(name) for name in (SEGMENT, "_place", "_raw", FAILED)]
        self._write(lines.select(*kept, self._column, *aside, "_verdict", part.alias("_part")), base, "overwrite", last=not self._persons)
        self._check(call, seen)
        return int(seen.get.get("unsure") or 0)

    def _lines(self, call: _Call) -> DataFrame:
        """Every line of the segments with its place; parsed where it is good without a doubt, as bytes where it must be looked at."""
        text, instants = F.col("_text"), {"time": F.col("_at"), "received_at": F.col("_received")}
        judged = self._parsed(self._text(call)).withColumn("_sure", self._form.sure(text, F.col("_parsed"), instants))
        # Hidden behind the verdict, a value is nothing that Spark's optimiser knows of: else it writes every rule anew for each of its names, without end.
        shown = judged.withColumn("_parsed", F.when(F.col("_sure"), F.col("_parsed")))
        raw = F.when(~F.col("_sure"), text.cast("binary")).alias("_raw")
        return self._in_partition(shown.select(SEGMENT, "_place", "_sure", raw, *self._values_of(text, F.col("_parsed"))))

    def _parsed(self, lines: DataFrame) -> DataFrame:
        """Lines with `_parsed`, and the instants of their envelopes."""
        instants = {"_at": LineForm.instant(F.col("_parsed.time")), "_received": LineForm.instant(F.col("_parsed.received_at"))}
        return lines.withColumn("_parsed", self._form.parsed(F.col("_text"))).withColumns(instants)

    def _text(self, call: _Call) -> DataFrame:
        """The lines as text. Asked again, they have the same places."""
        paths = [self.landing.path(segment.path) for batch in call.batches for segment in batch.segments]
        # Segments are gzip, so none is split: a line's place within its file is its number less that of the file's first line.
        # Left to itself Spark would also end lines at \r.
        text = call.session.read.option("lineSep", "\n").text(paths)
        segment = F.concat(F.lit(self._folder), F.substring_index("_metadata.file_path", "/", -2))
        return text.select(segment.alias(SEGMENT), F.monotonically_increasing_id().alias("_place"), F.col("value").alias("_text"))

    def _in_partition(self, rows: DataFrame) -> DataFrame:
        return rows.withColumn(self._column, F.substring(SEGMENT, len(self._folder) + 1, self._key_length))

    def _values_of(self, text: Column, parsed: Column) -> list[Column]:
        """A line's parts as columns: fields and the table's own have their names, others begin with `_`; personal ones are texts still."""
        raw = {f.name: parsed["data"][f.name].cast("string") for f in (*self._persons, *self._values)}
        columns = {name: raw.get(name, typed) for name, typed in self._form.columns(parsed).items()}
        columns[self._time] = F.col("_at")
        if self._event:
            columns["received_at"] = F.col("_received")
            columns |= {"_client": parsed["client"], "_id": parsed["id"], "_of": F.substring(parsed["time"], 1, self._key_length)}
            columns["_payload"] = F.xxhash64(parsed["time"], LineForm.payload(text, parsed))
        return [value.alias(name) for name, value in columns.items()]

    def _judged(self, call: _Call, path: str) -> DataFrame:
        """Lines that Pydantic judged, as `_lines` has those that Spark did."""
        text, parsed = F.col("_text"), F.col("_parsed")
        read = self._parsed(call.session.read.schema(_JUDGED_DDL).parquet(path))
        raw = F.lit(None).cast("BINARY").alias("_raw")
        return self._in_partition(read.select(SEGMENT, "_place", FAILED, F.lit(True).alias("_sure"), raw, *self._values_of(text, parsed)))

    def _identified(self, call: _Call, lines: DataFrame) -> DataFrame:
        """Events get their stored id, and are told if they are of another partition."""
        if not self._event:
            return lines
        # The key comes as columns of a one-row file, so that it is in no plan and no log.
        pads = call.session.read.schema(PADS_DDL).parquet(write_pads(call.folder, f"{call.name}-pads.parquet", self._deriver.vault.event_key))
        identity = keyed_name_column(F.col("_inner"), F.col("_outer"), F.col("_client"), F.lit(self.contract.key), F.col("_id"))
        rows = lines.crossJoin(F.broadcast(pads)).withColumn("event_id", identity)
        told = F.concat(F.coalesce(F.col(FAILED), F.array().cast("ARRAY<STRING>")), F.array(F.lit(OTHER_PARTITION)))
        return rows.withColumn(FAILED, F.when(F.col("_of") != F.col(self._column), told).otherwise(F.col(FAILED)))

    def _first_copies(self, call: _Call, lines: DataFrame) -> DataFrame:
        """`_verdict`: null for the winner of each identity (the first by segment and line) and for what takes no part, `duplicate` or `conflict` for others."""
        if not self._event:
            return lines.withColumn("_verdict", F.lit(None).cast("STRING"))
        # What takes no part is alone with its place: sixteen bytes of a hash are never the digits of a number.
        alone = F.when(self._stays(call), F.col("event_id")).otherwise(F.col("_place").cast("string").cast("binary"))
        # The hash first: Spark compares eight bytes of the first column before it looks at whole rows, and all hours of a day begin alike.
        same = Window.partitionBy("_alone", self._column).orderBy(SEGMENT, "_place")
        other = F.when(F.col("_payload") == F.first("_payload").over(same), "duplicate").otherwise("conflict")
        return lines.withColumn("_alone", alone).withColumn("_verdict", F.when(F.row_number().over(same) > 1, other))

    def _stays(self, call: _Call) -> Column:
        """Of a line: it is good without a doubt and not parked, so that it is a row unless it is a copy."""
        good = F.col("_sure") & F.col(FAILED).isNull()
        return good & ~F.col(SEGMENT).isin(call.parked) if call.parked else good

    def _check(self, call: _Call, seen: Observation) -> None:
        """Holds what was read against the manifests: the number of all lines, and a sum that moves if one segment has more and another fewer."""
        segments = [segment for batch in call.batches for segment in batch.segments]
        lines, marks = sum(each.rows for each in segments), sum(each.rows * zlib.crc32(each.path.encode()) for each in segments)
        if (seen.get.get("lines"), seen.get.get("marks")) == (lines, marks):
            return
        found = {row[0]: row[1] for row in self._text(call).groupBy(SEGMENT).agg(F.count(F.lit(1))).collect()}
        for segment in segments:
            check_lines(segment, found.get(segment.path, 0))

    # --- what is apart ---------------------------------------------------------------------------------------------------------------------------

    def _ask(self, call: _Call, base: str, path: str) -> bool:
        """Writes Pydantic's word on every line that Spark was not sure of; whether one of them is good."""
        asked = self._read(call, base, [_APART])
        assert asked is not None
        doubtful = asked.where(F.col("_raw").isNotNull()).select(SEGMENT, "_place", "_raw")
        return _write_verdicts(path, Judge(self.contract), doubtful.toLocalIterator(prefetchPartitions=True))

    def _apart(self, call: _Call, base: str, judged: str | None) -> DataFrame | None:
        """The rows that break a rule or are parked, with their lines; None if there are none. `judged`: those of them that only Pydantic saw."""
        names = [*self._names(), self._column, SEGMENT, "_place", FAILED]
        found = self._read(call, base, [_APART])
        rows = None if found is None else found.where(F.col("_raw").isNull()).select(*names)
        if judged is not None:
            bad = self._identified(call, self._judged(call, judged)).select(*names)
            rows = bad if rows is None else rows.unionByName(bad)
        if rows is None:
            return None
        first = self._text(call).groupBy(SEGMENT).agg(F.min("_place").alias("_first"))
        return rows.join(F.broadcast(first), SEGMENT).withColumn(LINE, F.col("_place") - F.col("_first") + 1).drop("_place", "_first")

    # --- rows ------------------------------------------------------------------------------------------------------------------------------------

    def _finished(self, call: _Call, rows: DataFrame) -> DataFrame:
        """The rows in the staged form, with the folder each goes to; all null in one that is dropped, of which only the count is wanted."""
        late = F.col(SEGMENT).isin(call.parked) & F.col(FAILED).isNull()
        dropped = F.col("_verdict").isNotNull()
        part = F.when(dropped, _DROPPED).when(late, F.concat(F.lit(LATE), F.col(self._column)))
        part = part.when(F.col(FAILED).isNotNull(), F.concat(F.lit(BAD), F.col(self._column))).otherwise(F.col(self._column))
        kept = [F.when(~dropped, F.col(column.name)).alias(column.name) for column in self.contract.columns]
        return rows.select(*kept, self._column, FAILED, SEGMENT, LINE, "_verdict", "_lost", part.alias("_part"))

    def _private(self, call: _Call, rows: DataFrame) -> DataFrame:
        """Personal fields become pseudonyms and ciphertexts; what an erased person did before is dropped. `_lost`: values without their person."""
        lost = F.lit(0)
        for value in self._values:
            lost = lost + F.when(F.col(value.name).isNotNull() & F.col(self._owner(value).name).isNull(), 1).otherwise(0)
        rows = rows.withColumns({"_lost": lost, "_erased": F.lit(False)})
        for person in self._persons:
            values = [value for value in self._values if self._owner(value) is person]
            named = rows.where(F.col(person.name).isNotNull()).select(*(quoted(each.name) for each in (person, *values))).distinct()
            path = write_people(call.file(f"people-{person.name}"), self._deriver, self.contract.purpose, person, values, named.toArrow())
            theirs = call.session.read.schema(people_ddl(len(values))).parquet(path)
            same = F.col(person.name) == F.col("_of0")
            for place, value in enumerate(values, 1):
                same = same & F.col(value.name).eqNullSafe(F.col(f"_of{place}"))
            before = F.coalesce(F.col(self._time) < F.col(ERASED_AT), F.lit(False))
            shown = {value.name: F.col(f"_c{place}") for place, value in enumerate(values, 1)}
            rows = rows.join(theirs, same, "left").withColumns({"_erased": F.col("_erased") | before, person.name: F.col(PSEUDONYM), **shown})
            rows = rows.drop(*theirs.columns)
        return rows.withColumn("_verdict", F.when(F.col("_erased"), "erased"))

    def _names(self) -> list[str]:
        """The columns that the first job writes of a row, beside those that say what becomes of it."""
        own = [column.name for column in self.contract.columns]
        return own if self._event else [*own, self._time]

    @property
    def _time(self) -> str:
        """Where a line's time is: a column of an event's table, not of a source's."""
        return "time" if self._event else "_time"

    def _owner(self, value: WireField) -> WireField:
        assert value.personal is not None
        return next(person for person in self._persons if person.name == value.personal.of)

    @property
    def _deriver(self) -> Deriver:
        if self.deriver is None:
            raise RuntimeError(f"{self.contract.key} cannot be taken in without the vault: start it with ./backline up")
        return self.deriver

    # --- files -----------------------------------------------------------------------------------------------------------------------------------

    def _write(self, rows: DataFrame, base: str, mode: str, *, last: bool = True) -> None:
        """`last`: whether these files may become the table's, and are not read for another job."""
        (kept_writer if last else staged_writer)(rows).mode(mode).partitionBy("_part").parquet(base)

    def _read(self, call: _Call, base: str, parts: Sequence[str]) -> DataFrame | None:
        """What the first job wrote into these folders; None if it made none of them."""
        paths = _folders(call, base, parts)
        if not paths:
            return None
        personal = {each.name for each in (*self._persons, *self._values)}
        own = [f"{quoted(column.name)} {'STRING' if column.name in personal else column.type}" for column in self.contract.columns]
        times = [] if self._event else [f"{self._time} TIMESTAMP"]
        aside = [f"{self._column} STRING", f"{SEGMENT} STRING", "_place BIGINT", "_raw BINARY", f"{FAILED} ARRAY<STRING>"]
        return call.session.read.schema(", ".join([*own, *times, *aside])).parquet(*paths)

    def _counted(self, call: _Call, bases: Sequence[str]) -> dict[str, dict[str, int]]:
        """What became of lines that are no rows of the table, by partition; good and quarantined ones are the inspection's to count."""
        counts: dict[str, dict[str, int]] = {}
        for base in bases:
            paths = _folders(call, base, [_DROPPED, *(f"{LATE}{batch.key}" for batch in call.batches)])
            if not paths:
                continue
            read = call.session.read.schema(f"{self._column} STRING, _verdict STRING").parquet(*paths)
            for key, verdict, rows in read.groupBy(self._column, "_verdict").count().collect():
                counts.setdefault(key, {})[verdict or "parked"] = rows
        return counts

    def _lost(self, call: _Call, base: str) -> dict[str, int]:
        """Values without their person, by partition."""
        paths = _folders(call, base, [f"{lane}{batch.key}" for batch in call.batches for lane in ("", BAD, LATE)])
        if not paths or not self._values:
            return {}
        read = call.session.read.schema(f"{self._column} STRING, _lost INT").parquet(*paths)
        return {key: lost for key, lost in read.groupBy(self._column).agg(F.sum("_lost")).collect() if lost}


def _folders(call: _Call, base: str, parts: Sequence[str]) -> list[str]:
    """Those of the folders that there are: Spark makes none for what has no rows."""
    there = set(files_of(call.folder.root).names(base))
    return [f"{base}/_part={part}" for part in parts if f"_part={part}" in there]


def _write_verdicts(path: str, judge: Judge, asked: Iterator[Any]) -> bool:
    good = False
    with pq.ParquetWriter(path, _JUDGED, write_statistics=False) as writer:
        rows: list[tuple[str, int, str | None, tuple[str, ...] | None]] = []
        for segment, place, raw in asked:
            verdict = judge.judge(bytes(raw))
            good = good or not verdict.rules
            rows.append((segment, place, verdict.line, verdict.rules or None))
            if len(rows) == _CHUNK:
                _flush(writer, rows)
        _flush(writer, rows)
    return good


def _flush(writer: Any, rows: list[tuple[str, int, str | None, tuple[str, ...] | None]]) -> None:
    if rows:
        writer.write_table(pa.table([pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), _JUDGED, strict=True)], schema=_JUDGED))
        rows.clear()
