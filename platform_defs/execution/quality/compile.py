"""A contract's checks as Spark expressions: one per rule, true for a row that breaks it. Pandera's own run is a job per check; these go into one pass.

The expressions are those of pandera's Spark backend, negated, so that a row is judged the same (a null passes every check but nullability). What is
no expression (an author's `@check` or `@dataframe_check`, a registered check, a check that pandera refuses on the column's type) is kept aside for
pandera itself (`Rest`). Judging and counting are inspect's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from platform_defs.contracts.contract import Column as ContractColumn
from platform_defs.contracts.contract import Contract, OnFail
from platform_defs.execution.steps import FAILED

if TYPE_CHECKING:
    from pandera.api.checks import Check
    from pandera.pyspark import DataFrameSchema

NOT_NULLABLE = "not_nullable"
UNIQUE = "unique"


class UnknownCheck(ValueError):
    """A contract names a check that is none of pandera's built-in ones, and there is no schema class to run it."""


@dataclass(frozen=True)
class Rule:
    """One row check of one column.

    Attributes:
        check: pandera's name of it, or `not_nullable`.
        words: as pandera words it, `greater_than_or_equal_to(0)`.
        broken: true for a row that breaks it, else false; never null.
    """

    column: str
    check: str
    words: str
    on_fail: OnFail
    broken: Column

    @property
    def name(self) -> str:
        """`column:check`, the name in quarantine and in results."""
        return f"{self.column}:{self.check}"


@dataclass(frozen=True)
class Rest:
    """Checks of one column, or of the whole frame (`column` None), that pandera runs itself; they give one verdict a partition."""

    column: str | None
    names: tuple[str, ...]
    on_fail: OnFail
    schema: DataFrameSchema


@dataclass(frozen=True)
class Compiled:
    """All that a partition of one contract is judged by."""

    columns: tuple[str, ...]
    ddl: str
    rules: tuple[Rule, ...]
    unique: tuple[str, ...]
    rest: tuple[Rest, ...] = ()

    @property
    def quarantining(self) -> tuple[Rule, ...]:
        """The rules whose rows go to quarantine."""
        return tuple(rule for rule in self.rules if rule.on_fail == "quarantine")

    @property
    def judged(self) -> tuple[Rule, ...]:
        """The rules counted over the rows that stay."""
        return tuple(rule for rule in self.rules if rule.on_fail != "quarantine")

    def failed_column(self) -> Column | None:
        """The staged column `_failed`: the names of the quarantine rules a row breaks, null for none; None if no column quarantines."""
        rules = self.quarantining
        if not rules:
            return None
        broken = F.array_compact(F.array(*(F.when(rule.broken, F.lit(rule.name)) for rule in rules)))
        return F.when(F.size(broken) > 0, broken).alias(FAILED)


def compile_contract(contract: Contract) -> Compiled:
    """The checks of an event type or a source, from the registry alone.

    Raises:
        UnknownCheck: a check that is none of pandera's.
    """
    rules: list[Rule] = []
    for column in contract.columns:
        rules.extend(_null_rule(column))
        for check in column.checks:
            broken = _broken(column, check.name, check.args)
            if broken is None:
                known = ", ".join(sorted(_CHECKS))
                raise UnknownCheck(f"{contract.key}.{column.name}: no check {check.name!r} for {column.type} with these arguments. Use one of {known}")
            arguments = ", ".join(str(value) for value in check.args.values())
            rules.append(Rule(column.name, check.name, f"{check.name}({arguments})", column.on_fail, broken))
    return _compiled(contract, rules, ())


def compile_model(contract: Contract, schema: DataFrameSchema) -> Compiled:
    """The checks of an endpoint from its pandera schema (`Model.to_schema()`); types, nullability and `on_fail` are the contract's."""
    rules: list[Rule] = []
    rest: list[Rest] = []
    for column in contract.columns:
        declared = schema.columns[column.name]
        rules.extend(_null_rule(column))
        kept: list[Check] = []
        for check in declared.checks:
            broken = _broken(column, check.name, check._check_kwargs) if _is_builtin(check) else None
            if broken is None:
                kept.append(check)
            else:
                rules.append(Rule(column.name, check.name, check.error or check.name, "warn" if check.raise_warning else column.on_fail, broken))
        if kept:
            names = tuple(_name(check) for check in kept)
            # One verdict for the frame names no rows: such a check can refuse or warn, not quarantine.
            on_fail: OnFail = "warn" if column.on_fail == "warn" else "refuse"
            rest.append(Rest(column.name, names, on_fail, _only(schema, column.name, kept)))
    if schema.checks:
        rest.append(Rest(None, tuple(_name(check) for check in schema.checks), "refuse", _only(schema, None, schema.checks)))
    return _compiled(contract, rules, tuple(rest))


def _compiled(contract: Contract, rules: list[Rule], rest: tuple[Rest, ...]) -> Compiled:
    ddl = ", ".join(f"`{column.name}` {column.type}" for column in contract.columns)
    return Compiled(tuple(column.name for column in contract.columns), ddl, tuple(_distinct(rules)), contract.unique, rest)


def _distinct(rules: list[Rule]) -> list[Rule]:
    """Rules with names of their own: a second check of one name on one column becomes `name#2`."""
    seen: dict[str, int] = {}
    result: list[Rule] = []
    for rule in rules:
        count = seen[rule.name] = seen.get(rule.name, 0) + 1
        result.append(rule if count == 1 else Rule(rule.column, f"{rule.check}#{count}", rule.words, rule.on_fail, rule.broken))
    return result


def _null_rule(column: ContractColumn) -> list[Rule]:
    return [] if column.nullable else [Rule(column.name, NOT_NULLABLE, NOT_NULLABLE, column.on_fail, _col(column).isNull())]


def _only(schema: DataFrameSchema, column: str | None, checks: list[Check]) -> DataFrameSchema:
    """The schema with these checks alone (of that column, or of the frame): no nullability, no uniqueness, nothing twice."""
    from pandera.pyspark import Column as PanderaColumn
    from pandera.pyspark import DataFrameSchema as PanderaSchema

    columns = {name: PanderaColumn(each.dtype, checks=checks if name == column else None, nullable=True, name=name) for name, each in schema.columns.items()}
    return PanderaSchema(columns, checks=checks if column is None else None, name=schema.name)


def _name(check: Check) -> str:
    return str(check.name)


def _is_builtin(check: Check) -> bool:
    from pandera.api.function_dispatch import Dispatcher

    return isinstance(check._check_fn, Dispatcher) and check.name in _CHECKS and not check.element_wise


def _broken(column: ContractColumn, name: str, args: Mapping[str, Any]) -> Column | None:
    """The negated check, or None where pandera would have to run it (or refuse to)."""
    kind = column.type.partition("(")[0].partition("<")[0].strip().upper()
    accepted = _CHECKS.get(name)
    if accepted is None or kind not in accepted[0]:
        return None
    if name != "str_length" and not all(_fits(kind, value) for key, value in args.items() if key in _VALUES):
        return None
    holds = accepted[1](_col(column), {key: _value(column, kind, value) for key, value in args.items()})
    # Null is no breach: pandera filters on the negation, and a filter drops what is null.
    return None if holds is None else F.coalesce(~holds, F.lit(False))


def _fits(kind: str, value: Any) -> bool:
    """Whether a check's value compares with the column without a cast that may fail on a row: under ANSI that would end the pass for all."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(_fits(kind, each) for each in value)
    if value is None:
        return True
    if kind in _NUMBERS:
        return not isinstance(value, bool) and (isinstance(value, float | Decimal | str) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 63))
    if kind in _TIMES:
        return isinstance(value, date | str)
    return isinstance(value, {"STRING": str, "BOOLEAN": bool, "BINARY": bytes | bytearray}[kind])


def _value(column: ContractColumn, kind: str, value: Any) -> Any:
    """A check's argument as Spark needs it: text of a canonical contract for a number or a time is cast to the column's type."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(column, kind, each) for each in value]
    if isinstance(value, str) and kind in _NUMBERS | _TIMES:
        return F.lit(value).cast(column.type)
    return value


def _col(column: ContractColumn) -> Column:
    return F.col(f"`{column.name}`")


def _in_range(value: Column, args: Mapping[str, Any]) -> Column:
    low: Column = value >= args["min_value"] if args.get("include_min", True) else value > args["min_value"]
    high: Column = value <= args["max_value"] if args.get("include_max", True) else value < args["max_value"]
    return low & high


def _matches(value: Column, args: Mapping[str, Any]) -> Column:
    pattern = args["pattern"].pattern if isinstance(args["pattern"], re.Pattern) else str(args["pattern"])
    return value.rlike(pattern if pattern.startswith("^") else f"^{pattern}")


def _length(value: Column, args: Mapping[str, Any]) -> Column | None:
    length, low, high, exact = F.length(value), args.get("min_value"), args.get("max_value"), args.get("exact_value")
    if exact is not None:
        low = high = exact
    if low is None and high is None:
        return None
    holds: Column = F.lit(True) if low is None else length >= low
    return holds if high is None else holds & (length <= high)


_VALUES = frozenset({"value", "min_value", "max_value", "allowed_values", "forbidden_values"})
_NUMBERS = frozenset({"BIGINT", "INT", "TINYINT", "SMALLINT", "DOUBLE", "DECIMAL", "FLOAT"})
_TIMES = frozenset({"DATE", "TIMESTAMP"})
_ORDERED = _NUMBERS | _TIMES
_LISTED = _ORDERED | {"STRING", "BINARY"}
_TEXT = frozenset({"STRING"})

# Per check: the types pandera accepts it on, and what holds for a good row.
_CHECKS: Mapping[str, tuple[frozenset[str], Callable[[Column, Mapping[str, Any]], Column | None]]] = {
    "equal_to": (_LISTED | {"BOOLEAN"}, lambda value, args: value == args["value"]),
    "not_equal_to": (_LISTED | {"BOOLEAN"}, lambda value, args: value != args["value"]),
    "greater_than": (_ORDERED, lambda value, args: value > args["min_value"]),
    "greater_than_or_equal_to": (_ORDERED, lambda value, args: value >= args["min_value"]),
    "less_than": (_ORDERED, lambda value, args: value < args["max_value"]),
    "less_than_or_equal_to": (_ORDERED, lambda value, args: value <= args["max_value"]),
    "in_range": (_ORDERED, _in_range),
    "isin": (_LISTED, lambda value, args: value.isin(list(args["allowed_values"]))),
    "notin": (_LISTED, lambda value, args: ~value.isin(list(args["forbidden_values"]))),
    "str_matches": (_TEXT, _matches),
    "str_contains": (_TEXT, lambda value, args: value.rlike(args["pattern"])),
    "str_startswith": (_TEXT, lambda value, args: value.startswith(args["string"])),
    "str_endswith": (_TEXT, lambda value, args: value.endswith(args["string"])),
    "str_length": (_TEXT, _length),
}
