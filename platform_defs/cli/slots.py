"""How many runs of backfills go at a time, as the running Dagster was told. Who sets it is build.instance."""

from __future__ import annotations

from pathlib import Path

# Of the fewest slots there are (build.instance).
_FEWEST = 2


def backfill_slots(dagster_home: Path) -> int:
    """The limit on runs of backfills in `dagster.yaml`; the least there can be if there is none."""
    import yaml

    try:
        read = yaml.safe_load((dagster_home / "dagster.yaml").read_text(encoding="utf-8"))
        limits = read["concurrency"]["runs"]["tag_concurrency_limits"]
        return int(next(limit["limit"] for limit in limits if limit["key"] == "dagster/backfill"))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, StopIteration):
        return _FEWEST
