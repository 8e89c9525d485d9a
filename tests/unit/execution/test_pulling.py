"""Text becomes values as documented; whatever is left over is written so that it is refused."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.contracts.sources import RawFile
from platform_defs.execution.pulling import Spelling, row_text
from tests.spark.intake.lines import contract_of, field

CONTRACT = contract_of(
    (
        field("n", "integer", nullable=True),
        field("f", "number", required=False, default=1.5),
        field("ok", "boolean", nullable=True, required=False),
        field("text", "string", required=False, default="d"),
        field("price", "decimal", digits=6, places=2, nullable=True, required=False),
        field("tags", "map", required=False, default={}),
    ),
    "catalogue/things",
    "source",
)


def read(name: str, raw: bytes, form: Any = None) -> list[Any]:
    file = RawFile(name, "1", form or name.removesuffix(".gz").rpartition(".")[2], lambda: io.BytesIO(raw))
    return [json.loads(row) for row in Spelling(CONTRACT).rows_of(file, io.BytesIO)]


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        ("1,2,TRUE,x,1.50,{}", {"n": 1, "f": 2.0, "ok": True, "text": "x", "price": "1.50", "tags": {}}),
        (",,,,,", {"n": None, "ok": None, "price": None}),
        ('+7,1e3,0,"a,""b""",x,"{""a"": ""b""}"', {"n": 7, "f": 1000.0, "ok": False, "text": 'a,"b"', "price": "x", "tags": {"a": "b"}}),
        ("1.0,nan,yes,x,1,{", {"n": "1.0", "f": "nan", "ok": "yes", "text": "x", "price": "1", "tags": "{"}),
        ("1", {"n": 1}),
        ("1,2,1,x,1,{},more", {"n": 1, "f": 2.0, "ok": True, "text": "x", "price": "1", "tags": {}, "<cells beyond the header>": None}),
    ],
)
def test_cells_become_values(cells: str, row: dict[str, Any]) -> None:
    assert read("a.csv", f"n,f,ok,text,price,tags\r\n{cells}\r\n".encode()) == [row]


def test_gzip_byte_order_marks_blank_lines_and_unknown_columns() -> None:
    assert read("a.csv.gz", gzip.compress(b"\xef\xbb\xbfn,strange\n1,x\n\n")) == [{"n": 1, "strange": "x"}]
    assert read("a.csv", b"") == []
    assert read("a.jsonl", b'{"n":1}\n\n  {"n":2}  \n{"n":3}') == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_parquet_rows() -> None:
    raw = io.BytesIO()
    pq.write_table(pa.table({"n": [1, None], "text": ["a", "b"]}), raw)
    assert read("a.parquet", raw.getvalue()) == [{"n": 1, "text": "a"}, {"n": None, "text": "b"}]


def test_a_good_row_gets_the_one_spelling_and_a_bad_one_stays() -> None:
    rows = [b'{"price":"1.5","n":1}', b'{"n":"x"}', b"{", b'{"n":1,\n"z":2}']
    lines = list(Spelling(CONTRACT).lines(rows, "2026-10-01T00:00:00.000000Z", "2026-10-02T00:00:00.000000Z"))
    assert json.loads(lines[0]) == {
        "client": "source", "id": "1", "time": "2026-10-01T00:00:00.000000Z", "received_at": "2026-10-02T00:00:00.000000Z",
        "data": {"n": 1, "f": 1.5, "ok": None, "text": "d", "price": "1.50", "tags": {}},
    }  # fmt: skip
    assert lines[1].endswith(b'"data":{"n":"x"}}\n')
    assert lines[2].endswith(b'"data":{}\n')
    assert lines[3].count(b"\n") == 1


@given(st.lists(st.lists(st.text(max_size=6), min_size=1, max_size=3), max_size=5), st.binary(max_size=30))
def test_no_text_breaks_a_line_in_two(cells: list[list[str]], noise: bytes) -> None:
    raw = "\n".join(",".join(row) for row in [["n", "text"], *cells]).encode("utf-8", "surrogatepass") + noise
    rows = list(Spelling(CONTRACT).rows_of(RawFile("a.csv", "1", "csv", lambda: io.BytesIO(raw)), io.BytesIO))
    for line in Spelling(CONTRACT).lines(rows, "a", "b"):
        assert line.count(b"\n") == 1
        assert line.endswith(b"}\n")


def test_numbers_that_json_does_not_know_are_spelled_so_that_they_are_refused() -> None:
    assert row_text({"f": float("nan")}) == b'{"f":NaN}'
