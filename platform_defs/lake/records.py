"""Records: what was published, refused or decided, one JSON file a run and endpoint, kept as long as the partitions they speak of.

Delta forgets its own log after 30 days and the ledger is an index: these files are what it is rebuilt from. They hold no value of an event and no person.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from platform_defs.lake.files import files_of
from platform_defs.lake.landing import Stored
from platform_defs.lake.layout import Lake

Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")]


class RecordError(RuntimeError):
    """A record that cannot be understood; the message names the file and says what to do."""


class PublishedPartition(Stored):
    """A partition as published.

    Attributes:
        content: hash of its rows, hex. inputs: digest of what it was built from, hex.
        version: Delta version that holds it. code: code version it was built by.
        counts: accounting of an event or source partition. pins: `as_of` choices, parameter -> snapshot key.
        origin: whether it was computed here or came from an existing table.
    """

    key: str
    content: Digest
    inputs: Digest
    rows: int
    version: int
    code: str
    built_at: AwareDatetime
    counts: dict[str, int] | None = None
    pins: dict[str, str] = Field(default_factory=dict)
    checks_passed: int = 0
    checks_failed: int = 0
    origin: Literal["built", "imported"] = "built"


class RefusedPartition(Stored):
    """A partition that failed its checks and stayed out of the table. `reason` names checks and counts, no value."""

    key: str
    reason: str
    inputs: Digest
    code: str
    at: AwareDatetime
    checks_passed: int = 0
    checks_failed: int = 0


class BuildRecord(Stored):
    """What one run published and refused of one endpoint. `caused_by`: the root of a wave (`erasure:17`), if any."""

    kind: Literal["build"] = "build"
    format: Literal[1] = 1
    endpoint: str
    run_id: str
    fence: int
    trigger: str
    caused_by: str | None = None
    at: AwareDatetime
    published: tuple[PublishedPartition, ...] = ()
    refused: tuple[RefusedPartition, ...] = ()


class DecisionRecord(Stored):
    """What a person decided: a receiver given up, a partition reopened, paused, accepted.

    Attributes:
        id: unique, a file name; a repeated write of the same decision is one record.
        decision: what, in one word (`lost`, `reopen`, `pause`). role: in whose name, `team:listening`; no person's name.
        subject: what it is about, where that is no endpoint: a domain, a receiver.
        until: when it ends by itself; None: never.
        note: why, as the person put it.
    """

    kind: Literal["decision"] = "decision"
    format: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    decision: str
    endpoint: str | None = None
    partitions: tuple[str, ...] = ()
    subject: str | None = None
    until: AwareDatetime | None = None
    role: str | None = None
    note: str = ""
    at: AwareDatetime


Record = Annotated[BuildRecord | DecisionRecord, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[BuildRecord | DecisionRecord] = TypeAdapter(Record)


def write_record(lake: Lake, record: BuildRecord | DecisionRecord) -> str:
    """Writes the record in one piece, durable when this returns; its path.

    A run that records the same endpoint again on the same day (more partitions, or a repeated try) adds to its file: of a partition the last word stays.
    """
    path = f"{lake.records}/{record.at:%Y-%m-%d}/{_name(record)}.json"
    if isinstance(record, BuildRecord):
        try:
            earlier = _read(lake, path)
        except FileNotFoundError:
            earlier = None
        if isinstance(earlier, BuildRecord):
            record = _joined(earlier, record)
    files_of(lake.root).write(path, record.model_dump_json(indent=1).encode())
    return path


def read_records(lake: Lake, first_day: str = "", last_day: str = "9999") -> Iterator[BuildRecord | DecisionRecord]:
    """All records written on these days (`2026-10-01`, ends included), in the order of their time. Raises RecordError."""
    files = files_of(lake.root)
    for day in files.names(lake.records):
        if not first_day <= day <= last_day:
            continue
        paths = [f"{lake.records}/{day}/{name}" for name in files.names(f"{lake.records}/{day}") if name.endswith(".json") and not name.startswith(".")]
        yield from sorted((_read(lake, path) for path in paths), key=_order)


def _order(record: BuildRecord | DecisionRecord) -> tuple[datetime, str]:
    return record.at, _name(record)


def _name(record: BuildRecord | DecisionRecord) -> str:
    if isinstance(record, DecisionRecord):
        return f"decision-{record.id}"
    return f"{record.run_id}-{record.endpoint.replace('/', '.')}"


def _joined(earlier: BuildRecord, later: BuildRecord) -> BuildRecord:
    published = {p.key: p for p in earlier.published} | {p.key: p for p in later.published}
    refused = {r.key: r for r in earlier.refused} | {r.key: r for r in later.refused}
    for key in [*(p.key for p in later.published)]:  # refused first, then published: the later word
        refused.pop(key, None)
    return later.model_copy(update={"published": tuple(published[k] for k in sorted(published)), "refused": tuple(refused[k] for k in sorted(refused))})


def _read(lake: Lake, path: str) -> BuildRecord | DecisionRecord:
    try:
        return _ADAPTER.validate_json(files_of(lake.root).read(path))
    except ValidationError as error:
        raise RecordError(f"{path} is no record ({error.error_count()} errors): restore it, or move it away to go on without it") from None
