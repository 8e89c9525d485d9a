"""`backline bench`: measurements of this machine. Each measurement is a module of its own under tests/bench, which says how one is written."""

from __future__ import annotations

from platform_defs.cli.main import LazyGroup, Sub

SUBS = {
    "quick": Sub("tests.bench.quick:quick", "Two minutes: partitions a minute, events a second."),
    "receiver": Sub("tests.bench.receiver:receiver", "Events a second through one receiver, p99 of an answer at half that load."),
    "inspection": Sub("tests.bench.inspection:inspection", "Rows judged a second, against pandera's own PySpark validation."),
    "backfill": Sub("tests.bench.backfill:backfill", "48 hours through the running platform, beside vanilla Dagster with PySpark."),
    "builds": Sub("tests.bench.builds:builds", "Hours of an endpoint, by range and one by one, beside a plain PySpark loop."),
    "planning": Sub("tests.bench.planning:planning", "A tick at 4,000 to 400,000 endpoints, a location of 2,000, events per build."),
    "starts": Sub("tests.bench.starts:starts", "From a queued run to the first line of its asset, at 50 and 2,000 assets."),
    "standing": Sub("tests.bench.standing:standing", "`up`, `--help`, memory when idle and after 500 runs."),
    "intake": Sub("tests.bench.intake:intake", "A day of 5 M events taken in, against DuckDB and Polars; the same with people."),
    "hour": Sub("tests.bench.hour:hour", "One hour of 1,800 event types, published and checked."),
    "all": Sub("tests.bench.everything:everything", "All of them, each in a process of its own."),
    "report": Sub("tests.bench.report:report", "Write docs/benchmarks.md from the figures that were kept."),
}

bench = LazyGroup("bench", subs=SUBS, help="Measure this machine, beside a rival in the same run; docs/benchmarks.md holds what was kept.")
