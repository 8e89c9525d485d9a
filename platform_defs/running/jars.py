"""The jars Spark needs beside its own: read from jars.lock, resolved once through the Ivy that Spark brings, verified, cached.

Only what the lock names is resolved (`transitive="false"`): Delta's own list would drag in another Hadoop.

    python -m platform_defs.running.jars        fetches what is missing
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from platform_defs.running.java import Java, NoJava, choose

LOCK = Path(__file__).parents[2] / "jars.lock"
_LINE = re.compile(r"([\w.\-]+):([\w.\-]+):([\w.\-]+)\s+([0-9a-f]{64})")
_IVY_SETTINGS = '<ivysettings><settings defaultResolver="central"/><resolvers><ibiblio name="central" m2compatible="true"/></resolvers></ivysettings>'
_PASSWORD = "changeit"  # noqa: S105 - Java wants one to open a trust store; it guards nothing


class JarError(RuntimeError):
    """A jar that could not be had or is not the one in the lock; the message names it and says what to do."""


@dataclass(frozen=True)
class Jar:
    """One line of the lock: Maven coordinates and the sha256 of the file, hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """Name of the file in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def cache_folder() -> Path:
    """Where the jars are kept: inside the environment, so that they go when it goes."""
    return Path(sys.prefix, "share", "backline", "jars")


def read_lock(lock: Path = LOCK) -> tuple[Jar, ...]:
    """The lock's jars, in its order. Raises JarError for a line that is neither comment nor jar, and for a lock without jars."""
    jars = []
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if not found:
            raise JarError(f"{lock}:{number}: not a jar. Write group:artifact:version and the sha256 of the file")
        jars.append(Jar(*found.groups()))
    if not jars:
        raise JarError(f"{lock} names no jar: restore it from git")
    return tuple(jars)


def ensure(java: Java, spark_home: Path, environ: Mapping[str, str], lock: Path = LOCK, cache: Path | None = None) -> list[Path]:
    """Paths of all locked jars, verified; what is missing or damaged in the cache is fetched first.

    Behind a mirror, BACKLINE_IVY_SETTINGS names an Ivy settings file to use in place of Maven Central. Raises JarError.
    """
    jars, folder = read_lock(lock), cache or cache_folder()
    missing = [jar for jar in jars if not _is(folder / jar.file, jar)]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(missing, java, spark_home, environ, folder)
    return [folder / jar.file for jar in jars]


def cached() -> bool:
    """Whether all locked jars are in the cache, whole."""
    return all(_is(cache_folder() / jar.file, jar) for jar in read_lock())


def main() -> None:
    """Fetches what is missing; exit code 1 and the reason if that fails."""
    import pyspark

    try:
        ensure(choose(os.environ), Path(pyspark.__file__).parent, os.environ)
    except (JarError, NoJava) as error:
        sys.exit(str(error))


def _is(path: Path, jar: Jar) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


def _fetch(jars: Iterable[Jar], java: Java, spark_home: Path, environ: Mapping[str, str], folder: Path) -> None:
    ivy = next(iter(sorted((spark_home / "jars").glob("ivy-*.jar"))), None)
    if ivy is None:
        raise JarError(f"no Ivy among Spark's jars in {spark_home}: reinstall pyspark from requirements.lock")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:  # on the cache's own disk: the last step is a rename
        work = Path(scratch)
        wanted = "".join(f'<dependency org="{j.group}" name="{j.artifact}" rev="{j.version}" transitive="false" conf="default-&gt;master"/>' for j in jars)
        info = '<info organisation="backline" module="jars"/>'
        (work / "ivy.xml").write_text(f'<ivy-module version="2.0">{info}<dependencies>{wanted}</dependencies></ivy-module>')
        settings = Path(environ.get("BACKLINE_IVY_SETTINGS") or work / "settings.xml")
        if settings.parent == work:
            settings.write_text(_IVY_SETTINGS)
        command = [java.executable, *_trust(work), "-cp", ivy, "org.apache.ivy.Main", "-settings", settings, "-ivy", work / "ivy.xml"]
        command += ["-cache", work / "cache", "-confs", "default", "-retrieve", work / "got" / "[artifact]-[revision].[ext]"]
        try:
            ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)  # noqa: S603 - our own command line
        except subprocess.TimeoutExpired as error:
            raise JarError("the jars of jars.lock did not arrive within 10 minutes: check the way to Maven Central, or set BACKLINE_IVY_SETTINGS") from error
        for jar in jars:
            got = work / "got" / jar.file
            name = f"{jar.group}:{jar.artifact}:{jar.version}"
            if not got.is_file():
                raise JarError(f"{name} could not be had: {_why(ran.stdout + ran.stderr)}. Check the way to Maven Central, or set BACKLINE_IVY_SETTINGS")
            if not _is(got, jar):
                raise JarError(f"{name} is not the file that jars.lock names (sha256 differs): do not use this mirror, or mend the lock in review")
            os.replace(got, folder / jar.file)


def _why(said: str) -> str:
    """Ivy's first server error, or its last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if "rror" in line), lines[-1] if lines else "Ivy said nothing")


def _trust(work: Path) -> list[str]:
    """Java options that make it trust what this machine's OpenSSL trusts: a Java from a wheel knows no company certificates."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    certificates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some old roots have serial numbers that cryptography complains of
        for number, der in enumerate(ssl.create_default_context().get_ca_certs(binary_form=True)):
            try:
                certificates.append(pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(der), str(number).encode()))
            except ValueError:
                continue
    if not certificates:
        return []
    store = work / "trust.p12"
    store.write_bytes(pkcs12.serialize_java_truststore(certificates, BestAvailableEncryption(_PASSWORD.encode())))
    return [f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={_PASSWORD}"]


if __name__ == "__main__":
    main()
