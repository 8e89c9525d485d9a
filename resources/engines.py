"""The distributed engine as a Dagster resource: both trust zones, sessions opened on first use. How a session is made is in `spark`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from resources.settings import Settings, settings_at

if TYPE_CHECKING:
    from resources.spark import SparkEngines


class EnginesResource(dg.ConfigurableResource["EnginesResource"]):
    """The running platform's Spark servers. `home`: BACKLINE_HOME; empty: as the environment says."""

    home: str = ""

    def engines(self) -> SparkEngines:
        """Engines by zone. Imports pyspark, which a schedule's process does without."""
        return engines_of(settings_at(self.home))


def engines_of(settings: Settings) -> SparkEngines:
    """The engines of a running platform, whose servers are not restarted while they are used. Close them."""
    from resources.spark import SparkEngines
    from resources.spark_use import ServerUse

    return SparkEngines(settings.spark_intake, settings.spark_lake, ServerUse(settings.run))
