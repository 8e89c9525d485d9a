"""What a table's own log says: its newest version, who committed what. Read without Spark: a look costs no job.

Only commits that Delta has not cleaned away are there (30 days); the newest always is. For longer memory there are the records.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from platform_defs.lake.files import files_of

_LAST_CHECKPOINT = "_last_checkpoint"
_COMMIT = re.compile(r"(\d{20})\.json")


class NoTable(LookupError):
    """There is no table at the path; the message says how one is made."""


@dataclass(frozen=True)
class Entry:
    """One commit.

    Attributes:
        version: of the table, as this commit left it.
        signature: what the committer said of itself (`run`, `fence` and `keys` for a publish, `apply`, `retention`); None: not the platform.
        operation: Delta's name of it, `WRITE`, `DELETE`, `ADD COLUMNS`.
        touched: of a commit that is not the platform's, the partitions whose rows it changed, by the files it added and removed; None: any.
    """

    version: int
    at: datetime
    operation: str
    signature: dict[str, Any] | None
    touched: frozenset[str] | None = frozenset()

    def may_touch(self, key: str) -> bool:
        """Whether this commit may have changed rows of the partition."""
        if self.signature is None:
            return self.touched is None or key in self.touched
        return key in self.signature.get("keys", ())

    @property
    def keys(self) -> frozenset[str] | None:
        """The partitions whose rows it may have changed; None: any."""
        return self.touched if self.signature is None else frozenset(self.signature.get("keys", ()))


def newest(path: str) -> int | None:
    """The table's newest version; None if there is no table."""
    found = _versions(path)
    return found[-1] if found else None


def entries(path: str, after: int = -1) -> list[Entry]:
    """Commits later than version `after`, oldest first; those that Delta cleaned away are not among them."""
    found = []
    for version in _versions(path):
        if version > after:
            with contextlib.suppress(FileNotFoundError):  # cleaned away since we listed it
                found.append(_entry(path, version))
    return found


def changed_since(path: str, versions: Mapping[str, int]) -> dict[str, Entry]:
    """Of these partitions, each with the version it was last recorded at, those that a later commit may have changed, with the first such commit.

    What changes no row (`backline apply`, a compaction) or only drops what has expired does not count; neither do publishes of other partitions. So an
    answer means: changed from outside, or published by a run that was not recorded.
    """
    if not versions:
        return {}
    later = entries(path, min(versions.values()))
    found: dict[str, Entry] = {}
    for key, version in versions.items():
        touching = next((entry for entry in later if entry.version > version and entry.may_touch(key)), None)
        if touching is not None:
            found[key] = touching
    return found


def pinned(path: str, versions: Mapping[str, int]) -> int:
    """The newest version at which these partitions are still as they were recorded: what to read them at.

    Mostly the table's newest. Reading at the recorded version itself would fail one day: Delta drops its log after 30 days and vacuums files of old
    versions after 7, though the partition's own files live on. Where something later may have changed one of the partitions, the version before it; never
    one older than the newest record. Raises ValueError without partitions.
    """
    recorded = max(versions.values())
    later = entries(path, min(versions.values()))
    touched = [entry.version for entry in later if any(entry.version > version and entry.may_touch(key) for key, version in versions.items())]
    return max(recorded, min(touched) - 1 if touched else later[-1].version if later else recorded)


def undropped(path: str, keys: Iterable[str]) -> set[str]:
    """Of these partitions, those that may hold rows: whose rows no commit has dropped as expired, or that were written to since one did.

    Read from the newest commit backwards, mostly as far as the last day on which something expired.
    """
    left, found = set(keys), set[str]()
    for version in reversed(_versions(path)):
        if not left:
            break
        with contextlib.suppress(FileNotFoundError):  # cleaned away since we listed it
            entry = _entry(path, version)
            dropped = entry.signature.get("retention") if entry.signature else None
            touched = {key for key in left if dropped is None and entry.may_touch(key)}
            found |= touched
            left -= touched | {key for key in left if dropped is not None and key < dropped}
    return found | left


def settle(path: str, since: int | None = None) -> None:
    """Returns once the table's commits later than version `since` (None: its newest) outlast a power cut, with the checkpoints that deltalake makes on the way.

    Neither deltalake nor Spark's log store waits for the disk. Of a checkpoint the name alone would be there, and the table could not be read.
    """
    log, files = f"{path}/_delta_log", files_of(path)
    names = files.names(log)
    versions = _numbers(names)
    later = [version for version in versions if version > since] if since is not None else versions[-1:]
    wanted = {_LAST_CHECKPOINT, *(f"{version:020d}{kind}" for version in later for kind in (".json", ".checkpoint.parquet"))}
    files.settle([*(f"{log}/{name}" for name in names if name in wanted), log])


def signature(**said: Any) -> str:
    """What the platform writes into a commit to know it again."""
    return json.dumps({"by": "backline", **said}, sort_keys=True, separators=(",", ":"))


def _versions(path: str) -> list[int]:
    return _numbers(files_of(path).names(f"{path}/_delta_log"))


def _numbers(names: Iterable[str]) -> list[int]:
    return [int(found.group(1)) for found in map(_COMMIT.fullmatch, names) if found]


def _entry(path: str, version: int) -> Entry:
    content = files_of(path).read(f"{path}/_delta_log/{version:020d}.json")
    for line in content.splitlines():
        if line.startswith(b'{"commitInfo"'):
            info = json.loads(line)["commitInfo"]
            at = datetime.fromtimestamp(info.get("timestamp", 0) / 1000, UTC)
            said = _signature_of(info.get("userMetadata"))
            touched = _touched(content) if said is None else frozenset[str]()
            return Entry(version, at, info.get("operation", ""), said, touched)
    return Entry(version, datetime.fromtimestamp(0, UTC), "", None, _touched(content))


def _touched(content: bytes) -> frozenset[str] | None:
    """Partitions of the files that a commit added or removed with other rows than there were; None where a file says none, or the commit nothing at all."""
    found = set[str]()
    if not content.strip():  # what a power cut leaves of a commit that somebody did not wait for
        return None
    for line in content.splitlines():
        if not line.startswith((b'{"add"', b'{"remove"')):
            continue
        ((_, file),) = json.loads(line).items()
        if file.get("dataChange", True):
            values = list((file.get("partitionValues") or {}).values())
            if len(values) != 1 or values[0] is None:
                return None
            found.add(values[0])
    return frozenset(found)


def _signature_of(said: str | None) -> dict[str, Any] | None:
    try:
        value = json.loads(said or "")
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("by") == "backline" else None
