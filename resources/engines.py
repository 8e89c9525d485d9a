"""The distributed engine as a Dagster resource: both trust zones, sessions opened on first use. How a session is made is in `spark`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from resources.settings import settings_at

if TYPE_CHECKING:
    from resources.spark import SparkEngines


class EnginesResource(dg.ConfigurableResource["EnginesResource"]):
    """The running platform's Spark servers. `home`: BACKLINE_HOME; empty: as the environment says."""

    home: str = ""

    def engines(self) -> SparkEngines:
        """Engines by zone. Imports pyspark, which a schedule's process does without."""
        from resources.spark import SparkEngines

        settings = settings_at(self.home)
        return SparkEngines(settings.spark_intake, settings.spark_lake)
