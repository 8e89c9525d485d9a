"""The one pass over what was staged: rows, broken rules, duplicate keys and content hash of every key of a range, in one Spark action.

It reads the staged Parquet, never the author's plan, so what is published is what was judged. A key asked for that has no rows is answered with zeros
and judged like any other. What is no expression runs through pandera itself, on the staged rows of one key at a time. Turning numbers into verdicts
for people is checks' part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from platform_defs.execution.quality.compile import UNIQUE, Compiled, Rest
from platform_defs.execution.quality.contenthash import aggregate_names, fold, hash_aggregates
from platform_defs.execution.steps import FAILED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_KEY = ("_key0", "_key1")

ELSEWHERE = "_elsewhere"
"""Staged column: true where the author's result said the row belongs to another partition than the one it was computed for."""


@dataclass(frozen=True)
class Breach:
    """A rule that did not hold in one partition.

    Attributes:
        column: None for a check of the whole frame.
        check: pandera's name of it; `unique` for the key.
        words: as pandera words it.
        rows: rows that broke it (for `unique`: keys that occur more than once); None where pandera gave a verdict without a number.
        refuses: whether it keeps the partition out; else it warns.
    """

    column: str | None
    check: str
    words: str
    rows: int | None
    refuses: bool


@dataclass(frozen=True)
class Inspection:
    """What the pass found in one partition.

    Attributes:
        rows: rows that stay (staged and not quarantined).
        quarantined: rows that go to quarantine.
        quarantined_by: rule name -> rows; a row may break several.
        breaches: what did not hold among the rows that stay.
        content: 16-byte hash of the rows that stay.
        elsewhere: rows whose own partition column named another partition.
    """

    key: str
    rows: int
    quarantined: int
    content: bytes
    quarantined_by: Mapping[str, int] = field(default_factory=dict)
    breaches: tuple[Breach, ...] = ()
    elsewhere: int = 0

    @property
    def refused(self) -> bool:
        """Whether it must not be published."""
        return self.elsewhere > 0 or any(breach.refuses for breach in self.breaches)


def inspect(frame: DataFrame, compiled: Compiled, column: str, keys: Sequence[str], *, alone: bool = False) -> dict[str, Inspection]:
    """Judges the staged rows of all keys.

    Args:
        frame: the staged Parquet of these keys: the contract's columns, `column`, and where there are any `_failed` and `_elsewhere`.
        column: the partition column.
        keys: every key that was computed, those without rows included.
        alone: there is one key, and every row is known to be of it: rows need not be told apart by their partition.

    Raises:
        whatever Spark raises: a pass that fails says nothing about any key.
    """
    schema = frame.schema  # one look at the plan, then kept
    quarantining, claiming = FAILED in schema.names, ELSEWHERE in schema.names
    good = F.col(FAILED).isNull() | (F.size(F.col(FAILED)) == 0) if quarantining else None
    hashed = T.StructType([schema[name] for name in compiled.columns])
    found = _pass(frame, compiled, column, hashed, good, claiming, keys[0] if alone else None)
    results = {key: _inspection(key, compiled, found.get(key, {})) for key in keys}
    strangers = [group for group in found if group not in results]
    if strangers:
        # Only a range that was computed in one go can hold other partitions; whose rows they are nobody can say, so they count for all.
        rows = sum(found[group]["rows"] + found[group].get("quarantined", 0) for group in strangers)
        results = {key: replace(result, elsewhere=result.elsewhere + rows) for key, result in results.items()}
    if good is not None and any(result.quarantined for result in results.values()):
        by_rule = _by_rule(frame, column)
        results = {key: replace(result, quarantined_by=by_rule.get(key, {})) for key, result in results.items()}
    for rest in compiled.rest:
        for key in keys:
            mine = frame.where(F.col(column) == key)
            mine = (mine if good is None else mine.where(good)).select(*compiled.columns)
            results[key] = replace(results[key], breaches=(*results[key].breaches, *_ask_pandera(mine, rest)))
    return results


def of_nothing(key: str, compiled: Compiled) -> Inspection:
    """The inspection of a partition that is known to have no row, without looking. Not for what only pandera can judge: it may demand rows."""
    assert not compiled.rest
    return _inspection(key, compiled, {})


def _pass(
    frame: DataFrame, compiled: Compiled, column: str, hashed: T.StructType, good: Column | None, claiming: bool, alone: str | None
) -> dict[str, dict[str, int]]:  # fmt: skip
    """Numbers by partition and name. Duplicate keys are a branch of their own in the same action: a distinct count beside the other aggregates would
    carry all of them through the shuffle, once a row. Keys are told apart by hashes, which are grouped sooner than the strings they are mostly made of.
    `alone`: the one partition there is, if there is no other: then rows are not grouped by it."""
    groups, key = ((column,), F.col(column)) if alone is None else ((), F.lit(alone))

    def of_good(condition: Column) -> Column:
        return condition if good is None else condition & good

    aggregates: dict[str, Column] = {"rows": F.count(F.lit(1)) if good is None else F.count_if(good)}
    if good is not None:
        aggregates["quarantined"] = F.count_if(~good)
    if claiming:
        aggregates["elsewhere"] = F.count_if(F.col(ELSEWHERE))
    for index, rule in enumerate(compiled.judged):
        aggregates[f"rule{index}"] = F.count_if(of_good(rule.broken))
    sums = hash_aggregates(hashed, good)
    aggregates |= dict(zip(aggregate_names(), sums, strict=True))
    names = tuple(aggregates)
    numbers = frame.groupBy(*groups).agg(*(value.alias(name) for name, value in aggregates.items()))
    passes = numbers.select(key.alias(column), F.lit(0).alias("part"), F.array(*names).alias("numbers"))
    rows = frame if good is None else frame.where(good)
    if compiled.unique:
        told = rows.select(*groups, *_key_hash(frame, compiled.unique))
        repeated = told.groupBy(*groups, *_KEY).agg(F.count(F.lit(1)).alias("count")).where(F.col("count") > 1)
        counted = repeated.groupBy(*groups).agg(F.count(F.lit(1)).alias("keys"))
        passes = passes.unionAll(counted.select(key, F.lit(1), F.array("keys")))
    found: dict[str, dict[str, int]] = {}
    for part_key, part, values in passes.collect():
        found.setdefault(str(part_key), {"rows": 0}).update(zip(names if part == 0 else ("duplicates",), (value or 0 for value in values), strict=True))
    return found


def _key_hash(frame: DataFrame, unique: Sequence[str]) -> list[Column]:
    """128 bits that are equal for keys that Spark groups together (zero with and without a sign, too), and, but for 1 in 10^26 million rows, for no others."""
    floating = (T.FloatType, T.DoubleType)
    parts = [F.col(f"`{name}`") + F.lit(0.0) if isinstance(frame.schema[name].dataType, floating) else F.col(f"`{name}`") for name in unique]
    nulls = [F.col(f"`{name}`").isNull() for name in unique]  # or (null, x) would be (x, null)
    return [F.xxhash64(F.lit(seed), *nulls, *parts).alias(name) for seed, name in enumerate(_KEY)]


def _inspection(key: str, compiled: Compiled, numbers: Mapping[str, int]) -> Inspection:
    breaches = [
        Breach(rule.column, rule.check, rule.words, count, rule.on_fail == "refuse")
        for index, rule in enumerate(compiled.judged)
        if (count := numbers.get(f"rule{index}", 0))
    ]
    if duplicates := numbers.get("duplicates", 0):
        breaches.append(Breach(None, UNIQUE, f"unique({', '.join(compiled.unique)})", duplicates, True))
    rows = numbers.get("rows", 0)
    content = fold(compiled.columns, rows, numbers)
    return Inspection(key, rows, numbers.get("quarantined", 0), content, breaches=tuple(breaches), elsewhere=numbers.get("elsewhere", 0))


def _by_rule(frame: DataFrame, column: str) -> dict[str, dict[str, int]]:
    counted = frame.select(column, F.explode(FAILED).alias("rule")).groupBy(column, "rule").agg(F.count(F.lit(1)).alias("rows"))
    found: dict[str, dict[str, int]] = {}
    for key, rule, rows in counted.collect():
        found.setdefault(key, {})[rule] = rows
    return found


def _ask_pandera(frame: DataFrame, rest: Rest) -> list[Breach]:
    """Pandera's own verdict on one key. Its messages may quote rows, so only column and check are taken; a check that raises has not held."""
    refuses = rest.on_fail != "warn"
    try:
        verdict: Any = rest.schema.validate(frame)
    except Exception as error:  # noqa: BLE001 - an author's check or pandera's refusal of a type: whatever it is, the check has not held
        return [Breach(rest.column, name, f"{name} could not run: {type(error).__name__}", None, refuses) for name in rest.names]
    breaches: list[Breach] = []
    for reasons in verdict.pandera.errors.values():
        for entries in reasons.values():
            breaches.extend(Breach(rest.column, _name_of(entry["check"], rest), str(entry["check"]), None, refuses) for entry in entries)
    return breaches


def _name_of(words: object, rest: Rest) -> str:
    """The check's name from pandera's wording of it."""
    text = str(words)
    return next((name for name in rest.names if text == name or text.startswith(f"{name}(")), rest.names[0] if len(rest.names) == 1 else text)
