"""Arrow and Pydantic judge a landed line alike: what Arrow is sure of Pydantic accepts, with the same values. A receiver's own lines are sure."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from platform_defs.contracts.contract import Contract, WireType
from platform_defs.execution.arrow_lines import ArrowForm, split
from platform_defs.execution.validation import Judge
from tests.spark.intake.lines import EVERYTHING, POINT, canonical, contract_of, field, line_of, spoiled

ALL_BUT_MAPS = contract_of([one for one in EVERYTHING.fields if one.type.kind != "map"])
OPTIONAL = {"nullable": True, "required": False}


def judged(contract: Contract, lines: list[bytes]) -> list[tuple[bool, Any]]:
    """Arrow's verdict on each line, with its values where it is sure."""
    form = ArrowForm.of(contract)
    array = split(b"\n".join([*lines, b""]))
    assert array.to_pylist() == [line + b"\n" for line in lines]
    sure, records = form.sure(array)
    values = iter(pa.table(form.columns(records)).to_pylist())
    return [(bool(each), next(values) if each else None) for each in sure]


def stored(value: Any) -> Any:
    """A Python value as Arrow hands it out."""
    if isinstance(value, BaseModel):
        return {name: stored(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list):
        return [stored(each) for each in value]
    return getattr(value, "bytes", value)


def agree(contract: Contract, lines: list[bytes]) -> int:
    """Holds both verdicts against each other; how many lines Arrow was sure of."""
    judge, form, sure_ones = Judge(contract), ArrowForm.of(contract), 0
    for line, (sure, values) in zip(lines, judged(contract, lines), strict=True):
        verdict = judge.judge(line)
        if sure:
            sure_ones += 1
            assert verdict.rules == (), line
            assert form.spells(line)
            assert values == stored(judge.model.model_validate_json(line).data), line  # type: ignore[attr-defined]
        if verdict.line is not None:
            told = pa.table(form.columns(form.told([verdict.line]))).to_pylist()
            if not verdict.rules:
                [kept] = told
                kept = {name: dict(value) if name == "labels" else value for name, value in kept.items()}
                assert kept == stored(judge.model.model_validate_json(line).data)  # type: ignore[attr-defined]
    return sure_ones


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_canonical_and_spoiled_lines(seed: int) -> None:
    rng = random.Random(seed)
    assert agree(ALL_BUT_MAPS, [canonical(ALL_BUT_MAPS, rng).encode() for _ in range(60)]) == 60
    agree(ALL_BUT_MAPS, [line for line in (spoiled(ALL_BUT_MAPS, rng) for _ in range(300)) if b"\n" not in line])


def test_of_contracts_with_maps_every_line_is_pydantics() -> None:
    rng = random.Random(1)
    assert agree(EVERYTHING, [canonical(EVERYTHING, rng).encode() for _ in range(30)]) == 0
    inner = contract_of((field("route", "list", item=WireType(kind="record", fields=(*POINT, field("labels", "map")))),))
    assert not ArrowForm.of(inner).quick


def test_a_number_that_has_no_value_leaves_doubt_of_few_lines_beside_it() -> None:
    contract = contract_of((field("n", "integer"), field("x", "number")))
    lines = [line_of({"n": n, "x": 0.5}, random.Random(n)).encode() for n in range(1000)]
    lines[500] = lines[500].replace(b'"n":500', b'"n":9999999999999999999')
    lines[700] = lines[700].replace(b"0.5", b"1e999")
    sure = [fine for fine, _ in judged(contract, lines)]
    assert not sure[500]
    assert not sure[700]
    assert sum(sure) >= 1000 - 2 * 32
    agree(contract, lines)


@pytest.mark.parametrize("inner", ['\\"', "\\n", "a", "\\u0001", "😀"])
def test_no_text_is_too_long(inner: str) -> None:
    contract = contract_of((field("text", "string"), field("list", "list", item=WireType(kind="string"))))
    long, many = f'"{inner * 600_000}"', ",".join([f'"{inner}"'] * 60_000)
    lines = [line_of(None, random.Random(1)).replace("null", data).encode() for data in (f'{{"text":{long},"list":[{many}]}}', f'{{"text":{long}')]
    assert [sure for sure, _ in judged(contract, lines)] == [True, False]


def test_lines_that_are_not_utf8_are_doubted_alone() -> None:
    contract = contract_of((field("text", "string"),))
    good = line_of({"text": "é"}, random.Random(1)).encode()
    assert [sure for sure, _ in judged(contract, [good, good.replace("é".encode(), b"\xff"), good.replace("é".encode(), b"\xed\xa0\x80"), good])] == [
        True, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "unknown",
    [
        field("slug", "string", pattern=r"^[a-z]{1,64}(-[a-z]{1,64}){0,20}$"),
        field("parts", "list", item=WireType(kind="string", pattern=r"^([^/]{1,255}/){0,20}$")),
        field("amount", "decimal", digits=38, places=18, le="1E+20"),
        field("amount", "decimal", digits=38, places=0, ge="-0.5"),
    ],
    ids=["pattern", "pattern in a list", "decimal's end", "decimal's places"],
)
def test_what_arrow_does_not_know_is_pydantics(unknown: Any) -> None:
    rng = random.Random(1)
    contract = contract_of((unknown, field("n", "integer")))
    assert agree(contract, [canonical(contract, rng).encode() for _ in range(20)]) == 0


def test_limits_of_decimals_are_kept() -> None:
    contract = contract_of((field("price", "decimal", digits=6, places=2, ge="-10.5", lt="1E+2"),))
    lines = [line_of({"price": price}, random.Random(1)).encode() for price in ("-10.51", "-10.50", "0.00", "99.99", "100.00")]
    assert [sure for sure, _ in judged(contract, lines)] == [False, True, True, True, False]


def test_commas_between_what_may_all_be_absent_are_neither_too_many_nor_too_few() -> None:
    contract = contract_of([field(name, "integer", **OPTIONAL) for name in "abc"])
    for data, right in (
        ("{}", True), ('{"a":1}', True), ('{"b":1,"c":2}', True), ('{"a":1,"b":2,"c":3}', True),
        ('{"a":1,}', False), ('{"a":1"b":2}', False), ('{,"b":2}', False), ('{"b":1,"a":2}', False), ('{"a":1,"a":2}', False),
    ):  # fmt: skip
        line = line_of(None, random.Random(1)).replace("null", data).encode()
        assert [sure for sure, _ in judged(contract, [line])] == [right], data
        assert ArrowForm.of(contract).spells(line) == right


def test_a_pattern_grows_with_its_fields_and_no_faster() -> None:
    one, ten = (len(ArrowForm.of(contract_of([field(f"f{n}", "string", **OPTIONAL) for n in range(fields)])).pattern) for fields in (20, 200))
    assert ten < 11 * one


@pytest.mark.parametrize("required", [(), ("b",), ("a", "d")])
def test_whatever_may_be_absent_is_null(required: tuple[str, ...]) -> None:
    contract = contract_of([field(name, "integer", **({} if name in required else OPTIONAL)) for name in "abcd"])
    rng = random.Random(2)
    chosen = [{name: 1 for name in "abcd" if name in required or rng.random() < 0.5} for _ in range(40)]
    found = judged(contract, [line_of(data, rng).encode() for data in chosen])
    assert found == [(True, {name: data.get(name) for name in "abcd"}) for data in chosen]


def test_a_text_is_split_at_line_ends_alone() -> None:
    assert split(b"").to_pylist() == []
    assert split(b"\n").to_pylist() == [b"\n"]
    assert split(b"a\r\nb\x0bc\n\nd").to_pylist() == [b"a\r\n", b"b\x0bc\n", b"\n", b"d\n"]


def test_nothing_is_sure_of_nothing() -> None:
    sure, records = ArrowForm.of(ALL_BUT_MAPS).sure(split(b""))
    assert (len(sure), len(records), sure.dtype) == (0, 0, np.dtype(bool))
    assert pa.table(ArrowForm.of(ALL_BUT_MAPS).columns(records)).num_rows == 0
