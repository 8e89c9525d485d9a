"""Cleaned in the run's own process or by Spark: the same rows, the same counts, from any lines."""

from __future__ import annotations

import gzip
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from platform_defs.contracts.contract import Contract, PersonalMark
from platform_defs.execution import in_process
from platform_defs.execution.batches import Batch, Cleaned, SegmentDamaged
from platform_defs.execution.cleaning import Cleaner
from platform_defs.execution.in_process import InProcess
from platform_defs.execution.memory import MemoryBudget
from platform_defs.execution.platform import Cancelled
from platform_defs.execution.steps import StepRun
from platform_defs.lake.landing import LandingStore, Segment
from platform_defs.lake.staging import read_staged
from platform_defs.privacy.pseudonyms import PrivateFolder
from platform_defs.privacy.workers import Deriver
from tests.spark.intake.house import HOUR, House
from tests.spark.intake.lines import EVERYTHING, canonical, contract_of, field, spoiled

NEXT, EMPTY = "2026-10-01T03", "2026-10-01T04"
MIXED = contract_of(
    (
        field("user_id", "string", nullable=True, min_length=1, personal=PersonalMark(kind="person")),
        field("friend", "integer", nullable=True, required=False, ge="0", le="3", personal=PersonalMark(kind="person")),
        field("device", "uuid", nullable=True, required=False, personal=PersonalMark(kind="device")),
        field("email", "string", nullable=True, required=False, personal=PersonalMark(kind="email", of="user_id")),
        field("pin", "integer", nullable=True, required=False, personal=PersonalMark(kind="pin", of="user_id")),
        field("born", "datetime", nullable=True, required=False, personal=PersonalMark(kind="birth", of="friend")),
        *EVERYTHING.fields,
    )
)
WITHOUT_MAPS = contract_of([one for one in MIXED.fields if one.type.kind != "map"])  # of which Arrow can be sure
ROWS = contract_of(EVERYTHING.fields, "catalogue/rows", "source")


def lines_of(contract: Contract, rng: random.Random, number: int) -> list[str | bytes]:
    """Good ones and spoiled ones, copies of both, with the same and with another payload."""
    lines: list[str | bytes] = [canonical(contract, rng) if rng.random() < 0.5 else spoiled(contract, rng) for _ in range(number)]
    copies = [rng.choice(lines) for _ in range(number // 3)]
    other = [line.replace('"ok":true', '"ok":false') for line in copies if isinstance(line, str)]
    older = [line.replace('"note":null,', "") for line in lines if isinstance(line, str)]  # as a receiver wrote it before there was a note
    return [*lines, *copies, *other, *older[: number // 10]]


class Both:
    """Cleans the same batches twice."""

    def __init__(self, house: House, contract: Contract, folder: PrivateFolder) -> None:
        self.house, self.contract, self.folder = house, contract, folder
        self.session: Any = house.platform.engines.engine("intake").session(house.own_run)
        vault = house.vault
        self.people = Deriver(vault, most=2, pays_from=1)  # so that people are derived in processes
        self.parts = (contract, house.platform.landing, self.people)

    def here(self, batches: list[Batch], **run: Any) -> dict[str, Any]:
        return InProcess(*self.parts, MemoryBudget()).clean(batches, replace(self.run(), **run), f"here-{uuid.uuid4()}")

    def spark(self, batches: list[Batch]) -> dict[str, Cleaned]:
        return Cleaner(*self.parts).clean(batches, self.run(), self.folder, "spark")

    def run(self) -> StepRun:
        staging = self.house.folder / "lake" / "_staging" / "both"
        staging.mkdir(parents=True, exist_ok=True)
        return StepRun("both", self.session, str(staging))

    def rows(self, found: dict[str, Cleaned]) -> Counter[str]:
        """Everything that was staged, by the folder it is in."""
        rows = Counter[str]()
        for each in found.values():
            for path in filter(None, (each.staged.path, each.staged.bad, each.late_path)):
                self.house.folder.joinpath(path).mkdir(parents=True, exist_ok=True)
                staged = read_staged(self.session, self.contract, [path], failed=True, origin=True)
                rows.update(f"{path.rpartition('/')[2]} {sorted(row.asDict(recursive=True).items())}" for row in staged.collect())
        return rows


@pytest.fixture
def both(house: House, request: pytest.FixtureRequest) -> Iterator[Both]:
    with PrivateFolder(house.platform.landing.root, "both") as folder:
        made = Both(house, request.param, folder)
        with made.people:
            yield made
    house.platform.engines.engine("intake").release(house.own_run)


@pytest.mark.parametrize("both", [MIXED, WITHOUT_MAPS, ROWS], indirect=True, ids=["events", "events without maps", "rows of a source"])
def test_both_ways_stage_the_same_rows_and_counts(both: Both) -> None:
    rng = random.Random(7)
    house, contract = both.house, both.contract
    vault = house.vault
    with vault._engine.begin() as connection:
        for who in ("0", "1"):
            connection.execute(sa.text("INSERT INTO tombstones VALUES (:l, '2026-10-01T02:30:00Z')"), {"l": vault.lookup("person", who)})
    segments: list[Segment] = []
    for receiver in ("r1", "r2", "r3"):
        segments += house.land(contract, {HOUR: lines_of(contract, rng, 120), NEXT: lines_of(contract, rng, 10)}, receiver=receiver)
    mine = {hour: tuple(segment for segment in segments if segment.hour == hour) for hour in (HOUR, NEXT)}
    late = frozenset({mine[HOUR][0].path, mine[HOUR][2].path}) if contract.kind == "event" else frozenset()
    batches = [Batch(HOUR, mine[HOUR], late, late - {mine[HOUR][0].path}), Batch(NEXT, mine[NEXT]), Batch(EMPTY, ())]
    here, spark = both.here(batches), both.spark(batches)
    kept = {key: (replace(each.staged, path="", bad="", seconds=0.0), each.late_path is None) for key, each in here.items()}
    assert kept == {key: (replace(each.staged, path="", bad="", seconds=0.0), each.late_path is None) for key, each in spark.items()}
    rows = both.rows(here)
    assert rows == both.rows(spark)
    if contract.kind == "event":
        assert set(here[HOUR].staged.counts) == {"landed", "duplicate", "conflict", "erased", "parked"}
    assert sum("'_failed', None" in row for row in rows) > 50
    assert sum("'_failed', None" not in row for row in rows) > 50


def packed(lines: int) -> bytes:
    return gzip.compress("".join(f"{canonical(WITHOUT_MAPS, random.Random(n))}\n" for n in range(lines)).encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed(1), "holds 1 lines, its manifest lists 2"),
        (packed(2)[:-9], "not the whole gzip file"),
        (packed(2)[:-4] + b"\x10\0\0\0", "not the whole gzip file"),
        (packed(1) + packed(1), "not the whole gzip file"),
        (b"", "not the whole gzip file"),
    ],
    ids=["a line less", "cut off", "longer than it says", "two in one", "nothing"],
)
@pytest.mark.parametrize("both", [WITHOUT_MAPS], indirect=True)
def test_a_harmed_segment_is_told_of_and_holds_no_other_hour_back(both: Both, content: bytes, words: str) -> None:
    rng = random.Random(1)
    segments = both.house.land(WITHOUT_MAPS, {hour: [canonical(WITHOUT_MAPS, rng) for _ in range(2)] for hour in (HOUR, NEXT)})
    harmed = next(segment for segment in segments if segment.hour == HOUR)
    Path(both.house.platform.landing.path(harmed.path)).write_bytes(content)
    answers = both.here([Batch(hour, tuple(segment for segment in segments if segment.hour == hour)) for hour in (HOUR, NEXT)])
    assert isinstance(answers[HOUR], SegmentDamaged)
    assert words in str(answers[HOUR])
    assert answers[NEXT].staged.counts == {"landed": 2}
    assert both.rows({NEXT: answers[NEXT]}).total() == 2


@pytest.mark.parametrize("both", [WITHOUT_MAPS], indirect=True)
def test_a_run_that_is_cancelled_stages_nothing(both: Both) -> None:
    segments = both.house.land(WITHOUT_MAPS, {HOUR: [canonical(WITHOUT_MAPS, random.Random(1))]})
    with pytest.raises(Cancelled):
        both.here([Batch(HOUR, tuple(segments))], cancelled=lambda: True)
    assert not list(Path(both.run().staging).glob("here-*"))


@pytest.mark.parametrize(("contract", "lines"), [(WITHOUT_MAPS, 500_000), (MIXED, in_process.MOST_DOUBTFUL_LINES)], ids=["sure", "doubtful"])
def test_many_lines_and_long_ones_are_sparks(tmp_path: Path, contract: Contract, lines: int) -> None:
    long = tmp_path / "long.gz"
    long.write_bytes(gzip.compress(b"x" * 1000)[:-4] + (600 << 20).to_bytes(4, "little"))

    def fits(rows: int, path: str = "nowhere.gz") -> bool:
        segment = Segment(event="a/b", hour=HOUR, path=path, rows=rows, size=1000, sha256="")
        return InProcess(contract, LandingStore(str(tmp_path)), None, MemoryBudget()).fits(Batch(HOUR, (segment,)))

    assert fits(lines)
    assert not fits(2 * lines)
    assert not fits(1, "long.gz")
