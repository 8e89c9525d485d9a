"""Contracts as they are committed: `assets/<domain>/contracts.json` of any git ref, read from git. Needs git and nothing that runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from platform_defs.contracts import registry_file
from platform_defs.contracts.contract import Contract

# How many earlier versions of a domain's file are looked at for what was once there.
_EARLIER = 20


class NoSuchRef(ValueError):
    """A git ref that cannot be read; the message says why and what to write."""


class Committed:
    """The contracts of one commit.

    Args:
        assets: the folder of domains, inside a git checkout.
        ref: anything git understands: a branch, a tag, a commit, `HEAD~3`.

    Raises:
        NoSuchRef: there is no such commit, or the folder is in no checkout.
    """

    def __init__(self, assets: Path, ref: str) -> None:
        self._assets = assets
        # --end-of-options: a ref that begins with a dash is none of git's options
        found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if found is None:
            inside = self._git("rev-parse", "--is-inside-work-tree") is not None
            why = "is no commit git knows" if inside else f"cannot be looked up: {assets} is in no git checkout"
            raise NoSuchRef(f"{ref!r} {why}; write `deployed` or a git ref, as in --against main")
        self.commit = found.strip()

    def contracts(self) -> dict[str, Contract]:
        """All contracts of the commit, by key. Raises ContractErrors for a file that holds none."""
        names = (self._git("ls-tree", "-r", "--name-only", self.commit, "--", ".") or "").splitlines()
        found: dict[str, Contract] = {}
        for name in names:
            domain, _, file = name.partition("/")
            if file == registry_file.FILE:
                found.update(self._at(self.commit, domain))
        return found

    def earlier(self, keys: Iterable[str]) -> dict[str, list[Contract]]:
        """The contracts these keys had in the commits before, newest first, as far as their domains' last changes reach. Keys without any are absent."""
        wanted = set(keys)
        found: dict[str, list[Contract]] = {}
        for domain in sorted({key.partition("/")[0] for key in wanted}):
            path = f"./{domain}/{registry_file.FILE}"
            commits = (self._git("log", f"--max-count={_EARLIER + 1}", "--format=%H", self.commit, "--", path) or "").split()
            for commit in commits[1:]:
                for key, contract in self._at(commit, domain).items():
                    if key in wanted:
                        found.setdefault(key, []).append(contract)
        return found

    def _at(self, commit: str, domain: str) -> dict[str, Contract]:
        text = self._git("show", f"{commit}:./{domain}/{registry_file.FILE}")  # None: the commit removed it
        return {} if text is None else registry_file.parse(text, f"{domain}/{registry_file.FILE} of {commit[:12]}")

    def _git(self, *arguments: str) -> str | None:
        try:
            asked = subprocess.run(["git", "-C", str(self._assets), *arguments], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603, S607
        except FileNotFoundError:
            raise NoSuchRef("git is not installed, so no ref can be read; write --against deployed") from None
        return asked.stdout if asked.returncode == 0 else None
