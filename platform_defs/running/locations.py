"""Keeps the code locations what was applied last: a saved file is applied, and a domain whose applied copy changed is loaded again.

Whether a change may be applied is decided in `applying`, in a process of its own: the code it imports must be the saved one, every time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from platform_defs.build.processes import served_workspace
from platform_defs.build.snapshot import applied, applied_domains
from platform_defs.running import keeper, refusal, services, web_pages
from platform_defs.running.prepare import chosen_launcher
from platform_defs.running.processes import ChildFailed, Children, Spec, Stopping
from resources.settings import Settings

_LOOK_SECONDS = 0.5
_IGNORED = frozenset({"__pycache__", "contracts.json"})


class Locations:
    """The code locations of one running platform.

    Args:
        checkout: working directory of code servers.
        web_port: where Dagster's web server is, or will be.
        tell: gets a sentence for whoever saves files: what was applied, what was refused and why.
    """

    def __init__(self, children: Children, settings: Settings, checkout: Path, web_port: int, tell: Callable[[str], None]) -> None:
        self._children, self._settings, self._checkout, self._web_port, self._tell = children, settings, checkout, web_port, tell
        self._loaded: dict[str, str] = {}
        self._following = threading.Lock()
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self.workspace = served_workspace(settings, applied_domains(settings.home))

    def apply(self) -> str | None:
        """Applies what is in the assets folder now; None if that succeeded, else what was said against it, which `status` tells until one succeeds."""
        command = (sys.executable, "-m", "platform_defs.cli", "apply", "--quiet", "--assets", str(self._settings.assets))
        code, words = self._children.run(Spec("apply", command, environment={"BACKLINE_HOME": str(self._settings.home)}))
        if code == 0:
            refusal.accept(self._settings.run)
            return None
        said = words.strip().removeprefix("Error: ") or f"apply ended without a word, exit code {code}"
        refusal.refuse(self._settings.run, said)
        return said

    def follow(self) -> list[str]:
        """Starts, reloads and ends code servers until they serve what is applied; the domains it touched."""
        with self._following:
            home = self._settings.home
            wanted = {domain: copy.digest for domain in applied_domains(home) if (copy := applied(home, domain)) is not None}
            gone = self._loaded.keys() - wanted.keys()
            new = wanted.keys() - self._loaded.keys()
            changed = [domain for domain in wanted.keys() & self._loaded.keys() if wanted[domain] != self._loaded[domain]]
            if new or gone:
                served_workspace(self._settings, sorted(wanted))
            for domain in gone:
                self._children.stop_one(services.code_server_name(domain))
                del self._loaded[domain]
            done = [*self._each(self._start, new), *self._each(self._reload, changed)]
            self._loaded |= {domain: wanted[domain] for domain in done}
            if (new or gone) and services.WEB in self._children.pids():
                try:
                    web_pages.reload_workspace(self._web_port)
                except web_pages.ReloadFailed as error:
                    self._tell(f"the web pages do not show the new list of domains yet: {error}")
            return sorted({*done, *gone})

    def watch(self) -> None:
        """From now on a save is applied, and what anybody applied is loaded."""
        self._watcher = threading.Thread(target=self._watch, name="locations", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Watches no more. Does not wait: what is under way gives up when the children are stopped."""
        self._ended.set()

    def _each(self, act: Callable[[str], None], domains: Iterable[str]) -> list[str]:
        """Does it for each domain, side by side; those where it went well."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            asked = {domain: pool.submit(act, domain) for domain in sorted(domains)}
        well = []
        for domain, answer in asked.items():
            try:
                answer.result()
                well.append(domain)
            except (ChildFailed, web_pages.ReloadFailed) as error:
                self._tell(f"{domain} was not loaded: {error}")
        return well

    def _start(self, domain: str) -> None:
        self._children.replace(self._spec(domain))

    def _reload(self, domain: str) -> None:
        """A new host with the new code takes over the sockets; the old one takes no more runs and ends when its last one did."""
        if services.WEB not in self._children.pids():
            self._start(domain)
        elif chosen_launcher() == "default":
            web_pages.reload_location(self._web_port, domain)
        else:
            name = services.code_server_name(domain)
            old = self._children.pids().get(name)
            self._children.retire(name)
            self._children.start(self._spec(domain))
            web_pages.reload_location(self._web_port, domain)
            if old is not None:
                keeper.send(old, signal.SIGUSR1)

    def _spec(self, domain: str) -> Spec:
        made = services.code_server if chosen_launcher() == "default" else services.host
        return made(self._settings, domain, self._checkout)

    def _watch(self) -> None:
        handled = seen = fingerprint(self._settings.assets)
        while not self._ended.wait(_LOOK_SECONDS):
            try:
                now = fingerprint(self._settings.assets)
                # Two looks with the same answer: an editor has finished writing.
                if now != handled and now == seen:
                    handled = now
                    refused = self.apply()
                    if refused is not None:
                        self._tell(f"the saved files are not applied; what was applied before runs on.\n{refused}")
                seen = now
                if touched := self.follow():
                    self._tell(f"live: {', '.join(touched)}")
            except Stopping:
                return
            except OSError as error:  # a folder that is being moved, a full disk: say it, look again
                self._tell(f"{self._settings.assets} could not be read: {error.strerror}")


def fingerprint(assets: Path) -> dict[str, tuple[int, int]]:
    """Time of change and size of every file of the domains, by path; what `apply` writes itself is left out."""
    found: dict[str, tuple[int, int]] = {}
    folders = [str(assets)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name in _IGNORED or entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    stat = entry.stat()
                    found[entry.path] = stat.st_mtime_ns, stat.st_size
    return found
