"""What the intake's benchmarks take in: a day of listening as a receiver seals it, made from a seed, by two processes.

Of every hour the last seal repeats some events of the earlier ones, a few of them with another payload, and one line in 10,000 breaks a rule: what is
measured is told apart from what is not done by the counts that come out. Lines have the receiver's spelling, so only the broken ones are asked twice.
"""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from platform_defs.contracts.contract import Contract, PersonalMark
from platform_defs.contracts.partitions import keys_between
from platform_defs.lake.landing import LandingStore, Segment, segment_path
from tests.spark.intake.lines import contract_of, field

HOURS = keys_between("2026-10-01T00", "2026-10-01T23")
SEALS = 4
COPIED = 25  # one event in so many comes twice: 4 %
CONFLICTS = 1000  # one copy in so many has another payload
BROKEN = 10_000  # one line in so many breaks a rule
PLATFORMS = ("ios", "android", "web", "desktop")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_FIELDS = (
    field("track_id", "string", pattern=r"^trk_[a-z0-9]{8}$"),
    field("ms_played", "integer", ge="0", le="86400000"),
    field("platform", "string", choices=PLATFORMS),
    field("shuffled", "boolean"),
)
_PEOPLE = (
    field("user_id", "string", min_length=1, personal=PersonalMark(kind="person")),
    field("email", "string", nullable=True, required=False, personal=PersonalMark(kind="email", of="user_id")),
)
PLAIN = contract_of(_FIELDS, "bench/plain")
PERSONAL = contract_of((*_PEOPLE, *_FIELDS), "bench/personal")


@dataclass(frozen=True)
class Expected:
    """What a right intake counts, over all hours."""

    good: int
    duplicate: int
    conflict: int
    quarantined: int

    @property
    def landed(self) -> int:
        """All lines."""
        return self.good + self.duplicate + self.conflict + self.quarantined


def land(root: Path, contract: Contract, events: int, people: int = 0) -> tuple[list[Segment], Expected]:
    """Writes the segments of a day.

    Args:
        events: lines in all, copies included.
        people: how many different people they name, each at least once if there are as many events; 0: the contract has no personal field.
    """
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        done = list(pool.map(partial(_hour, root, contract, events // len(HOURS), people), range(len(HOURS))))
    counts = [sum(each) for each in zip(*(counts for _, counts in done), strict=True)]
    return [segment for segments, _ in done for segment in segments], Expected(*counts)


def _hour(root: Path, contract: Contract, events: int, people: int, index: int) -> tuple[list[Segment], tuple[int, int, int, int]]:
    """One hour's segments; its good, duplicate, conflicting and quarantined rows."""
    rng, copies = random.Random(index), events // COPIED
    originals = events - copies
    broken = set(range(97, originals, BROKEN))
    lines = [_line(rng, HOURS[index], (index * originals + n) % people if people else None, n in broken) for n in range(originals)]
    copied = rng.sample([n for n in range(originals) if n not in broken], copies)
    conflicts = -(-copies // CONFLICTS)
    copied_lines = [_other(lines[n]) if place < conflicts else lines[n] for place, n in enumerate(copied)]
    step = -(-originals // (SEALS - 1))
    groups = [*(lines[first : first + step] for first in range(0, originals, step)), copied_lines]
    segments = [sealed(root, contract, HOURS[index], seal, group) for seal, group in enumerate(groups, 1)]
    return segments, (originals - len(broken), copies - conflicts, conflicts, len(broken))


def _line(rng: random.Random, hour: str, person: int | None, broken: bool) -> str:
    bits, second = f"{rng.getrandbits(128):032x}", rng.randrange(3600)
    at = f"{hour}:{second // 60:02d}:{second % 60:02d}.{rng.randrange(10**6):06d}Z"
    who = "" if person is None else f'"user_id":"user-{person:08d}","email":"user-{person:08d}@mail.example",'
    identifier = f"{bits[:8]}-{bits[8:12]}-7{bits[13:16]}-9{bits[17:20]}-{bits[20:]}"
    track = "".join(_LETTERS[int(bits[n : n + 2], 16) % len(_LETTERS)] for n in range(0, 16, 2))
    played = 86_400_001 if broken else rng.randrange(86_400_000)
    return (
        f'{{"client":"{"web" if second % 2 else "app"}","id":"{identifier}","time":"{at}","received_at":"{hour}:59:59.{second:06d}Z","data":{{{who}'
        f'"track_id":"trk_{track}","ms_played":{played},"platform":"{PLATFORMS[second % 4]}","shuffled":{"true" if second % 3 else "false"}}}}}\n'
    )


def _other(line: str) -> str:
    """The same event with another payload."""
    return line.replace("true}", "false}") if "true}" in line else line.replace("false}", "true}")


def sealed(root: Path, contract: Contract, hour: str, seal: int, lines: Sequence[str]) -> Segment:
    """Writes a segment as the receiver `bench` would have."""
    path = segment_path(contract.key, hour, "bench", seal)
    target = Path(LandingStore(str(root)).path(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress("".join(lines).encode(), 1)
    target.write_bytes(packed)
    return Segment(event=contract.key, hour=hour, path=path, rows=len(lines), size=len(packed), sha256=hashlib.sha256(packed).hexdigest())
