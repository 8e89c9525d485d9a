"""What an author's file may touch, read from its text before it is imported: contracts, Spark's functions and types, its own domain, libraries.

How inputs reach a function, where tables live and which session is used is the platform's; code that goes around it cannot be checked or erased.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from platform_defs.contracts.errors import ContractError
from platform_defs.contracts.places import short
from platform_defs.contracts.syntax import tree_of

_PLATFORM = frozenset({"platform_defs", "resources", "sensors", "deploy", "tests", "dagster"})
_SPARK_ALLOWED = frozenset({"pyspark.sql.functions", "pyspark.sql.types", "pyspark.sql.window"})
_SPARK_NAMES = frozenset({"DataFrame", "Column", "Window", "WindowSpec", "Row", "GroupedData", "functions", "types", "window"})
_HEAVY_PACKAGES = frozenset({"pyspark", "pandera", "pandas", "numpy", "dagster", "delta"})
_HEAVY_CONTRACTS = frozenset({"Schema", "T", "field", "person", "people"})
_AROUND = {
    "sparkSession": "a frame's session is the platform's",
    "sql_ctx": "a frame's session is the platform's",
    "writeTo": "results are published by the platform",
    "saveAsTable": "results are published by the platform",
    "insertInto": "results are published by the platform",
}
_RETURN = "Return the frame; what it needs comes in as an input"


def check_file(path: Path, package: str, module: str) -> list[ContractError]:
    """All that a file may not do; empty for a good one, and for one that does not parse (importing tells that better).

    Args:
        path: the file. package: of its domain, `assets.charts`. module: its own, `assets.charts.listening`.
    """
    try:
        tree = tree_of(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):
        return []
    nodes = list(ast.walk(tree))
    found = [*_twice(tree), *_reaching_around(nodes)]
    light = module in (f"{package}.events", f"{package}.domain")
    for line, target, names in _imports(nodes, module, path.name == "__init__.py"):
        if wrong := _wrong_import(target, names, package) or (_heavy_import(target, names, module) if light else None):
            found.append((line, *wrong))
    return [ContractError(f"{short(path)}:{line}", why, write) for line, why, write in sorted(found)]


_Found = tuple[int, str, str]


def _twice(tree: ast.Module) -> Iterator[_Found]:
    lines: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name in lines:
                yield node.lineno, f"{node.name} is declared twice, first in line {lines[node.name]}, and only the last would count", "Give one another name"
            lines[node.name] = node.lineno


def _reaching_around(nodes: Iterable[ast.AST]) -> Iterator[_Found]:
    for node in nodes:
        if not isinstance(node, ast.Attribute):
            continue
        if node.attr in _AROUND:
            yield node.lineno, f".{node.attr} goes around the platform: {_AROUND[node.attr]}", _RETURN
        elif isinstance(node.value, ast.Attribute) and node.value.attr in ("read", "readStream"):
            yield node.lineno, f".{node.value.attr}.{node.attr} goes around the platform: inputs come as parameters, at pinned versions", _RETURN
        elif isinstance(node.value, ast.Attribute) and node.value.attr in ("write", "writeStream"):
            yield node.lineno, f".{node.value.attr}.{node.attr} goes around the platform: results are published by the platform", _RETURN


def _imports(nodes: Iterable[ast.AST], module: str, is_package: bool) -> Iterator[tuple[int, str, list[str]]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, []
        elif isinstance(node, ast.ImportFrom):
            target = node.module or ""
            if node.level:
                parts = module.split(".")
                base = parts[: len(parts) - node.level + (1 if is_package else 0)]
                target = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, target, [alias.name for alias in node.names]


def _wrong_import(target: str, names: list[str], package: str) -> tuple[str, str] | None:
    top, own = target.partition(".")[0], package.partition(".")[0]
    if target == "platform_defs.contracts" or target == package or target.startswith(f"{package}."):
        return None
    if target == own and names and all(f"{own}.{name}" == package for name in names):
        return None
    if top == own:
        other = target.split(".")[1] if "." in target else names[0] if names else "another domain"
        return f"it imports {other}, another domain's code", f"Name its dataset as an input: '{other}/...'"
    if top in _PLATFORM:
        return f"it imports {target}, the inside of the platform", "Import from platform_defs.contracts alone"
    if top == "pyspark" and target not in _SPARK_ALLOWED and (target != "pyspark.sql" or not names or set(names) - _SPARK_NAMES):
        return f"it imports {', '.join(names) or target} of Spark, which reaches the session", "Use pyspark.sql.DataFrame, functions, types and Window"
    return None


def _heavy_import(target: str, names: list[str], module: str) -> tuple[str, str] | None:
    heavy = sorted(set(names) & (_HEAVY_CONTRACTS | {"*"})) if target == "platform_defs.contracts" else []
    if heavy or target.partition(".")[0] in _HEAVY_PACKAGES:
        what = ", ".join(heavy) or target
        return f"it imports {what}, and a product's service imports {module.rpartition('.')[2]}.py with pydantic alone", "Move what needs it to another file"
    return None
