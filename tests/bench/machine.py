"""On what something was measured: versions, cores, memory, and how busy the machine was with other things."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

import psutil

from platform_defs.running.java import choose

_PACKAGES = {"Spark": "pyspark", "Delta": "delta-spark", "Dagster": "dagster", "pandera": "pandera", "DuckDB": "duckdb", "Polars": "polars"}


def versions() -> dict[str, str]:
    """Versions by name, of what takes part in benchmarks."""
    found = {"Python": platform.python_version(), "Java": _java()}
    for name, package in _PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, float]:
    """Cores this process may use, gigabytes of memory, and the load a core when it is asked."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"cores": cores, "memory_gb": round(psutil.virtual_memory().total / 2**30), "load_a_core": round(os.getloadavg()[0] / cores, 2)}


def _java() -> str:
    said = subprocess.run([choose(os.environ).executable, "-version"], capture_output=True, text=True, check=True).stderr
    return said.split('"')[1]
