"""One hour of many event types: their contracts, tables and sealed segments, as the collector and `apply` leave them.

Sizes follow Zipf: the largest type has an eighth of all events, the median one a few hundred. Every other type names a person. A type's events are spread over
the hour's seals (one each 10 s), so a small type's hour is hundreds of segments of a few lines.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from platform_defs.contracts.contract import Contract, PersonalMark
from platform_defs.lake.columns import lanes_of
from platform_defs.lake.landing import SealManifest, Segment
from platform_defs.lake.layout import Lake
from tests.bench.intake_landing import sealed
from tests.bench.intake_ours import Installation
from tests.spark.intake.lines import contract_of, field

HOUR = "2026-10-01T03"
SEALS = 360
_START = datetime(2026, 10, 1, 3, tzinfo=UTC)
_FIELDS = (
    field("track_id", "string", pattern=r"^trk_[a-z0-9]{8}$"),
    field("ms_played", "integer", ge="0", le="86400000"),
    field("platform", "string", choices=("ios", "android", "web", "desktop")),
)
_PERSON = field("user_id", "string", min_length=1, personal=PersonalMark(kind="person"))


def contracts(types: int) -> list[Contract]:
    """The event types, largest first."""
    return [contract_of((_PERSON, *_FIELDS) if number % 2 else _FIELDS, f"hour/type_{number:04d}") for number in range(types)]


def sizes(types: int, events: int) -> list[int]:
    """Events of each type: Zipf, at least one."""
    whole = sum(1 / rank for rank in range(1, types + 1))
    return [max(1, round(events / rank / whole)) for rank in range(1, types + 1)]


def prepare(at: Installation, folder: Path, made: Sequence[Contract], events: int, seals: int) -> int:
    """Tables, segments and the ledger's index of them; how many events were landed. The tables of the first two are there; the
    others' are copies of those."""
    at.platform.ledger.registry.apply(list(made), "bench")
    for number, contract in enumerate(made[2:], 2):
        _copy_tables(at.platform.lake, made[number % 2].key, contract)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        landed = pool.map(partial(_land, folder / "landing", seals), made, sizes(len(made), events), chunksize=20)
        by_seal: dict[int, list[Segment]] = {}
        for seal, segment in (each for segments in landed for each in segments):
            by_seal.setdefault(seal, []).append(segment)
    rows = 0
    for seal, segments in sorted(by_seal.items()):
        sealed = _START + timedelta(seconds=3600 * seal / seals)
        manifest = SealManifest(receiver="bench", seal=seal, sealed_at=sealed, sealed_until=sealed, segments=tuple(segments), accounts=())
        at.platform.ledger.landing.record_seal(manifest)
        rows += sum(segment.rows for segment in segments)
    return rows


def _copy_tables(lake: Lake, like: str, contract: Contract) -> None:
    """The contract's tables, made as `ensure_table` made those of another with the same columns, each under an id of its own."""
    for lane in lanes_of(contract):
        (log,) = Path(lake.lane(like, lane), "_delta_log").glob("*.json")
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            if "metaData" in action:
                action["metaData"]["id"] = str(uuid.uuid4())
        copy = Path(lake.lane(contract.key, lane), "_delta_log", log.name)
        copy.parent.mkdir(parents=True)
        copy.write_text("".join(json.dumps(action) + "\n" for action in actions))


def _land(root: Path, seals: int, contract: Contract, events: int) -> list[tuple[int, Segment]]:
    rng = random.Random(contract.key)
    per_seal: dict[int, list[str]] = {}
    personal = any(each.personal for each in contract.fields)
    for _ in range(events):
        second = rng.randrange(3600)
        per_seal.setdefault(1 + second * seals // 3600, []).append(_line(rng, second, personal))
    return [(seal, sealed(root, contract, HOUR, seal, lines)) for seal, lines in sorted(per_seal.items())]


def _line(rng: random.Random, second: int, personal: bool) -> str:
    at = f"{HOUR}:{second // 60:02d}:{second % 60:02d}.{rng.randrange(10**6):06d}Z"
    who = f'"user_id":"user-{rng.randrange(1_000_000)}",' if personal else ""
    track = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8))
    data = f'{{{who}"track_id":"trk_{track}","ms_played":{rng.randrange(86_400_000)},"platform":"web"}}'
    identifier = uuid.UUID(int=rng.getrandbits(128), version=4)
    return f'{{"client":"web","id":"{identifier}","time":"{at}","received_at":"{at}","data":{data}}}\n'


def in_runs(made: Sequence[Contract], most: int) -> Iterator[Sequence[Contract]]:
    """The runs that the planner would ask for: at most so many assets each, in order of request."""
    for first in range(0, len(made), most):
        yield made[first : first + most]
