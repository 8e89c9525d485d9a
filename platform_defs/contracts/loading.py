"""From a domain's folder to its contracts: finds the files, imports them, compiles every declaration, and names everything that is wrong at once.

Rules between domains are in `resolving`. Nothing here needs more than Pydantic, unless a file declares endpoints.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from platform_defs.contracts.authoring import check_file
from platform_defs.contracts.compiling import Compiler
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.endpoints import EndpointDef
from platform_defs.contracts.errors import ContractError, ContractErrors
from platform_defs.contracts.event import Event
from platform_defs.contracts.places import place_of, short
from platform_defs.contracts.policies import Domain
from platform_defs.contracts.sources import SourceDef
from platform_defs.contracts.uncollected import uncollected

Declaration = type[Event] | EndpointDef[Any] | SourceDef


@dataclass(frozen=True)
class Declared:
    """A contract and what its author wrote for it."""

    contract: Contract
    declaration: Declaration

    @property
    def function(self) -> Callable[..., Any]:
        """The author's function of an endpoint or source; raises TypeError for an event type, which has none."""
        if isinstance(self.declaration, EndpointDef | SourceDef):
            return self.declaration.fn
        raise TypeError(f"{self.contract.key} is an event type and has no function")


@dataclass(frozen=True)
class LoadedDomain:
    """One domain as its files say now, by key in the order of keys."""

    name: str
    domain: Domain
    declared: Mapping[str, Declared]

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """All of its contracts, by key."""
        return tuple(declared.contract for declared in self.declared.values())

    def of(self, declaration: Declaration) -> Declared:
        """The declared form of an author's object; raises KeyError if it is not of this domain."""
        for declared in self.declared.values():
            if declared.declaration is declaration:
                return declared
        raise KeyError(f"{getattr(declaration, '__name__', declaration)!r} is not declared in {self.name}")


def domain_folders(assets: Path) -> list[Path]:
    """The domains below a folder of assets: its sub-folders that hold a `domain.py`, by name."""
    return sorted(path.parent for path in assets.glob("*/domain.py"))


@uncollected()
def load_domain(folder: Path, *, events_only: bool = False, fresh: bool = False) -> LoadedDomain:
    """Imports a domain's files and compiles what they declare.

    Args:
        folder: `assets/<domain>`.
        events_only: `domain.py` and `events.py` alone, which needs Pydantic only.
        fresh: import again what is imported already (a saved file); classes of an earlier load stay what they were.

    Raises:
        ContractErrors: all wrong declarations of the folder.
    """
    folder = folder.resolve()
    loader = _Loader(folder, events_only)
    with _importable(folder, fresh):
        return loader.load()


class _Loader:
    def __init__(self, folder: Path, events_only: bool) -> None:
        self.folder, self.events_only = folder, events_only
        self.package = f"{folder.parent.name}.{folder.name}"
        self.problems: list[ContractError] = []

    def load(self) -> LoadedDomain:
        domain = self.domain()
        modules = [module for path in self.files() if (module := self.module(path)) is not None]
        if domain is None:
            raise ContractErrors(_each_once(self.problems))
        compiler = Compiler(self.folder.name, domain, f"{short(self.folder / 'domain.py')} domain")
        if not compiler.sound:  # every declaration would repeat what is wrong with the domain
            raise ContractErrors(_each_once([*self.problems, *compiler.problems]))
        declared: dict[str, Declared] = {}
        for module in modules:
            for declaration in _declarations(module):
                contract = self.compiled(compiler, module, declaration)
                if contract is None:
                    continue
                if contract.key in declared:
                    why = f"{contract.key} is declared already, at {_declared_in(declared[contract.key].declaration)}"
                    self.problems.append(ContractError(_declared_in(declaration), why, "Give one another name"))
                declared[contract.key] = Declared(contract, declaration)
        problems = _each_once([*self.problems, *compiler.problems])
        if problems:
            raise ContractErrors(problems)
        return LoadedDomain(self.folder.name, domain, dict(sorted(declared.items())))

    def domain(self) -> Domain | None:
        path = self.folder / "domain.py"
        if not path.is_file():
            write = 'Write domain = Domain(owner="team:...", purpose="...", start="2026-01-01", retention="400d")'
            self.problems.append(ContractError(short(path), "the file is missing, so nobody owns this domain", write))
            return None
        module = self.module(path)
        if module is None:
            return None
        domain = getattr(module, "domain", None)
        if not isinstance(domain, Domain):
            self.problems.append(ContractError(short(path), "it holds no Domain named domain", "Write domain = Domain(owner=..., ...)"))
            return None
        return domain

    def files(self) -> list[Path]:
        """The domain's files, events first, so that a mistake there is told before what stands on it."""
        found = [path for path in self.folder.rglob("*.py") if path.name not in ("__init__.py", "domain.py") and "__pycache__" not in path.parts]
        events = self.folder / "events.py"
        return [path for path in sorted(found, key=lambda path: (path != events, path)) if path == events or not self.events_only]

    def module(self, path: Path) -> ModuleType | None:
        name = ".".join([self.package, *path.relative_to(self.folder).with_suffix("").parts])
        problems = check_file(path, self.package, name)
        self.problems += problems
        if problems and any("imports" in problem.why for problem in problems):
            return None
        try:
            return importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  (an author's file may raise anything)
            self.problems.append(_import_problem(error, path, self.folder))
        return None

    def compiled(self, compiler: Compiler, module: ModuleType, declaration: Declaration) -> Contract | None:
        if isinstance(declaration, EndpointDef):
            return compiler.endpoint(declaration)
        if isinstance(declaration, SourceDef):
            return compiler.source(declaration)
        if module.__name__ != f"{self.package}.events":
            why = "services import event types from events.py, and nothing else of a domain"
            self.problems.append(ContractError(place_of(declaration), why, f"Move it to {short(self.folder / 'events.py')}"))
            return None
        return compiler.event(declaration)


def _declarations(module: ModuleType) -> Iterator[Declaration]:
    """What a module itself declares, not what it imports; event classes with a leading `_` are bases."""
    for value in list(vars(module).values()):
        if isinstance(value, type) and issubclass(value, Event):
            if value.__module__ == module.__name__ and not value.__name__.startswith("_"):
                yield value
        elif isinstance(value, EndpointDef | SourceDef) and value.fn.__module__ == module.__name__:
            yield value


def _declared_in(declaration: Declaration) -> str:
    return place_of(declaration if isinstance(declaration, type) else declaration.fn)


def _import_problem(error: Exception, path: Path, folder: Path) -> ContractError:
    line = error.lineno if isinstance(error, SyntaxError) else None
    place = path
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).is_relative_to(folder):
            place, line = Path(frame.filename), frame.lineno
    at = f"{short(place)}{f':{line}' if line else ''}"
    if isinstance(error, ContractError):
        return ContractError(f"{at} {error.where}", error.why, error.write)
    about = _told(str(error))
    write = "Mend it; `python -c` with this import shows the whole trace"
    if isinstance(error, ModuleNotFoundError):
        write = f"Install {error.name}, or remove the import"
    elif isinstance(error, TypeError) and "argument" in about:
        write = "See the docstring of what is called there for its keywords"
    return ContractError(at, f"the file cannot be imported: {type(error).__name__}: {about}", write)


def _told(text: str) -> str:
    """An exception's text in a line; of Pydantic's towers of causes the field and the last one."""
    lines = [line.strip().removeprefix("SchemaError: ") for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return text.strip()
    fields = [line for line in lines[1:-1] if line.startswith("Field ")]
    return " ".join([*(fields or lines[:1]), lines[-1]])


def _each_once(problems: list[ContractError]) -> list[ContractError]:
    return list({(problem.where, problem.why): problem for problem in problems}.values())


@contextmanager
def _importable(folder: Path, fresh: bool) -> Iterator[None]:
    """Makes `assets.<domain>` mean this folder while it is loaded, whatever else the process has imported under that name."""
    root = folder.parent
    package = f"{root.name}.{folder.name}"
    importlib.invalidate_caches()
    ours = {name: module for name, module in sys.modules.items() if name == package or name.startswith(f"{package}.")}
    if fresh or not all(_within(module, folder) for module in ours.values()):
        for name in ours:
            del sys.modules[name]
    if fresh:  # two saves within a second may leave a .pyc that looks right
        for path in folder.rglob("*.py"):
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
    parent = _parent(root)
    before = list(parent.__path__)
    parent.__path__ = [str(root), *(entry for entry in before if entry != str(root))]
    try:
        yield
    finally:
        parent.__path__ = before


def _within(module: ModuleType, folder: Path) -> bool:
    places = [module.__file__] if getattr(module, "__file__", None) else list(getattr(module, "__path__", []))
    return any(place is not None and Path(place).resolve().is_relative_to(folder) for place in places)


def _parent(root: Path) -> ModuleType:
    try:
        return importlib.import_module(root.name)
    except ModuleNotFoundError:
        parent = ModuleType(root.name)
        parent.__path__ = [str(root)]
        sys.modules[root.name] = parent
        return parent
