"""Postgres ends all connections because one of its processes was killed, and is back in a fraction of a second: it passes by itself, wherever it struck."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from platform_defs.build.dagster_private import keep_connections
from platform_defs.execution.failures import Blame
from platform_defs.execution.results import FailureKind
from platform_defs.ledger import Ledger
from platform_defs.ledger.embedded import EmbeddedPostgres
from platform_defs.privacy.keys import FileKek
from platform_defs.privacy.vault import Vault, VaultUnavailable
from platform_defs.running.home import wait_until

Crash = Callable[[], None]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """One of our own: whoever shares another's would be hit as well."""
    with tempfile.TemporaryDirectory(prefix="backline-pg-") as folder:
        made = EmbeddedPostgres(Path(folder))  # durable: a commit survives
        made.start()
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def crash(server: EmbeddedPostgres) -> Crash:
    """Has the server end all its connections, as when memory is out and the system kills one of its processes; back when it returns."""

    def answers() -> bool:
        engine = sa.create_engine(server.uri("ledger"), poolclass=sa.NullPool)
        try:
            with engine.connect():
                return True
        except DBAPIError:
            return False

    def broken(connection: sa.Connection) -> bool:
        try:
            connection.execute(sa.text("SELECT 1"))
        except DBAPIError:
            return True
        return False

    def crash() -> None:
        engine = sa.create_engine(server.uri("ledger"), poolclass=sa.NullPool)
        with engine.connect() as killed, engine.connect() as other:
            os.kill(killed.execute(sa.text("SELECT pg_backend_pid()")).scalar_one(), signal.SIGKILL)
            assert wait_until(lambda: broken(other), 60)
            killed.invalidate()
            other.invalidate()
        assert wait_until(answers, 60)

    return crash


def test_a_publish_that_it_interrupts_is_tried_again(server: EmbeddedPostgres, crash: Crash) -> None:
    ledger = Ledger(server.uri("ledger"))
    ledger.create()
    with pytest.raises(DBAPIError) as caught, ledger.turns.at("charts/plays"):
        crash()
    failure = Blame("charts/plays", "plays").publishing("2026-10-01T03", caught.value)
    assert (failure.kind, failure.lasting) == (FailureKind.ENGINE, False)
    with ledger.turns.at("charts/plays"):
        pass
    ledger.close()


def test_the_vault_says_that_it_cannot_be_asked_now(server: EmbeddedPostgres, crash: Crash, tmp_path: Path) -> None:
    vault = Vault(server.uri("vault"), FileKek.load_or_create(tmp_path / "kek.json"))
    vault.create()

    def interrupted() -> None:
        with vault._connected() as connection:
            crash()
            connection.execute(sa.text("SELECT 1"))

    with pytest.raises(VaultUnavailable):
        interrupted()
    assert len(vault.people("person", ["7"]).keys) == 1
    vault.close()


def test_dagsters_kept_connections_are_renewed(server: EmbeddedPostgres, crash: Crash) -> None:
    storage = type("Storage", (), {"_engine": None})()
    close = keep_connections([storage], server.uri("dagster"))

    def ask() -> object:
        with storage._engine.connect() as connection:
            return connection.execute(sa.text("SELECT 1")).scalar()

    assert ask() == 1
    crash()
    assert ask() == 1
    close()
