"""What is past its retention and belongs to no endpoint, and what killed runs left behind. Done for all domains at once.

Landing, failed log, records, private run logs, output that Dagster captured and the ledger's history go by age; private files and staging with their run.

Of landing the ledger is told first, then files go, then manifests, then the ledger's word of them: interrupted anywhere, the next call finds the rest.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.durations import seconds_of
from platform_defs.contracts.policies import Lateness
from platform_defs.execution.failures import first_line
from platform_defs.execution.platform import Platform
from platform_defs.lake import staging
from platform_defs.lake.files import files_of
from platform_defs.lake.landing import manifest_path
from platform_defs.lake.retention import (
    ExpiredSeal,
    drop_failed,
    drop_records,
    drop_seals,
    expired_failed,
    expired_records,
    expired_seals,
    first_kept,
)
from platform_defs.ledger.attempts import KEEP_DAYS
from platform_defs.ledger.forgetting import ExpiredSegments
from platform_defs.privacy import pseudonyms

# A run that builds holds leases. Between two of them it may wait ten minutes for another run, or look for hours at what a vendor has: it gets a day.
_BETWEEN_LEASES = timedelta(days=1)
_SPELLED = 3
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Dropped:
    """What was dropped of one thing, or would be.

    Attributes:
        what: key of an endpoint, or the name of a store.
        said: in words; empty if nothing was dropped.
        counts: in numbers, `bytes` of files among them.
        trouble: why not all of it was dropped; the next call tries again.
        warning: what somebody should know.
    """

    what: str
    said: str
    counts: Mapping[str, int] = field(default_factory=dict)
    trouble: str | None = None
    warning: str | None = None

    @property
    def line(self) -> str:
        """The whole in one line."""
        parts = [self.said, self.warning, f"failed: {self.trouble}" if self.trouble else None]
        return f"{self.what}: {'; '.join(part for part in parts if part)}"


Tell = Callable[[Dropped], None]


def attempted(what: str, work: Callable[[], Dropped | None]) -> Dropped | None:
    """What the work answers; a trouble where it raises, so that one thing's trouble does not stop the others."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - files, Postgres, Spark: whatever it is, it is this thing's alone; no text of theirs holds a value
        return Dropped(what, "", trouble=f"{type(error).__name__}: {first_line(error)}")


def sweep_shared(platform: Platform, now: datetime, *, dry_run: bool, tell: Tell) -> tuple[Dropped, ...]:
    """Drops what is past its retention in all that belongs to no endpoint; an entry for each store of which something was.

    Args:
        dry_run: says what would be dropped, drops nothing.
        tell: is given each entry as it is done.
    """
    registry = platform.ledger.registry
    # What is declared no more was promised all the same.
    sweep = _Sweep(platform, now, {**registry.retired(), **registry.current()}, dry_run)
    stores = {
        "landing": sweep.landing,
        "failed log": sweep.failed,
        "records": sweep.records,
        "run logs": sweep.run_logs,
        "private files": sweep.private,
        "staging": sweep.staged,
        "captured output": sweep.captured,
        "ledger": sweep.history,
    }
    done = []
    for what, work in stores.items():
        entry = attempted(what, work)
        if entry is not None:
            done.append(entry)
            tell(entry)
    return tuple(done)


@dataclass(frozen=True)
class _Sweep:
    """One sweep over all stores; each method answers None where nothing is past its retention."""

    platform: Platform
    now: datetime
    contracts: Mapping[str, Contract]
    dry_run: bool

    @property
    def _kept(self) -> dict[str, int]:
        """Seconds that raw rows are kept in landing, by event type and source."""
        return {key: contract.lateness.landing_seconds for key, contract in self.contracts.items() if contract.lateness is not None}

    @property
    def _otherwise(self) -> int:
        """Seconds that raw values of no known type are kept: as long as those of a type that says nothing."""
        return seconds_of(Lateness().landing)

    def landing(self) -> Dropped | None:
        landing, forgetting, kept = self.platform.landing, self.platform.ledger.forgetting, self._kept
        if not Path(landing.root).is_dir():
            return Dropped("landing", "", trouble=f"{landing.root} is not there: mount it, nothing of it was forgotten") if kept else None
        cutoffs = {key: (self.contracts[key], self.now - timedelta(seconds=seconds)) for key, seconds in kept.items()}
        known = forgetting.expired_segments(cutoffs)
        recorded = forgetting.recorded_seals(self.now - timedelta(seconds=min([self._otherwise, *kept.values()])))
        found, unread = self._seals(kept)
        mine = [each for each in found if (each.receiver, each.seal) in recorded]
        if not self.dry_run:
            forgetting.forget_segments(cutoffs)
            drop_seals(landing, mine)
            forgetting.forget_seals([pair for pair in recorded if landing.missing([manifest_path(*pair)])])
        segments = [segment for each in mine for segment in each.segments]
        size, manifests = sum(segment.size for segment in segments), sum(each.whole for each in mine)
        warnings = [*self._lost(known), *_unrecorded(len(found) - len(mine))]
        if not (mine or known or warnings or unread):
            return None
        return Dropped(
            "landing",
            f"{some(len(segments), 'segment')} ({size_words(size)}) and {some(manifests, 'manifest')}",
            {"segments": len(segments), "manifests": manifests, "bytes": size},
            "; ".join(unread) or None,
            "; ".join(warnings) or None,
        )

    def _seals(self, kept: Mapping[str, int]) -> tuple[list[ExpiredSeal], list[str]]:
        """What has expired, and why some receivers' could not be read."""
        found: list[ExpiredSeal] = []
        unread = []
        for receiver in self.platform.landing.receivers():
            try:
                found += expired_seals(self.platform.landing, receiver, kept, self._otherwise, self.now)
            except (ValueError, OSError) as error:
                unread.append(first_line(error))
        return found, unread

    def _lost(self, known: Mapping[str, ExpiredSegments]) -> Iterable[str]:
        """Of event types whose hours were never built: once their segments are gone nothing can build them."""
        for key, segments in known.items():
            contract = self.contracts[key]
            hours = [hour for hour in segments.unbuilt if hour >= first_kept(contract, self.now)] if contract.kind == "event" else []
            if hours:
                yield f"{key}: {some(len(hours), 'hour')} never built ({_few(hours)}) cannot be built any more once this is gone"

    def failed(self) -> Dropped | None:
        found = expired_failed(self.platform.landing, self._kept, self._otherwise, self.now)
        if not self.dry_run:
            drop_failed(self.platform.landing, found)
        return _files("failed log", [each.size for each in found])

    def records(self) -> Dropped | None:
        found = expired_records(self.platform.lake, self.contracts, self.now)
        if not self.dry_run:
            drop_records(self.platform.lake, found)
        return _files("records", [each.size for each in found])

    def run_logs(self) -> Dropped | None:
        folder, oldest = self.platform.run_logs, self.now.timestamp() - self._otherwise
        if folder is None or not folder.is_dir():
            return None
        found = [(path, stat.st_size) for path in sorted(folder.glob("*.log")) if (stat := path.stat()).st_mtime < oldest]
        for path, _ in [] if self.dry_run else found:
            path.unlink(missing_ok=True)
        return _files("run logs", [size for _, size in found])

    def private(self) -> Dropped | None:
        return self._left("private files", pseudonyms.folders(self.platform.landing.root), _BETWEEN_LEASES)

    def staged(self) -> Dropped | None:
        return self._left("staging", staging.folders(self.platform.lake), _BETWEEN_LEASES)

    def captured(self) -> Dropped | None:
        """What runs printed: Dagster keeps it and never drops it."""
        if self.platform.captured is None:
            return None
        folder = str(self.platform.captured)
        return self._left("captured output", {f"{folder}/{run}": run for run in files_of(folder).names(folder)}, timedelta(days=KEEP_DAYS))

    def _left(self, what: str, folders: Mapping[str, str], kept: timedelta) -> Dropped | None:
        """Folders of runs, given with each, that do not live and have touched nothing in them for so long. One folder's trouble is its own.

        A run lives while it holds leases: those of one that was killed are void within seconds of Dagster's noticing (`end_runs`).
        """
        live, oldest = set(self.platform.ledger.leases.holders()), (self.now - kept).timestamp()
        found, stuck = dict[str, list[int]](), list[str]()
        for folder, run in folders.items():
            try:
                sizes = None if run in live else _untouched(Path(folder), oldest)
                if sizes is not None:
                    if not self.dry_run:
                        files_of(folder).remove(folder)
                    found.setdefault(run, []).extend(sizes)
            except FileNotFoundError:  # its run has just ended, and removes it
                continue
            except OSError as error:
                stuck.append(first_line(error))
        if not (found or stuck):
            return None
        sizes = [size for each in found.values() for size in each]
        said = f"{some(len(sizes), 'file')} ({size_words(sum(sizes))}) of {some(len(found), 'run')}" if found else ""
        counts = {"files": len(sizes), "bytes": sum(sizes), "runs": len(found)} if found else {}
        return Dropped(what, said, counts, _few(stuck) or None)

    def history(self) -> Dropped | None:
        forgetting = self.platform.ledger.forgetting
        counts = {what: number for what, number in (forgetting.old_history if self.dry_run else forgetting.forget_history)(self.now).items() if number}
        return Dropped("ledger", ", ".join(f"{number:,} {what}" for what, number in counts.items()), counts) if counts else None


def some(number: int, noun: str) -> str:
    """`1 hour`, `1,200 hours`."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def size_words(size: int) -> str:
    """Bytes as people say them: `3.1 MB`."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size} bytes" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _untouched(folder: Path, oldest: float) -> list[int] | None:
    """Sizes of the files in a folder, however deep; None if anything of it was touched since."""
    sizes = []
    for path in chain([folder], folder.rglob("*")):  # the folder first: where it is young nothing below is looked at
        seen = path.lstat()
        if seen.st_mtime >= oldest:
            return None
        if stat.S_ISREG(seen.st_mode):
            sizes.append(seen.st_size)
    return sizes


def _files(what: str, sizes: list[int]) -> Dropped | None:
    if not sizes:
        return None
    return Dropped(what, f"{some(len(sizes), 'file')} ({size_words(sum(sizes))})", {"files": len(sizes), "bytes": sum(sizes)})


def _unrecorded(number: int) -> list[str]:
    """Seals that are kept though their time is over: what the ledger never heard of was never built."""
    return [f"{some(number, 'seal')} past retention kept: the ledger has not recorded them yet (./backline logs collector)"] if number else []


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:_SPELLED]) + (f" and {len(keys) - _SPELLED} more" if len(keys) > _SPELLED else "")
