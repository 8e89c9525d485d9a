"""Sources: files and rows become a partition's segments and rows; what is not there waits; what did not change is not read again."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import pytest

from platform_defs.contracts import NotReady, Personal, RawFile, Record, Window, current_secret
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.sources import SourceDef
from platform_defs.contracts.wire import wire_fields
from platform_defs.execution.results import FailureKind
from platform_defs.privacy.deriving import pseudonym
from tests.fixtures.people import people_of
from tests.spark.intake.house import House
from tests.spark.intake.lines import contract_of

DAY, NEXT = "2026-09-30", "2026-10-01"


class Chart(Record):
    """A line of a chart."""

    place: int
    weight: float | None = None
    fan: Annotated[str | None, Personal("person")] = None


@dataclass
class Vendor:
    """What the vendor has, and how often it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)
    trouble: BaseException | None = None
    read: list[str] = field(default_factory=list)

    def put(self, name: str, content: str | bytes, version: str = "1") -> None:
        raw = content.encode() if isinstance(content, str) else content
        self.files[name], self.versions[name] = gzip.compress(raw) if name.endswith(".gz") else raw, version

    def __call__(self, at: Window) -> Iterator[Any]:
        print("printed by the source: ada-secret")  # noqa: T201
        if self.trouble is not None:
            raise self.trouble
        for name in self.files:
            form: Any = name.removesuffix(".gz").rpartition(".")[2]
            yield RawFile(name, self.versions[name], form, lambda name=name: self.open(name))
        yield from self.rows

    def open(self, name: str) -> Any:
        self.read.append(name)
        return io.BytesIO(self.files[name])


@dataclass
class Shelf:
    """A vendor, its contract, the house."""

    house: House
    vendor: Vendor
    contract: Contract

    def take(self, *keys: str, **more: Any) -> dict[str, Any]:
        def chart(at: Window) -> Iterator[Any]:
            return self.vendor(at)

        return self.house.take(self.contract, *keys, declaration=SourceDef(fn=chart, row=Chart, partitions="daily", unique=("place",)), **more)

    def rows(self, lane: str = "table") -> list[dict[str, Any]]:
        return self.house.rows(self.contract, lane, "place")


@pytest.fixture
def shelf(house: House) -> Shelf:
    contract = contract_of(wire_fields(Chart), "catalogue/chart", "source", cadence="daily", unique=("place",), secrets=("vendor",))
    house.apply(contract)
    return Shelf(house, Vendor(), contract)


def test_files_and_rows_become_a_partition(shelf: Shelf) -> None:
    shelf.vendor.put("a.csv", "\ufeffplace,weight,fan\n1,0.5,ada\n2,,\n")
    shelf.vendor.put("b.jsonl.gz", '{"place":3,"fan":"bob"}\n\n{"place":"4"}\nnot json, of carol\n')
    shelf.vendor.rows = [{"place": 5, "weight": 2.0}, Chart(place=6)]
    result = shelf.take(DAY)[DAY]
    assert result.counts == {"landed": 7, "good": 5, "quarantined": 2}
    vault = shelf.house.vault
    ada, bob = people_of(vault, [("person", "ada"), ("person", "bob")])
    assert [(row["place"], row["weight"], row["fan"], row["day"]) for row in shelf.rows()] == [
        (1, 0.5, pseudonym(ada, "product"), DAY),
        (2, None, None, DAY),
        (3, None, pseudonym(bob, "product"), DAY),
        (5, 2.0, None, DAY),
        (6, None, None, DAY),
    ]
    assert sorted((row["_line"], row["_failed"]) for row in shelf.rows("quarantine")) == [(2, ["place:int_type"]), (3, ["<line>:json_invalid"])]
    accounts = shelf.house.platform.ledger.landing.accounts("2026-10-02", "2026-10-02")
    assert [(account.client, account.event, account.received) for account in accounts] == [("source", "catalogue/chart", 7)]


def test_what_did_not_change_is_not_read_again(shelf: Shelf) -> None:
    shelf.vendor.put("a.csv", "place\n1\n")
    shelf.vendor.put("b.csv", "place\n2\n")
    assert shelf.take(DAY)[DAY].outcome == "published"
    assert shelf.take(DAY)[DAY].outcome == "skipped"
    assert shelf.take(DAY, force=True)[DAY].outcome == "published"
    assert shelf.vendor.read == ["a.csv", "b.csv"]
    shelf.vendor.put("b.csv", "place\n3\n", "2")
    assert shelf.take(DAY)[DAY].rows == 2
    assert shelf.vendor.read == ["a.csv", "b.csv", "b.csv"]
    assert [row["place"] for row in shelf.rows()] == [1, 3]
    segments = shelf.house.platform.ledger.landing.segments("catalogue/chart", [DAY])[DAY]
    assert [(row.seal, row.segment.rows) for row in segments] == [(2, 1), (2, 1)]


def test_a_file_that_went_takes_its_rows_with_it_and_nothing_is_an_empty_partition(shelf: Shelf) -> None:
    shelf.vendor.put("a.csv", "place\n1\n")
    shelf.take(DAY, NEXT)
    shelf.vendor.files.clear()
    results = shelf.take(DAY)
    assert (results[DAY].outcome, results[DAY].rows) == ("published", 0)
    assert [row["day"] for row in shelf.rows()] == [NEXT]


def test_not_ready_waits_and_a_fault_fails_without_its_text(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    shelf.vendor.trouble = NotReady("the drop is empty", retry="10m")
    waiting = shelf.take(DAY)[DAY]
    assert (waiting.outcome, waiting.reason, waiting.retry_seconds) == ("waiting", "the drop is empty", 600)
    shelf.vendor.trouble = KeyError("ada-secret")
    failed = shelf.take(DAY)[DAY]
    assert failed.failure is not None
    assert "KeyError at test_sources.py:" in failed.failure.why
    assert failed.failure.lasting  # code that is wrong is not tried again
    shelf.vendor.trouble = ConnectionResetError("ada-secret")
    away = shelf.take(DAY)[DAY].failure
    assert away is not None
    assert (away.kind, away.lasting) == (FailureKind.SOURCE, False)  # the vendor may be back without anybody touching the code
    log = shelf.house.folder / "logs" / "runs" / f"{shelf.house.runs[-1]}.log"
    assert log.read_text().count("ada-secret") >= 2
    assert log.stat().st_mode & 0o777 == 0o600
    assert "ada-secret" not in f"{failed}{capsys.readouterr()}"


def test_repeated_keys_refuse_the_partition_and_the_last_good_version_stays(shelf: Shelf) -> None:
    shelf.vendor.put("a.csv", "place\n1\n")
    shelf.take(DAY)
    shelf.vendor.put("a.csv", "place\n1\n1\n", "2")
    assert shelf.take(DAY)[DAY].outcome == "refused"
    assert [row["place"] for row in shelf.rows()] == [1]


def test_secrets_are_open_inside_the_function_alone(shelf: Shelf) -> None:
    seen: list[str] = []

    class Asking(Vendor):
        def __call__(self, at: Window) -> Iterator[Any]:
            seen.append(current_secret("vendor")["token"] + str(current_secret("vendor")))
            return iter(())

    shelf.vendor = Asking()
    waiting = shelf.take(DAY)[DAY]
    assert (waiting.outcome, "'vendor' is not set" in waiting.reason) == ("waiting", True)
    shelf.house.platform = replace(shelf.house.platform, secrets=lambda name: {"token": "t0"})
    assert shelf.take(DAY)[DAY].outcome == "published"
    assert seen[-1] == "t0***"


def test_what_is_pulled_is_private(shelf: Shelf) -> None:
    shelf.vendor.rows = [{"place": 1, "fan": "ada"}]
    shelf.take(DAY)
    landing = shelf.house.folder / "landing"
    files = [path for path in landing.rglob("*") if path.is_file()]
    assert files
    assert {path.stat().st_mode & 0o077 for path in landing.rglob("*")} == {0}
    assert not list((landing / "private").iterdir())
    [memory] = [json.loads(Path(path).read_text()) for path in files if path.parent.parent.parent.name == "sources"]
    assert memory["files"][0]["name"] == "rows"
