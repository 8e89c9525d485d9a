"""Retention that happens: partitions past it are dropped from their tables and lanes, and forgotten by the ledger; then what belongs to no endpoint.

Finding out costs a listing an endpoint and a few statements in all; Spark is asked only where there are rows to drop. Everything may be repeated: what was
interrupted is found again. What counts as past its retention is the lake's to say; what belongs to no endpoint is in `sweeping`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from platform_defs.contracts.contract import Contract
from platform_defs.execution.leasing import take
from platform_defs.execution.platform import Platform
from platform_defs.execution.sweeping import Dropped, Tell, attempted, size_words, some, sweep_shared
from platform_defs.lake.files import files_of
from platform_defs.lake.retention import FILES_GATHER, ExpiredRows, drop_partitions, expired_rows, first_kept, sweep_files
from platform_defs.ledger.leases import Fence, Held

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# What is shared is done by the first domain's run of a day; the others find it done.
SHARED = "retention of what is shared"
_SHARED_EVERY = timedelta(hours=20)


@dataclass(frozen=True)
class Report:
    """What one call dropped, or would.

    Attributes:
        looked: endpoints that were looked at.
        dropped: an entry for each endpoint and store of which something was dropped, or should have been.
        left: what was left alone because it was done today, or another run is at it; in words.
    """

    looked: int
    dropped: tuple[Dropped, ...]
    left: tuple[str, ...] = ()

    @property
    def troubles(self) -> tuple[Dropped, ...]:
        """Where it did not go well."""
        return tuple(each for each in self.dropped if each.trouble is not None)

    @property
    def head(self) -> str:
        """The sum in one line."""
        size, done = sum(each.counts.get("bytes", 0) for each in self.dropped), sum(bool(each.counts) for each in self.dropped)
        found = f"past retention: {some(done, 'place')}, {size_words(size)} of files" if done else "nothing is past its retention"
        return f"{some(self.looked, 'dataset')} looked at; {found}" + (f"; {len(self.troubles)} failed" if self.troubles else "")

    @property
    def lines(self) -> list[str]:
        """The whole in lines, the sum first."""
        return [self.head, *(each.line for each in self.dropped), *self.left]


def keep_retention(
    platform: Platform, domains: Iterable[str], run_id: str, *, shared: bool = True, always: bool = False, dry_run: bool = False, tell: Tell | None = None
) -> Report:
    """Drops what is past its retention of these domains' endpoints, and of what belongs to no endpoint. One endpoint's trouble is its own.

    A domain is done by one caller at a time, and so is what is shared: who comes second leaves it.

    Args:
        run_id: names leases and sessions; what a caller that was killed still holds of a domain is taken from it.
        shared: what belongs to no endpoint too (see sweeping), of all domains; once a day, by whoever comes first.
        always: what is shared even if it was done today.
        dry_run: says what would be dropped, drops nothing and holds nothing up.
        tell: is given each entry as it is done.
    """
    told: Tell = tell or (lambda entry: None)
    looked, dropped, left = 0, list[Dropped](), list[str]()
    now, contracts = platform.clock(), platform.ledger.registry.current()
    for domain in domains:
        mine = [contract for contract in contracts.values() if contract.domain == domain]
        with _alone(platform, f"retention of {domain}", dry_run) as free:
            if not free:
                left.append(f"{domain}: another run is at it")
                continue
            looked += len(mine)
            dropped += _Domain(platform, domain, mine, now, run_id, dry_run).drop(told)
    if shared:
        with _alone(platform, SHARED, dry_run) as free:
            last = platform.ledger.forgetting.done_at(SHARED)
            if not free:
                left.append("landing, failed log, records, history: another run is at it")
            elif last is not None and now - last < _SHARED_EVERY and not (always or dry_run):
                left.append(f"landing, failed log, records, history: done at {last:%Y-%m-%d %H:%M} UTC")
            else:
                done = sweep_shared(platform, now, dry_run=dry_run, tell=told)
                dropped += done
                if not dry_run and not any(each.trouble for each in done):
                    platform.ledger.forgetting.note_done(SHARED, run_id)
    return Report(looked, tuple(dropped), tuple(left))


@contextmanager
def _alone(platform: Platform, name: str, dry_run: bool) -> Iterator[bool]:
    if dry_run:
        yield True
        return
    with platform.ledger.forgetting.alone(name) as free:
        yield free


@dataclass(frozen=True)
class _Expired:
    """What of one endpoint is past its retention.

    Attributes:
        rows: by the folders of its tables. published: by the ledger.
        notes: files in which a source remembers what it pulled.
    """

    contract: Contract
    rows: ExpiredRows
    published: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """Partitions to drop."""
        return sorted({*self.rows.partitions, *self.published})

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.keys or self.rows.sweeps or self.rows.empty or self.notes)


class _Domain:
    """One domain's endpoints, done under the domain's lock."""

    def __init__(self, platform: Platform, domain: str, contracts: Sequence[Contract], now: datetime, run_id: str, dry_run: bool) -> None:
        self._platform, self._domain, self._contracts, self._now, self._dry_run = platform, domain, contracts, now, dry_run
        self._prefix = f"retention-{domain}-"
        self._run = f"{self._prefix}{run_id}"
        self._leased = self._opened = False
        self._gone: Exception | None = None

    def drop(self, tell: Tell) -> list[Dropped]:
        """Does all of it; an entry for each endpoint of which something is past its retention."""
        firsts = {contract.key: first_kept(contract, self._now) for contract in self._contracts}
        published = self._platform.ledger.forgetting.expired(firsts)
        if not self._dry_run:
            self._end_former()
        done: list[Dropped] = []
        try:
            for contract in self._contracts:
                entry = attempted(contract.key, lambda contract=contract: self._one(contract, published.get(contract.key, ())))  # type: ignore[misc]
                if entry is not None:
                    done.append(entry)
                    tell(entry)
        finally:
            self._end()
        beside = attempted(self._domain, lambda: self._beside(firsts))
        if beside is not None:
            done.append(beside)
            tell(beside)
        return done

    def _one(self, contract: Contract, published: tuple[str, ...]) -> Dropped | None:
        found = _Expired(contract, expired_rows(self._platform.lake, contract, self._now), published, self._notes(contract))
        if not found.any:
            return None
        if self._dry_run:
            return _said(found, found.rows.ripe_files, found.rows.ripe_size)
        held = self._drop_rows(found)
        if held is not None:
            return Dropped(contract.key, "", warning=f"left for the next time: {held.words}")
        if found.rows.sweeps:
            self._sweep(contract, found.rows)
        files = files_of(self._platform.lake.root)
        for folder in found.rows.empty:
            files.prune(folder)
        for note in found.notes:
            self._platform.landing.remove(note)
        left = expired_rows(self._platform.lake, contract, self._now)
        entry = _said(found, found.rows.files - left.files, found.rows.size - left.size)
        return entry if entry.counts else None

    def _drop_rows(self, found: _Expired) -> Held | None:
        """Forgets the partitions, then drops their rows, under their leases; who holds one, if somebody does.

        Where that fails the leases stay until this run is declared ended.
        """
        if not found.keys:
            return None
        key, leases = found.contract.key, self._platform.ledger.leases
        self._leased = True
        lease = take(self._platform, key, found.keys, self._run)
        if isinstance(lease, Fence) and len(lease.partitions) < len(found.keys):  # those that nobody holds; a drop is of all
            leases.release(lease)
            lease = leases.acquire(key, found.keys, self._run)
        if isinstance(lease, Held):
            return lease
        self._platform.ledger.forgetting.forget_before(key, found.rows.first_kept)
        if found.rows.lanes:
            with self._platform.ledger.turns.at(key):
                drop_partitions(self._platform.lake, found.contract, self._now, found.rows.lanes)
        leases.release(lease)
        return None

    def _sweep(self, contract: Contract, rows: ExpiredRows) -> None:
        session = self._session()
        with self._platform.engines.engine("lake").tagged(session, self._run, contract.key):
            sweep_files(session, self._platform.lake, contract, rows.sweeps)

    def _session(self) -> SparkSession:
        """The session of this run. Where Spark did not answer once it is not asked again: each try takes seconds, and there may be thousands."""
        if self._gone is not None:
            raise self._gone
        try:
            session = self._platform.engines.engine("lake").session(self._run)
        except Exception as error:
            self._gone = error
            raise
        self._opened = True
        return session

    def _notes(self, contract: Contract) -> tuple[str, ...]:
        """What a source remembers of partitions past retention, below landing."""
        if contract.kind != "source":
            return ()
        folder = f"sources/{contract.key}"
        names = files_of(self._platform.landing.root).sizes(self._platform.landing.path(folder))
        return tuple(f"{folder}/{name}" for name in sorted(names) if name.removesuffix(".json") < first_kept(contract, self._now))

    def _beside(self, firsts: Mapping[str, str]) -> Dropped | None:
        """The ledger's troubles, reopenings and sums of landing of such partitions, of all endpoints at once."""
        if self._dry_run or not firsts:
            return None
        counts = {what: number for what, number in self._platform.ledger.forgetting.forget_beside(firsts).items() if number}
        return Dropped(f"{self._domain} in the ledger", ", ".join(f"{number:,} {what}" for what, number in counts.items()), counts) if counts else None

    def _end_former(self) -> None:
        """A run of this domain's retention that holds leases while we hold the domain's lock was killed."""
        leases = self._platform.ledger.leases
        for run in leases.holders():
            if run.startswith(self._prefix):
                leases.end_run(run)

    def _end(self) -> None:
        """Ends the session, then says so: a lease that was not given back may be taken over."""
        if self._opened:
            self._platform.engines.engine("lake").release(self._run)
        if self._leased:
            self._platform.ledger.leases.end_run(self._run)


def _said(found: _Expired, files: int, size: int) -> Dropped:
    """An endpoint's entry; `files`, `size`: what leaves the disk now."""
    keys, parts, counts = found.keys, list[str](), dict[str, int]()
    if keys:
        parts.append(f"{some(len(keys), 'partition')} before {found.rows.first_kept}")
        counts["partitions"] = len(keys)
    if files:
        parts.append(f"{some(files, 'file')} ({size_words(size)})")
        counts |= {"files": files, "bytes": size}
    elif found.rows.partitions:
        parts.append(f"their {some(found.rows.files, 'file')} ({size_words(found.rows.size)}) leave the disk within {FILES_GATHER.days} days")
    return Dropped(found.contract.key, ", ".join(parts), counts)
