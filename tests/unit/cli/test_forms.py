"""What `send` reads and `read` writes: lines, values, partitions."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click
import pytest

from platform_defs.cli.read import plain, show
from platform_defs.cli.send import Line, read_lines


def lines(tmp_path: Path, *texts: str) -> list[Line]:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(texts))
    return list(read_lines(file))


def test_a_line_is_fields_or_an_envelope(tmp_path: Path) -> None:
    at = datetime(2026, 10, 1, 3, 12, tzinfo=UTC)
    assert lines(tmp_path, '{"a": 1}', "", '{"id": "x", "time": "2026-10-01T03:12:00Z", "data": {"a": 2}}', '{"data": 1, "other": 2}') == [
        Line(1, {"a": 1}),
        Line(3, {"a": 2}, "x", at),
        Line(4, {"data": 1, "other": 2}),
    ]


@pytest.mark.parametrize("wrong", ["{", "[]", '"text"', '{"data": 1, "time": "2026-10-01T03:00"}', '{"data": 1, "time": 5}', '{"data": 1, "id": 5}'])
def test_a_line_that_is_none_is_named_without_what_it_holds(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(click.ClickException, match=r"line 2\b.*nothing was sent") as caught:
        lines(tmp_path, '{"a": 1}', wrong)
    assert wrong not in caught.value.message


def test_values_are_shown_as_json_can_hold_them() -> None:
    row = {
        "at": datetime(2026, 10, 1, tzinfo=UTC),
        "naive": datetime(2026, 10, 1, tzinfo=UTC).replace(tzinfo=None),
        "price": Decimal("1.10"),
        "tags": ["a", None],
        "sub": {"x": Decimal(1)},
    }
    assert plain(row) == {"at": "2026-10-01T00:00:00+00:00", "naive": "2026-10-01T00:00:00Z", "price": "1.10", "tags": ["a", None], "sub": {"x": "1"}}


def test_forms_of_rows(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"a": 1, "b": None}, {"a": 2, "b": "x,y"}]
    assert show(iter(rows), ["b", "a"], "json") == 2
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    assert show(iter(rows), ["b", "a"], "csv") == 2
    assert capsys.readouterr().out.splitlines() == ["a,b", "1,", '2,"x,y"']
    assert show(iter([]), ["b", "a"], "csv") == 0
    assert capsys.readouterr().out.splitlines() == ["b,a"]
    assert show(iter(rows), ["b", "a"], None) == 2
    assert "x,y" in capsys.readouterr().out
