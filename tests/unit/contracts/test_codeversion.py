"""Which edits of an author's files change a code version, and which do not."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from platform_defs.contracts.codeversion import dump
from tests.unit.contracts.writing import ENDPOINTS, EVENTS, SOURCES, load

LIMITS = """
BASE = 10
LIMIT = BASE * 3
UNUSED = 1


def other():
    return 1
"""
HELPERS = """
from pyspark.sql import functions as F

from . import limits
from .limits import LIMIT as MOST


def heard(frame):
    '''Those heard for long.'''
    return frame.where(F.col("ms") > MOST).limit(limits.UNUSED)


def unused(frame):
    return frame
"""
TABLES = (
    ENDPOINTS
    + '''
from assets.shop.helpers import heard
import assets.shop.helpers as h


class Totals(Schema):
    """Totals."""

    id: T.LongType = field(ge=0, description="Which")

    class Config(Schema.Config):
        unique = ["id"]


@endpoint(schema=Totals, partitions="hourly", ready_within="3h", inputs={"sold": "shop/sold"})
def totals(sold: DataFrame) -> DataFrame:
    """What was sold."""
    # count them
    return heard(sold).groupBy("id").count()
'''
)


def version(root: Path, tables: str = TABLES, helpers: str = HELPERS, limits: str = LIMITS) -> str:
    return load(root, tables=tables, helpers=helpers, limits=limits).declared["shop/totals"].contract.code_version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# count them", "# count them all"),
        ("# count them", ""),
        ('"""What was sold."""', '"""What was sold, by id."""'),
        ('"""Totals."""', '"""Totals by id."""'),
        ("heard(sold).groupBy", "heard(\n        sold\n    ).groupBy"),
        ('description="Which"', 'description="Which one"'),
        ('ready_within="3h"', 'ready_within="5h", tier="high", retention="9d"'),
        ("'''Those heard for long.'''", "'''Those.'''"),
        ("UNUSED = 1\n\n\ndef other():\n    return 1", "UNUSED = 1\n\n\ndef other():\n    return 2"),
        ("def unused(frame):\n    return frame", "def unused(frame):\n    return frame.limit(1)"),
        ("import assets.shop.helpers as h\n", ""),
    ],
)
def test_what_does_not_count(tmp_path: Path, old: str, new: str) -> None:
    texts = [TABLES, HELPERS, LIMITS]
    assert any(old in text for text in texts)
    assert version(tmp_path / "a", *texts) == version(tmp_path / "b", *(text.replace(old, new) for text in texts))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('groupBy("id").count()', 'groupBy("id").sum()'),
        ("field(ge=0", "field(ge=1"),
        ('field(ge=0, description="Which")', 'field(ge=0, on_fail="warn", description="Which")'),
        ("id: T.LongType", "id: T.IntegerType"),
        ('unique = ["id"]', "unique = []"),
        ('{"sold": "shop/sold"}', '{"sold": window("shop/sold", hours=(0, 1))}'),
        ('F.col("ms") >', 'F.col("ms") >='),
        ("BASE * 3", "BASE * 4"),
        ("BASE = 10", "BASE = 11"),
        ("UNUSED = 1", "UNUSED = 2"),
        ("from assets.shop.helpers import heard", "from assets.shop.helpers import unused as heard"),
        ("return heard(sold)", "return h.unused(sold)"),
    ],
)
def test_what_counts(tmp_path: Path, old: str, new: str) -> None:
    texts = [TABLES, HELPERS, LIMITS]
    assert any(old in text for text in texts)
    assert version(tmp_path / "a", *texts) != version(tmp_path / "b", *(text.replace(old, new) for text in texts))


def test_checks_written_as_code_count(tmp_path: Path) -> None:
    text = TABLES.replace(
        "    class Config(Schema.Config)", '    @pa.check("id")\n    def even(cls, found):\n        return LOW < 2\n\n    class Config(Schema.Config)'
    )
    text = text.replace("class Totals", "import pandera.pyspark as pa\n\nLOW = 1\n\n\nclass Totals")
    assert version(tmp_path / "a", text) != version(tmp_path / "b", text.replace("LOW < 2", "LOW < 3"))
    assert version(tmp_path / "a", text) != version(tmp_path / "c", text.replace("LOW = 1", "LOW = 0"))


def test_a_version_said_by_the_author_replaces_the_hash(tmp_path: Path) -> None:
    text = TABLES.replace('partitions="hourly"', 'partitions="hourly", version="3"')
    assert version(tmp_path, text) == "3"


def test_modules_that_import_each_other_are_no_endless_way(tmp_path: Path) -> None:
    helpers = HELPERS + "\ndef back(frame):\n    from assets.shop.tables import totals\n    return totals(frame)\n"
    assert version(tmp_path, helpers=helpers.replace("return frame.where", "back\n    return frame.where"))


def test_an_events_version_is_what_is_validated(tmp_path: Path) -> None:
    def of(root: Path, text: str) -> str:
        return load(root, events=EVENTS + dedent(text)).contracts[0].code_version

    base = 'class Seen(Event):\n    """Seen."""\n    n: int = Field(ge=0, description="N")\n    who: Annotated[str, Personal("person")]\n'
    assert of(tmp_path / "a", base) == of(tmp_path / "b", base.replace('description="N"', 'description="M"').replace("(Event)", '(Event, tier="low")'))
    assert of(tmp_path / "a", base) != of(tmp_path / "c", base.replace("ge=0", "ge=1"))
    assert of(tmp_path / "a", base) != of(tmp_path / "d", base.replace('Personal("person")', 'NotPersonal("x")'))


def test_a_sources_version_follows_its_function_and_row(tmp_path: Path) -> None:
    text = (
        SOURCES
        + '@source(row=Row, partitions="daily", key=["id"])\ndef rows(at: Window) -> Iterator[dict[str, object]]:\n    """Rows."""\n    yield {"id": 1}\n'
    )

    def of(root: Path, text: str) -> str:
        return load(root, feeds=text).contracts[0].code_version

    assert of(tmp_path / "a", text) != of(tmp_path / "b", text.replace('{"id": 1}', '{"id": 2}'))
    assert of(tmp_path / "a", text) != of(tmp_path / "c", text.replace("id: int", "id: int = Field(ge=0)"))


def test_the_text_of_a_tree_knows_no_python_version() -> None:
    """3.12 added empty `type_params` to functions and classes; a tree without them must read the same."""
    tree = ast.parse("def f(a, *, b=None):\n    'doc'\n    return a is None or f'{b!r:>3}'\n")
    text = dump(tree.body[0])
    assert "type_params" not in text
    assert "doc" not in text
    assert "None" in text
