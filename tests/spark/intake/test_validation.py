"""Spark and Pydantic judge a landed line alike: what Spark is sure of Pydantic accepts, with the same values, and lines as the receiver writes them are
sure. The rest is Pydantic's by construction."""

from __future__ import annotations

import itertools
import random
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from platform_defs.contracts.contract import Contract, WireType
from platform_defs.execution.validation import Judge, LineForm
from tests.spark.intake.lines import EVERYTHING, canonical, contract_of, data_of, dumps, field, line_of, spoiled

_LINES = 300


def judged(spark: SparkSession, folder: Path, contract: Contract, lines: list[bytes]) -> list[tuple[bool, Any]]:
    """Spark's verdict on each line, with its values where it is sure. Each line has its number in front of it, whatever order Spark reads in."""
    form = LineForm.of(contract)
    path = folder / f"{uuid.uuid4().hex}.txt"
    path.write_bytes(b"".join(b"%08d%b\n" % (number, line) for number, line in enumerate(lines)))
    read = spark.read.text(str(path)).select(F.substring("value", 1, 8).cast("int").alias("n"), F.expr("substring(value, 9)").alias("text"))
    instants = {name: form.instant(F.col("p")[name]) for name in ("time", "received_at")}
    parsed = read.withColumn("p", form.parsed(F.col("text"))).withColumn("sure", form.sure(F.col("text"), F.col("p"), instants))
    values = F.struct(*(value.alias(name) for name, value in form.columns(F.col("p")).items()))
    rows = parsed.select("n", "sure", F.when(F.col("sure"), values).alias("v")).orderBy("n").collect()
    assert len(rows) == len(lines)
    return [(row["sure"], row["v"]) for row in rows]


def in_spark(value: Any) -> Any:
    """A Python value as Spark hands it out."""
    if isinstance(value, BaseModel):
        return {name: in_spark(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return [in_spark(each) for each in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    if isinstance(value, bytearray):
        return bytes(value)
    if hasattr(value, "asDict"):
        return {name: plain(each) for name, each in value.asDict().items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def agree(spark: SparkSession, folder: Path, contract: Contract, lines: list[bytes]) -> int:
    """Holds both verdicts against each other; how many lines Spark was sure of."""
    judge, sure_ones = Judge(contract), 0
    for line, (sure, values) in zip(lines, judged(spark, folder, contract, lines), strict=True):
        verdict = judge.judge(line)
        assert (verdict.line is not None) or verdict.rules
        if sure:
            sure_ones += 1
            assert verdict.rules == (), line
            assert plain(values) == in_spark(judge.model.model_validate_json(line).data), line  # type: ignore[attr-defined]
    return sure_ones


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_canonical_and_spoiled_lines(spark: SparkSession, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    assert agree(spark, tmp_path, EVERYTHING, [canonical(EVERYTHING, rng).encode() for _ in range(_LINES // 4)]) == _LINES // 4
    agree(spark, tmp_path, EVERYTHING, [spoiled(EVERYTHING, rng) for _ in range(_LINES)])


def test_lines_older_than_an_optional_field_are_sure(spark: SparkSession, tmp_path: Path) -> None:
    rng = random.Random(1)
    contract = contract_of((field("n", "integer"), field("note", "string", nullable=True, required=False), field("tag", "string", required=False, default="x")))
    [old, older] = [line_of(data, rng).encode() for data in ({"n": 1, "tag": "y"}, {"n": 1})]
    assert [sure for sure, _ in judged(spark, tmp_path, contract, [old, older])] == [True, False]
    verdict = Judge(contract).judge(older)
    assert verdict.rules == ()
    assert verdict.line is not None
    assert '"data":{"n":1,"note":null,"tag":"x"}' in verdict.line


def test_optional_members_may_be_absent_wherever_they_stand() -> None:
    """Of every choice of members, those with all required ones are the spelling, and none with a comma too many or too few."""
    optional = {"nullable": True, "required": False}
    form = LineForm.of(
        contract_of((field("a", "integer", **optional), field("b", "integer"), field("c", "integer", **optional), field("d", "integer", **optional)))
    )
    for chosen in itertools.product((False, True), repeat=4):
        members = [f'"{name}":1' for name, there in zip("abcd", chosen, strict=True) if there]
        for between, after, right in ((",", "", True), (",,", "", len(members) < 2), (",", ",", False), ("", "", len(members) < 2)):
            line = line_of(None, random.Random(1)).replace("null", "{" + between.join(members) + after + "}")
            assert form.spells(line) == (right and chosen[1]), line


def test_the_payload_of_a_line_is_what_follows_its_envelope(spark: SparkSession) -> None:
    rng = random.Random(5)
    names = ["web", "wéb😀", 'a"b', "a\\,b", '","data":', "\n", "\x1f" * 9]
    lines = [line_of({"data": {"data": 1}, "n": "é"}, rng, client=client, id=identifier) for client in names for identifier in names]
    form = LineForm.of(contract_of((field("n", "string"),)))
    text = spark.createDataFrame(list(enumerate(lines)), "n INT, text STRING").withColumn("p", form.parsed(F.col("text")))
    rows = text.select("n", form.payload(F.col("text"), F.col("p")).alias("payload")).orderBy("n").collect()
    for row, line in zip(rows, lines, strict=True):
        assert bytes(row.payload).decode() == line[line.index(',"data":{') :]


@pytest.mark.parametrize("inner", ['\\"', "\\n", "a", "\\u0001", "😀"])
def test_no_text_is_too_long(spark: SparkSession, tmp_path: Path, inner: str) -> None:
    contract = contract_of((field("text", "string"), field("list", "list", item=WireType(kind="string")), field("map", "map")))
    long, many = f'"{inner * 60_000}"', ",".join([f'"{inner}"'] * 60_000)
    names = ",".join(f'"{n}":"{inner}"' for n in range(20_000))
    lines = [
        line_of(None, random.Random(1)).replace("null", data).encode() for data in (f'{{"text":{long},"list":[{many}],"map":{{{names}}}}}', f'{{"text":{long}')
    ]
    assert [sure for sure, _ in judged(spark, tmp_path, contract, lines)] == [True, False]


def test_rules_name_declared_things_alone() -> None:
    rng = random.Random(3)
    data = data_of(EVERYTHING, rng)
    data |= {"labels": {"ada": 1}, "ids": ["bob"], "route": [{"x": "carol", "dora": 1}], "emil": 1, "ms": "frida", "spot": "greta"}
    verdict = Judge(EVERYTHING).judge(line_of(data, rng, client="").encode())
    assert set(verdict.rules) == {
        "client:string_too_short",
        "labels:string_type",
        "ids:uuid_parsing",
        "route.x:float_type",
        "route.at:missing",
        "route.<unknown field>:extra_forbidden",
        "<unknown field>:extra_forbidden",
        "ms:int_type",
        "spot:model_type",
    }
    assert verdict.line is not None
    for secret in ("ada", "bob", "carol", "dora", "emil", "frida", "greta"):
        assert secret not in verdict.line
        assert secret not in dumps(list(verdict.rules))
    assert '"play_id":' in verdict.line
