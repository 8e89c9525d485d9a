"""What an endpoint's function is given: its inputs at pinned versions. The one place where frames reach the author's code.

Which partitions are read is planning's word (`view_inputs`), so that "current" means the same here and there; this module asks the ledger for what is
published, pins the versions and makes the frames. Lineage will mark every column here (`mark`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import grpc
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from platform_defs.contracts.contract import AsOfInput, Contract
from platform_defs.contracts.partitions import partition_column, start_of
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.skipping import PERSONS
from platform_defs.execution.steps import Planned, Read, Waiting
from platform_defs.lake import delta_log
from platform_defs.lake.tables import empty_table, read_table
from platform_defs.planning.facts import Published
from platform_defs.planning.inputs import InputRead, InputsView, view_inputs
from platform_defs.planning.windows import first_key, keys_read

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Mark = Callable[[str, "DataFrame"], "DataFrame"]
_SPELLED = 6
# Rows that a range's inputs may have together to be kept in Spark's memory while it is computed.
_KEPT_ROWS = 1_000_000


class Inputs:
    """The inputs of one endpoint, for the partitions of one build."""

    def __init__(self, work: Work, platform: Platform, mark: Mark | None = None) -> None:
        """`mark`: called with each parameter and its frame; what it returns goes to the author's function."""
        self._work, self._platform, self._mark = work, platform, mark
        self._contract = work.declared.contract
        self._kept: dict[tuple[str, int], DataFrame] = {}

    def plan(self, keys: Sequence[str]) -> dict[str, Planned | Waiting]:
        """What each partition reads now, by the ledger alone; waiting where something is not published."""
        unknown = sorted({item.endpoint for item in self._contract.inputs} - self._work.contracts.keys())
        if unknown:
            why = f"{', '.join(unknown)} is not in the registry: run `backline apply`"
            return {key: Waiting(key, tuple(unknown), why) for key in keys}
        published = self._published(keys)
        own = self._pins(keys)

        def content(endpoint: str, key: str) -> bytes | None:
            found = published.get(endpoint, {}).get(key)
            return None if found is None else found.content

        plans: dict[str, Planned | Waiting] = {}
        heads: dict[str, int] = {}
        for key in keys:
            view = view_inputs(self._contract, key, self._work.contracts, content, own.get(key))
            plans[key] = self._planned(key, view, published, heads) if view.complete else _waiting(key, view)
        return plans

    @contextmanager
    def shared(self, planned: Sequence[Planned], session: SparkSession) -> Iterator[None]:
        """While this is open, what these partitions read is looked up in Delta's log and read once for all of them, where it is little enough to be kept.

        Of 24 hours of 500 rows, each read by itself, Spark spent four fifths of its time finding their files.
        """
        rows = [each.rows_in for each in planned]
        if len(planned) > 1 and sum(each if each is not None else _KEPT_ROWS for each in rows) < _KEPT_ROWS:
            wanted: dict[tuple[str, int], set[str]] = {}
            for read in (read for each in planned for read in each.reads):
                if read.version is not None:
                    wanted.setdefault((read.endpoint, read.version), set()).update(read.keys)
            self._kept = {place: self._read_in(session, *place, sorted(keys)).persist() for place, keys in wanted.items()}
        try:
            yield
        finally:
            kept, self._kept = self._kept, {}
            for frame in kept.values():
                with suppress(PySparkException, grpc.RpcError):  # the server is gone, and what it kept with it
                    frame.unpersist()

    def frames(self, planned: Sequence[Planned], session: SparkSession) -> dict[str, DataFrame]:
        """One frame a parameter: the input's contract columns and its partition column, all rows of the planned partitions' windows together."""
        frames: dict[str, DataFrame] = {}
        for index, item in enumerate(self._contract.inputs):
            reads = [each.reads[index] for each in planned]
            keys = sorted({key for read in reads for key in read.keys})
            versions = [read.version for read in reads if read.version is not None]
            frame = self._frame(session, self._work.contracts[item.endpoint], keys, max(versions) if versions else None)
            frames[item.param] = frame if self._mark is None else self._mark(item.param, frame)
        return frames

    def _frame(self, session: SparkSession, contract: Contract, keys: Sequence[str], version: int | None) -> DataFrame:
        if version is None:  # all of it lies before the input's start: complete, and empty
            return empty_table(session, contract)
        kept = self._kept.get((contract.key, version))
        return self._read_in(session, contract.key, version, keys) if kept is None else kept.where(F.col(partition_column(contract.cadence)).isin(list(keys)))

    def _read_in(self, session: SparkSession, endpoint: str, version: int, keys: Sequence[str]) -> DataFrame:
        contract = self._work.contracts[endpoint]
        column = partition_column(contract.cadence)
        frame = read_table(session, self._platform.lake.table(endpoint), version, keys, column)
        # Columns that left the contract stay in the table, null: authors see the contract.
        return frame.select(*(each.name for each in contract.columns), column)

    def _published(self, keys: Sequence[str]) -> dict[str, dict[str, Published]]:
        """What is published of all that any of the partitions may read: one look at the ledger an endpoint."""
        wanted: dict[str, set[str]] = {}
        for item in self._contract.inputs:
            read = self._work.contracts[item.endpoint]
            start = start_of(first_key(read))
            candidates = {each for key in keys for each in keys_read(item, key, read.cadence) if start_of(each) >= start}
            wanted.setdefault(item.endpoint, set()).update(candidates)
        return {endpoint: self._platform.ledger.partitions.published(endpoint, sorted(each)) if each else {} for endpoint, each in wanted.items()}

    def _pins(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """The `as_of` choices of the last publishes: a rebuild keeps them, unless a person asked for it."""
        if self._work.trigger in PERSONS or not any(isinstance(item, AsOfInput) for item in self._contract.inputs):
            return {}
        return {key: version.pins for key, version in self._platform.ledger.partitions.published(self._contract.key, keys).items()}

    def _planned(self, key: str, view: InputsView, published: Mapping[str, Mapping[str, Published]], heads: dict[str, int]) -> Planned:
        reads = tuple(self._read(read, published[read.endpoint], heads) for read in view.reads)
        rows = sum(published[read.endpoint][each].rows for read in view.reads for each in read.keys)
        return Planned(key, view.digest, reads, pins=view.pins, rows_in=rows)

    def _read(self, read: InputRead, published: Mapping[str, Published], heads: dict[str, int]) -> Read:
        """The read at the newest version that still holds all its input's partitions as the ledger knows them."""
        if not read.keys:
            return Read(read.endpoint, (), None, read.pinned)
        if read.endpoint not in heads:
            versions = {key: version.version for key, version in published.items()}
            heads[read.endpoint] = delta_log.pinned(self._platform.lake.table(read.endpoint), versions)
        return Read(read.endpoint, read.keys, heads[read.endpoint], read.pinned)


def _waiting(key: str, view: InputsView) -> Waiting:
    names = tuple(str(missing) for missing in view.missing)
    more = f" and {len(names) - _SPELLED} more" if len(names) > _SPELLED else ""
    return Waiting(key, names, f"not published yet: {', '.join(names[:_SPELLED])}{more}")
