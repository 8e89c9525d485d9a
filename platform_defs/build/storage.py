"""Dagster's own history in Postgres, over connections that are kept.

Dagster opens a connection for each statement, so that many instances in a process do not gather them: 8 ms and a server process each. A first demo spent a
third of its processor time on that. And it looks into the catalogue for columns that every version since years has, before each statement that uses them.
The tables are made once, at the platform's start (`instance`), by the version that runs; here they are only used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster_postgres import DagsterPostgresStorage

from platform_defs.build.dagster_private import ConfigurableClassData, keep_connections


class KeptPostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules in one database. Safe to use from several threads; make it after a fork, not before.

    Configured as Dagster's own, `postgres_url` alone: `storage: {custom: {module: platform_defs.build.storage, class: KeptPostgresStorage, config: ...}}`.
    """

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, should_autocreate_tables=False, inst_data=inst_data)
        close = keep_connections((self.run_storage, self.event_log_storage, self.schedule_storage), postgres_url)
        dispose = self.event_log_storage.dispose

        def dispose_all() -> None:
            dispose()
            close()

        # An instance that ends disposes of its runs and events, not of what holds them.
        self.event_log_storage.dispose = dispose_all  # type: ignore[method-assign]

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> KeptPostgresStorage:
        """What `dagster.yaml` says. Raises KeyError without `postgres_url`."""
        return cls(config_value["postgres_url"], inst_data)


def make_tables(postgres_url: str) -> None:
    """Makes Dagster's tables, or finds them made. Once, before anything opens the instance: two first openers would race and die."""
    DagsterPostgresStorage(postgres_url, should_autocreate_tables=True)
