"""The ledger's tables. What is compact and why is said beside each; who reads and writes them is said in the module of each concern.

Sizes to keep in mind: 40,000 endpoints, 24 hours, 60 days are 55 million partitions. Hence a row per endpoint and *day* with arrays of 24 (one slot for
a daily endpoint), a set of ranges per endpoint, rows of their own only for what is out of order, and never a row per partition and input.
Partitions are integers here: hours or days since 1970 (`contracts.partitions.index_of`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT4MULTIRANGE, JSONB

metadata = MetaData()


def _instant(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _slots(name: str, kind: Any) -> Column[Any]:
    """An array with a slot per partition of the day; a null slot was never published."""
    return Column(name, ARRAY(kind))


# --- who there is ----------------------------------------------------------------------------------------------------------------------------
endpoints = Table(
    "endpoints",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("key", Text, nullable=False),
    Column("cadence", Text, nullable=False),
    Column("kind", Text),  # null: seen in landing only, never declared
    Column("digest", Text),  # of the contract in force; null: none. The JSON is in the history: this table is read whole at every tick
    Column("version", BigInteger),  # registry version that brought this contract, or removed it
    Column("code", Text),  # code version of the last contract: what failed under another one is tried again. null: not noted
    UniqueConstraint("key", "cadence"),  # another cadence is another history
)
contract_history = Table(
    "contract_history",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("contract", Text),  # null: removed
    Column("git_ref", Text, nullable=False),
    _instant("applied_at"),
)
registry_versions = Table(
    "registry_versions",
    metadata,
    Column("version", BigInteger, primary_key=True),
    Column("git_ref", Text, nullable=False),
    _instant("applied_at"),
)
runs = Table(  # run ids are 36 letters and repeat: partitions hold the number
    "runs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("run_id", Text, nullable=False, unique=True),
    _instant("first_seen"),
    _instant("ended_at", nullable=True),
    Index("runs_first_seen", "first_seen"),
)
codes = Table(
    "codes",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
)

# --- what is published -----------------------------------------------------------------------------------------------------------------------
partition_change = Sequence("partition_change", metadata=metadata)
partition_days = Table(
    "partition_days",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("change", BigInteger, nullable=False, server_default="0"),  # highest of `changes`: what changed since a cursor
    _slots("changes", BigInteger),  # change number of the slot's content
    _slots("content", LargeBinary),
    _slots("inputs", LargeBinary),
    _slots("rows", BigInteger),
    _slots("version", BigInteger),
    _slots("code", Integer),
    _slots("run", BigInteger),
    _slots("built_at", DateTime(timezone=True)),
    _slots("first_built_at", DateTime(timezone=True)),
    _slots("changed_at", DateTime(timezone=True)),
    _slots("seen_at", DateTime(timezone=True)),
    _slots("checks_passed", SmallInteger),
    _slots("checks_failed", SmallInteger),
    Column("counts", ARRAY(BigInteger)),  # eight a slot, events only; else null
    Column("pins", ARRAY(Text)),  # JSON a slot, null where no slot has any
    Column("imported", ARRAY(Boolean)),  # null where nothing was imported
    Index("partition_days_change", "change"),
)
frontiers = Table(  # the set of published partitions as ranges: complete through, and its exceptions, in one value
    "frontiers",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("published", INT4MULTIRANGE, nullable=False),
)
exceptions = Table(  # one row per partition that is in trouble, gone once it is published
    "exceptions",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("kind", Text),  # typed reason
    Column("tries", SmallInteger, nullable=False),
    _instant("at"),
    _instant("next_try", nullable=True),
    Column("inputs", LargeBinary),
    Column("code", Text),
    Column("run", BigInteger, nullable=False),
    _instant("began", nullable=True),  # of the try
    Index("exceptions_partition", "partition"),  # the recent ones among months of them
    Index("exceptions_failed", "next_try", postgresql_where=text("state = 'failed'")),  # asked for as often
    Index("exceptions_outside", "endpoint_id", postgresql_where=text("kind = 'changed_outside'")),  # asked for every 10 s by each domain
)
lake_looks = Table(  # up to which version a table's own log was looked at for changes past the platform
    "lake_looks",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
overdue = Table(  # one row per partition that is past its deadline and not there, gone once that is over
    "overdue",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("muted", Boolean, nullable=False),  # by a pause
    Column("root", Text),  # the name of the root that was told last; null: none yet
)

# --- what landed -----------------------------------------------------------------------------------------------------------------------------
landing_change = Sequence("landing_change", metadata=metadata)
receivers = Table(
    "receivers",
    metadata,
    Column("id", Text, primary_key=True),
    _instant("sealed_until", nullable=True),
    _instant("beat_at"),
    Column("state", Text, nullable=False),
    Column("why", Text),
)
seals = Table(
    "seals",
    metadata,
    Column("receiver", Text, primary_key=True),
    Column("seal", BigInteger, primary_key=True),
    _instant("sealed_at"),
    _instant("sealed_until"),
    Column("balanced", Boolean, nullable=False),  # received = accepted + rejected for each client
)
segments = Table(
    "segments",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("receiver", Text, nullable=False),
    Column("seal", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("generation", SmallInteger, nullable=False),
    _instant("sealed_at"),
)
landed_partitions = Table(  # sums of `segments`; what the planner reads, and what stays when the segments have expired
    "landed_partitions",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("segments", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("expired", Integer, nullable=False, server_default="0"),  # segments that are gone from disk
    _instant("last_sealed_at"),
    Column("change", BigInteger, nullable=False),
    Index("landed_partitions_change", "change"),
)
account_days = Table(  # summed by day of sealing; the manifests keep each seal's own
    "account_days",
    metadata,
    Column("day", Integer, primary_key=True),
    Column("client", Text, primary_key=True),
    Column("event", Text, primary_key=True),  # '' of no known type
    Column("received", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("reasons", JSONB, nullable=False),
)

# --- what people decided: kept beside the lake too (lake.records), from where it is restored ---------------------------------------------------
pauses = Table(
    "pauses",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False),  # a domain, or the key of an endpoint
    Column("why", Text, nullable=False),
    _instant("since"),
    _instant("until", nullable=True),
    _instant("ended_at", nullable=True),
    Index("pauses_open", "name", unique=True, postgresql_where=text("ended_at IS NULL")),
)
reopenings = Table(  # event hours that take the rows parked so far, in this and every later build
    "reopenings",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("partition", Integer, primary_key=True),
    _instant("at"),
    Column("why", Text, nullable=False),
)

# --- what is done about it -------------------------------------------------------------------------------------------------------------------
fence = Sequence("fence", metadata=metadata)
leases = Table(
    "leases",
    metadata,
    Column("endpoint_id", Integer, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("former", ARRAY(Text), nullable=False),  # runs this was taken from that may still be writing
    _instant("acquired_at"),
    Index("leases_run", "run"),
)
requests = Table(
    "requests",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("domain", Text, nullable=False),
    Column("cadence", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("endpoints", ARRAY(Integer), nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("inputs", LargeBinary, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    _instant("requested_at"),
    _instant("expires_at"),
    Column("run_id", Text),
    _instant("closed_at", nullable=True),
    Column("outcome", Text),
    Index("requests_open", "id", postgresql_where=text("closed_at IS NULL")),
    Index("requests_closed", "closed_at"),
    Index("requests_died", "domain", "closed_at", postgresql_where=text("outcome = 'died'")),  # looked for at each tick of each domain, and mostly none
)
chores = Table(  # what must be done once a day, by whoever comes first
    "chores",
    metadata,
    Column("name", Text, primary_key=True),
    _instant("done_at"),
    Column("run_id", Text, nullable=False),
)

# --- what was done: by day, so that forgetting is dropping a table -----------------------------------------------------------------------------
BY_DAY: dict[str, Any] = {"postgresql_partition_by": "RANGE (day)"}
attempts = Table(  # one row per endpoint and run, with arrays over its keys
    "attempts",
    metadata,
    Column("day", Integer, nullable=False),
    Column("endpoint_id", Integer, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("caused_by", Text),
    Column("request_id", BigInteger),
    _instant("started_at"),
    _instant("ended_at"),
    Column("partitions", ARRAY(Integer), nullable=False),
    Column("outcomes", ARRAY(Text), nullable=False),
    Column("reasons", ARRAY(Text)),
    Column("kinds", ARRAY(Text)),
    Column("inputs", ARRAY(LargeBinary)),
    Column("milliseconds", ARRAY(Integer)),
    Column("rows_in", ARRAY(BigInteger)),
    Column("bytes_in", ARRAY(BigInteger)),
    Column("rows_out", ARRAY(BigInteger)),
    Column("bytes_out", ARRAY(BigInteger)),
    Column("checks_passed", Integer, nullable=False),
    Column("checks_failed", Integer, nullable=False),
    UniqueConstraint("day", "endpoint_id", "run"),
    **BY_DAY,
)
transitions = Table(
    "transitions",
    metadata,
    Column("day", Integer, nullable=False),
    _instant("at"),
    Column("endpoint_id", Integer, nullable=False),
    Column("partition", Integer),  # null: of the endpoint as a whole (paused)
    Column("was", Text, nullable=False),
    Column("became", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("run_id", Text),
    Index("transitions_endpoint", "endpoint_id", "partition"),
    **BY_DAY,
)
# In the order in which a run that tells writes them: the table of a new day is made under a lock of the whole, and in another order they wait for each other.
DAILY = (transitions, attempts)
