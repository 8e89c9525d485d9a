"""Dagster's history over kept connections: few are opened, all are closed, and the instance works as with Dagster's own storage."""

import psycopg2

from platform_defs.build.instance import bootstrap_instance, open_instance
from platform_defs.ledger.embedded import EmbeddedPostgres
from resources.settings import Settings
from tests.fixtures.dagster import until
from tests.system.dagster.conftest import settings_in


def ask(settings: Settings, question: str) -> int:
    """One number of the database's own statistics, over a connection of its own, whose server process ends a little later."""
    connection = psycopg2.connect(str(settings.storage_url).replace("+psycopg2", ""))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(question)
            return int(cursor.fetchone()[0])
    finally:
        connection.close()


def test_statements_share_connections_which_end_with_the_instance(postgres: EmbeddedPostgres, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    settings = settings_in(tmp_path_factory.mktemp("storage"), postgres, "dagster_storage")
    bootstrap_instance(settings)
    bootstrap_instance(settings)  # a second start finds the tables made
    opened = "select sessions from pg_stat_database where datname = current_database()"
    held = "select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
    before = ask(settings, opened)
    with open_instance(settings) as instance:
        for _ in range(25):
            assert instance.get_runs(limit=1) == []
            assert instance.event_log_storage.supports_asset_checks  # type: ignore[attr-defined]
            assert list(instance.all_instigator_state()) == []
        assert ask(settings, opened) - before <= 4
        until(lambda: ask(settings, held) == 1, 30, "one connection for all of it")
    until(lambda: ask(settings, held) == 0, 30, "no connection left")
