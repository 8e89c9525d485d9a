"""Levels of the graph of endpoints: an endpoint's level is above those of all it reads, itself aside. Endpoints of one level never read each other."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import TopologicalSorter

from platform_defs.contracts.contract import Contract


def levels(contracts: Iterable[Contract]) -> dict[str, int]:
    """Level by key, 0 for those that read nothing known here; raises graphlib.CycleError for a cycle of several endpoints."""
    graph = {contract.key: {item.endpoint for item in contract.inputs} - {contract.key} for contract in contracts}
    found: dict[str, int] = {}
    for key in TopologicalSorter(graph).static_order():
        found[key] = max((found[read] + 1 for read in graph.get(key, ())), default=0)
    return found
