"""Spark's classes, parsed once and kept: Java maps them into memory at the next start (CDS), where it would read 25,000 of them out of jars again.

Half of a server's first half minute is that: on two cores its start and first write took 12 s of processor time with the archive, 22 s without.
The archive is made in the background by the first `up` and kept beside the jars, for one Java, one set of jars and their places. Which classes go in is
in `deploy/local/spark-classes.txt.gz`; classes it does not name are loaded as ever. After an upgrade of Spark or Delta it is recorded anew:

    BACKLINE_RECORD_CLASSES=$PWD/classes.txt ./backline test tests/spark
    grep -v source: classes.txt | gzip -9n > deploy/local/spark-classes.txt.gz        classes that were generated belong to nobody

    python -m platform_defs.running.class_archive       makes the archive if it is missing
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from platform_defs.running import jars, java

CLASSES = Path(__file__).parents[2] / "deploy" / "local" / "spark-classes.txt.gz"
RECORD_VARIABLE = "BACKLINE_RECORD_CLASSES"
_SECONDS = 1800.0  # 40 s of one core; at the lowest priority on a busy machine it may wait for long
_HEAP = "-Xmx1g"
_SCRATCH = ".making-"


def options(chosen: java.Java, classpath: str, environ: Mapping[str, str]) -> list[str]:
    """What a server's command line says of the archive: nothing while there is none."""
    if recorded := environ.get(RECORD_VARIABLE):
        return [f"-XX:DumpLoadedClassList={recorded}"]
    archive = archive_of(chosen, classpath)
    # An archive that does not fit after all is left alone by Java: slower, and nothing else.
    return [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:cds=off"] if archive.is_file() else []


def archive_of(chosen: java.Java, classpath: str) -> Path:
    """Where the archive of these jars for this Java is, or would be."""
    executable = chosen.executable.resolve()
    told = hashlib.sha256(f"{executable}\n{_stamp(executable)}\n{classpath}\n".encode())
    for entry in classpath.split(os.pathsep):
        for jar in sorted(Path(entry).parent.glob("*.jar")) if entry.endswith("*") else [Path(entry)]:
            told.update(f"{jar.name} {_stamp(jar)}\n".encode())
    return folder() / f"{told.hexdigest()[:16]}.jsa"


def folder() -> Path:
    """Where archives are kept: beside the jars, inside the environment."""
    return jars.cache_folder().parent / "classes"


def make(chosen: java.Java, classpath: str, opened: Sequence[str]) -> bool:
    """Makes the archive if it is missing and removes those of other jars; whether there is one now."""
    archive = archive_of(chosen, classpath)
    if archive.is_file():
        return True
    archive.parent.mkdir(parents=True, exist_ok=True)
    _sweep(archive.parent)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=_SCRATCH) as scratch:
        classes, made = Path(scratch, "classes"), Path(scratch, "made.jsa")
        classes.write_bytes(gzip.decompress(CLASSES.read_bytes()))
        dump = ["-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={made}", "-Xlog:cds=off", "-Xlog:cds+resolve=off"]
        command = [str(chosen.executable), "-XX:+IgnoreUnrecognizedVMOptions", *opened, *dump, "-XX:+UseParallelGC", _HEAP, "-cp", classpath]
        ran = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603 - our own command line
        if ran.returncode or not made.is_file():
            return False
        for old in archive.parent.glob("*.jsa"):
            old.unlink()
        made.replace(archive)
    return True


def _sweep(parent: Path) -> None:
    """Removes what killed makers left: a Ctrl-C of `up` ends one at once."""
    for left in parent.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _SECONDS:
                shutil.rmtree(left)


def _stamp(file: Path) -> str:
    """Size and time of a file: what Java itself compares."""
    try:
        found = file.stat()
    except OSError:
        return "none"
    return f"{found.st_size} {found.st_mtime_ns}"


def main() -> None:
    """Makes the archive, at the lowest priority; exit code 1 if that failed: nothing depends on it."""
    from platform_defs.running.spark_server import OPENED, classpath_of

    os.nice(19)
    found = find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    spark_home, chosen = Path(found.origin).parent, java.choose(os.environ)
    delta = jars.ensure(chosen, spark_home, os.environ)
    sys.exit(0 if make(chosen, classpath_of(spark_home, delta), OPENED) else 1)


if __name__ == "__main__":
    main()
