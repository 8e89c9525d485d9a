"""What is past its retention, found without Spark; and dropping it: rows of tables and lanes, landing segments and their manifests, the failed log, records.

Finding changes nothing, so that it can be asked what would be dropped. Who may drop, when, and what follows from it in the ledger is the caller's matter.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import key_of, partition_column, window_of
from platform_defs.lake import delta_log
from platform_defs.lake.columns import lanes_of, name
from platform_defs.lake.commits import drop
from platform_defs.lake.files import files_of
from platform_defs.lake.landing import LandingStore, Segment, manifest_path
from platform_defs.lake.layout import Lake, Lane

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Delta keeps files for 7 days after the commit that dropped them, for readers of pinned versions. To look for them costs a listing of the whole table, so a
# week's worth is let gather: a table whose oldest partition expires every day is swept once a week.
FILES_GATHER = timedelta(days=14)


@dataclass(frozen=True)
class ExpiredRows:
    """What of an endpoint's tables is past its retention.

    Attributes:
        first_kept: the oldest partition that stays.
        partitions: expired ones that may still hold rows, in key order. lanes: where.
        files, size: of expired partitions, on disk, and their bytes; rows that were dropped lie there until they are swept.
        ripe_files, ripe_size: of these, what has waited long enough. sweeps: the lanes that have such.
        empty: folders of expired partitions in which nothing is left.
    """

    first_kept: str
    partitions: tuple[str, ...]
    lanes: tuple[Lane, ...]
    files: int
    size: int
    ripe_files: int
    ripe_size: int
    sweeps: tuple[Lane, ...]
    empty: tuple[str, ...]


@dataclass(frozen=True)
class ExpiredSeal:
    """Of one seal, the segments past their retention that are on disk; `whole`: the manifest goes too, nothing of the seal is kept any longer."""

    receiver: str
    seal: int
    segments: tuple[Segment, ...]
    whole: bool


@dataclass(frozen=True)
class ExpiredFile:
    """One file past its retention, and its bytes."""

    path: str
    size: int


def first_kept(contract: Contract, now: datetime) -> str:
    """The oldest partition of an endpoint that is kept at `now`: all that ended longer ago than its retention are not."""
    return key_of(contract.cadence, now - timedelta(seconds=contract.retention_seconds))


# --- tables ----------------------------------------------------------------------------------------------------------------------------------


def expired_rows(lake: Lake, contract: Contract, now: datetime) -> ExpiredRows:
    """What of the endpoint's table and its lanes is past its retention, by their folders and logs."""
    files, column = files_of(lake.root), partition_column(contract.cadence)
    first, long_ago = first_kept(contract, now), first_kept(contract, now - FILES_GATHER)
    live: dict[Lane, set[str]] = {}
    sweeps, empty, sizes, ripe = list[Lane](), list[str](), list[int](), list[int]()
    for lane in lanes_of(contract):
        path = lake.lane(contract.key, lane)
        held = set()
        for folder in files.names(path):
            named, _, key = folder.partition("=")
            if named != column or key >= first:
                continue
            found = files.sizes(f"{path}/{folder}")
            sizes += found.values()
            if not found:
                empty.append(f"{path}/{folder}")
                continue
            held.add(key)
            if key < long_ago:
                ripe += found.values()
        live[lane] = delta_log.undropped(path, held) if held else set()
        if any(key < long_ago for key in held):
            sweeps.append(lane)
    keys = tuple(sorted(set().union(*live.values())))
    lanes = tuple(lane for lane, found in live.items() if found)
    return ExpiredRows(first, keys, lanes, len(sizes), sum(sizes), len(ripe), sum(ripe), tuple(sweeps), tuple(empty))


def drop_partitions(lake: Lake, contract: Contract, now: datetime, lanes: Collection[Lane] | None = None) -> str:
    """Drops the rows of the endpoint's partitions that ended longer ago than its retention; the first key that stays.

    `lanes`: of these lanes alone; None: of all. The files go with a sweep of a later day, when no reader of a pinned version can need them. Called while
    nobody else commits to the tables (`ledger.turns`).
    """
    kept, column = first_kept(contract, now), partition_column(contract.cadence)
    for lane in lanes_of(contract) if lanes is None else lanes:
        path = lake.lane(contract.key, lane)
        if delta_log.newest(path) is None:
            continue
        drop(path, column, kept, delta_log.signature(retention=kept))
    return kept


def sweep_files(session: SparkSession, lake: Lake, contract: Contract, lanes: Iterable[Lane]) -> None:
    """Removes files that no version of the last 7 days refers to: of dropped partitions, and of what later builds replaced."""
    for lane in lanes:
        session.sql(f"VACUUM delta.{name(lake.lane(contract.key, lane))}").collect()


# --- landing ---------------------------------------------------------------------------------------------------------------------------------


def expired_seals(landing: LandingStore, receiver: str, kept_seconds: Mapping[str, int], otherwise: int, now: datetime) -> Iterator[ExpiredSeal]:
    """Seals of one receiver of which something is past its retention, in order. Raises ValueError for a manifest that cannot be understood.

    Counted from sealing, not from event time: an event that came late has as long as any other to be read.

    Args:
        kept_seconds: landing retention by key of event type or source. What is of no type in it stays.
        otherwise: for seals that name none: only what was rejected came with them.
    """
    shortest = min([otherwise, *kept_seconds.values()])
    for manifest in landing.manifests(receiver):
        age = (now - manifest.sealed_at).total_seconds()
        if age <= shortest:
            return  # later seals are younger
        expired = [segment for segment in manifest.segments if age > kept_seconds.get(segment.event, float("inf"))]
        gone = set(landing.missing(segment.path for segment in expired))
        there = tuple(segment for segment in expired if segment.path not in gone)
        accounts = [kept_seconds.get(account.event or "", otherwise) for account in manifest.accounts]
        whole = len(expired) == len(manifest.segments) and age > max(accounts, default=0 if expired else otherwise)
        if there or whole:
            yield ExpiredSeal(manifest.receiver, manifest.seal, there, whole)


def drop_seals(landing: LandingStore, seals: Iterable[ExpiredSeal]) -> None:
    """Removes these segments, then the manifests none of whose segments is left, and the folders that become empty. Harmless to repeat."""
    files, folders = files_of(landing.root), set[str]()
    for each in seals:
        paths = [*(segment.path for segment in each.segments), *([manifest_path(each.receiver, each.seal)] if each.whole else ())]
        for path in paths:
            landing.remove(path)
            folders.add(path.rpartition("/")[0])
    for folder in folders:
        files.prune(landing.path(folder))


def expired_failed(landing: LandingStore, kept_seconds: Mapping[str, int], otherwise: int, now: datetime) -> list[ExpiredFile]:
    """Files of the failed log in which no event is left whose type's landing retention lasts, counted from the end of the day it came.

    `otherwise`: for events of no type in `kept_seconds`.
    """
    files, found = files_of(landing.root), []
    shortest = min([otherwise, *kept_seconds.values()])
    for day in files.names(f"{landing.root}/failed"):
        age = _age(day, now)
        if age is None or age < shortest:
            continue
        for file, size in sorted(files.sizes(f"{landing.root}/failed/{day}").items()):
            path = f"failed/{day}/{file}"
            if all(age >= kept_seconds.get(event, otherwise) for event in _failed_types(files.read(landing.path(path)))):
                found.append(ExpiredFile(path, size))
    return found


def drop_failed(landing: LandingStore, expired: Iterable[ExpiredFile]) -> None:
    """Removes these files of the failed log, and the days that become empty."""
    for each in expired:
        landing.remove(each.path)
        files_of(landing.root).prune(landing.path(each.path.rpartition("/")[0]))


def _failed_types(content: bytes) -> set[str]:
    """Types of the events of one file; '' for those of none, or whose line is damaged."""
    found = set()
    for line in content.splitlines():
        try:
            found.add(str(json.loads(line)["event"] or ""))
        except (ValueError, KeyError, TypeError):
            found.add("")
    return found


# --- records ---------------------------------------------------------------------------------------------------------------------------------


def expired_records(lake: Lake, contracts: Mapping[str, Contract], now: datetime) -> list[ExpiredFile]:
    """Records that speak of no partition that is still kept, by their names: the day, the run and the endpoint.

    A record of an endpoint that is not declared, or of none, is kept as long as the longest retention of all. Decisions stay as long.
    """
    kept = {contract.key.replace("/", "."): contract.retention_seconds for contract in contracts.values()}
    longest = max(kept.values(), default=None)
    if longest is None:
        return []
    files, shortest, found = files_of(lake.root), min(kept.values()), []
    for day in files.names(lake.records):
        # No partition is later than its record by more than a day: events more than 5 minutes ahead are rejected.
        age = _age(day, now - timedelta(days=1))
        if age is None or age < shortest:
            continue
        for file, size in sorted(files.sizes(f"{lake.records}/{day}").items()):
            endpoint = file.removesuffix(".json").rpartition("-")[2]
            if age >= (longest if file.startswith("decision-") else kept.get(endpoint, longest)):
                found.append(ExpiredFile(f"{lake.records}/{day}/{file}", size))
    return found


def drop_records(lake: Lake, expired: Iterable[ExpiredFile]) -> None:
    """Removes these records, and the days that become empty."""
    files = files_of(lake.root)
    for each in expired:
        files.remove(each.path)
        files.prune(each.path.rpartition("/")[0])


def _age(day: str, now: datetime) -> float | None:
    """Seconds since the end of a day by its key; None for what is no day."""
    try:
        window = window_of(day)
    except ValueError:
        return None
    return (now.astimezone(UTC) - window.end).total_seconds() if window.cadence == "daily" else None
