"""The author's function: called with its inputs, its answer held against the contract, and brought into the staged form. No lease, no disk, no ledger,
so that a unit test of an endpoint (`testing`) goes the same way as production.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pyspark import cloudpickle
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from platform_defs.contracts.contract import Contract
from platform_defs.contracts.partitions import partition_column
from platform_defs.contracts.schema import ddl_of
from platform_defs.execution.failures import Blame
from platform_defs.execution.quality.compile import Compiled, compile_contract, compile_model
from platform_defs.execution.quality.inspect import ELSEWHERE
from platform_defs.execution.results import Failure

if TYPE_CHECKING:
    from pyspark.sql import types as T

    from platform_defs.contracts.loading import Declared


def compiled_of(declared: Declared) -> Compiled:
    """The checks of a declaration: an endpoint's from its pandera schema, all others' from the contract. Needs a session to have been opened."""
    from platform_defs.contracts.endpoints import EndpointDef

    if isinstance(declared.declaration, EndpointDef):
        return compile_model(declared.contract, declared.declaration.schema.to_schema())
    return compile_contract(declared.contract)


def blame_of(declared: Declared) -> Blame:
    """Whose function it is, as its author finds it: `assets.charts.listening.skip_rate`."""
    function: Any = getattr(declared.declaration, "fn", declared.declaration)
    return Blame(declared.contract.key, f"{function.__module__}.{function.__qualname__}")


def ship_helpers(function: Callable[..., Any]) -> None:
    """Makes the modules of the author's domain travel with his UDFs: the server does not have them."""
    package = function.__module__.rpartition(".")[0] or function.__module__
    module = sys.modules.get(package)
    if module is not None and package != "__main__":
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]


def call(function: Callable[..., Any], frames: Mapping[str, DataFrame], blame: Blame, key: str) -> DataFrame | Failure:
    """The function's answer if it is a DataFrame, else why not."""
    try:
        result = function(**frames)
    except Exception as error:  # noqa: BLE001 - an author's code may raise anything
        return blame.raised(key, error)
    return result if isinstance(result, DataFrame) else blame.not_a_frame(key, result)


def shaped(result: DataFrame, contract: Contract, compiled: Compiled, blame: Blame, key: str, ranged: bool = False) -> DataFrame | Failure:
    """The staged form of an answer: the contract's columns in order, the partition column, `_failed` where rows can be quarantined, and `_elsewhere`
    where the answer itself said which partition a row is of. Costs one look at the plan and no Spark job.

    Args:
        ranged: the answer covers several partitions; the partition column is the author's.
    """
    column = partition_column(contract.cadence)
    try:
        fields: dict[str, T.DataType] = {}
        twice: list[str] = []
        for field in result.schema.fields:
            (twice.append(field.name) if field.name in fields else fields.update({field.name: field.dataType}))
    except Exception as error:  # noqa: BLE001 - the plan is looked at here for the first time: whatever is wrong with it shows now
        return blame.raised(key, error)
    problem = _judge(fields, twice, contract, column, blame, key)
    if problem is not None:
        return problem
    extra = [] if ranged else [F.lit(key).alias(column)]
    if ranged:
        extra.append(F.col(column))
    elif column in fields:
        extra.append((~F.col(column).eqNullSafe(F.lit(key))).alias(ELSEWHERE))
    failed = compiled.failed_column()
    return result.select(*(f"`{each.name}`" for each in contract.columns), *extra, *([] if failed is None else [failed]))


def _judge(
    fields: Mapping[str, T.DataType], twice: list[str], contract: Contract, column: str, blame: Blame, key: str
) -> Failure | None:  # fmt: skip
    declared = {each.name: each.type for each in contract.columns}
    if twice:
        return blame.twice(key, sorted(set(twice)))
    if missing := [name for name in declared if name not in fields]:
        return blame.missing(key, missing, list(fields))
    if contract.ranged and column not in fields:
        return blame.missing_partition(key, column)
    if extra := [name for name in fields if name not in declared and name != column]:
        return blame.unknown(key, extra)
    got = {name: _ddl(kind) for name, kind in fields.items()}
    wanted = {**declared, column: "STRING"} if column in fields else declared
    wrong = {name: (got[name], kind) for name, kind in wanted.items() if got[name] != _plain(kind)}
    return blame.wrong_types(key, wrong) if wrong else None


def _ddl(kind: T.DataType) -> str:
    try:
        return _plain(ddl_of(kind))
    except ValueError:
        return kind.simpleString().upper()


def _plain(ddl: str) -> str:
    return ddl.replace(", ", ",").replace(": ", ":")
