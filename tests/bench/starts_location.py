"""The location that `starts` launches runs of: a crowd of endpoints whose builder only writes down when it was asked. <home>/asked/RUN holds the instant."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Any

import dagster as dg

from platform_defs.build.definitions import build_defs
from platform_defs.contracts.loading import load_domain
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.results import PartitionResult
from tests.bench.planning_location import Played


def asked(work: Work, platform: Platform) -> list[PartitionResult]:
    """The first line of an asset."""
    (Path(os.environ["BACKLINE_HOME"]) / "asked" / work.run_id).write_text(repr(time.time()))
    common: dict[str, Any] = {"rows": 1, "reason": "", "checks": (), "counts": {}, "version": 1, "seconds": 0.0, "metadata": {}}
    return [PartitionResult(key, "published", **common) for key in work.keys]


@functools.cache
def definitions(domain: str) -> dg.Definitions:
    """The crowd."""
    loaded = load_domain(Path(os.environ["BACKLINE_HOME"]) / "assets" / domain)
    return build_defs(domain, loaded=loaded, known={}, resources={"platform": Played()}, builder=asked, planned=False)


def __getattr__(name: str) -> dg.Definitions:
    if name.startswith("_") or "BACKLINE_HOME" not in os.environ:
        raise AttributeError(name)
    return definitions(name)
