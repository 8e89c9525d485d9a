"""`backline bench`: measurements of this machine. Each measurement is a module of its own under tests/bench."""

from __future__ import annotations

from platform_defs.cli.main import LazyGroup, Sub

bench = LazyGroup(
    "bench",
    subs={"quick": Sub("tests.bench.quick:quick", "A few minutes: partitions a minute, events a second.")},
    help="Measure this machine: partitions a minute, events a second.",
)
