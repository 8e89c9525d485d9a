"""The `build` fixture: one partition of an endpoint on rows a test gives, judged as in production. Warm Spark; no Delta, Dagster or Postgres.

A pytest plugin (`pytest_plugins = ["platform_defs.execution.testing"]`). It asks for a fixture `spark`, a session.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from platform_defs.contracts import registry_file
from platform_defs.contracts.contract import AsOfInput, Column, Contract, Input
from platform_defs.contracts.endpoints import EndpointDef
from platform_defs.contracts.event import Event, Record
from platform_defs.contracts.example import counting_examples
from platform_defs.contracts.loading import Declared, LoadedDomain, load_domain
from platform_defs.contracts.partitions import cadence_of, hours_of, partition_column, start_of
from platform_defs.execution.calling import blame_of, compiled_of, shaped
from platform_defs.execution.checks import complete_check, contract_check, volume_check
from platform_defs.execution.failures import Blame
from platform_defs.execution.quality.compile import UNIQUE, Compiled
from platform_defs.execution.quality.inspect import inspect
from platform_defs.execution.results import CheckResult, Failure
from platform_defs.execution.steps import FAILED
from platform_defs.lake.columns import staged_ddl
from platform_defs.lake.reading import shown
from platform_defs.planning.windows import keys_read
from platform_defs.privacy.identity import plain_name

GivenRow = Event | Record | Mapping[str, Any]
Given = Iterable[GivenRow] | Mapping[str, Iterable[GivenRow]] | DataFrame


class EndpointFailed(AssertionError):
    """What the function answered could not be published; the message says why, as production would."""


class WrongRows(ValueError):
    """The test gives rows that the input's contract does not know; the message says what it does."""


@dataclass(frozen=True)
class Built:
    """What became of the partition.

    Attributes:
        quarantined: rows that were set aside, with the names of the rules they broke in `_failed`.
        checks: the verdicts, by name.
        failure: why it would not be published; None if it would.
    """

    staged: tuple[dict[str, Any], ...]
    quarantined: tuple[dict[str, Any], ...]
    checks: Mapping[str, CheckResult]
    failure: Failure | None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The published rows in the order of their key, without the partition column; UUIDs and pseudonyms as UUID texts.

        Raises EndpointFailed if they would not be published: look at `checks` and `staged` then.
        """
        if self.failure is not None:
            raise EndpointFailed(self.failure.words)
        return list(self.staged)


@dataclass
class Build:
    """Builds partitions in a test: `build(skip_rate, "2026-10-01T02", started=[...], played=[...])`. Inputs left out have no rows."""

    session: SparkSession
    domains: dict[Path, LoadedDomain] = field(default_factory=dict)
    _events: Iterator[int] = field(default_factory=lambda: count(1))

    def __call__(self, endpoint: EndpointDef[Any], key: str, **inputs: Given) -> Built:
        """One partition.

        Args:
            key: the partition, `2026-10-01T02` or `2026-10-01`.
            inputs: by parameter: rows (examples of the event or record, or dicts that may omit columns), all of them in the partition's own hour or
                day (a snapshot's newest day), or rows by partition: `{"2026-10-01T03": [...]}`. A dict may give a person's id as text.

        Raises:
            EndpointFailed: the function's answer is none that could be staged (not a DataFrame, wrong columns, wrong types).
            WrongRows: a parameter, column or partition that there is not.
            Whatever the function raises.
        """
        declared = self.declared(endpoint)
        contract = declared.contract
        if cadence_of(key) != contract.cadence:
            raise WrongRows(f"{contract.key} is {contract.cadence}: {key} is no partition of it")
        if unknown := sorted(inputs.keys() - {item.param for item in contract.inputs}):
            have = ", ".join(item.param for item in contract.inputs)
            raise WrongRows(f"{contract.key} has no input {', '.join(unknown)}: it has {have}")
        frames = {item.param: self._frame(item, contract, key, inputs.get(item.param, ())) for item in contract.inputs}
        blame = blame_of(declared)
        answer: object = endpoint.fn(**frames)
        if not isinstance(answer, DataFrame):
            raise EndpointFailed(blame.not_a_frame(key, answer).words)
        compiled = compiled_of(declared)
        frame = shaped(answer, contract, compiled, blame, key)
        if isinstance(frame, Failure):
            raise EndpointFailed(frame.words)
        return self._judge(contract, compiled, blame, key, frame)

    @staticmethod
    def pseudonym(value: str, kind: str = "person") -> str:
        """What `Personal(kind)` makes of a value in tests, as rows show it."""
        return str(UUID(bytes=_pseudonym(value, kind)))

    def _judge(self, contract: Contract, compiled: Compiled, blame: Blame, key: str, frame: DataFrame) -> Built:
        """Production's inspection, over rows that were computed once: what is judged is what the test sees."""
        column = partition_column(contract.cadence)
        computed = frame.toArrow()
        empty = frame.schema if computed.num_rows == 0 else None  # Spark infers nothing from no rows
        staged = self.session.createDataFrame(computed, empty).withColumn(column, F.lit(key))
        found = inspect(staged, compiled, column, [key])[key]
        checks = (contract_check(found), volume_check(found.rows, []), complete_check([], len(contract.inputs)))
        failure: Failure | None = None
        if found.elsewhere:
            failure = blame.elsewhere(key, column, found.elsewhere)
        elif not checks[0].passed and checks[0].severity == "error":
            failure = blame.refused(key, checks, contract.unique, any(breach.check == UNIQUE for breach in found.breaches))
        order = list(contract.unique) or list(compiled.columns)
        names = [*compiled.columns, *([FAILED] if FAILED in computed.column_names else [])]
        rows = sorted(computed.select(names).to_pylist(maps_as_pydicts="strict"), key=lambda row: _order(row, order))
        good = tuple(shown({name: row[name] for name in compiled.columns}) for row in rows if not row.get(FAILED))
        return Built(good, tuple(shown(row) for row in rows if row.get(FAILED)), {check.name: check for check in checks}, failure)

    def declared(self, endpoint: EndpointDef[Any]) -> Declared:
        """The declaration with its contract, as the endpoint's domain says it now."""
        module = sys.modules[endpoint.fn.__module__]
        folder = Path(str(module.__file__)).parent
        return self._domain(folder).of(endpoint)

    def _domain(self, folder: Path) -> LoadedDomain:
        if folder not in self.domains:
            self.domains[folder] = load_domain(folder)
        return self.domains[folder]

    def contract(self, key: str, reader: Contract) -> Contract:
        """The contract of an input: of the own domain as its files say now, of another as committed, or as its files say where it is not."""
        name = key.partition("/")[0]
        own = next(folder for folder, loaded in self.domains.items() if loaded.name == reader.domain)
        committed = {} if name == reader.domain else registry_file.read(own.parent / name)
        if key in committed:
            return committed[key]
        found = self._domain(own.parent / name).declared.get(key)
        if found is None:
            raise WrongRows(f"{reader.key} reads {key}, which {name} does not declare")
        return found.contract

    def _frame(self, item: Input, reader: Contract, key: str, given: Given) -> DataFrame:
        contract = self.contract(item.endpoint, reader)
        if isinstance(given, DataFrame):
            return given
        possible = keys_read(item, key, contract.cadence)
        own = _own(item, key, possible)
        by_key = given if isinstance(given, Mapping) else {own: given}
        if strange := sorted(set(by_key) - set(possible)):
            raise WrongRows(f"{reader.key} {key} does not read {item.endpoint} {', '.join(map(str, strange))}: it reads {possible[0]} to {possible[-1]}")
        return self.frame(contract, by_key)

    def frame(self, contract: Contract, by_key: Mapping[str, Iterable[GivenRow]]) -> DataFrame:
        """Rows by partition as the frame a function is given: the contract's columns and its partition column."""
        rows = [(*self._row(contract, part, row), part) for part, group in by_key.items() for row in group]
        return self.session.createDataFrame(rows, staged_ddl(contract))

    def _row(self, contract: Contract, part: str, given: GivenRow) -> tuple[Any, ...]:
        """A row in the columns of the input's table, the platform's own filled in; what a dict leaves out is null."""
        values = {name: getattr(given, name) for name in type(given).model_fields} if isinstance(given, BaseModel) else dict(given)
        if strange := sorted(set(values) - {column.name for column in contract.columns}):
            raise WrongRows(f"{contract.key} has no column {', '.join(strange)}: it has {', '.join(column.name for column in contract.columns)}")
        if contract.kind == "event":
            at = start_of(part)
            values = {"event_id": next(self._events).to_bytes(16, "big"), "time": at, "received_at": at, **values}
        kinds = {field.name: field.personal.kind for field in contract.fields if field.personal is not None}
        return tuple(_cell(column, values.get(column.name), kinds.get(column.name, "person")) for column in contract.columns)


@pytest.fixture(scope="session")
def _loaded_domains() -> dict[Path, LoadedDomain]:
    """Domains are loaded once a session."""
    return {}


@pytest.fixture
def build(spark: SparkSession, _loaded_domains: dict[Path, LoadedDomain]) -> Iterator[Build]:
    """Builds one partition of an endpoint on the rows a test gives; examples are drawn from 1 on in each test."""
    with counting_examples():
        yield Build(spark, _loaded_domains)


def _own(item: Input, key: str, possible: Sequence[str]) -> str:
    """The partition rows belong to that are given without one: the partition's own (first) hour or day, of a snapshot the newest."""
    if isinstance(item, AsOfInput):
        return possible[0]
    for each in (key, hours_of(key)[0], key[:10]):
        if each in possible:
            return each
    return possible[-1]


def _cell(column: Column, value: Any, kind: str) -> Any:
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, str) and column.mark in ("person", "personal"):
        return _pseudonym(value, kind)
    if isinstance(value, str) and column.type == "BINARY":
        return UUID(value).bytes
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _pseudonym(value: str, kind: str) -> bytes:
    """Stands for the vault in tests: equal for equal values of a kind, and nothing of the value in it."""
    return plain_name("test", kind, value)


def _order(row: Mapping[str, Any], columns: Sequence[str]) -> list[tuple[bool, str | Any]]:
    """Sort key: nulls first; values of a type in its order, what has none by its text."""
    return [(row[name] is not None, row[name] if isinstance(row[name], int | float | str | bytes) else str(row[name])) for name in columns]
