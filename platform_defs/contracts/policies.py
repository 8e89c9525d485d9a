"""Policies authors declare for a folder or a declaration: the domain's defaults and what happens to late rows. Checked when loaded, not here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from platform_defs.contracts.contract import Tier

Hold = str  # a duration, or "forever"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """When rows that come after their hour was built are taken in (DESIGN 4.7).

    Attributes:
        settle: ages of the hour's first build at which late rows rebuild it; beyond the last one they go to `<event>__late`.
        share: late rows rebuild an hour at once when they pass this fraction of its rows; 0 rebuilds for any.
        hold: how long an hour waits for a silent receiver before it closes without it; "forever" for money.
        landing: how long raw segments are kept; at least the last settle age and 48 h.
    """

    settle: Sequence[str] = ("1h", "6h", "24h", "72h")
    share: float = 0.01
    hold: Hold = "2h"
    landing: str = "7d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """What is said once for a folder of assets; any declaration in it may say otherwise.

    Attributes:
        owner: who answers for it: `team:listening` or an e-mail address.
        purpose: what personal data is used for, one word; pseudonyms join inside one purpose only.
        start: first day with data, `2026-01-01`.
        retention: how long partitions are kept, `400d`.
        readers: who may read beside the owner: `group:analysts`, `team:...`, `user:...`.
        lateness: of event types and sources that say nothing themselves.
    """

    owner: str | None = None
    purpose: str | None = None
    tier: Tier = "normal"
    start: str | None = None
    retention: str | None = None
    readers: Sequence[str] = ()
    lateness: Lateness = field(default_factory=Lateness)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one declaration says of itself; None leaves it to the domain."""

    owner: str | None = None
    purpose: str | None = None
    tier: Tier | None = None
    start: str | None = None
    retention: str | None = None
    readers: Sequence[str] | None = None
    shared: bool = False
    on_erase: Literal["keep", "rebuild"] | None = None
    version: str | None = None
    ready_within: str | None = None
