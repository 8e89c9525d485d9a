"""A backfill of Dagster's, watched to its end: progress, Ctrl-C, what was not built and why. Which one to start is `backfill`'s matter."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click
import httpx

if TYPE_CHECKING:
    from platform_defs.planning.facts import Trouble
    from platform_defs.running.dagster_client import BackfillStatus, DagsterClient

# Asked more often, the web server works for the progress line instead of for runs.
_LOOK_SECONDS = 2.0
# A restart of the web server is no reason to leave a backfill that goes on without it.
_PATIENCE_LOOKS = 30
INTERRUPTED = 130
Tell = Callable[["BackfillStatus"], None]


class Watch:
    """One backfill being watched.

    Args:
        tell: gets its state at each look. cancel: asks the person who pressed Ctrl-C; True cancels it.
        pause: waits between two looks.
    """

    def __init__(self, dagster: DagsterClient, identity: str, tell: Tell, cancel: Callable[[], bool], pause: Callable[[], None] | None = None) -> None:
        self._dagster, self.identity, self._tell, self._cancel = dagster, identity, tell, cancel
        self._pause = pause or _pause

    def to_the_end(self) -> BackfillStatus | None:
        """Its last state; None if the person left it to go on. Raises ClickException when nobody answers for a minute, and DagsterRefused."""
        while True:
            try:
                return self._follow()
            except KeyboardInterrupt:
                if not self._asked():
                    return None
                self._dagster.cancel(self.identity)

    def _follow(self) -> BackfillStatus:
        silent = 0
        while True:
            try:
                status = self._dagster.backfill_status(self.identity)
                silent = 0
            except httpx.TransportError:
                silent += 1
                if silent > _PATIENCE_LOOKS:
                    raise click.ClickException(
                        f"the web pages do not answer any more; the backfill goes on without them. {resume_words(self.identity)}"
                    ) from None
                self._pause()
                continue
            self._tell(status)
            # It is cancelled before its runs have ended: what they are at still goes on.
            if status.ended and all(state in _RUN_ENDED for state in status.runs.values()):
                return status
            self._pause()

    def _asked(self) -> bool:
        try:
            return self._cancel()
        except (KeyboardInterrupt, click.Abort):
            return False


_RUN_ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})


def ask_to_cancel() -> bool:
    """Whether the person wants it cancelled. Without a terminal nobody can be asked, and nothing is thrown away."""
    if not sys.stdin.isatty():
        return False
    click.echo("", err=True)
    return click.confirm("Cancel the backfill? Otherwise it goes on without this window", default=False, err=True)


def resume_words(identity: str) -> str:
    """How to come back to it."""
    return f"Watch or resume it: ./backline backfill --resume {identity}; cancel it: ./backline backfill --cancel {identity}"


class Shown(NamedTuple):
    """Where progress goes, and how the person is asked meanwhile: a bar that moves would write over the question."""

    tell: Tell
    cancel: Callable[[], bool]


@contextmanager
def progress(*, quiet: bool) -> Iterator[Shown]:
    """Shows how far a backfill is on standard error: a bar on a terminal, else a line whenever something has changed."""
    from platform_defs.cli.speech import console

    out = console(err=True)
    if quiet:
        yield Shown(lambda status: None, ask_to_cancel)
        return
    if out.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[more]}"),
        )
        with Progress(*columns, console=out, transient=True) as shown:
            task = shown.add_task("partitions", total=None, more="")

            def tell(status: BackfillStatus) -> None:
                done = status.partitions
                shown.update(task, total=done.targeted, completed=done.built + done.failed, more=_more(status))

            def cancel() -> bool:
                shown.stop()
                cancelled = ask_to_cancel()
                if cancelled:
                    shown.start()
                return cancelled

            yield Shown(tell, cancel)
        return
    said = ""

    def line(status: BackfillStatus) -> None:
        nonlocal said
        done = status.partitions
        words = f"{done.built} of {done.targeted} partitions{_more(status)}"
        if words != said:
            click.echo(words, err=True)
        said = words

    yield Shown(line, ask_to_cancel)


def unbuilt(status: BackfillStatus) -> dict[str, int]:
    """How many partitions of each endpoint were wanted and not built."""
    return {key: one.targeted - one.built for key, one in sorted(status.assets.items()) if one.built < one.targeted}


def reasons(status: BackfillStatus, troubles: Mapping[tuple[str, str], Trouble], most: int = 10) -> list[str]:
    """Why, as far as this backfill's runs told the ledger: endpoint, first and count of partitions, reason."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for (endpoint, partition), trouble in troubles.items():
        if trouble.run_id in status.runs:
            grouped.setdefault((endpoint, trouble.state, trouble.reason), []).append(partition)
    lines = []
    for (endpoint, state, reason), partitions in sorted(grouped.items()):
        more = f" and {len(partitions) - 1} more" if len(partitions) > 1 else ""
        lines.append(f"{endpoint} {min(partitions)}{more} {state}: {reason}")
    return [*lines[:most], f"and {len(lines) - most} more reasons: ./backline status"] if len(lines) > most else lines


def _more(status: BackfillStatus) -> str:
    done = status.partitions
    parts = [f"{done.running} in runs"] * bool(done.running) + [f"{done.failed} failed"] * bool(done.failed)
    parts += ["being cancelled"] * (status.status == "CANCELING")
    return f", {', '.join(parts)}" if parts else ""


def _pause() -> None:
    threading.Event().wait(_LOOK_SECONDS)
