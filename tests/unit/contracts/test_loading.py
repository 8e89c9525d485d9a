"""How a folder becomes a domain: which files and names count, what a file may touch, and that everything wrong is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_defs.contracts.errors import ContractErrors
from platform_defs.contracts.loading import domain_folders, load_domain
from tests.unit.contracts.writing import DOMAIN, ENDPOINTS, EVENTS, SOURCES, load, problems, write_domain

SEEN = EVENTS + 'class Seen(Event):\n    """Seen."""\n    n: int\n'
TOTALS = '''
@endpoint(schema=Rows, partitions="hourly", inputs={"seen": "shop/seen"})
def totals(seen: DataFrame) -> DataFrame:
    """Totals."""
    return seen
'''


def test_a_domain_is_all_that_its_files_declare(tmp_path: Path) -> None:
    folder = write_domain(tmp_path, events=SEEN, tables=ENDPOINTS + TOTALS)
    (folder / "deep").mkdir()
    (folder / "deep" / "more.py").write_text(
        ENDPOINTS + "from assets.shop.events import Seen\nfrom assets.shop.tables import totals\n" + TOTALS.replace("totals", "deep_totals")
    )
    loaded = load_domain(folder)
    assert list(loaded.declared) == ["shop/deep_totals", "shop/seen", "shop/totals"]  # imported ones count where they are written
    assert loaded.name == "shop"
    assert loaded.declared["shop/totals"].function.__name__ == "totals"
    with pytest.raises(TypeError, match="event type"):
        loaded.declared["shop/seen"].function  # noqa: B018


def test_events_alone_need_no_other_file(tmp_path: Path) -> None:
    folder = write_domain(tmp_path, events=SEEN, tables="raise RuntimeError('not to be imported')")
    assert list(load_domain(folder, events_only=True).declared) == ["shop/seen"]


def test_loading_again_sees_the_same_classes_unless_fresh(tmp_path: Path) -> None:
    folder = write_domain(tmp_path, events=SEEN)
    first = load_domain(folder).declared["shop/seen"]
    assert load_domain(folder).declared["shop/seen"].declaration is first.declaration
    (folder / "events.py").write_text(SEEN.replace("n: int", "m: int"))
    assert load_domain(folder, fresh=True).declared["shop/seen"].contract.fields[0].name == "m"


def test_two_folders_of_one_name_are_two_domains(tmp_path: Path) -> None:
    one = write_domain(tmp_path / "one", events=SEEN)
    two = write_domain(tmp_path / "two", events=SEEN.replace("n: int", "m: int"))
    assert [load_domain(folder).contracts[0].fields[0].name for folder in (one, two, one)] == ["n", "m", "n"]


def test_domain_folders_are_those_with_a_domain_file(tmp_path: Path) -> None:
    folder = write_domain(tmp_path, name="b")
    write_domain(tmp_path, name="a")
    (folder.parent / "no_domain").mkdir()
    assert [path.name for path in domain_folders(folder.parent)] == ["a", "b"]


@pytest.mark.parametrize(
    ("domain", "why", "write"),
    [
        ("x = 1", "no Domain named domain", "domain = Domain("),
        ("from platform_defs.contracts import Domain\ndomain = Domain(owner='a', start='2026-01-01', retention='1d', purpose='p')", "no owner", "team:name"),
        ("from platform_defs.contracts import Domain\ndomain = Domain(owner='team:a', start='soon', retention='1d', purpose='p')", "no day", "2026-01-01"),
        (
            "from platform_defs.contracts import Domain\ndomain = Domain(owner='team:a', start='2026-01-01T05', retention='1d', purpose='p')",
            "days are whole",
            "2026-01-01",
        ),
        ("from platform_defs.contracts import Domain\ndomain = Domain(owner='team:a', start='2026-01-01', retention='1y', purpose='p')", "no length", "400d"),
        ("from platform_defs.contracts import Domain\ndomain = Domain(owners='team:a')", "unexpected keyword argument 'owners'", "keywords"),
        ("import dagster\ndomain = 1", "inside of the platform", "platform_defs.contracts"),
        ("domain = (", "SyntaxError", "Mend it"),
    ],
)
def test_a_wrong_domain_file_is_told_once_and_there(tmp_path: Path, domain: str, why: str, write: str) -> None:
    (problem,) = [found for found in problems(tmp_path, domain=domain) if "domain.py" in found.where]
    assert problem.where.startswith("assets/shop/domain.py")
    assert why in problem.why
    assert write in problem.write


def test_what_is_wrong_with_a_domain_is_not_repeated_by_each_declaration(tmp_path: Path) -> None:
    domain = "from platform_defs.contracts import Domain\ndomain = Domain(owner='a', start='2026-01-01', retention='1d', purpose='p')"
    (problem,) = problems(tmp_path, domain=domain, events=SEEN)
    assert problem.where == "assets/shop/domain.py domain.owner"


def test_a_folder_without_a_domain_file(tmp_path: Path) -> None:
    folder = write_domain(tmp_path)
    (folder / "domain.py").unlink()
    with pytest.raises(ContractErrors, match=r"assets/shop/domain.py: the file is missing.*domain = Domain\("):
        load_domain(folder)


def test_a_name_declared_twice_is_told_with_both_places(tmp_path: Path) -> None:
    found = problems(tmp_path, events=SEEN, tables=ENDPOINTS + TOTALS.replace("def totals", "def seen").replace("shop/seen", "shop/other"))
    assert len(found) == 1
    assert found[0].where == "assets/shop/tables.py:14 seen"
    assert found[0].why == "shop/seen is declared already, at assets/shop/events.py:11 Seen"
    (twice,) = problems(tmp_path / "same", tables=ENDPOINTS + TOTALS + TOTALS)
    assert "declared twice, first in line 14" in twice.why


def test_files_that_do_not_load_are_told_beside_the_others(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        events=EVENTS + "class Seen(Event):\n    n: int\n",
        a="1 / 0\n",
        b="def f(:\n",
        c="import no_such_package\n",
        d="from assets.shop.a import x\n",
    )
    told = {problem.where: problem for problem in found}
    assert "ZeroDivisionError" in told["assets/shop/a.py:1"].why
    assert "SyntaxError" in told["assets/shop/b.py:1"].why
    assert told["assets/shop/c.py:1"].write == "Install no_such_package, or remove the import"
    assert "docstring" in told["assets/shop/events.py:11 Seen"].write
    assert len(found) == 4  # d fails by a, told once


@pytest.mark.parametrize(
    ("line", "why", "write"),
    [
        ("from platform_defs.lake.tables import publish", "inside of the platform", "platform_defs.contracts alone"),
        ("import platform_defs.ledger", "inside of the platform", "platform_defs.contracts alone"),
        ("from platform_defs.contracts.loading import load_domain", "inside of the platform", "platform_defs.contracts alone"),
        ("from resources.settings import Settings", "inside of the platform", "platform_defs.contracts alone"),
        ("import dagster as dg", "inside of the platform", "platform_defs.contracts alone"),
        ("from assets.listening.events import TrackPlayed", "another domain's code", "'listening/...'"),
        ("import assets.listening.events", "another domain's code", "'listening/...'"),
        ("from assets import listening", "another domain's code", "'listening/...'"),
        ("from ..listening import events", "another domain's code", "'listening/...'"),
        ("from pyspark.sql import SparkSession", "reaches the session", "pyspark.sql.DataFrame"),
        ("import pyspark", "reaches the session", "functions"),
        ("from pyspark.sql.connect.session import SparkSession", "reaches the session", "functions"),
        ("def f(frame):\n    return frame.sparkSession", "goes around the platform", "Return the frame"),
        ("def f(spark):\n    return spark.read.parquet('x')", "goes around the platform", "Return the frame"),
        ("def f(frame):\n    frame.write.save('x')", "goes around the platform", "Return the frame"),
        ("def f(frame):\n    frame.writeTo('x').append()", "goes around the platform", "Return the frame"),
    ],
)
def test_a_file_may_not_reach_around_the_platform(tmp_path: Path, line: str, why: str, write: str) -> None:
    (problem,) = problems(tmp_path, helpers=f'"""Helpers."""\n{line}\n')
    assert problem.where.startswith("assets/shop/helpers.py:")
    assert why in problem.why
    assert write in problem.write


@pytest.mark.parametrize(
    "line",
    [
        "from pyspark.sql import DataFrame, Window, functions as F, types as T\nimport pyspark.sql.functions",
        "from assets.shop import domain\nfrom . import domain as same\nfrom .domain import domain as third\nimport assets.shop.domain",
        "import json, csv, boto3\nfrom pathlib import Path\ntext = lambda path: open(path).read()",
        "from platform_defs.contracts import Schema, T",
    ],
)
def test_a_file_may_use_libraries_and_its_own_domain(tmp_path: Path, line: str) -> None:
    assert problems(tmp_path, helpers=line + "\n") == []


@pytest.mark.parametrize(
    "line", ["from platform_defs.contracts import Schema", "import pandas", "from pyspark.sql import functions as F", "from platform_defs.contracts import *"]
)
def test_events_stay_light(tmp_path: Path, line: str) -> None:
    (problem,) = problems(tmp_path, events=line + "\n")
    assert "with pydantic alone" in problem.why
    assert "another file" in problem.write


def test_event_types_stand_in_the_events_file(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, other=SEEN)
    assert problem.where == "assets/shop/other.py:11 Seen"
    assert "assets/shop/events.py" in problem.write


def test_a_source_and_its_secrets(tmp_path: Path) -> None:
    text = (
        SOURCES
        + '''
@source(row=Row, partitions="daily", key=["id"], ready_within="9h", recheck="3d", secrets=["vendor"], version="2")
def prices(at: Window) -> Iterator[RawFile]:
    """Prices of the day."""
    yield RawFile("a.csv", version="1", format="csv", read=lambda: open("a.csv", "rb"))
'''
    )
    contract = load(tmp_path, feeds=text).declared["shop/prices"].contract
    assert (contract.kind, contract.cadence, contract.unique, contract.secrets) == ("source", "daily", ("id",), ("vendor",))
    assert (contract.ready_within_seconds, contract.recheck_seconds, contract.code_version) == (9 * 3600, 3 * 86400, "2")
    assert [(column.name, column.type, column.nullable) for column in contract.columns] == [("id", "BIGINT", False), ("note", "STRING", True)]
    assert contract.lateness is not None
    assert contract.lateness.landing_seconds == 7 * 86400


@pytest.mark.parametrize(
    ("keywords", "function", "why", "write"),
    [
        ('row=dict, partitions="daily", key=["id"]', "at: Window", "no Record", "class Row(Record)"),
        ('row=Row, partitions="daily", key=["no"]', "at: Window", "no field of Row", "id, note"),
        ('row=Row, partitions="daily", key=["note"]', "at: Window", "may be null", "every row has"),
        ('row=Kept, partitions="daily", key=["mail"]', "at: Window", "is encrypted", "stays"),
        ('row=Row, partitions="daily", key=[]', "at: Window", "no key", "key="),
        ('row=Row, partitions="weekly", key=["id"]', "at: Window", "no cadence", "hourly"),
        ('row=Row, partitions="daily", key=["id"], recheck="often"', "at: Window", "no length of time", "3h"),
        ('row=Row, partitions="daily", key=["id"], secrets=["a", "a"]', "at: Window", "named twice", "once"),
        ('row=Row, partitions="daily", key=["id"]', "", "takes the partition's Window", "(at: Window)"),
    ],
)
def test_a_wrong_source_is_named_with_the_way_out(tmp_path: Path, keywords: str, function: str, why: str, write: str) -> None:
    kept = 'class Kept(Record):\n    who: Annotated[str, Personal("person")]\n    mail: Annotated[str, Personal("mail", of="who")]\n'
    text = f'{SOURCES}\n{kept}\n@source({keywords})\ndef prices({function}) -> Iterator[RawFile]:\n    """Prices."""\n    return iter(())\n'
    (problem,) = problems(tmp_path, feeds=text)
    assert problem.where.startswith("assets/shop/feeds.py:")
    assert why in problem.why
    assert write in problem.write


def test_a_source_is_no_coroutine_and_one_secret_may_be_named_alone(tmp_path: Path) -> None:
    function = 'def prices(at: Window) -> Iterator[RawFile]:\n    """Prices."""\n    return iter(())\n'
    text = f'{SOURCES}@source(row=Row, partitions="daily", key="id", secrets="vendor")\n{function}'
    contract = load(tmp_path, feeds=text).contracts[0]
    assert (contract.unique, contract.secrets) == (("id",), ("vendor",))
    (problem,) = problems(tmp_path / "async", feeds=text.replace("def prices", "async def prices"))
    assert "plain one" in problem.why


def test_the_default_domain_of_these_tests_is_good(tmp_path: Path) -> None:
    assert problems(tmp_path, domain=DOMAIN) == []
