"""The compute step of a source: asks its function what there is for a partition, seals what is new as that partition's segments, takes them in as events
are taken in.

What was pulled is remembered beside the segments (`sources/<domain>/<name>/<partition>.json` in landing): a file of the same name and version is not
read again, its segment is sealed again as it is. How files become lines is in pulling, how lines become rows in cleaning and in_process.
"""

from __future__ import annotations

import gzip
import hashlib
import inspect
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from platform_defs.contracts.bounds import instant_text
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.event import Record
from platform_defs.contracts.partitions import window_of
from platform_defs.contracts.sources import NotReady, RawFile, SourceDef, secrets_of
from platform_defs.execution.batches import Batch
from platform_defs.execution.intake import Taking
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.pulling import CLIENT, Spelling, row_text
from platform_defs.execution.results import Failure, FailureKind
from platform_defs.execution.steps import Planned, Staged, StepRun, Waiting
from platform_defs.lake.engine import Zone
from platform_defs.lake.files import files_of
from platform_defs.lake.landing import Account, SealManifest, Segment, manifest_path, segment_path
from platform_defs.planning.digest import DIGEST_BYTES

# A plan is asked for again once the lease is held: what was pulled a moment ago need not be pulled twice.
_FRESH_SECONDS = 60.0
_ROWS = "rows"
_GZIP_LEVEL = 1
# Clients of vendors, whose errors speak of the vendor: away, overloaded, refusing. Errors of files and connections (OSError) do too.
_CLIENTS = frozenset({"aiohttp", "botocore", "ftplib", "google", "grpc", "http", "httpx", "paramiko", "requests", "urllib3"})


class PulledFile(BaseModel):
    """One file of a partition as it was sealed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    version: str
    format: str
    segment: Segment


class PulledPartition(BaseModel):
    """What the last pull of a partition sealed. `spelling`: hash of the contract's fields, by which cells became values."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    spelling: str
    files: tuple[PulledFile, ...]


@dataclass(frozen=True)
class _Pull:
    """What the function answered for a partition."""

    files: tuple[RawFile, ...]
    digest: bytes
    at: float


class SourceStep:
    """Takes a source in."""

    zone: Zone = "intake"

    def __init__(self, work: Work, platform: Platform) -> None:
        declaration = work.declared.declaration
        if not isinstance(declaration, SourceDef):
            raise TypeError(f"{work.declared.contract.key} is no source")
        self._work, self._platform, self._source = work, platform, declaration
        self._contract: Contract = work.declared.contract
        function: Any = inspect.unwrap(declaration.fn)
        self._taking = Taking(self._contract, platform, work.run_id, f"{function.__module__}.{function.__qualname__}", function.__code__.co_filename)
        self._spelling = hashlib.sha256(repr([field.model_dump(mode="json") for field in self._contract.fields]).encode()).hexdigest()
        self._pulls: dict[str, _Pull] = {}
        self._spools = 0

    def plan(self, keys: Sequence[str]) -> Mapping[str, Planned | Waiting | Failure]:
        """Asks the function for each partition: which files and versions, or the rows themselves."""
        return {key: self._plan(key) for key in keys}

    def compute(self, planned: Sequence[Planned], run: StepRun) -> Mapping[str, Staged | Waiting | Failure]:
        """Reads and seals what is new, then takes all partitions in by one job."""
        answers: dict[str, Staged | Waiting | Failure] = {}
        batches: list[Batch] = []
        for each in planned:
            try:
                with self._in_author_code():
                    batches.append(Batch(each.key, self._seal(each.key)))
            except NotReady as wait:
                answers[each.key] = self._waiting(each.key, wait)
            except Exception as error:  # noqa: BLE001 - the author's code and the vendor's bytes: any error, and its text may hold a value
                answers[each.key] = self._failure(each.key, error)
        return answers | (self._taking.staged(batches, run) if batches else {})

    def published(self, keys: Sequence[str], run: StepRun) -> Mapping[str, Mapping[str, str]]:
        """Nothing: a source has no late lane."""
        return {}

    def close(self) -> None:
        """Deletes the private files."""
        self._taking.close()

    def _plan(self, key: str) -> Planned | Waiting | Failure:
        known = self._pulls.get(key)
        if known is None or time.monotonic() - known.at > _FRESH_SECONDS:
            try:
                with self._in_author_code():
                    known = self._pull(key)
            except NotReady as wait:
                return self._waiting(key, wait)
            except Exception as error:  # noqa: BLE001 - as above
                return self._failure(key, error)
            self._pulls[key] = known
        before = self._pulled(key)
        segments = tuple(file.segment for file in before.files) if before else ()
        return self._taking.planned(Batch(key, segments), digest=known.digest)

    def _failure(self, key: str, error: BaseException) -> Failure:
        """Nobody sees that a vendor is back but by asking again: what a connection, a file or a client of it raised is tried again, as a passing error is."""
        failure = self._taking.failure(key, error)
        if failure.kind is not FailureKind.RAISED:
            return failure
        text = f"the text is in `backline logs {self._work.run_id}`"
        if of_vendor(error):
            return replace(failure, kind=FailureKind.SOURCE, action=f"It is asked again by itself; if the code is wrong, new code is tried at once; {text}")
        return replace(failure, action=f"Mend it: only new code is tried by itself (where the vendor is to be asked again, raise NotReady); {text}")

    def _waiting(self, key: str, wait: NotReady) -> Waiting:
        return Waiting(key, (f"{self._contract.key} {key}",), wait.why, wait.retry_seconds)

    @contextmanager
    def _in_author_code(self) -> Iterator[None]:
        """The source's secrets are open, and what it prints goes to the run's private log."""
        with secrets_of(self._platform.secrets, self._contract.secrets), self._taking.log.capturing():
            yield

    def _pull(self, key: str) -> _Pull:
        """Calls the function. Rows are written to the private folder as they come; they are one more file, whose version is their hash."""
        files: list[RawFile] = []
        rows: BinaryIO | None = None
        digest = hashlib.sha256()
        try:
            for item in self._source(window_of(key)):
                if isinstance(item, RawFile):
                    files.append(item)
                    continue
                if not isinstance(item, Record | Mapping):
                    raise TypeError(f"a source yields RawFile, Records or dicts, not {type(item).__name__}")
                rows = rows or self._spool()
                line = row_text(item) + b"\n"
                digest.update(line)
                rows.write(line)
        finally:
            if rows is not None:
                rows.close()
        if len({file.name for file in files}) < len(files):
            raise ValueError("two files of one partition have the same name: give each its own")
        if rows is not None:
            path = Path(rows.name)
            files.append(RawFile(_ROWS, digest.hexdigest(), "jsonl", lambda: path.open("rb")))
        return _Pull(tuple(files), _digest(files), time.monotonic())

    def _spool(self) -> BinaryIO:
        self._spools += 1
        return open(self._taking.enter().file(f"pulled{self._spools}"), "w+b")

    def _seal(self, key: str) -> tuple[Segment, ...]:
        """The partition's segments: the sealed ones if nothing changed, else a new seal in which changed files are read and the others copied."""
        pull, before = self._pulls[key], self._pulled(key)
        same = {(f.name, f.version, f.format): f for f in before.files if self._is_there(f.segment)} if before and before.spelling == self._spelling else {}
        wanted = [(file.name, file.version, file.format) for file in pull.files] or [("", "", "jsonl")]
        if before and wanted == [(f.name, f.version, f.format) for f in before.files] and all(each in same for each in wanted):
            return tuple(file.segment for file in before.files)
        seal, now = self._next_seal(key), self._platform.clock()
        sealed = []
        for number, identity in enumerate(wanted):
            path = segment_path(self._contract.key, key, f"{CLIENT}-{number:04d}", seal)
            target = self._make(path)
            if identity in same:
                segment = self._copied(same[identity].segment, path, target)
            else:
                file = next((file for file in pull.files if file.name == identity[0]), None)
                segment = self._written(key, path, target, file, now)
            sealed.append(PulledFile(name=identity[0], version=identity[1], format=identity[2], segment=segment))
        self._keep(key, seal, now, sealed)
        return tuple(file.segment for file in sealed)

    def _written(self, key: str, path: str, target: Path, file: RawFile | None, now: datetime) -> Segment:
        spelling = Spelling(self._contract)
        texts: Iterable[bytes] = () if file is None else spelling.rows_of(file, self._spool)
        draft, count = target.with_name(f".{target.name}"), 0
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0, filename="") as packed:
                for line in spelling.lines(texts, instant_text(window_of(key).start), instant_text(now)):
                    packed.write(line)
                    count += 1
            raw.flush()
            os.fsync(raw.fileno())
        draft.replace(target)
        return self._segment(key, path, target, count)

    def _copied(self, segment: Segment, path: str, target: Path) -> Segment:
        files_of(self._platform.landing.root).write(str(target), Path(self._platform.landing.path(segment.path)).read_bytes())
        return segment.model_copy(update={"path": path})

    def _segment(self, key: str, path: str, target: Path, rows: int) -> Segment:
        with target.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Segment(event=self._contract.key, hour=key, path=path, rows=rows, size=target.stat().st_size, sha256=sha256)

    def _make(self, path: str) -> Path:
        target = Path(self._platform.landing.path(path))
        files_of(self._platform.landing.root).make_folder(str(target.parent))
        return target

    def _keep(self, key: str, seal: int, now: datetime, sealed: Sequence[PulledFile]) -> None:
        """Manifest, then ledger, then what is remembered: a crash between them is mended by pulling again, under the next number."""
        landing, receiver = self._platform.landing, self._receiver(key)
        rows = sum(file.segment.rows for file in sealed)
        account = Account(client=CLIENT, event=self._contract.key, received=rows, accepted=rows, rejected=0)
        manifest = SealManifest(
            receiver=receiver, seal=seal, sealed_at=now, sealed_until=now, segments=tuple(file.segment for file in sealed), accounts=(account,)
        )
        files = files_of(landing.root)
        files.write(landing.path(manifest_path(receiver, seal)), manifest.model_dump_json().encode())
        self._platform.ledger.landing.record_seal(manifest)
        pulled = PulledPartition(spelling=self._spelling, files=tuple(sealed))
        files.write(self._memory(key), pulled.model_dump_json().encode())

    def _pulled(self, key: str) -> PulledPartition | None:
        try:
            return PulledPartition.model_validate_json(files_of(self._platform.landing.root).read(self._memory(key)))
        except FileNotFoundError:
            return None

    def _next_seal(self, key: str) -> int:
        """Under the partition's lease nobody else seals it."""
        names = files_of(self._platform.landing.root).names(self._platform.landing.path(f"manifests/{self._receiver(key)}"))
        return max((int(name.partition(".")[0]) for name in names if name[0].isdigit()), default=0) + 1

    def _receiver(self, key: str) -> str:
        """Who seals: a receiver of this partition alone, that never beats and so holds no hour open."""
        return f"{CLIENT}-{self._contract.domain}-{self._contract.name}-{key}"

    def _memory(self, key: str) -> str:
        return self._platform.landing.path(f"sources/{self._contract.key}/{key}.json")

    def _is_there(self, segment: Segment) -> bool:
        return not self._platform.landing.missing([segment.path])


def _digest(files: Iterable[RawFile]) -> bytes:
    """16 bytes over names, formats and versions."""
    total = hashlib.sha256()
    for part in sorted((file.name, file.format, file.version) for file in files):
        total.update(repr(part).encode())
    return total.digest()[:DIGEST_BYTES]


def of_vendor(error: BaseException) -> bool:
    """Whether an error, or one it was raised from, speaks of what is asked and not of the code that asks."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) or any(each.__module__.partition(".")[0] in _CLIENTS for each in type(seen).__mro__):
            return True
        seen = seen.__cause__
    return False
