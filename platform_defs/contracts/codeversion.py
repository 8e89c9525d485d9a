"""What code a declaration stands on, as a hash: the function's syntax tree and those of the same domain's helpers it reaches, its columns and its
inputs. Comments, docstrings, layout, descriptions and policies do not count. Read from the files; nothing is run.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from platform_defs.contracts.contract import Column, Input, WireField
from platform_defs.contracts.syntax import tree_of

_Statement = ast.stmt


def hash_of(*parts: Any) -> str:
    """A hash, hex of 16 bytes, of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


def of_fields(fields: Iterable[WireField]) -> str:
    """Code version of an event type: what is validated, without descriptions."""
    return hash_of([_without(field.model_dump(mode="json"), "description") for field in fields])


def of_function(fn: Callable[..., Any], classes: Iterable[type], columns: Iterable[Column], unique: tuple[str, ...], inputs: Iterable[Input]) -> str:
    """Code version of an endpoint or source.

    Args:
        fn: the author's function. classes: its schema or row class, of which methods and `Config` count.
        columns, unique, inputs: canonical ones.

    Raises:
        OSError: the function's file cannot be read.
    """
    return hash_of(
        sorted(_trees(fn, classes)),
        [_without(column.model_dump(mode="json"), "description") for column in columns],
        unique,
        sorted(one.model_dump_json() for one in inputs),
    )


def _trees(fn: Callable[..., Any], classes: Iterable[type]) -> Iterator[str]:
    """Every statement the function reaches in its domain, each once, as text with its home."""
    modules = _Modules(fn)
    own = modules.home.statements.get(fn.__name__)
    if own is None:
        raise OSError(f"{fn.__name__} is not written at the top of its file")
    seen: set[tuple[str, str]] = {(modules.home.name, fn.__name__)}
    todo: list[tuple[_Module, ast.AST]] = []

    def reach(module: _Module, node: ast.AST) -> str:
        todo.append((module, node))
        return dump(node)

    yield f"{fn.__name__}={reach(modules.home, _bare(own))}"
    for cls in classes:
        module = modules.get(cls.__module__)
        statement = module.statements.get(cls.__name__) if module else None
        if module is not None and isinstance(statement, ast.ClassDef):
            seen.add((module.name, cls.__name__))
            code = [part for part in statement.body if isinstance(part, ast.FunctionDef | ast.ClassDef)]
            yield f"{cls.__name__}={[reach(module, part) for part in (*code, *statement.bases)]}"
    while todo:
        module, node = todo.pop()
        for home, name, statement in modules.used(module, node):
            if (home.name, name) not in seen:
                seen.add((home.name, name))
                yield f"{home.name}.{name}={reach(home, statement)}"


class _Module:
    """One file of the domain: its top-level statements by the name they bind."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name = name
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.statements: dict[str, _Statement] = {}
        self.imports: dict[str, tuple[str, str | None]] = {}
        for statement in tree_of(text).body:
            self._enter(statement)

    def _enter(self, statement: _Statement) -> None:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                self.statements[name] = statement
            case ast.Import(names=names):
                for alias in names:
                    self.imports[alias.asname or alias.name.partition(".")[0]] = (alias.name if alias.asname else alias.name.partition(".")[0], None)
            case ast.ImportFrom(names=names):
                base = self._absolute(statement)
                for alias in names:
                    self.imports[alias.asname or alias.name] = (base, alias.name)
            case _:
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        self.statements[node.id] = statement

    def _absolute(self, statement: ast.ImportFrom) -> str:
        if not statement.level:
            return statement.module or ""
        parts = self.package.split(".")
        base = parts[: len(parts) - statement.level + 1]
        return ".".join([*base, *([statement.module] if statement.module else [])])


@functools.lru_cache(maxsize=128)  # a file of fifty endpoints would be parsed fifty times: 3 ms each
def _parsed(name: str, path: Path, text: str) -> _Module:
    """A module by its very text: a saved file is another. Nobody changes its trees."""
    return _Module(name, path, text)


def _module(name: str, path: Path) -> _Module:
    return _parsed(name, path, path.read_text(encoding="utf-8"))


class _Modules:
    """The files of one domain, parsed when asked for."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        path = Path(fn.__code__.co_filename)
        parts = fn.__module__.split(".")
        self.domain = ".".join(parts[:2]) if len(parts) > 2 else fn.__module__
        self.root = path.parents[len(parts) - 3] if len(parts) > 2 else path.parent
        self.known: dict[str, _Module | None] = {fn.__module__: _module(fn.__module__, path)}
        home = self.known[fn.__module__]
        assert home is not None
        self.home = home

    def get(self, name: str) -> _Module | None:
        """The module of that name if it is of this domain."""
        if name not in self.known:
            self.known[name] = None
            if name == self.domain or name.startswith(f"{self.domain}."):
                path = self.root.joinpath(*name.split(".")[2:])
                for candidate in (path.with_suffix(".py"), path / "__init__.py"):
                    if candidate.is_file():
                        self.known[name] = _module(name, candidate)
                        break
        return self.known[name]

    def used(self, module: _Module, node: ast.AST) -> Iterator[tuple[_Module, str, _Statement]]:
        """Statements of the domain that the names in a tree stand for."""
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and (chain := _chain(part)):
                yield from self._follow(module, chain)
            elif isinstance(part, ast.Name):
                yield from self._follow(module, [part.id])

    def _follow(self, module: _Module, chain: list[str], depth: int = 0) -> Iterator[tuple[_Module, str, _Statement]]:
        name = chain[0]
        if name in module.statements:
            yield module, name, module.statements[name]
        elif name in module.imports and depth < 20:  # two modules may import a name from each other
            base, member = module.imports[name]
            target = self.get(f"{base}.{member}") if member else None
            if target is not None and len(chain) > 1:
                yield from self._follow(target, chain[1:], depth + 1)
            elif member and (home := self.get(base)) is not None:
                yield from self._follow(home, [member], depth + 1)
            elif member is None and len(chain) > 2:
                for cut in range(len(chain) - 1, 0, -1):
                    target = self.get(".".join([base, *chain[1:cut]]))
                    if target is not None:
                        yield from self._follow(target, chain[cut:], depth + 1)
                        break


def _chain(node: ast.expr) -> list[str]:
    """`a.b.c` as its names; empty if it does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def _bare(statement: _Statement) -> _Statement:
    """A function without its declaration: what @endpoint says is in the contract."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        copy = type(statement)(**{name: getattr(statement, name) for name in statement._fields})
        copy.decorator_list = []
        return copy
    return statement


def dump(node: Any) -> str:
    """A tree as text, the same on every Python version: no positions, no empty parts, no docstrings."""
    if isinstance(node, list):
        return f"[{','.join(dump(part) for part in node)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts: list[str] = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            value = [part for part in value if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str))]
        if value is None and not isinstance(node, ast.Constant):
            continue
        if value == [] or name in ("type_comment", "kind", "ctx"):
            continue
        parts.append(f"{name}={dump(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(part, name) for key, part in value.items() if key != name}
    return [_without(part, name) for part in value] if isinstance(value, list) else value
