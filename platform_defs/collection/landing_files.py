"""Files of old events, sealed as an import receiver's segments: read line by line, judged as the receiver judges, written as the sealer writes.

A file is a receiver of its own, `import-<hash of what is in it>`, that never beats and so holds no hour open; every 64 MB of it are one seal. Both follow
from its content alone, so landing a file again, also after a crash or under another name, changes nothing. It is read twice: once to know it, when
nothing is written yet and damage is found, once to land it.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from platform_defs.collection.disk import Disk
from platform_defs.collection.failed import failed_path
from platform_defs.collection.old_lines import OldLine, old_line
from platform_defs.collection.record import Batch, Reason, Rejected
from platform_defs.collection.seals import SealWriter, accounts_of
from platform_defs.collection.tokens import CLIENT_FORM, may_be_client
from platform_defs.collection.validation import BodyMalformed, Judge, Limits, rfc3339
from platform_defs.collection.verdicts import Judged
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import index_of, key_at, key_of
from platform_defs.lake.landing import Account, SealManifest

SEAL_BYTES = 64 << 20
_BODY_BYTES = 4 << 20
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_TOLD = 20
_TELL_LINES = 2_000
Tell = Callable[[int], None]


class FileRefused(Exception):
    """A file that cannot be landed as it is; nothing of it was. The message names it and says what to do."""


class LandingForgets(RuntimeError):
    """The ledger knows a seal whose manifest is gone: its retention is at work between the two."""


class LandedLedger(Protocol):
    """What is asked of and told to the ledger; satisfied by `Ledger.landing`."""

    def record_seal(self, manifest: SealManifest) -> bool:
        """Makes a seal's segments known; False if they were."""

    def expired_within(self, spans: Mapping[str, Iterable[tuple[int, int]]]) -> Mapping[str, tuple[tuple[int, int], ...]]:
        """Of these ranges of hours, by number, those of which a segment no longer exists."""


@dataclass(frozen=True)
class KnownFile:
    """A file that was read through: who it is as a receiver, how many lines it has."""

    path: Path
    receiver: str
    lines: int


@dataclass(frozen=True)
class Refusal:
    """A line that was rejected, and why, without any of it."""

    line: int
    reason: Reason
    detail: str


@dataclass
class LandedFile:
    """What became of a file.

    Attributes:
        seals: of it. landed_at: when it was landed before, if all of it was.
        accepted, rejected: events of the type. reasons: rejected ones by reason.
        hours: accepted events by hour.
        others: events of other types, left out, by type; None: of types that no contract has.
        refusals: the first of the rejected lines, of this call.
    """

    path: Path
    receiver: str
    seals: int = 0
    landed_at: datetime | None = None
    accepted: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    hours: Counter[str] = field(default_factory=Counter)
    others: Counter[str | None] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)

    def count(self, hours: Mapping[str, int], accounts: Sequence[Account]) -> None:
        """Adds what one seal holds."""
        self.seals += 1
        self.hours.update(hours)
        self.accepted += sum(account.accepted for account in accounts)
        self.rejected += sum(account.rejected for account in accounts)
        for account in accounts:
            self.reasons.update(account.reasons)


class FileLander:
    """Lands files of one event type.

    Args:
        contract: of the event type.
        known: keys of all event types.
        client: whose events these are, a name that `tokens.may_be_client`; None: each line says it.
        landing: root folder. ledger: what is told. clock: aware, UTC.
        seal_bytes: of lines that make one seal.
    """

    def __init__(
        self,
        contract: Contract,
        known: Sequence[str],
        client: str | None,
        landing: Path,
        ledger: LandedLedger,
        clock: Callable[[], datetime],
        *,
        disk: Disk | None = None,
        seal_bytes: int = SEAL_BYTES,
    ) -> None:
        self._contract, self._known, self._client, self._landing, self._ledger, self._clock = contract, frozenset(known), client, landing, ledger, clock
        self._disk, self._seal_bytes = disk or Disk(), seal_bytes
        self._fields = frozenset(each.name for each in contract.fields)
        self._limits = Limits(ahead=timedelta(0), history=True)
        last = index_of(key_of("hourly", clock()))
        expired = ledger.expired_within({contract.key: [(0, last)]}).get(contract.key, ())
        gone = frozenset((contract.key, key_at("hourly", index)) for first, end in expired for index in range(first, end + 1))
        self._judge = Judge({contract.key: contract}, self._limits, gone=gone)

    def know(self, path: Path, tell: Tell) -> KnownFile:
        """Reads a file through, without writing anything.

        Args:
            tell: gets bytes of the file on disk as they are read.

        Raises:
            FileRefused: it is damaged or cannot be read, holds no line, or a line says no client where none was given.
        """
        digest = hashlib.sha256(f"1\n{self._contract.key}\n{self._client or ''}\n".encode())
        lines = 0
        for number, raw, size in _lines(path, self._limits.batch_bytes, tell):
            digest.update(b"%d bytes" % size if raw is None else raw)
            digest.update(b"\n")
            lines += 1
            if self._client is None and self._is_mine(line := self._line(number, raw, size)):
                _check_client(path, line)
        if not lines:
            raise FileRefused(f"{path} holds no event")
        return KnownFile(path, f"import-{digest.hexdigest()[:16]}", lines)

    def land(self, file: KnownFile, tell: Tell, *, dry_run: bool = False) -> LandedFile:
        """Seals a file and tells the ledger, seal by seal; what is sealed already is left as it is.

        Args:
            tell: as for `know`.
            dry_run: says what would become of it, writes nothing.

        Raises:
            FileRefused: it cannot be read any more. OSError: landing's disk takes nothing. LandingForgets. Whatever the ledger's driver raises.
            In any case a later call goes on where this one stopped.
        """
        writer = SealWriter(self._landing, file.receiver, self._disk)
        landed, before, now = LandedFile(file.path, file.receiver), list[datetime](), self._clock()
        for number, chunk in enumerate(self._chunks(file.path, tell), start=1):
            mine = [line for line in chunk if self._is_mine(line)]
            landed.others.update(line.type if line.type in self._known else None for line in chunk if not self._is_mine(line))
            if not mine:
                continue
            there = writer.manifest(number).exists()
            if there:
                manifest = SealManifest.model_validate_json(writer.manifest(number).read_bytes())
                landed.count(Counter({each.hour: each.rows for each in manifest.segments}), manifest.accounts)
                if dry_run or not self._ledger.record_seal(manifest):
                    before.append(manifest.sealed_at)
                continue
            batches = self._batches(mine, now, landed.refusals)
            if dry_run:
                _count(landed, batches)
                continue
            self._forget_drafts(file.receiver, number)
            manifest = writer.write(number, batches, self._clock, now)
            landed.count(Counter({each.hour: each.rows for each in manifest.segments}), manifest.accounts)
            if not self._ledger.record_seal(manifest):
                self._disk.remove(writer.manifest(number))
                raise LandingForgets(f"{file.path} was landed before and its landing is being dropped: run `./backline retention`, then land it again")
        if landed.seals and len(before) == landed.seals:
            landed.landed_at = max(before)
        return landed

    # lines

    def _line(self, number: int, raw: bytes | None, size: int) -> OldLine:
        return OldLine(number, None, size, None) if raw is None else old_line(number, raw, self._contract.key, self._fields)

    def _chunks(self, path: Path, tell: Tell) -> Iterator[list[OldLine]]:
        """The lines of each seal."""
        chunk: list[OldLine] = []
        held = 0
        for number, raw, size in _lines(path, self._limits.batch_bytes, tell):
            chunk.append(self._line(number, raw, size))
            held += size
            if held >= self._seal_bytes:
                yield chunk
                chunk, held = [], 0
        if chunk:
            yield chunk

    def _is_mine(self, line: OldLine) -> bool:
        """Whether an event is of the type, or does not say of which."""
        return line.type is None or line.type == self._contract.key

    # verdicts

    def _batches(self, lines: Sequence[OldLine], at: datetime, refusals: list[Refusal]) -> list[Batch]:
        """The lines of one seal, judged, as a receiver's log would hold them."""
        clients: dict[str, list[OldLine]] = defaultdict(list)
        for line in lines:
            clients[self._client or str(line.client)].append(line)
        batches, found = list[Batch](), list[Refusal]()
        for client, mine in sorted(clients.items()):
            for body in _bodies(mine):
                judged, refused = self._judged(body, client, at)
                batches.append(Batch(client, rfc3339(at), judged.groups, tuple(one for _, one in refused)))
                found += [Refusal(line.number, one.reason, one.detail) for line, one in refused]
        refusals += sorted(found, key=lambda each: each.line)[: max(0, _TOLD - len(refusals))]
        return batches

    def _judged(self, lines: Sequence[OldLine], client: str, at: datetime) -> tuple[Judged, list[tuple[OldLine, Rejected]]]:
        """Verdicts on a body's worth of lines, and the rejected ones as they stand in the file."""
        good = [line for line in lines if line.event is not None]
        judged = self._together(good, client, at)
        refused = [(good[place], replace(one, body=good[place].raw, size=good[place].size)) for place, one in zip(judged.places, judged.rejected, strict=True)]
        return judged, refused + [(line, self._broken(line)) for line in lines if line.event is None]

    def _together(self, lines: Sequence[OldLine], client: str, at: datetime) -> Judged:
        events = [line.event or b"" for line in lines]
        try:
            return self._judge.judge(b"[" + b",".join(events) + b"]", "batch", client, at)
        except BodyMalformed as error:
            if len(lines) > 1:  # brackets of one line that do not pair up: its neighbours must not pay
                return _joined([self._together([line], client, at) for line in lines])
            return Judged(
                [None],
                (),
                (Rejected(None, "malformed", str(error), events[0], len(events[0])),),
                (0,),
            )

    def _broken(self, line: OldLine) -> Rejected:
        if line.raw is None:
            return Rejected(None, "too_large", f"{line.size} bytes, the limit is {self._limits.event_bytes}", None, line.size)
        return Rejected(None, "malformed", "a line is one JSON object", line.raw, line.size)

    def _forget_drafts(self, receiver: str, number: int) -> None:
        """Removes what a call that was killed on another day left of this seal in the failed log: its manifest was never there."""
        for left in self._landing.glob(failed_path("*", receiver, number)):
            self._disk.remove(left)


def _check_client(path: Path, line: OldLine) -> None:
    if line.client is None:
        why = "is no JSON object and so says no client" if line.event is None else "says no client"
        raise FileRefused(f"{path} line {line.number} {why}: say whose events these are with --client NAME; nothing of it was landed")
    if not may_be_client(line.client):
        raise FileRefused(f"{path} line {line.number}: its client is no client's name ({CLIENT_FORM}): mend it, or say --client NAME; nothing of it was landed")


def _count(landed: LandedFile, batches: Sequence[Batch]) -> None:
    hours = Counter[str]()
    for batch in batches:
        for group in batch.groups:
            hours[group.hour] += group.rows
    landed.count(hours, list(accounts_of(batches)))


def _bodies(lines: Sequence[OldLine]) -> Iterator[list[OldLine]]:
    body: list[OldLine] = []
    held = 0
    for line in lines:
        body.append(line)
        held += line.size
        if held >= _BODY_BYTES:
            yield body
            body, held = [], 0
    if body:
        yield body


def _joined(judged: Sequence[Judged]) -> Judged:
    starts = accumulate((len(each.ids) for each in judged), initial=0)
    return Judged(
        [id_ for each in judged for id_ in each.ids],
        tuple(group for each in judged for group in each.groups),
        tuple(one for each in judged for one in each.rejected),
        tuple(start + place for start, each in zip(starts, judged, strict=False) for place in each.places),
    )


def _lines(path: Path, most: int, tell: Tell) -> Iterator[tuple[int, bytes | None, int]]:
    """The lines of a file that are not blank, unpacked if it is packed: number, bytes, size. Of one longer than `most` bytes nothing is kept.

    Raises FileRefused for what cannot be read or unpacked.
    """
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP else raw as stream:
            number = told = 0
            while line := stream.readline(most + 1):
                number += 1
                size = len(line)
                if size > most:
                    while not line.endswith(b"\n") and (line := stream.readline(most)):
                        size += len(line)
                    yield number, None, size - line.endswith(b"\n")
                elif line := (line.removeprefix(_BOM) if number == 1 else line).strip(b" \t\r\n"):
                    yield number, line, len(line)
                if number % _TELL_LINES == 0:
                    tell(raw.tell() - told)
                    told = raw.tell()
            tell(raw.tell() - told)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise FileRefused(f"{path} is damaged: it does not unpack to its end; fetch it again. Nothing of it was landed") from None
    except OSError as error:
        raise FileRefused(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
