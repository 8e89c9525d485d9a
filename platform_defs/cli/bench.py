"""`backline bench`: measurements of this machine. Each measurement is a module of its own under tests/bench."""

from __future__ import annotations

from platform_defs.cli.main import LazyGroup, Sub

bench = LazyGroup(
    "bench",
    subs={
        "quick": Sub("tests.bench.quick:quick", "A few minutes: partitions a minute, events a second."),
        "planning": Sub("tests.bench.planning:planning", "A tick at 4,000 to 400,000 endpoints, a location of 2,000, events per build."),
    },
    help="Measure this machine: partitions a minute, events a second.",
)
