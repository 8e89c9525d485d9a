"""What an author may say of an endpoint and its schema, what it becomes, and every way to say it wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platform_defs.contracts.contract import AsOfInput, Check, Column, Contract, WindowInput
from tests.unit.contracts.writing import ENDPOINTS, endpoint_problems, load

FUNCTION = 'def totals(sold: DataFrame) -> DataFrame:\n    """Totals."""\n    return sold\n'


def one(root: Path, text: str, key: str = "shop/totals") -> Contract:
    return load(root, tables=ENDPOINTS + text).declared[key].contract


def test_inputs_become_windows_in_the_order_of_parameters(tmp_path: Path) -> None:
    text = '''
@endpoint(schema=Rows, partitions="hourly", ready_within="3h", inputs={
    "played": window("listening/track_played", hours=(0, 1)),
    "started": "listening/track_started",
    "tracks": as_of("catalogue/tracks", within="3d"),
})
def totals(started: DataFrame, tracks: DataFrame, played: DataFrame, sold: DataFrame) -> DataFrame:
    """Totals."""
    return started
'''
    assert one(tmp_path, text).inputs == (
        WindowInput(param="started", endpoint="listening/track_started", unit="hours"),
        AsOfInput(param="tracks", endpoint="catalogue/tracks", within_seconds=3 * 86400),
        WindowInput(param="played", endpoint="listening/track_played", unit="hours", first=0, last=1),
        WindowInput(param="sold", endpoint="shop/sold", unit="hours"),  # left out: of that name in the same domain
    )


def test_a_daily_reader_gets_the_same_day_and_itself_only_from_the_past(tmp_path: Path) -> None:
    text = '''
@endpoint(schema=Rows, partitions="daily", inputs={"before": window("self", days=(-1, -1))})
def totals(sold: DataFrame, before: DataFrame) -> DataFrame:
    """Totals."""
    return sold
'''
    contract = one(tmp_path, text)
    assert contract.inputs == (
        WindowInput(param="sold", endpoint="shop/sold", unit="days"),
        WindowInput(param="before", endpoint="shop/totals", unit="days", first=-1, last=-1),
    )
    assert contract.ready_within_seconds is None


def test_columns_checks_and_key(tmp_path: Path) -> None:
    text = '''
class Totals(Schema):
    """Totals by track."""
    track_id: T.StringType = field(str_matches=r"^trk_", description="Which track")
    plays: T.LongType = field(ge=0, on_fail="quarantine")
    share: T.DoubleType = field(nullable=True, in_range=(0, 1), on_fail="warn")
    money: Annotated[T.DecimalType, 10, 2] = field()
    kinds: T.ArrayType(T.StringType()) = field()
    labels: T.MapType(T.StringType(), T.StringType()) = field()
    colour: T.StringType = field(isin={"red", "blue"})
    user_id: T.BinaryType = person()
    listeners: T.IntegerType = people(ge=1)
    day_of: T.DateType = field()

    class Config(Schema.Config):
        unique = ["track_id", "colour"]

@endpoint(schema=Totals, partitions="hourly", retention="30d", tier="low", owner="a@b.org", purpose="research", start="2026-01-02T06",
          readers=["group:x"], shared=True, on_erase="rebuild", ranged=True, version="7")
def totals(sold: DataFrame) -> DataFrame:
    """What was sold.

    By track.
    """
    return sold
'''
    contract = one(tmp_path, text)
    assert contract.columns == (
        Column(name="track_id", type="STRING", description="Which track", checks=(Check(name="str_matches", args={"pattern": "^trk_"}),)),
        Column(name="plays", type="BIGINT", on_fail="quarantine", checks=(Check(name="greater_than_or_equal_to", args={"min_value": 0}),)),
        Column(
            name="share",
            type="DOUBLE",
            nullable=True,
            on_fail="warn",
            checks=(Check(name="in_range", args={"min_value": 0, "max_value": 1, "include_min": True, "include_max": True}),),
        ),
        Column(name="money", type="DECIMAL(10,2)"),
        Column(name="kinds", type="ARRAY<STRING>"),
        Column(name="labels", type="MAP<STRING, STRING>"),
        Column(name="colour", type="STRING", checks=(Check(name="isin", args={"allowed_values": ["blue", "red"]}),)),
        Column(name="user_id", type="BINARY", mark="person"),
        Column(name="listeners", type="INT", mark="people", checks=(Check(name="greater_than_or_equal_to", args={"min_value": 1}),)),
        Column(name="day_of", type="DATE"),
    )
    assert contract.unique == ("track_id", "colour")
    assert (contract.description, contract.schema_description) == ("What was sold.\n\nBy track.", "Totals by track.")
    said = contract.model_dump(include={"retention_seconds", "tier", "owner", "purpose", "start", "readers", "shared", "on_erase", "ranged", "code_version"})
    assert said == {
        "retention_seconds": 30 * 86400,
        "tier": "low",
        "owner": "a@b.org",
        "purpose": "research",
        "start": "2026-01-02T06",
        "readers": ("group:x",),
        "shared": True,
        "on_erase": "rebuild",
        "ranged": True,
        "code_version": "7",
    }


def test_a_schema_is_closed_and_not_null_for_pandera_too(tmp_path: Path) -> None:
    text = """
class Base(Schema):
    id: T.LongType = field(on_fail="warn")
    class Config(Schema.Config):
        unique = ["id"]

class Wide(Base):
    name: T.StringType = field(nullable=True)

class Own(Schema):
    id: T.LongType = field()
    class Config:
        unique = "id"
"""
    load(tmp_path, tables=ENDPOINTS + text)
    from importlib import import_module

    module = import_module("assets.shop.tables")
    wide = module.Wide.to_schema()
    assert (wide.strict, wide.unique) == (True, ["id"])
    assert wide.columns["id"].metadata == {"backline": {"on_fail": "warn", "mark": None}}
    assert (wide.columns["id"].nullable, wide.columns["name"].nullable) == (False, True)
    assert (module.Own.to_schema().strict, module.Own.to_schema().unique) == (True, ["id"])


def test_a_declared_function_is_still_called_as_one(tmp_path: Path) -> None:
    loaded = load(tmp_path, tables=ENDPOINTS + '@endpoint(schema=Rows, partitions="hourly")\n' + FUNCTION)
    definition: Any = loaded.declared["shop/totals"].declaration
    assert definition("a frame") == "a frame"
    assert definition.key == "shop/totals"
    assert loaded.of(definition).contract.key == "shop/totals"


@pytest.mark.parametrize(
    ("keywords", "function", "why", "write"),
    [
        ('inputs={"sodl": "shop/sold"}', FUNCTION, "no parameter of that name", "'sold'"),
        ('inputs={"sold": 7}', FUNCTION, "no input", "window("),
        ('inputs={"sold": "Shop/Sold"}', FUNCTION, "no endpoint's key", "domain/name"),
        ('inputs={"sold": window("shop/sold")}', FUNCTION, "of hours or of days", "hours=(first, last)"),
        ('inputs={"sold": window("shop/sold", hours=(0, 1), days=(0, 0))}', FUNCTION, "of hours or of days", "days=(first, last)"),
        ('inputs={"sold": window("shop/sold", hours=3)}', FUNCTION, "no pair", "hours=(first, last)"),
        ('inputs={"sold": window("shop/sold", hours=(1, 0))}', FUNCTION, "ends before it begins", "(0, 1)"),
        ('inputs={"sold": "self"}', FUNCTION, "reads the partition it is building", "hours=(-1, -1)"),
        ('inputs={"sold": window("self", hours=(-2, 0))}', FUNCTION, "reads the partition it is building", "(-1, -1)"),
        ('inputs={"sold": as_of("shop/sold", within="soon")}', FUNCTION, "no length of time", "3h"),
        ('inputs={"sold": as_of("self", within="3d")}', FUNCTION, "partition it is building", "window('self'"),
        ('inputs=["sold"]', FUNCTION, "which parameter is which", "inputs={"),
        ("", "async " + FUNCTION, "returns one frame", "plain def"),
        ("", FUNCTION.replace("return", "yield"), "returns one frame", "plain def"),
        ('inputs={"sold": window("shop/sold", hours=(-24, 0))}', FUNCTION, "longer than a day", 'corrections="3d"'),
        ('corrections="ever"', FUNCTION, "no length of time", "400d"),
        ('ready_within="3 hours"', FUNCTION, "no length of time", "3h"),
        ('on_erase="drop"', FUNCTION, "none of the two", "rebuild"),
        ('start="2025-06-01"', FUNCTION, "before its domain's start", "later"),
        ("", 'def totals() -> DataFrame:\n    """Totals."""\n', "no input", "@source"),
        ("", 'def totals(*sold: DataFrame) -> DataFrame:\n    """Totals."""\n', "every parameter is an input", "Remove"),
        ("", 'def totals(sold: DataFrame = None) -> DataFrame:\n    """Totals."""\n', "every parameter is an input", "defaults"),
        ("", "def totals(sold: DataFrame) -> DataFrame:\n    return sold\n", "no description", "docstring"),
        ("", 'def Totals(sold: DataFrame) -> DataFrame:\n    """Totals."""\n', "cannot be an endpoint's name", "lower case"),
    ],
)
def test_a_wrong_endpoint_is_named_with_the_way_out(tmp_path: Path, keywords: str, function: str, why: str, write: str) -> None:
    (problem,) = endpoint_problems(tmp_path, f'\n@endpoint(schema=Rows, partitions="hourly", {keywords})\n{function}')
    assert problem.where.startswith("assets/shop/tables.py:")
    assert "otals" in problem.where
    assert why in problem.why
    assert write in problem.write


@pytest.mark.parametrize(
    ("window", "fits"), [("hours=(0, 0)", True), ("hours=(0, 1)", False), ("days=(0, 0)", True), ("days=(-6, 0)", False), ("days=(-1, -1)", True)]
)
def test_a_daily_window_over_one_day_needs_corrections(tmp_path: Path, window: str, fits: bool) -> None:
    text = f'@endpoint(schema=Rows, partitions="daily", inputs={{"sold": window("shop/sold", {window})}})\n' + FUNCTION
    assert [problem.where.rpartition(".")[2] for problem in endpoint_problems(tmp_path, text)] == ([] if fits else ["corrections"])


MADE = '''
def make(name):
    @endpoint(schema=Rows, partitions="hourly"{version})
    def made(sold: DataFrame) -> DataFrame:
        """Made."""
        return sold

    return made


x = make("x")
'''


def test_a_function_made_by_another_says_its_version(tmp_path: Path) -> None:
    (problem,) = endpoint_problems(tmp_path, MADE.format(version=""))
    assert "not written at the top of its file" in problem.why
    assert 'version="1"' in problem.write
    assert endpoint_problems(tmp_path / "said", MADE.format(version=', version="1"')) == []


@pytest.mark.parametrize(
    ("text", "why", "write"),
    [
        ('schema=Rows, partitions="weekly"', "no cadence", "hourly"),
        ('schema=dict, partitions="daily"', "no Schema", "(Schema)"),
        ('schema=Rows, partitions="daily", start="2026-01-02T06"', "days are whole", '"2026-01-02"'),
    ],
)
def test_wrong_words_of_the_decorator(tmp_path: Path, text: str, why: str, write: str) -> None:
    (problem,) = endpoint_problems(tmp_path, f"@endpoint({text})\n{FUNCTION}")
    assert why in problem.why
    assert write in problem.write


def test_a_keyword_that_does_not_exist_is_told_with_its_line(tmp_path: Path) -> None:
    (problem,) = endpoint_problems(tmp_path, f'@endpoint(schema=Rows, partition="daily")\n{FUNCTION}')
    assert problem.where == "assets/shop/tables.py:12"
    assert "unexpected keyword argument 'partition'" in problem.why


@pytest.mark.parametrize(
    ("body", "why", "write"),
    [
        ("    hour: T.StringType = field()", "platform's column", "Remove"),
        ("    userId: T.StringType = field()", "name does not fit", "lower case"),
        ("    _id: T.StringType = field()\n    pass", "no column", "field()"),
        ('    a: T.StringType = field(on_fail="ignore")', "none of the three", "refuse, quarantine, warn"),
        ("    a: T.StringType = person()", "BINARY, not STRING", "T.BinaryType = person()"),
        ("    a: T.DoubleType = people()", "BIGINT, not DOUBLE", "T.LongType = people"),
        ("    a: Optional[T.LongType] = field()", "always there", "Optional"),
        ("    a: T.DecimalType = field()", "digits and places", "Annotated[T.DecimalType, 12, 2]"),
        ("    a: T.LongType = field(coerce=True)", "always there", "coerce"),
        ("    a: T.LongType = field(raise_warning=True, ge=1)", "pandera's word", 'on_fail="warn"'),
        ("    Totals: T.LongType = field(gee=1)", "no check gee", "ge="),
        ("    a: T.NullType = field()", "pandera cannot read it", "T's types"),
        ("    a: T.CharType(3) = field()", "cannot read it", "T's types"),
        ("    a: T.LongType = field()\n    class Config(Schema.Config):\n        unique = ['b']", "no column of it", "a"),
        ("    a: T.LongType = field()\n    class Config(Schema.Config):\n        strict = False", "changes strict", "Remove"),
        ("    a: T.LongType = field()\n    class Config(Schema.Config):\n        coerce = True", "coerce", "Remove"),
    ],
)
def test_a_wrong_schema_is_named_with_the_way_out(tmp_path: Path, body: str, why: str, write: str) -> None:
    text = f'class Totals(Schema):\n{body}\n\n@endpoint(schema=Totals, partitions="hourly")\n{FUNCTION}'
    (problem,) = endpoint_problems(tmp_path, text)
    assert problem.where.startswith("assets/shop/tables.py:")
    assert "Totals" in problem.where or "field(" in problem.where
    assert why in problem.why
    assert write in problem.write
