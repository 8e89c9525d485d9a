"""Dropping what is past its retention: partitions of tables and lanes, landing segments and their manifests, the failed log, records.

What follows from that in the ledger is the caller's matter: each function answers what it dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import key_of, partition_column
from platform_defs.lake import delta_log
from platform_defs.lake.columns import lanes_of, name, text
from platform_defs.lake.files import files_of
from platform_defs.lake.landing import LandingStore, manifest_path
from platform_defs.lake.layout import Lake
from platform_defs.lake.records import BuildRecord, DecisionRecord, read_records
from platform_defs.lake.tables import signed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def drop_partitions(session: SparkSession, lake: Lake, contract: Contract, now: datetime) -> str:
    """Drops the endpoint's partitions that ended longer ago than its retention, from the table and its lanes; the first key that stays.

    Their files go with the vacuum of a later day, when no reader of a pinned version can need them (Delta's 7 days).
    """
    first_kept = key_of(contract.cadence, now - timedelta(seconds=contract.retention_seconds))
    column = partition_column(contract.cadence)
    for lane in lanes_of(contract):
        path = lake.lane(contract.key, lane)
        if delta_log.newest(path) is None:
            continue
        with signed(session, delta_log.signature(retention=first_kept)):
            session.sql(f"DELETE FROM delta.{name(path)} WHERE {name(column)} < {text(first_kept)}").collect()  # noqa: S608 - quoted
            session.sql(f"VACUUM delta.{name(path)}").collect()
    return first_kept


def drop_landing(landing: LandingStore, kept_seconds: Mapping[str, int], now: datetime) -> list[str]:
    """Drops segments that were sealed longer ago than their type keeps them, and manifests none of whose segments is left; the segments' paths.

    `kept_seconds`: landing retention by key of event type or source. What is of no type in it stays. Counted from sealing, not from event time: an event
    that came late has as long as any other to be read.
    """
    dropped = []
    for manifest in list(landing.manifests()):
        expired = [s for s in manifest.segments if s.event in kept_seconds and manifest.sealed_at + timedelta(seconds=kept_seconds[s.event]) < now]
        dropped += [segment.path for segment in expired if landing.remove(segment.path)]
        longest = max(kept_seconds.values(), default=None)
        if longest is not None and len(expired) == len(manifest.segments) and manifest.sealed_at + timedelta(seconds=longest) < now:
            landing.remove(manifest_path(manifest.receiver, manifest.seal))
    return dropped


def drop_failed(landing: LandingStore, kept_seconds: int, now: datetime) -> list[str]:
    """Drops whole days of the failed log older than that; the days dropped."""
    first_kept = key_of("daily", now - timedelta(seconds=kept_seconds))
    days = [day for day in files_of(landing.root).names(f"{landing.root}/failed") if day < first_kept]
    return [day for day in days if landing.remove(f"failed/{day}")]


def drop_records(lake: Lake, contracts: Mapping[str, Contract], now: datetime) -> list[str]:
    """Drops days of records none of which speaks of a partition that is still kept; the days dropped.

    A record of an endpoint that is no longer declared, or of none, is kept as long as the longest retention of all. Decisions stay as long.
    """
    longest = max((contract.retention_seconds for contract in contracts.values()), default=None)
    if longest is None:
        return []
    files = files_of(lake.root)
    dropped = []
    for day in files.names(lake.records):
        if all(_expired(record, contracts, longest, now) for record in read_records(lake, day, day)):
            files.remove(f"{lake.records}/{day}")
            dropped.append(day)
    return dropped


def _expired(record: BuildRecord | DecisionRecord, contracts: Mapping[str, Contract], longest: int, now: datetime) -> bool:
    contract = contracts.get(record.endpoint or "")
    kept = timedelta(seconds=contract.retention_seconds if contract and isinstance(record, BuildRecord) else longest)
    # no partition is later than its record by more than a day: events more than 5 minutes ahead are rejected
    return record.at.astimezone(UTC) + kept + timedelta(days=1) < now
