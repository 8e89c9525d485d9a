"""Where a declaration stands: `assets/charts/listening.py:12 SkipRate.plays`. For error texts only."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any


def place_of(declared: type | Callable[..., Any], field: str | None = None) -> str:
    """File and line, then the class or function, then the field. What cannot be found out is left out."""
    name = getattr(declared, "__qualname__", str(declared)) + (f".{field}" if field else "")
    module = sys.modules.get(getattr(declared, "__module__", ""))
    path = getattr(module, "__file__", None)
    if inspect.isfunction(declared):
        path = declared.__code__.co_filename
    if not path or not Path(path).is_file():
        return name
    line = _lines(path).get(getattr(declared, "__name__", ""))
    return f"{short(path)}{f':{line}' if line else ''} {name}"


def short(path: str | Path) -> str:
    """The path from `assets/` on if it holds one, else from the working directory, else as it is."""
    parts = Path(path).parts
    if "assets" in parts:
        return "/".join(parts[len(parts) - 1 - parts[::-1].index("assets") :])
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@lru_cache(maxsize=64)
def _lines(path: str) -> dict[str, int]:
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    return {node.name: node.lineno for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}
