"""From decisions to runs: which due partitions are asked for together. Opening requests and starting runs is not done here.

A run holds one level of the graph (no asset beside its own upstream), at most 50 assets, 24 hours or 7 days, one domain, one cadence, one contiguous range.
"""

from __future__ import annotations

from dataclasses import dataclass

from platform_defs.contracts.contract import Tier
from platform_defs.contracts.partitions import Cadence


@dataclass(frozen=True)
class RunRequestPlan:
    """One run to ask for.

    Attributes:
        endpoints: keys, sorted, of one domain and cadence, none reading another.
        first, last: the range, ends included.
        inputs: 16 bytes over what the decisions saw.
        attempt: 1, more when an earlier try failed.
    """

    domain: str
    cadence: Cadence
    endpoints: tuple[str, ...]
    first: str
    last: str
    tier: Tier
    inputs: bytes = b""
    attempt: int = 1
