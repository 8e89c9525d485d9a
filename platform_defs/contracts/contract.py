"""The contract as data: what a declaration becomes, what the registry stores and every other room reads.

Only the canonical form belongs here. How authors write is in domain/event/endpoint/source/schema; what may change is in compatibility.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from platform_defs.contracts.partitions import Cadence

Tier = Literal["high", "normal", "low"]
OnFail = Literal["refuse", "quarantine", "warn"]
Kind = Literal["event", "endpoint", "source"]


class Canonical(BaseModel):
    """Base of all canonical parts: frozen, closed, value-free in its errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    # The canonical form leaves nothing out: which fields were given is of no matter, and would be half of a contract's memory.
    _given: ClassVar[set[str]] = set()

    def model_post_init(self, context: Any, /) -> None:
        object.__setattr__(self, "__pydantic_fields_set__", self._given)


class WireType(Canonical):
    """The type of one JSON value of an event or a source row: a tree that needs no Python class.

    `kind` decides which other attributes are meaningful:
        string: min_length, max_length, pattern (of the named common subset), choices (Literal or Enum values)
        integer, number: ge, gt, le, lt (as decimal text)
        decimal: digits, places, ge, gt, le, lt
        boolean, uuid, datetime: nothing more
        list: item, min_length, max_length
        map: string to string; min_length, max_length
        record: fields
    """

    kind: Literal["string", "integer", "number", "decimal", "boolean", "uuid", "datetime", "list", "map", "record"]
    ge: str | None = None
    gt: str | None = None
    le: str | None = None
    lt: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    choices: tuple[str, ...] | None = None
    digits: int | None = None
    places: int | None = None
    item: WireType | None = None
    fields: tuple[WireField, ...] | None = None


class PersonalMark(Canonical):
    """A field that tells who somebody is.

    kind `person` (any kind without `of`): the value is a person's id and becomes a pseudonym. With `of`: the value belongs to the person
    named by the field `of` and is encrypted under that person's key.
    """

    kind: str
    of: str | None = None


class WireField(Canonical):
    """One field of an event or a source row as it travels in JSON."""

    name: str
    type: WireType
    nullable: bool = False
    required: bool = True
    default: Any = None
    description: str = ""
    personal: PersonalMark | None = None


class Check(Canonical):
    """One check of a column, by pandera's name (`greater_than_or_equal_to`, `isin`, `str_matches`, ...) and its arguments."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict)


class Column(Canonical):
    """One column of the table.

    Attributes:
        type: Spark DDL type in upper case, e.g. `BIGINT`, `DECIMAL(10,2)`, `ARRAY<STRING>`, `STRUCT<a: INT>`.
        mark: `person` (holds a pseudonym), `people` (a count of persons), `personal` (encrypted personal value) or None.
        on_fail: what a failing row check of this column does.
    """

    name: str
    type: str
    nullable: bool = False
    description: str = ""
    mark: Literal["person", "people", "personal"] | None = None
    on_fail: OnFail = "refuse"
    checks: tuple[Check, ...] = ()


class WindowInput(Canonical):
    """An input read over a window of its own partitions around the one being built. Offsets are in `unit`, ends included (DESIGN 10).

    `endpoint` is a full key (`listening/track_played`); equal to the reader's own key it is a self-read (running totals).
    The plain form is (0, 0) in the reader's own unit: "the same hour"; of a daily reader "the same day", which of an hourly input is its
    24 hours. Otherwise the unit is the input's cadence (resolving refuses anything else).
    """

    kind: Literal["window"] = "window"
    param: str
    endpoint: str
    unit: Literal["hours", "days"]
    first: int = 0
    last: int = 0


class AsOfInput(Canonical):
    """An input read as its newest daily snapshot that ended by this partition's end, at most `within_seconds` old."""

    kind: Literal["as_of"] = "as_of"
    param: str
    endpoint: str
    within_seconds: int


Input = Annotated[WindowInput | AsOfInput, Field(discriminator="kind")]


class LatenessPolicy(Canonical):
    """When late rows rebuild an hour (DESIGN 4.7). All in seconds; `hold_seconds` None means for ever; `share` is a fraction of the hour's rows."""

    settle_seconds: tuple[int, ...]
    hold_seconds: int | None
    share: float
    landing_seconds: int


class Contract(Canonical):
    """Everything the platform knows of one endpoint, event type or source, with the domain's defaults filled in.

    Attributes:
        key: `domain/name`; also the CloudEvents type of an event.
        fields: wire form of an event or source row; empty for an endpoint.
        columns: the table's columns in order, without the platform's `hour` / `day`.
        unique: the columns that are the key within a partition; empty if none.
        schema_description: what the schema of an endpoint says of its columns as a whole.
        code_version: `version=` or the hash of the function, schema, inputs and helpers.
        start: first partition's first instant, `2026-01-01` or `2026-01-01T00`.
    """

    format: Literal[1] = 1
    kind: Kind
    key: str
    description: str
    owner: str
    purpose: str
    tier: Tier
    start: str
    retention_seconds: int
    readers: tuple[str, ...]
    cadence: Cadence
    fields: tuple[WireField, ...] = ()
    columns: tuple[Column, ...]
    unique: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    ready_within_seconds: int | None = None
    corrections_seconds: int | None = None
    recheck_seconds: int | None = None
    lateness: LatenessPolicy | None = None
    ranged: bool = False
    secrets: tuple[str, ...] = ()
    shared: bool = False
    on_erase: str | None = None
    schema_description: str = ""
    code_version: str

    @property
    def domain(self) -> str:
        """First part of the key."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """Second part of the key."""
        return self.key.partition("/")[2]

    @property
    def table(self) -> str:
        """The table's name as people say it: `domain.name`."""
        return self.key.replace("/", ".")

    def column(self, name: str) -> Column:
        """The column of that name; raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.key} has no column {name!r}; it has {', '.join(c.name for c in self.columns)}")

    def canonical_json(self) -> str:
        """One spelling per contract: sorted keys, no defaults left out, no white space."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON, hex."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


WireType.model_rebuild()
