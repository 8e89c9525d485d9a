"""The few things collection does to a disk, in one place, so that tests can make each of them fail. What is written is not its matter."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Disk:
    """Durable writing to a local folder: files 0600, folders 0700. Everything raises OSError as the system says it."""

    def open_new(self, path: Path) -> int:
        """A descriptor of a new file opened for appending; FileExistsError if it is there."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes) -> None:
        """All of `data`, however often the system takes only a part."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """Returns once what was written is on the disk."""
        _sync_data(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cuts the file behind `size` bytes."""
        os.ftruncate(descriptor, size)

    def replace(self, source: Path, target: Path) -> None:
        """Atomic rename."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Removes a file; it may be gone already."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Makes names made, renamed or removed in `folder` durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_folder(self, folder: Path) -> None:
        """The folder and its missing parents, 0700, durable."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            self.sync_folder(path.parent)

    def put(self, path: Path, chunks: Iterable[bytes]) -> None:
        """Writes a whole file: it is there complete and durable, or not at all. A left-over of an earlier try is overwritten."""
        self.make_folder(path.parent)
        draft = path.with_name(path.name + ".tmp")
        self.remove(draft)
        descriptor = self.open_new(draft)
        try:
            for chunk in chunks:
                self.write(descriptor, chunk)
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        self.replace(draft, path)
        self.sync_folder(path.parent)
