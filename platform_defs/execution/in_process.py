"""From landed lines to staged rows in the run's own process: partitions of up to half a million lines. The same rows and counts as cleaning's, by test.

Spark has to be told what to do (eight jobs, 1.7 s of processor time), makes a reader of 8 kB for each line, and sorts whole rows to tell copies apart: 26 us
a line. Arrow reads as much at a time as a partition has, and here raw values leave this process in no file: what is written is what is staged.
"""

from __future__ import annotations

import codecs
import os
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from platform_defs.contracts.contract import Contract, WireField
from platform_defs.contracts.partitions import partition_column, window_of
from platform_defs.execution.arrow_lines import INSTANT, ArrowForm, instants, member, split
from platform_defs.execution.batches import BAD, LATE, OTHER_PARTITION, Batch, Cleaned, SegmentDamaged, check_lines, cleaned
from platform_defs.execution.memory import MemoryBudget
from platform_defs.execution.platform import Cancelled
from platform_defs.execution.steps import FAILED, LINE, SEGMENT, StepRun
from platform_defs.execution.validation import Judge
from platform_defs.lake.landing import LandingStore, Segment
from platform_defs.lake.staging import write_frame
from platform_defs.privacy.deriving import ERASED_AT, PSEUDONYM, Wanted
from platform_defs.privacy.identity import event_ids
from platform_defs.privacy.vault import VaultUnavailable
from platform_defs.privacy.workers import Deriver

_LINE_BYTES, _DOUBTFUL_LINE_BYTES = 2_000, 4_000
"""Memory that a line takes while its partition is cleaned, beside three times its text: measured, with a person and a value, and where Pydantic says all."""
MOST_DOUBTFUL_LINES = 100_000  # of a partition of which Pydantic judges every line: he takes 25 us for one, as Spark does, but one after another
_TOGETHER_BYTES = 250_000_000  # of smaller partitions several are cleaned at once: the vault is asked once for all of them
_READ_BYTES = 32 << 20  # of text that is read at a time
_MOST_THREADS = 4
_PARKED = "_parked"
_Thing = TypeVar("_Thing")


@dataclass(repr=False)
class _Partition:
    """A partition that is being cleaned.

    Attributes:
        rows: what is left of its lines (see `InProcess._rows`), in the order in which the first copy wins: by segment and line.
        counts: what became of the others.
    """

    batch: Batch
    rows: Any
    counts: Counter[str]

    def drop(self, places: Any, why: str) -> None:
        """Takes these rows out: a mask, as numpy has it."""
        if number := int(places.sum()):
            self.counts[why] += number
            self.rows = self.rows.filter(pa.array(~places))


class InProcess:
    """Cleans partitions of one contract.

    Args:
        deriver: needed for events (the vault names them) and wherever a field is personal.
        memory: what all who clean in this process share.
    """

    def __init__(self, contract: Contract, landing: LandingStore, deriver: Deriver | None, memory: MemoryBudget) -> None:
        self._contract, self._landing, self._given, self._budget = contract, landing, deriver, memory
        self._event = contract.kind == "event"
        self._column = partition_column(contract.cadence)
        self._judge, self._form = Judge(contract), ArrowForm.of(contract)
        self._fields = {field.name: field for field in contract.fields}
        self._persons = [f for f in contract.fields if f.personal is not None and f.personal.of is None]
        self._values = [f for f in contract.fields if f.personal is not None and f.personal.of is not None]
        self._sizes: dict[str, int] = {}
        self._stopped = threading.Event()

    def fits(self, batch: Batch) -> bool:
        """Whether a partition can be cleaned here: half a million lines of 250 bytes can."""
        lines = sum(segment.rows for segment in batch.segments)
        return self._memory([batch]) <= self._budget.size and (self._form.quick or lines <= MOST_DOUBTFUL_LINES)

    def clean(self, batches: Sequence[Batch], run: StepRun, name: str) -> dict[str, Cleaned | Exception]:
        """Stages the partitions, below a folder of this name; what one of them raises is its answer and holds no other back.

        SegmentDamaged: a segment is not as its manifest says. zlib.error: it is no gzip. Whatever the vault and the disk raise.

        Raises:
            Cancelled: the run is being cancelled.
        """
        groups = list(_together(batches, lambda batch: self._memory([batch]), _TOGETHER_BYTES))
        work = partial(self._each, run=run, base=f"{run.staging}/{name}")
        if len(groups) <= 1:
            return {key: done for group in groups for key, done in work(group).items()}
        # Arrow and zlib let other threads run meanwhile.
        pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
        try:
            return {key: done for group in pool.map(work, groups) for key, done in group.items()}
        finally:
            self._stopped.set()  # where this is left by an interrupt, the threads are still at it
            pool.shutdown(cancel_futures=True)

    def _each(self, batches: Sequence[Batch], run: StepRun, base: str) -> Mapping[str, Cleaned | Exception]:
        """Partitions that are cleaned together; where that fails, each by itself, unless it would fail as they do."""
        try:
            with self._budget.taken(self._memory(batches), partial(self._go_on, run)):
                return self._cleaned(batches, run, base)
        except Exception as error:  # noqa: BLE001 - whatever it is: told of the partition that raised it
            if len(batches) == 1 or isinstance(error, VaultUnavailable):
                return {batch.key: error for batch in batches}
        return {key: done for number, batch in enumerate(batches) for key, done in self._each([batch], run, f"{base}.{number}").items()}

    def _cleaned(self, batches: Sequence[Batch], run: StepRun, base: str) -> dict[str, Cleaned]:
        began = time.monotonic()
        partitions = [self._partition(batch, run) for batch in batches]
        self._name_people(partitions)
        self._go_on(run)
        found = [(each.batch, self._staged(each, base), each.counts) for each in partitions]
        seconds = (time.monotonic() - began) / len(batches)
        return {batch.key: cleaned(batch, base, {"landed": 0, **+counts}, lost, seconds) for batch, lost, counts in found}

    def _go_on(self, run: StepRun) -> None:
        """Raises Cancelled where nobody waits for the answer any more."""
        if self._stopped.is_set() or run.cancelled():
            raise Cancelled(f"run {run.run_id} is being cancelled")

    def _memory(self, batches: Sequence[Batch]) -> int:
        """Bytes of memory that cleaning these takes, about."""
        segments = [segment for batch in batches for segment in batch.segments]
        line = _LINE_BYTES if self._form.quick else _DOUBTFUL_LINE_BYTES
        return sum(3 * self._text_bytes(segment) + line * segment.rows for segment in segments)

    def _text_bytes(self, segment: Segment) -> int:
        """How long a segment's text is, as its file's end says; 0 if there is no file: who reads it will say so."""
        if segment.path not in self._sizes:
            try:
                with open(self._landing.path(segment.path), "rb") as file:
                    file.seek(-4, os.SEEK_END)
                    self._sizes[segment.path] = int.from_bytes(file.read(4), "little")
            except OSError:
                return 0
        return self._sizes[segment.path]

    # --- lines -----------------------------------------------------------------------------------------------------------------------------------

    def _partition(self, batch: Batch, run: StepRun) -> _Partition:
        parts = []
        for some in _together(sorted(batch.segments, key=lambda each: each.path), self._text_bytes, _READ_BYTES):
            self._go_on(run)
            parts.append(self._rows(some, batch))
        rows = pa.concat_tables(parts) if parts else self._rows([], batch)
        partition = _Partition(batch, rows, Counter(landed=len(rows)))
        if self._event:
            self._drop_copies(partition)
        return partition

    def _rows(self, segments: Sequence[Segment], batch: Batch) -> Any:
        """The lines of segments, in the same order: their text in the one spelling, parts of the envelope, fields (`=name`; personal ones as texts), where
        each came from, the rules it breaks (null: none), and whether it is parked."""
        table, broken = self._judged(self._lines(segments))
        if self._event:
            broken |= {place: (*broken.get(place, ()), OTHER_PARTITION) for place in _outside(table["time"], batch.key)}
        places = np.repeat(np.arange(len(segments)), [segment.rows for segment in segments])
        origin = {
            SEGMENT: pa.array([segment.path for segment in segments], pa.string()).take(pa.array(places)),
            LINE: pa.array(np.concatenate([np.zeros(0, np.int64), *(np.arange(1, segment.rows + 1) for segment in segments)]), pa.int64()),
            FAILED: pa.array([broken.get(place) for place in range(len(table))], pa.list_(pa.string())),
            _PARKED: pa.array(np.array([segment.path in batch.parked for segment in segments], bool)[places]),
        }
        return pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **origin})

    def _judged(self, lines: Any) -> tuple[Any, dict[int, tuple[str, ...]]]:
        """What lines say (`_table`), Arrow's where they are good without a doubt, else Pydantic's; and the rules they break, by place."""
        sure, records = self._form.sure(lines)
        table, [doubtful] = self._table(lines.filter(pa.array(sure)), records), np.nonzero(~sure)
        if not len(doubtful):
            return table, {}
        asked = [line.removesuffix(b"\n") for line in lines.take(pa.array(doubtful)).to_pylist()]
        verdicts = [self._judge.judge(line) for line in asked]
        told = [verdict.line or "{}" for verdict in verdicts]
        # As it stands where it is spelled as it should be: a copy of it that is sure is compared with it.
        texts = [line if self._event and self._form.spells(line) else text.encode() for line, text in zip(asked, told, strict=True)]
        both = pa.concat_tables([table, self._table(pa.array(texts, pa.binary()), self._form.told(told))])
        order = np.argsort(np.concatenate([np.nonzero(sure)[0], doubtful]))
        broken = {int(place): verdict.rules for place, verdict in zip(doubtful, verdicts, strict=True) if verdict.rules}
        return both.take(pa.array(order)), broken

    def _lines(self, segments: Sequence[Segment]) -> Any:
        """All lines, each with its end; raises SegmentDamaged."""
        found = [pa.array([], pa.binary())]
        for segment in segments:
            packed = Path(self._landing.path(segment.path)).read_bytes()
            lines = split(_unpacked(segment, packed).removeprefix(codecs.BOM_UTF8))  # as Spark's reader does
            check_lines(segment, len(lines))
            found.append(lines)
        return pa.concat_arrays(found)

    def _table(self, lines: Any, records: Any) -> Any:
        columns = {"_text": lines, "_client": member(records, "client"), "_id": member(records, "id")}
        columns |= {name: instants(member(records, name)) for name in ("time", "received_at")}
        return pa.table({**columns, **{f"={name}": values for name, values in self._form.columns(records).items()}})

    # --- rows ------------------------------------------------------------------------------------------------------------------------------------

    def _drop_copies(self, partition: _Partition) -> None:
        """Names the events, and drops all but the first copy of each that is good and not parked."""
        rows = partition.rows
        ids = event_ids(self._deriver.vault.event_key, self._contract.key, rows["_client"], rows["_id"])
        taking_part = np.asarray(_good(rows)) & ~np.asarray(rows[_PARKED])
        first, duplicates, conflicts = dict[bytes, int](), np.zeros(len(rows), bool), np.zeros(len(rows), bool)
        for place, (event, fine) in enumerate(zip(ids, taking_part.tolist(), strict=True)):
            if fine and event is not None and (winner := first.setdefault(event, place)) != place:
                (duplicates if _payload(rows, place) == _payload(rows, winner) else conflicts)[place] = True
        partition.rows = rows.drop_columns(["_text", "_client", "_id"]).append_column("event_id", pa.array(ids, pa.binary()))
        partition.drop(duplicates, "duplicate")
        partition.drop(conflicts[~duplicates], "conflict")

    def _name_people(self, partitions: Sequence[_Partition]) -> None:
        """Adds what tables hold instead of personal fields (`*name`): of all these partitions at once, of everybody and everything once. Drops what those did
        who were erased since."""
        erased = [np.zeros(len(each.rows), bool) for each in partitions]
        for person in self._persons:
            values = [value for value in self._values if _owner(value) == person.name]
            named = pa.concat_tables([each.rows.select([f"={field.name}" for field in (person, *values)]) for each in partitions])
            theirs, start = self._derived(Wanted.of(person, values, self._contract.purpose), named.combine_chunks()), 0
            for place, partition in enumerate(partitions):
                mine, start = theirs.slice(start, len(partition.rows)), start + len(partition.rows)
                erased[place] |= np.asarray(pc.fill_null(pc.less(partition.rows["time"], mine[ERASED_AT]), False))
                partition.rows = partition.rows.append_column(f"*{person.name}", mine[PSEUDONYM])
                for value in values:
                    partition.rows = partition.rows.append_column(f"*{value.name}", mine[value.name])
        for partition, places in zip(partitions, erased, strict=True):
            partition.drop(places, "erased")

    def _derived(self, wanted: Wanted, named: Any) -> Any:
        """`derived` of rows that may be alike, and of which some name nobody: nothing is told of these."""
        first, row_of = _unlike(named)
        unlike = named.take(pa.array(first))
        somebody = np.asarray(unlike[0].is_valid())
        answer_of = np.cumsum(somebody) - 1
        answers = self._deriver.derived(wanted, unlike.filter(pa.array(somebody)))
        return answers.take(pa.array(answer_of[row_of], mask=~somebody[row_of]))

    # --- frames ----------------------------------------------------------------------------------------------------------------------------------

    def _staged(self, partition: _Partition, base: str) -> int:
        """Writes the partition's rows, and those for its late lane; how many values are without their person."""
        key, rows, counts = partition.batch.key, partition.rows, partition.counts
        good, frame = _good(rows), self._frame(key, rows)
        late = pc.and_(good, rows[_PARKED])
        counts["parked"] = pc.sum(late).as_py() or 0
        for lane, mine in (("", pc.and_not(good, late)), (BAD, pc.invert(good)), (LATE, late)):
            if pc.any(mine).as_py():
                chosen = frame.filter(mine)
                write_frame(f"{base}/_part={lane}{key}", chosen if lane else chosen.drop_columns([FAILED, SEGMENT, LINE]))
        lost = (pc.and_(rows[f"={value.name}"].is_valid(), rows[f"={_owner(value)}"].is_null()) for value in self._values)
        return sum(pc.sum(each).as_py() or 0 for each in lost)

    def _frame(self, key: str, rows: Any) -> Any:
        """The rows in the staged form (see steps): where each came from, and what it breaks."""
        columns: dict[str, Any] = {}
        for column in self._contract.columns:
            field = self._fields.get(column.name)
            columns[column.name] = rows[column.name if field is None else f"={field.name}" if field.personal is None else f"*{field.name}"]
        columns[self._column] = pa.array([key] * len(rows), pa.string())
        return pa.table({**columns, FAILED: rows[FAILED], SEGMENT: rows[SEGMENT], LINE: rows[LINE]})

    @property
    def _deriver(self) -> Deriver:
        if self._given is None:
            raise RuntimeError(f"{self._contract.key} cannot be taken in without the vault: start it with ./backline up")
        return self._given


def _unpacked(segment: Segment, packed: bytes) -> bytes:
    """A segment's text, no longer than its end says it is. Raises SegmentDamaged."""
    unpacker, size = zlib.decompressobj(31), int.from_bytes(packed[-4:], "little")
    text = unpacker.decompress(packed, size + 1)
    if not unpacker.eof or unpacker.unused_data or len(text) != size:
        raise SegmentDamaged(f"{segment.path} is not the whole gzip file that was sealed: restore the segment")
    return text


def _together(things: Sequence[_Thing], size_of: Callable[[_Thing], int], most: int) -> Iterator[list[_Thing]]:
    """The things in their order, as many at a time as are no larger together; one that is larger alone."""
    group, size = list[_Thing](), 0
    for thing in things:
        mine = size_of(thing)
        if group and size + mine > most:
            yield group
            group, size = [], 0
        group.append(thing)
        size += mine
    if group:
        yield group


def _outside(times: Any, key: str) -> list[int]:
    """The places of events whose time is known and not in the partition."""
    window = window_of(key)
    inside = pc.and_(pc.greater_equal(times, pa.scalar(window.start, INSTANT)), pc.less(times, pa.scalar(window.end, INSTANT)))
    return [int(place) for place in np.nonzero(~np.asarray(pc.fill_null(inside, True)))[0]]


def _good(rows: Any) -> Any:
    """Which rows break no rule."""
    return rows[FAILED].is_null()


def _unlike(table: Any) -> tuple[Any, Any]:
    """The rows of a table of texts that are unlike each other: the place of the first of each, and for every row which of them it is like."""
    first = row_of = np.zeros(len(table), np.int64)
    for column in table.itercolumns():
        [texts] = column.dictionary_encode().chunks or [pa.array([], pa.string()).dictionary_encode()]
        codes = np.asarray(pc.fill_null(texts.indices, len(texts.dictionary)), np.int64)
        _, first, row_of = np.unique(row_of * (len(texts.dictionary) + 1) + codes, return_index=True, return_inverse=True)
    return first, row_of


def _payload(rows: Any, place: int) -> tuple[Any, bytes]:
    """What two copies have in common, or not."""
    text: bytes = rows["_text"][place].as_py()
    return rows["time"][place].value, text[text.index(b',"data":') :].rstrip(b"\n")


def _owner(value: WireField) -> str:
    assert value.personal is not None
    assert value.personal.of is not None
    return value.personal.of
