"""Files of the lake: list, read, write in one piece, move, remove. What is in the tables' own is Spark's and Delta's matter."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

_REMOVALS = 3


class Files(Protocol):
    """What the lake asks of a storage for its small files. Paths are as `Lake` gives them."""

    def names(self, folder: str) -> list[str]:
        """Names in the folder, sorted; none if there is no such folder."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of each file in the folder, by name, hidden ones and folders in it left out; none if there is no such folder."""

    def filled(self, folder: str, names: Iterable[str]) -> set[str]:
        """Which of these folders in the folder hold anything but hidden files. Where a storage has no folders, one listing of what is below answers it."""

    def read(self, path: str) -> bytes:
        """Content of a file; raises FileNotFoundError."""

    def write(self, path: str, content: bytes) -> None:
        """Writes the file: it is there complete and durable, or as it was before."""

    def make_folder(self, folder: str) -> None:
        """Makes a folder that its owner alone may read; harmless if it is there."""

    def move(self, source: str, target: str) -> None:
        """Gives a file another path, in a folder that is there."""

    def settle(self, paths: Iterable[str]) -> None:
        """Returns once these files, and the names in these folders, outlast a power cut."""

    def remove(self, path: str) -> bool:
        """Removes a file or a folder with all in it; whether there was one."""

    def prune(self, folder: str) -> bool:
        """Removes the folder if nothing is in it; whether it did."""


class LocalFiles:
    """Files of a local folder: 0600, folders 0700."""

    def names(self, folder: str) -> list[str]:
        """Names in the folder, sorted; none if there is no such folder."""
        try:
            return sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of each file in the folder, by name, hidden ones and folders in it left out; none if there is no such folder."""
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry.stat().st_size for entry in entries if not entry.name.startswith(".") and entry.is_file()}
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def filled(self, folder: str, names: Iterable[str]) -> set[str]:
        """Which of these folders in the folder hold anything but hidden files: one look a folder, 12 µs each."""
        return {name for name in names if _has_files(f"{folder}/{name}")}

    def read(self, path: str) -> bytes:
        """Content of a file; raises FileNotFoundError."""
        return Path(path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        """Writes beside the file, syncs, renames, syncs the folder: a crash leaves the old content or the new."""
        target = Path(path)
        self.make_folder(str(target.parent))
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")  # mkstemp makes 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync(target.parent)

    def make_folder(self, folder: str) -> None:
        """Makes a folder and its missing parents, 0700; harmless if it is there."""
        missing = []
        path = Path(folder)
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for made in reversed(missing):
            made.mkdir(mode=0o700, exist_ok=True)
            _sync(made.parent)

    def move(self, source: str, target: str) -> None:
        """Gives a file another path, in a folder that is there; across mounts it is there complete, or not at all."""
        try:
            os.rename(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            folder, _, file = target.rpartition("/")
            hidden = f"{folder}/.{file}.tmp"
            shutil.copyfile(source, hidden)
            os.chmod(hidden, 0o600)
            os.replace(hidden, target)
            os.unlink(source)

    def settle(self, paths: Iterable[str]) -> None:
        """Returns once these files, and the names in these folders, are on the disk: 0.4 to 5 ms each."""
        for path in paths:
            _sync(path)

    def remove(self, path: str) -> bool:
        """Removes a file or a folder with all in it; whether there was one."""
        target = Path(path)
        if target.is_dir() and not target.is_symlink():
            for _ in range(_REMOVALS):  # what is being written to may have got a new file while we emptied it
                shutil.rmtree(target, ignore_errors=True)
                if not target.exists():
                    return True
            shutil.rmtree(target)
            return True
        try:
            target.unlink()
        except FileNotFoundError:
            return False
        return True

    def prune(self, folder: str) -> bool:
        """Removes the folder if nothing is in it; whether it did."""
        try:
            os.rmdir(folder)
        except OSError:  # there is something in it, or no such folder
            return False
        return True


def files_of(root: str) -> Files:
    """The files of a storage. Raises ValueError for a storage there is no implementation of."""
    if "://" in root:
        raise ValueError(f"{root}: the lake's small files can be kept in a local folder only; give a path")
    return LocalFiles()


def _has_files(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(not entry.name.startswith(".") for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _sync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
