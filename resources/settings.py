"""Where everything of one running Backline is: folders, addresses, databases.

`Settings` is what every command, code location and process starts from. The supervisor writes it to `<home>/run/run.json`; everybody else reads it
there. How the services behind the addresses are started does not belong here.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

HOME_VARIABLE = "BACKLINE_HOME"
_PREFIX = "BACKLINE_"


class NotRunning(RuntimeError):
    """The platform's services are needed and nothing says where they are."""


class SettingsWrong(ValueError):
    """The file or a variable that says where the platform's services are cannot be understood; the message says what to do."""


def checkout() -> Path:
    """The folder that holds `workspace.yaml`: the working directory or the nearest one above it, else the one this package lies in."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "workspace.yaml").is_file():
            return folder
    return Path(__file__).resolve().parents[1]


def default_home() -> Path:
    """Where the state is: `BACKLINE_HOME`, else `.backline` in the checkout."""
    given = os.environ.get(HOME_VARIABLE)
    return Path(given).absolute() if given else checkout() / ".backline"


class Settings(BaseModel):
    """Addresses and folders of one platform.

    Attributes:
        home: BACKLINE_HOME, absolute.
        landing: root of sealed segments, a local path today.
        lake: root of the tables, a local path today.
        ledger_url: SQLAlchemy URL of the ledger's database (`postgresql+psycopg2://...`).
        vault_url: the same of the vault's, under its own role.
        storage_url: the same of Dagster's own storage.
        spark_intake, spark_lake: Spark Connect URLs of the two trust zones, `sc://localhost:PORT/;token=...`; equal when one server serves both.
        collector_url: base address of the collector, `http://127.0.0.1:PORT`.
        dagster_url: address of the Dagster web pages; None while there are none.
        assets: folder of the domains.
        processes: process ids by name, as the supervisor started them last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path
    landing: str
    lake: str
    # URLs may carry a password or a token: they stay out of every repr.
    ledger_url: str = Field(repr=False)
    vault_url: str = Field(repr=False)
    storage_url: str = Field(repr=False)
    spark_intake: str = Field(repr=False)
    spark_lake: str = Field(repr=False)
    collector_url: str
    dagster_url: str | None = None
    assets: Path
    processes: dict[str, int] = {}

    @property
    def kek_file(self) -> Path:
        """The vault's key-encryption key (0600)."""
        return self.home / "vault" / "kek.json"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME: instance configuration and compute logs."""
        return self.home / "dagster"

    @property
    def secrets_file(self) -> Path:
        """Secrets of sources by name (0600)."""
        return self.home / "secrets.json"

    @property
    def clients_file(self) -> Path:
        """Clients and the sha256 of their tokens (0600)."""
        return self.home / "clients.json"

    @property
    def run(self) -> Path:
        """Sockets, tokens and `run.json` of the running platform (0700)."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Logs of the platform's processes and runs (0700)."""
        return self.home / "logs"

    def write(self) -> Path:
        """Writes `<home>/run/run.json` in one piece, readable by its owner alone; returns its path."""
        self.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = run_file(self.home)
        handle, name = tempfile.mkstemp(dir=self.run, prefix="run.", suffix=".tmp")  # mkstemp makes 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.model_dump_json(indent=2))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return path

    @property
    def compute_logs(self) -> Path:
        """What Dagster captured of runs' output, a folder a run."""
        return self.dagster_home / "compute_logs"

    @classmethod
    def load(cls, home: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of the running platform.

        Read from `<home>/run/run.json`; each value can be given instead by `BACKLINE_<NAME>` in the environment (`BACKLINE_LEDGER_URL`), so that a
        container needs no file. Raises NotRunning when a value is in neither, SettingsWrong when the file cannot be understood.
        """
        environ = os.environ if environ is None else environ
        home = (home or default_home()).absolute()
        values: dict[str, Any] = {}
        path = run_file(home)
        if path.is_file():
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise SettingsWrong(f"{path} is not JSON: stop what runs, delete the file and start again with ./backline up") from error
        values["home"] = str(home)
        for name in cls.model_fields:
            given = environ.get(_PREFIX + name.upper())
            if given and name not in ("home", "processes"):
                values[name] = given
        missing = [name for name, field in cls.model_fields.items() if field.is_required() and name not in values]
        if missing:
            if path.is_file():
                raise SettingsWrong(f"{path} lacks {', '.join(missing)}: stop what runs, delete the file and start again with ./backline up")
            raise NotRunning("Backline is not running: start it with ./backline up")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors(include_input=False, include_url=False))
            raise SettingsWrong(f"{path} (or a BACKLINE_ variable) is wrong: {wrong}") from None

    @staticmethod
    def forget(home: Path) -> None:
        """Removes `run.json`: nothing runs any more."""
        run_file(home).unlink(missing_ok=True)


def settings_at(home: str) -> Settings:
    """The settings of the platform at `home`; of the one the environment names when it is empty. As `Settings.load`."""
    return Settings.load(Path(home) if home else None)


def run_file(home: Path) -> Path:
    """Where the running platform says what its addresses are."""
    return home / "run" / "run.json"
