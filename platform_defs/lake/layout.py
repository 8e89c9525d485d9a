"""Where everything of the lake lies: tables, their quarantine and late lanes, staging, records. Paths alone; nothing here touches a disk.

<root>/<domain>/<name>                the table
<root>/<domain>/<name>__quarantine    rows that broke a rule, with the rules' names
<root>/<domain>/<name>__late          rows that came after the last settle age (event types)
<root>/_staging/<run>/<domain>/<name> what a run computed and did not publish yet
<root>/_records/<day>/<run>-<table>.json
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Lane = Literal["table", "quarantine", "late"]
_SUFFIX: dict[Lane, str] = {"table": "", "quarantine": "__quarantine", "late": "__late"}
_KEY = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Lake:
    """The lake's root and the paths below it.

    Attributes:
        root: a local folder today, `s3a://bucket/prefix` later; without a slash at its end.
    """

    root: str

    def __post_init__(self) -> None:
        if not self.root.rstrip("/"):
            raise ValueError("the lake has no root: give a folder")
        object.__setattr__(self, "root", self.root.rstrip("/"))

    def lane(self, key: str, lane: Lane) -> str:
        """Path of one lane of an endpoint: its table, quarantine or late rows. Raises ValueError for what is no endpoint key."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no endpoint: write domain/name in lower case")
        return f"{self.root}/{key}{_SUFFIX[lane]}"

    def table(self, key: str) -> str:
        """Path of the endpoint's table."""
        return self.lane(key, "table")

    def quarantine(self, key: str) -> str:
        """Path of the rows that broke a rule."""
        return self.lane(key, "quarantine")

    def late(self, key: str) -> str:
        """Path of the rows that came after the last settle age."""
        return self.lane(key, "late")

    def staging(self, run_id: str, key: str) -> str:
        """Folder of what one run computes for one endpoint. Raises ValueError for a run id that is no file name."""
        if not _RUN.fullmatch(run_id):
            raise ValueError(f"{run_id!r} is no run id: letters, digits, dots, dashes")
        self.lane(key, "table")
        return f"{self.staging_root}/{run_id}-{key.replace('/', '.')}"  # one folder, no parents: endpoints of a run end at the same time

    @property
    def staging_root(self) -> str:
        """Folder of all runs' staging."""
        return f"{self.root}/_staging"

    @property
    def records(self) -> str:
        """Folder of the records."""
        return f"{self.root}/_records"
