"""The catalogue's words for a contract."""

import dagster as dg
import pytest

from platform_defs.build.describe import checks_of, column_schema, duration_words, input_words, metadata_of
from platform_defs.contracts.contract import Check, Column
from tests.unit.build.contracts import contract, event, newest, over


def test_columns_with_descriptions_marks_and_checks() -> None:
    columns = (
        Column(name="user", type="BINARY", description="Who", mark="person"),
        Column(name="plays", type="BIGINT", nullable=True, on_fail="quarantine", checks=(Check(name="greater_than_or_equal_to", args={"min_value": 0}),)),
    )
    schema = column_schema(contract("charts/plays", columns=columns, unique=("user",)))
    hour, user, plays = schema.columns
    assert (hour.name, hour.type, hour.constraints.nullable) == ("hour", "STRING", False)
    assert (user.name, user.type, user.description, user.constraints.unique) == ("user", "BINARY", "Who", True)
    assert user.constraints.other == ["holds a pseudonym"]
    assert plays.constraints == dg.TableColumnConstraints(nullable=True, unique=False, other=["greater_than_or_equal_to(min_value=0) (else quarantine)"])
    assert column_schema(contract("charts/day", "daily")).columns[0].name == "day"


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (over("a/b"), 'one = "a/b"'),
        (over("a/b", 0, 1), 'one = window("a/b", hours=(0, 1))'),
        (over("a/b", -6, 0, "days"), 'one = window("a/b", days=(-6, 0))'),
        (newest("a/b", 3), 'snapshot = as_of("a/b", within="3d")'),
    ],
)
def test_inputs_as_their_author_would_write_them(read: object, words: str) -> None:
    assert input_words(read) == words  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "words"), [(0, "0s"), (90, "90s"), (120, "2m"), (7200, "2h"), (259_200, "3d"), (86_400 * 400, "400d"), (90_000, "25h")])
def test_durations(seconds: int, words: str) -> None:
    assert duration_words(seconds) == words


def test_secrets_are_shown_by_name_alone() -> None:
    assert metadata_of(contract("charts/vendor", secrets=("vendor_s3",)))["secrets"] == "vendor_s3: ***"


def test_lateness_in_words() -> None:
    assert metadata_of(event("listening/played"))["lateness"] == "settles at 1h, 1d; rebuilt from 1.0% late rows; holds 2h"


def test_only_a_promise_has_a_deadline_to_check() -> None:
    assert checks_of(contract("charts/rate")) == ("contract", "volume", "complete")
    assert checks_of(contract("charts/rate", ready_within_seconds=3600)) == ("contract", "volume", "complete", "on_time")
    assert checks_of(event("l/played", ready_within_seconds=3600)) == ("contract", "volume", "accounting", "complete", "on_time")
