"""Spark's settings of plans: over few rows and many, and of their tier. Apart from sessions, so that whoever only starts a server need not load a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platform_defs.contracts.contract import Tier

# Java code for a plan takes 0.2 s to make, for every plan anew since its partition's name is in it: an hour of 200 rows was built in 2.2 s with it and in
# 1.25 s without. It pays for itself from some hundred thousand rows on.
COMPILED_FROM_ROWS = 300_000
COMPILED = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""What a server starts with, so that small runs need not ask."""
TIER_POOLS: dict[Tier, str] = {"high": "high", "normal": "default", "low": "low"}
"""The pool of each tier's jobs: deploy/local/fairscheduler.xml says what each gets."""
