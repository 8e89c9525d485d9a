"""Keeps the code locations what was applied last: a saved file is applied, and a domain whose applied copy changed is loaded again.

Whether a change may be applied is decided in `applying`, in a process of its own: the code it imports must be the saved one, every time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from platform_defs.build.processes import served_workspace
from platform_defs.build.snapshot import applied, applied_domains
from platform_defs.running import keeper, refusal, services, web_pages
from platform_defs.running.prepare import chosen_launcher
from platform_defs.running.processes import BACKOFF_SECONDS, ChildFailed, Children, Spec, Stopping
from platform_defs.running.run_process import started_at
from resources.settings import Settings

_LOOK_SECONDS = 0.5
_IGNORED = frozenset({"__pycache__", "contracts.json"})
# A start that fails costs 2 to 4 s of a core. Mostly the code is at fault, and the next save is tried at once.
_START_PAUSES = (1.0, 5.0, 20.0, 60.0)
# The web server is away for seconds when it is started again.
_SHOW_PAUSES = BACKOFF_SECONDS
_LIST = "*"
"""Stands for the list of domains among what the web server is told."""


class _Tries:
    """What failed, and when it is tried again: after a pause that grows, or at once when it is another version of it."""

    def __init__(self, pauses: Sequence[float]) -> None:
        self._pauses = pauses
        self._failed: dict[str, tuple[str, int, float]] = {}

    def due(self, name: str, version: str) -> bool:
        """Whether to try it now."""
        failed, _, again = self._failed.get(name, ("", 0, 0.0))
        return failed != version or time.monotonic() >= again

    def failed(self, name: str, version: str) -> tuple[int, float]:
        """It failed: how often by now, and the seconds until it is due again."""
        before, times, _ = self._failed.get(name, (version, 0, 0.0))
        times = times + 1 if before == version else 1
        pause = self._pauses[min(times, len(self._pauses)) - 1]
        self._failed[name] = version, times, time.monotonic() + pause
        return times, pause

    def well(self, name: str) -> None:
        """It is done."""
        self._failed.pop(name, None)


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
        # Hosts whose place a new one takes once it starts, with their start times: the process id may be another's by then.
        self._leaving: dict[str, tuple[int, int | None]] = {}
        self._unshown: set[str] = set()
        self._starts, self._shows = _Tries(_START_PAUSES), _Tries(_SHOW_PAUSES)
        self._following = threading.Lock()
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._listed = applied_domains(settings.home)
        self.workspace = served_workspace(settings, self._listed)

    def apply(self) -> str | None:
        """Applies what is in the assets folder now; None if that succeeded, else what was said against it, which `status` tells until one succeeds."""
        command = (sys.executable, "-m", "platform_defs.cli", "apply", "--quiet", "--assets", str(self._settings.assets))
        try:
            code, words = self._children.run(Spec("apply", command, environment={"BACKLINE_HOME": str(self._settings.home)}))
        except ChildFailed as error:
            code, words = 1, str(error)
        if code == 0:
            refusal.accept(self._settings.run)
            return None
        said = words.strip().removeprefix("Error: ") or f"apply ended without a word, exit code {code}"
        refusal.refuse(self._settings.run, said)
        return said

    def follow(self) -> list[str]:
        """Starts, reloads and ends code servers until they serve what is applied; the domains that are now served and shown so, or gone.

        What does not start, and what the web server does not take, is tried again by a later call.
        """
        with self._following:
            home = self._settings.home
            wanted = {domain: copy.digest for domain in applied_domains(home) if (copy := applied(home, domain)) is not None}
            if sorted(wanted) != self._listed:
                served_workspace(self._settings, sorted(wanted))
                self._listed = sorted(wanted)
                self._unshown.add(_LIST)
            gone = self._loaded.keys() - wanted.keys()
            for domain in gone:
                self._children.stop_one(services.code_server_name(domain))
                self._drain(domain)
                self._unshown.discard(domain)
                del self._loaded[domain]
            # A host that is leaving has no name and nobody starts it again: taken back, the old code gets a new host too.
            stale = [domain for domain, digest in wanted.items() if self._loaded.get(domain) != digest or domain in self._leaving]
            due = [domain for domain in stale if self._starts.due(domain, wanted[domain])]
            for domain, failed in self._each(self._load, due).items():
                if failed is None:
                    self._starts.well(domain)
                    self._loaded[domain] = wanted[domain]
                    self._unshown.add(domain)
                else:
                    _, pause = self._starts.failed(domain, wanted[domain])
                    self._tell(f"{domain} was not loaded; it is tried again in {pause:g} s, or once other code of it is applied: {failed}")
            return sorted({*self._show(), *gone})

    def _show(self) -> list[str]:
        """Has the web server load what it has not loaded yet, the list first; the domains it did."""
        if services.WEB not in self._children.pids():  # it loads everything when it starts
            done, self._unshown = self._unshown - {_LIST}, set()
            return sorted(done)
        shown: list[str] = []
        for names in ({_LIST} & self._unshown, self._unshown - {_LIST}):
            if _LIST in self._unshown and _LIST not in names:
                break  # a domain that is not in its list it does not know
            due = [name for name in names if self._shows.due(name, self._loaded.get(name, ""))]
            for name, failed in self._each(self._reload, due).items():
                if failed is None:
                    self._shows.well(name)
                    self._unshown.discard(name)
                    shown.append(name)
                elif self._shows.failed(name, self._loaded.get(name, ""))[0] == 1:
                    what = "the new list of domains" if name == _LIST else f"{name} as it is now"
                    self._tell(f"the web pages do not show {what} ({failed}): they are asked again until they do")
        return [name for name in shown if name != _LIST]

    def watch(self) -> None:
        """From now on a save is applied, and what anybody applied is loaded."""
        self._watcher = threading.Thread(target=self._watch, name="locations", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Watches no more. Does not wait: what is under way gives up when the children are stopped."""
        self._ended.set()

    def _each(self, act: Callable[[str], None], names: Iterable[str]) -> dict[str, ChildFailed | web_pages.ReloadFailed | None]:
        """Does it for each name, side by side; what came of it, None where it went well."""
        came: dict[str, ChildFailed | web_pages.ReloadFailed | None] = {}
        with ThreadPoolExecutor(max_workers=8) as pool:
            asked = {name: pool.submit(act, name) for name in sorted(names)}
        for name, answer in asked.items():
            try:
                answer.result()
                came[name] = None
            except (ChildFailed, web_pages.ReloadFailed) as error:
                came[name] = error
        return came

    def _load(self, domain: str) -> None:
        """A new host with the new code takes over the sockets; the old one then takes no more runs and ends when its last one did.

        While no new one starts the old one serves on, under no name: started again it would load the code that does not start.
        """
        name = services.code_server_name(domain)
        old = self._children.pids().get(name)
        if chosen_launcher() == "default":
            if old is None or services.WEB not in self._children.pids():  # else it loads the code again when the web server asks
                self._children.replace(self._spec(domain))
            return
        if old is not None:
            self._leaving[domain] = old, started_at(old)
            self._children.retire(name)
        self._children.start(self._spec(domain))
        self._drain(domain)

    def _drain(self, domain: str) -> None:
        pid, started = self._leaving.pop(domain, (None, None))
        if pid is not None and started_at(pid) == started:
            keeper.send(pid, signal.SIGUSR1)

    def _reload(self, name: str) -> None:
        if name == _LIST:
            web_pages.reload_workspace(self._web_port)
        else:
            web_pages.reload_location(self._web_port, name)

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
