"""Makes the checkout's `.venv` from requirements.lock. Run by `backline` with a bare Python: the standard library is all there is.

Interrupted installs are done again from nothing, two at once wait for each other, and every file that is installed is one whose hash is in the lock.
"""

# ruff: noqa: S603 - every command line here is our own
from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

OWN = ("platform_defs", "resources", "sensors", "assets", "deploy")
STAMP = "installed.lock"
UNDER_WAY = "installing"


class InstallError(Exception):
    """Why the environment could not be made, and what to do."""


def main(checkout: Path) -> None:
    """Makes or mends `<checkout>/.venv`; returns at once if it is as the lock says. Raises InstallError."""
    lock, env = checkout / "requirements.lock", checkout / ".venv"
    if not os.access(checkout, os.W_OK):
        raise InstallError(f"cannot write in {checkout}: the environment is made there; clone into a folder of yours")
    guard = os.open(checkout, os.O_RDONLY)  # the folder itself is locked: no further file, and nothing to be left behind
    try:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another backline is installing here; waiting for it")
            fcntl.flock(guard, fcntl.LOCK_EX)
        wanted = lock.read_bytes()
        stamp = env / STAMP
        if (env / "bin" / "python").exists() and stamp.is_file() and stamp.read_bytes() == wanted:
            return
        begun = time.monotonic()
        say(f"setting up {env} (once for every requirements.lock)")
        install(env, lock)
        say("compiling Backline's own modules")
        run([python(env), "-m", "compileall", "-q", *(str(checkout / name) for name in OWN)], "compiling failed")
        (env / UNDER_WAY).unlink()
        partial = env / f"{STAMP}.part"
        partial.write_bytes(wanted)
        partial.replace(stamp)
        say(f"environment ready after {time.monotonic() - begun:.0f} s")
    finally:
        os.close(guard)


def install(env: Path, lock: Path) -> None:
    """Brings the environment to what the lock says: from nothing if it is broken or an install was interrupted, else by the difference."""
    if (env / UNDER_WAY).exists() or not works(env):
        shutil.rmtree(env, ignore_errors=True)
        say(f"making an environment for Python {sys.version_info.major}.{sys.version_info.minor}")
        run([sys.executable, "-m", "venv", str(env)], "python -m venv failed (on Debian it needs python3-venv)")
    (env / UNDER_WAY).touch()
    (env / STAMP).unlink(missing_ok=True)
    pinned = uv_lines(lock.read_text(encoding="utf-8"))
    version = pinned.split("==")[1].split()[0]
    if not has_uv(env, version):
        say(f"fetching uv {version}, which installs the rest")
        if not works(env, "pip"):
            run([python(env), "-m", "ensurepip", "--upgrade"], "ensurepip failed")
        only_uv = env / "uv.txt"
        only_uv.write_text(pinned, encoding="utf-8")
        run(
            [python(env), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(only_uv)],
            "uv could not be installed: is the registry reachable?",
        )
        only_uv.unlink()
    say("installing what requirements.lock names")
    command = [str(env / "bin" / "uv"), "pip", "sync", "--python", python(env), "--require-hashes", "--compile-bytecode", str(lock)]
    run(command, "installing failed: is the registry reachable? Running the same command again goes on from here", **registry(env))


def uv_lines(lock: str) -> str:
    """The lock's entry of uv: its version and hashes."""
    found = re.search(r"^uv==.*(?:\n[ \t]+--hash=.*)+", lock, re.MULTILINE)
    if found is None:
        raise InstallError("requirements.lock does not name uv with hashes: make the lock again from pyproject.toml")
    return found.group(0) + "\n"


def registry(env: Path) -> dict[str, str]:
    """What pip was told about the registry, in uv's words, unless uv was told itself: one configuration is enough for both."""
    told = {}
    for setting, variable in (
        ("global.index-url", "UV_DEFAULT_INDEX"),
        ("global.extra-index-url", "UV_INDEX"),
        ("global.find-links", "UV_FIND_LINKS"),
        ("global.cert", "SSL_CERT_FILE"),
    ):
        given = os.environ.get("PIP_" + setting.partition(".")[2].upper().replace("-", "_"))
        if not given:
            asked = subprocess.run([python(env), "-m", "pip", "config", "get", setting], capture_output=True, text=True, check=False)
            given = asked.stdout.strip() if asked.returncode == 0 else ""
        if given and variable not in os.environ:
            told[variable] = given
    if "UV_DEFAULT_INDEX" in told and "UV_INDEX_URL" in os.environ:
        del told["UV_DEFAULT_INDEX"]
    return told


def works(env: Path, module: str = "sys") -> bool:
    """Whether the environment's Python starts, is one of the versions Backline runs on, and has this module."""
    test = f"import sys, {module}; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))"
    try:
        return subprocess.run([python(env), "-I", "-c", test], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def has_uv(env: Path, version: str) -> bool:
    """Whether the environment holds this version of uv."""
    try:
        said = subprocess.run([str(env / "bin" / "uv"), "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return said.stdout.split()[1:2] == [version]


def run(command: list[str], why: str, **environment: str) -> None:
    """Runs a command, its output shown; raises InstallError with `why` if it fails."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    code = subprocess.run(command, env={**clean, **environment}, stdout=sys.stderr, check=False).returncode
    if code:
        raise InstallError(f"{why} (exit code {code})")


def python(env: Path) -> str:
    """The environment's interpreter."""
    return str(env / "bin" / "python")


def say(words: str) -> None:
    """Progress, on standard error: standard output belongs to the command."""
    sys.stderr.write(f"backline: {words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except InstallError as error:
        say(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted; the next start does it again")
        sys.exit(130)
