"""What planning knows of the world: plain frozen data that the ledger fills and tests write by hand. No rule belongs here.

Partitions are keys (`2026-10-01T03`) everywhere in these types. All instants are aware, UTC; all durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import Cadence

Origin = Literal["built", "imported"]
TroubleName = Literal["refused", "failed", "stuck", "waiting"]
Stage = Literal["requested", "running"]
# Kind of a trouble: what lies in the lake is not what was published.
CHANGED_OUTSIDE = "changed_outside"


@dataclass(frozen=True, slots=True)
class Counts:
    """Accounting of one event hour, in rows: landed = the sum of the others (`balanced`).

    Attributes:
        landed: rows of the segments the build knew of.
        parked: put into the late table. pending: late and in no table yet. erased: dropped because their person was erased.
    """

    landed: int = 0
    good: int = 0
    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0
    parked: int = 0
    pending: int = 0
    erased: int = 0

    @property
    def accounted(self) -> int:
        """Rows whose whereabouts are known."""
        return self.good + self.duplicate + self.conflict + self.quarantined + self.parked + self.pending + self.erased

    @property
    def balanced(self) -> bool:
        """Whether every landed row is accounted for."""
        return self.landed == self.accounted

    @property
    def taken(self) -> int:
        """Landed rows that the last build dealt with."""
        return self.landed - self.pending


@dataclass(frozen=True, slots=True)
class Published:
    """The version of a partition that readers see.

    Attributes:
        content: hash of its rows; equal content makes nothing downstream stale.
        inputs: 16 bytes over what it was built from (planning.digest).
        version: Delta version of the table that holds it.
        code: code version it was built by.
        built_at: when it was last published.
        pins: `as_of` choices, parameter -> snapshot key.
        checks_passed, checks_failed: of that build; failed ones are warnings, or it would not be here.
        origin: `imported` partitions are never due, stale or outdated by themselves.
        first_built_at: its first publish: settle ages run from it. changed_at: when its content last changed. seen_at: when a build last found it good
            (published or skipped). All three are kept by the ledger; what a caller gives is ignored.
    """

    content: bytes
    inputs: bytes
    rows: int
    version: int
    code: str
    built_at: datetime
    run_id: str
    counts: Counts | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    checks_passed: int = 0
    checks_failed: int = 0
    origin: Origin = "built"
    first_built_at: datetime | None = None
    changed_at: datetime | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong with a partition's last try and was not mended since.

    Attributes:
        state: `waiting`: the try itself found that it must wait (a source's NotReady).
        tries: failed tries in a row.
        next_try: when the planner may ask again; None: not by itself, only on new input or new code.
        inputs, code: what the try was made with; other ones are worth a new try.
        kind: typed reason, where there is one.
        began: when the try began, at the latest: what came while it ran was not in it. None: not known, or nothing was tried.
    """

    state: TroubleName
    reason: str
    tries: int
    at: datetime
    next_try: datetime | None
    inputs: bytes | None
    code: str | None
    run_id: str
    kind: str | None = None
    began: datetime | None = None

    @property
    def came_after(self) -> datetime:
        """What came later than this was not in the try."""
        return self.began or self.at

    @property
    def changed_outside(self) -> bool:
        """Whether nothing was tried: the published rows were changed past the platform."""
        return self.kind == CHANGED_OUTSIDE


@dataclass(frozen=True, slots=True)
class InFlight:
    """A partition that is asked for (`requested`) or being built (`running`)."""

    stage: Stage
    run_id: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Landed:
    """What lies in the landing for one event hour: rows and segments; when the last of them was sealed; whether any of them has expired."""

    rows: int
    segments: int
    last_sealed_at: datetime
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Receiver:
    """One receiver as the planner sees it.

    Attributes:
        sealed_until: every event it accepted before this instant is in a segment; None: it never sealed.
        state: `live` counts for closing; `gone` deregistered cleanly; `lost` was given up by a person.
        why: why it was given up, as that person put it.
    """

    id: str
    sealed_until: datetime | None
    beat_at: datetime
    state: Literal["live", "lost", "gone"]
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's word that a domain or an endpoint is left alone for a while. Which endpoints it holds for is said in pausing.

    Attributes:
        name: a domain, or the key of an endpoint.
        why: as the person put it.
        until: when it ends by itself; None: when a person ends it.
    """

    name: str
    why: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class EndpointFacts:
    """All that matters of one endpoint within the span asked about.

    Attributes:
        landed: by hour, of an event type.
        reopened: hours of an event type whose parked rows a person wants in, with when that was said.
        since: when the endpoint was first applied: no deadline holds for partitions that had ended by then. None: not known, it always was.
    """

    contract: Contract
    published: Mapping[str, Published] = field(default_factory=dict)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    in_flight: Mapping[str, InFlight] = field(default_factory=dict)
    landed: Mapping[str, Landed] = field(default_factory=dict)
    reopened: Mapping[str, datetime] = field(default_factory=dict)
    since: datetime | None = None

    @property
    def cadence(self) -> Cadence:
        """Hourly or daily."""
        return self.contract.cadence


@dataclass(frozen=True)
class Facts:
    """The world at one instant, over one span.

    Attributes:
        since, until: the span that is decided about; facts of inputs reach further where windows do.
        asked: the endpoints to decide about, by key; the others are there because these read them.
        endpoints: by key.
        receivers: all that ever beat and were not forgotten.
        pauses: those nobody has ended; expired ones may be among them.
    """

    since: datetime
    until: datetime
    asked: tuple[str, ...]
    endpoints: Mapping[str, EndpointFacts]
    receivers: tuple[Receiver, ...] = ()
    pauses: tuple[Pause, ...] = ()
