"""Builds of one run side by side: a bounded pool works ahead of the run's steps, and each step fetches the answer for its own asset.

A run's steps come one after another (one process a run), so without this the engine idles while a step is told to Dagster, and many small assets cost
the sum of their waits. An asset is taken once all of its upstreams in the run are published; one whose upstream failed is left alone, as its step is
skipped. What a build does is building's; leases, fences and the ledger know nothing of the pool.

Meant for executors that keep a run in one process: in several, each would build everything.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from graphlib import TopologicalSorter
from types import TracebackType

from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.results import PartitionResult

Build = Callable[[Work, Platform], Sequence[PartitionResult]]

THREADS = 3
_INTERRUPT_AGAIN_SECONDS = 0.5
# An author's function that asks nothing of Spark cannot be interrupted; its lease stays with the run, and whoever takes it over stops the session first.
_END_SECONDS = 30.0


class Overlap:
    """The builds of one run. Made before its first step, closed after its last; on leaving, whatever still builds is cancelled.

    Args:
        threads: how many assets are built at a time. Each computes up to three partitions at a time, so two or three fill the cores.
    """

    def __init__(self, platform: Platform, threads: int = THREADS) -> None:
        self._platform, self._threads = platform, threads
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._sorter: TopologicalSorter[str] | None = None
        self._works: dict[str, Work] = {}
        self._run_id = ""
        self._futures: dict[str, Future[Sequence[PartitionResult]]] = {}
        self._fetched: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Overlap:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def results(self, work: Work, together: Callable[[], Sequence[Work]], build: Build) -> Sequence[PartitionResult]:
        """What became of one asset's partitions; raises what its build raised.

        Args:
            work: of the step that asks.
            together: all works of the run, asked once; from then on the pool takes those it can.
            build: builds one work. It may be called in several threads.
        """
        if self._sorter is None:
            self._begin(together(), build)
        key = work.declared.contract.key
        future = self._futures.get(key)
        if future is None or key in self._fetched:  # a run of one asset, or a step that is tried again
            return build(work, self._platform)
        self._fetched.add(key)
        try:
            wait([future])
        except BaseException:  # interrupted: this run's builds end before its step does
            self.close()
            raise
        return future.result()

    def close(self) -> None:
        """Cancels what still builds and waits until it has ended. Harmless to repeat, and when nothing builds."""
        self._cancelled.set()
        if self._pool is None:
            return
        with self._lock:
            self._pool.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + _END_SECONDS
        # Again and again: a build may be between two questions to the engine when it is interrupted.
        while (left := [future for future in self._futures.values() if not future.done()]) and time.monotonic() < until:
            for engine in self._platform.engines.engines():
                with contextlib.suppress(Exception):  # an engine that is gone runs nothing
                    engine.interrupt(self._run_id)
            wait(left, _INTERRUPT_AGAIN_SECONDS)

    def _begin(self, works: Sequence[Work], build: Build) -> None:
        self._works = {work.declared.contract.key: replace(work, cancelled=self._cancelled.is_set) for work in works}
        self._sorter = TopologicalSorter({key: self._upstreams(work) for key, work in self._works.items()})
        self._sorter.prepare()
        if len(self._works) > 1:
            self._run_id = works[0].run_id
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="build")
            self._take(build)

    def _upstreams(self, work: Work) -> set[str]:
        key = work.declared.contract.key
        return {read.endpoint for read in work.declared.contract.inputs if read.endpoint in self._works and read.endpoint != key}

    def _take(self, build: Build, published: str | None = None) -> None:
        """Gives the pool what can be built now that one more asset is published."""
        with self._lock:
            if self._cancelled.is_set():
                return
            assert self._sorter is not None
            assert self._pool is not None
            if published is not None:
                self._sorter.done(published)
            for key in self._sorter.get_ready():
                self._futures[key] = self._pool.submit(self._one, key, build)

    def _one(self, key: str, build: Build) -> Sequence[PartitionResult]:
        results = build(self._works[key], self._platform)
        if all(result.good for result in results):
            self._take(build, key)  # before its own step can be told, so that the steps after it find themselves taken
        return results
