"""Applied copies of domains: what code locations and runs load, so that a file saved half-way changes nothing that runs.

`backline apply` takes a snapshot of each domain that loads and activates it once its contracts are in the registry; a domain that does not load keeps
the copy applied last. How a location loads the copy is in `location`; what is applied, and when, is the command's matter.

    <home>/applied/<domain>/<digest>/assets/__init__.py
    <home>/applied/<domain>/<digest>/assets/<domain>/...      a full copy, immutable
    <home>/applied/<domain>/current                           the digest in force
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Old copies stay for runs that started on them and import a helper late.
KEPT = 5
_SKIPPED = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


@dataclass(frozen=True)
class Snapshot:
    """An immutable copy of one domain.

    Attributes:
        digest: of all its files, 16 hex digits.
        root: the folder to put on the import path; it holds `assets/<domain>`.
    """

    domain: str
    digest: str
    root: Path

    @property
    def folder(self) -> Path:
        """The domain's own folder, for `load_domain`."""
        return self.root / "assets" / self.domain


def snapshot(home: Path, assets: Path, domain: str) -> Snapshot:
    """Copies `assets/<domain>` as it is now; the same files give the same snapshot. Changes nothing that runs (see `activate`).

    Raises FileNotFoundError when there is no such domain.
    """
    source = assets / domain
    if not (source / "domain.py").is_file():
        raise FileNotFoundError(f"{source}/domain.py is not there: make the domain with ./backline new domain {domain}")
    store = _store(home, domain)
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = Path(tempfile.mkdtemp(dir=store, prefix=".copy-"))
    try:
        package = scratch / "assets"
        package.mkdir()
        (package / "__init__.py").write_text('"""Applied copies of domains."""\n', encoding="utf-8")
        shutil.copytree(source, package / domain, ignore=lambda _, names: [name for name in names if name in _SKIPPED or name.endswith(".pyc")])
        # Digested after copying: the name must tell what the copy holds, whatever an editor does to the source meanwhile.
        taken = Snapshot(domain, _digest(package), store / _digest(package))
        if not taken.root.exists():
            try:
                scratch.rename(taken.root)
            except OSError:
                if not taken.root.exists():  # another apply made the same copy meanwhile
                    raise
        return taken
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def activate(home: Path, taken: Snapshot) -> None:
    """Makes a snapshot the one that locations load from now on (at their next reload), in one step; forgets copies older than the last few."""
    pointer = _store(home, taken.domain) / "current"
    handle, name = tempfile.mkstemp(dir=pointer.parent, prefix=".current-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(taken.digest)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(pointer)
    os.utime(taken.root)
    copies = [folder for folder in pointer.parent.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    for old in sorted(copies, key=lambda folder: folder.stat().st_mtime, reverse=True)[KEPT:]:
        if old != taken.root:
            shutil.rmtree(old, ignore_errors=True)


def applied(home: Path, domain: str) -> Snapshot | None:
    """The snapshot in force; None if the domain was never applied."""
    store = _store(home, domain)
    try:
        digest = (store / "current").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    root = store / digest
    return Snapshot(domain, digest, root) if root.is_dir() else None


def applied_domains(home: Path) -> list[str]:
    """Domains with a snapshot in force, by name."""
    store = home / "applied"
    return sorted(folder.name for folder in store.iterdir() if applied(home, folder.name)) if store.is_dir() else []


def withdraw(home: Path, domain: str) -> None:
    """Forgets a domain that is gone; harmless if it was never applied."""
    shutil.rmtree(_store(home, domain), ignore_errors=True)


def _store(home: Path, domain: str) -> Path:
    if not domain.isidentifier():
        raise ValueError(f"{domain!r} is no name of a domain: it is a folder below assets, lower case letters, digits and underscores")
    return home / "applied" / domain


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix().encode()
        content = path.read_bytes()
        total.update(b"%d:%b%d:%b" % (len(name), name, len(content), content))
    return total.hexdigest()[:16]
