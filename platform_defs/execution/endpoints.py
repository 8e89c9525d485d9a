"""The compute step of an endpoint: the author's function on its inputs at pinned versions, staged two or three partitions at a time.

Which partitions are read is in inputs, how the function's answer is judged is in calling.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F

from platform_defs.contracts.endpoints import EndpointDef
from platform_defs.contracts.partitions import partition_column
from platform_defs.execution.calling import blame_of, call, compiled_of, shaped, ship_helpers
from platform_defs.execution.inputs import Inputs
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.results import Failure
from platform_defs.execution.steps import Planned, Staged, StepRun, Waiting
from platform_defs.lake.engine import Zone
from platform_defs.lake.files import files_of
from platform_defs.lake.staging import kept_writer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from platform_defs.execution.quality.compile import Compiled

# Below this many input rows one file a partition is written: what a shuffle's tasks would write apart, readers and Delta would list for ever.
_ONE_FILE_ROWS = 2_000_000
# A range that was computed in one go is written into a folder a partition.
_PART = "_part"


class EndpointStep:
    """Computes an endpoint's partitions with its author's function."""

    zone: Zone = "lake"

    def __init__(self, work: Work, platform: Platform) -> None:
        declaration = work.declared.declaration
        if not isinstance(declaration, EndpointDef):
            raise TypeError(f"{work.declared.contract.key} is no endpoint")
        self._work, self._platform = work, platform
        self._contract = work.declared.contract
        self._function = declaration.fn
        self._blame = blame_of(work.declared)
        self._inputs = Inputs(work, platform)
        self._compiled: Compiled | None = None

    def plan(self, keys: Sequence[str]) -> Mapping[str, Planned | Waiting | Failure]:
        """What each key reads, at which versions; waiting where an input is not there."""
        return self._inputs.plan(keys)

    def compute(self, planned: Sequence[Planned], run: StepRun) -> Mapping[str, Staged | Waiting | Failure]:
        """Calls the function and stages what it answers; a ranged function is called once for all, and one by one if that fails."""
        self._compiled = compiled_of(self._work.declared)
        ship_helpers(self._function)
        staged: dict[str, Staged | Waiting | Failure] = {}
        if self._contract.ranged:
            for group in _of_equal_pins(planned):
                staged |= self._together(group, run) if len(group) > 1 else {}
        planned = [each for each in planned if each.key not in staged]
        with (
            self._inputs.shared(planned, run.session),
            ThreadPoolExecutor(max_workers=max(1, min(run.threads, len(planned))), thread_name_prefix="compute") as pool,
        ):
            pending = {each.key: pool.submit(self._one, each, run) for each in planned}
            try:
                return staged | {key: future.result() for key, future in pending.items()}
            except BaseException:  # cancelled: the threads wait for Spark, so Spark is told first
                pool.shutdown(wait=False, cancel_futures=True)
                self._platform.engines.engine(self.zone).interrupt(run.run_id)
                raise

    def published(self, keys: Sequence[str], run: StepRun) -> Mapping[str, Mapping[str, str]]:
        """Nothing: an endpoint has no other lane."""
        return {}

    def close(self) -> None:
        """Nothing is kept."""

    def _one(self, planned: Planned, run: StepRun) -> Staged | Failure:
        """One partition, in a thread of its own."""
        assert self._compiled is not None
        began = time.monotonic()
        engine = self._platform.engines.engine(self.zone)
        path = run.frame_path(planned.key)
        try:
            session = engine.session(run.run_id)  # makes it this thread's active one, which pandera and some functions ask for
            with engine.tagged(session, run.run_id, self._contract.key, planned.key):
                answer = call(self._function, self._inputs.frames([planned], session), self._blame, planned.key)
                if isinstance(answer, Failure):
                    return answer
                frame = shaped(answer, self._contract, self._compiled, self._blame, planned.key)
                if isinstance(frame, Failure):
                    return frame
                counted = Observation()
                rows = _compact(frame, planned.rows_in).observe(counted, F.count(F.lit(1)).alias("rows"))
                kept_writer(rows).parquet(path)
        except Exception as error:  # noqa: BLE001 - the author's plan runs here: its errors are his, and this partition's alone
            return self._blame.raised(planned.key, error)
        seconds, number = time.monotonic() - began, counted.get.get("rows")
        return Staged(planned.key, path, seconds=seconds, has_failed=bool(self._compiled.quarantining), rows=number, alone=True)

    def _together(self, planned: Sequence[Planned], run: StepRun) -> dict[str, Staged]:
        """All partitions in one call and one folder; none if that fails, so that each is tried by itself and fails by itself."""
        assert self._compiled is not None
        began = time.monotonic()
        engine = self._platform.engines.engine(self.zone)
        keys = [each.key for each in planned]
        words = f"{keys[0]}..{keys[-1]}"
        with engine.tagged(run.session, run.run_id, self._contract.key, words):
            try:
                answer = call(self._function, self._inputs.frames(planned, run.session), self._blame, words)
                frame = answer if isinstance(answer, Failure) else shaped(answer, self._contract, self._compiled, self._blame, words, ranged=True)
                if isinstance(frame, Failure):
                    return {}
                base = run.frame_path(words)
                kept_writer(frame.withColumn(_PART, F.col(partition_column(self._contract.cadence)))).partitionBy(_PART).parquet(base)
                folders = {key: f"{base}/{_PART}={key}" for key in keys}
                files, there = files_of(base), {f"{base}/{name}" for name in files_of(base).names(base) if name.startswith(_PART)}
                if there - set(folders.values()):
                    return {}  # rows of partitions that were not asked for: alone, the one that answers them is found
                for folder in set(folders.values()) - there:
                    files.make_folder(folder)
            except Exception:  # noqa: BLE001 - each partition is tried by itself next, and says for itself what is wrong
                return {}
        seconds = (time.monotonic() - began) / len(keys)
        failed = bool(self._compiled.quarantining)
        return {key: Staged(key, folder, seconds=seconds, has_failed=failed, alone=True) for key, folder in folders.items()}


def _of_equal_pins(planned: Sequence[Planned]) -> list[list[Planned]]:
    """Partitions that read the same snapshots: only they can be computed in one call."""
    groups: dict[tuple[tuple[str, str], ...], list[Planned]] = {}
    for each in planned:
        groups.setdefault(tuple(sorted(each.pins.items())), []).append(each)
    return list(groups.values())


def _compact(frame: DataFrame, rows_in: int | None) -> DataFrame:
    return frame.coalesce(1) if rows_in is not None and rows_in < _ONE_FILE_ROWS else frame
