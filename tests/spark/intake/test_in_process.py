"""Cleaned in the run's own process or by Spark: the same rows, the same counts, from any lines."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from platform_defs.contracts.contract import Contract, PersonalMark
from platform_defs.execution import in_process
from platform_defs.execution.batches import Batch, Cleaned, SegmentDamaged
from platform_defs.execution.cleaning import Cleaner
from platform_defs.execution.in_process import InProcess, fits
from platform_defs.execution.steps import StepRun
from platform_defs.lake.landing import Segment
from platform_defs.lake.staging import read_staged
from platform_defs.privacy.pseudonyms import PrivateFolder
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
        self.parts = (contract, house.platform.landing, house.platform.vault)

    def few(self, batches: list[Batch]) -> dict[str, Cleaned]:
        return InProcess(*self.parts).clean(batches, self.run(), "few")

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
        yield Both(house, request.param, folder)
    house.platform.engines.engine("intake").release(house.own_run)


@pytest.mark.parametrize("both", [MIXED, WITHOUT_MAPS, ROWS], indirect=True, ids=["events", "events without maps", "rows of a source"])
def test_both_ways_stage_the_same_rows_and_counts(both: Both) -> None:
    rng = random.Random(7)
    house, contract = both.house, both.contract
    vault = house.platform.vault
    assert vault is not None
    with vault._engine.begin() as connection:
        for who in ("0", "1"):
            connection.execute(sa.text("INSERT INTO tombstones VALUES (:l, '2026-10-01T02:30:00Z')"), {"l": vault.lookup("person", who)})
    segments: list[Segment] = []
    for receiver in ("r1", "r2", "r3"):
        segments += house.land(contract, {HOUR: lines_of(contract, rng, 120), NEXT: lines_of(contract, rng, 10)}, receiver=receiver)
    mine = {hour: tuple(segment for segment in segments if segment.hour == hour) for hour in (HOUR, NEXT)}
    late = frozenset({mine[HOUR][0].path, mine[HOUR][2].path}) if contract.kind == "event" else frozenset()
    batches = [Batch(HOUR, mine[HOUR], late, late - {mine[HOUR][0].path}), Batch(NEXT, mine[NEXT]), Batch(EMPTY, ())]
    few, spark = both.few(batches), both.spark(batches)
    kept = {key: (replace(each.staged, path="", bad="", seconds=0.0), each.late_path is None) for key, each in few.items()}
    assert kept == {key: (replace(each.staged, path="", bad="", seconds=0.0), each.late_path is None) for key, each in spark.items()}
    rows = both.rows(few)
    assert rows == both.rows(spark)
    if contract.kind == "event":
        assert set(few[HOUR].staged.counts) == {"landed", "duplicate", "conflict", "erased", "parked"}
    assert sum("'_failed', None" in row for row in rows) > 50
    assert sum("'_failed', None" not in row for row in rows) > 50


@pytest.mark.parametrize("both", [MIXED], indirect=True)
def test_lines_of_a_harmed_segment_are_refused(both: Both) -> None:
    segments = both.house.land(MIXED, {HOUR: [canonical(MIXED, random.Random(1))]}, listed=2)
    with pytest.raises(SegmentDamaged, match="holds 1 lines, its manifest lists 2"):
        both.few([Batch(HOUR, tuple(segments))])


def test_many_lines_and_large_ones_are_sparks() -> None:
    segment = Segment(event="a/b", hour=HOUR, path="p", rows=in_process.MOST_LINES // 2, size=1000, sha256="")
    assert fits(Batch(HOUR, (segment, segment)))
    assert not fits(Batch(HOUR, (segment, segment, segment)))
    assert not fits(Batch(HOUR, (segment.model_copy(update={"size": in_process.MOST_BYTES + 1}),)))
