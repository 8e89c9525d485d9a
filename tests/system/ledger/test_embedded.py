"""The embedded Postgres: paths, roles, starting twice, surviving."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from platform_defs.ledger.embedded import EmbeddedPostgres, PostgresError


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of our own: pytest closes its `tmp_path` to other accounts whenever another session starts, and as root Postgres has its own account."""
    with tempfile.TemporaryDirectory(prefix="backline-pg-") as made:
        yield Path(made)


def ask(url: str, query: str = "SELECT 1") -> object:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            return connection.execute(text(query)).scalar()
    finally:
        engine.dispose()


def test_each_role_enters_its_own_database_only(postgres: EmbeddedPostgres) -> None:
    for name in ("dagster", "ledger", "vault"):
        assert ask(postgres.uri(name), "SELECT current_user || ' ' || current_database()") == f"{name} {name}"
    with pytest.raises(OperationalError, match="permission denied for database"):
        ask(postgres.uri("ledger").replace("/ledger?", "/vault?"))
    with pytest.raises(OperationalError, match="password authentication failed"):
        ask(postgres.uri("ledger").replace("//ledger:", "//vault:"))
    assert ask(postgres.uri("postgres"), "SELECT current_user") == "postgres"


def test_it_listens_on_no_port_and_its_socket_is_private(postgres: EmbeddedPostgres) -> None:
    assert ask(postgres.uri("postgres"), "SHOW listen_addresses") == ""
    socket = Path(str(ask(postgres.uri("postgres"), "SHOW unix_socket_directories"))) / ".s.PGSQL.5432"
    assert socket.stat().st_mode & 0o077 == 0


def test_passwords_are_for_the_owner_alone(postgres: EmbeddedPostgres, folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", durable=False)
    server.start()
    server.stop()
    assert (folder / "pg" / "roles.json").stat().st_mode & 0o777 == 0o600


def test_a_path_too_long_for_a_socket_and_full_of_quotes(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "it's a folder" / ("x" * 90) / "pg", durable=False)
    server.start()
    try:
        server.start()  # joined, not started twice
        assert ask(server.uri("ledger")) == 1
        sockets = Path(str(ask(server.uri("postgres"), "SHOW unix_socket_directories")))
        assert len(os.fsencode(sockets / ".s.PGSQL.5432")) <= 103
    finally:
        server.stop()
    assert not server.running()
    assert not sockets.exists()
    server.stop()  # harmless


def test_it_survives_a_kill_and_keeps_what_was_committed(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", durable=True)
    server.start()
    try:
        ask(server.uri("ledger"), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42); SELECT 1")
        master = int((folder / "pg" / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(master, signal.SIGKILL)
        server.start()
        assert ask(server.uri("ledger"), "SELECT n FROM kept") == 42
    finally:
        server.stop()


def test_two_first_starts_at_once(folder: Path) -> None:
    place = folder / "pg"
    code = (
        f"from pathlib import Path; from platform_defs.ledger.embedded import EmbeddedPostgres; EmbeddedPostgres(Path({str(place)!r}), durable=False).start()"
    )
    starts = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for start in starts:
            _, errors = start.communicate(timeout=120)
            assert start.returncode == 0, errors
        assert ask(EmbeddedPostgres(place).uri("vault")) == 1
    finally:
        EmbeddedPostgres(place).stop()


def test_an_interrupted_making_is_begun_anew(folder: Path) -> None:
    (folder / "pg" / "data" / "base").mkdir(parents=True)
    server = EmbeddedPostgres(folder / "pg", durable=False)
    server.start()
    assert ask(server.uri("ledger")) == 1
    server.stop()


def test_what_keeps_it_from_starting_is_said(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", durable=False)
    server.start()
    server.stop()
    with (folder / "pg" / "data" / "postgresql.auto.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(PostgresError, match="no_such_setting"):
        server.start()
