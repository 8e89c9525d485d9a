"""The ledger: what there is, what landed, what was built, by whom and when, in Postgres. What should be done about it is planning's matter."""

from platform_defs.ledger.attempts import Attempt, Transition
from platform_defs.ledger.landing import AccountTotal, LandedChange, SegmentRow
from platform_defs.ledger.leases import Fence, FenceLost, Held, RunEnded
from platform_defs.ledger.ledger import Ledger
from platform_defs.ledger.outcomes import Outcome, RunInfo
from platform_defs.ledger.partitions import ContentChange
from platform_defs.ledger.registry import Applied, Revision
from platform_defs.ledger.requests import Request
from platform_defs.ledger.store import UnknownEndpoint
from platform_defs.planning.facts import Counts, Published, Receiver

__all__ = [
    "AccountTotal",
    "Applied",
    "Attempt",
    "ContentChange",
    "Counts",
    "Fence",
    "FenceLost",
    "Held",
    "LandedChange",
    "Ledger",
    "Outcome",
    "Published",
    "Receiver",
    "Request",
    "Revision",
    "RunEnded",
    "RunInfo",
    "SegmentRow",
    "Transition",
    "UnknownEndpoint",
]
