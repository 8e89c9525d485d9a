"""The `backline` command: its subcommands by name, each in a module of its own that is imported only when it is used.

What a subcommand does belongs in its module; how it speaks (errors, tables, exit codes) in `speech`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import click


class Sub(NamedTuple):
    """A subcommand before it is imported: where it is and the one line that `--help` shows of it."""

    where: str
    about: str


class LazyGroup(click.Group):
    """A group that imports a subcommand only to run it or to show its own help: `backline --help` imports click and nothing else."""

    def __init__(self, *args: Any, subs: Mapping[str, Sub], **more: Any) -> None:
        super().__init__(*args, **more)
        self._subs = subs

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._subs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        sub = self._subs.get(cmd_name)
        if sub is None:
            return None
        module, _, name = sub.where.partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{sub.where} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self._subs:
            return
        with formatter.section("Commands"):
            formatter.write_dl([(name, sub.about) for name, sub in self._subs.items()])


SUBS: Mapping[str, Sub] = {
    "demo": Sub("platform_defs.cli.demo.command:demo", "Do the whole job once on real data and show it."),
    "up": Sub("platform_defs.cli.up:up", "Start everything and stay until Ctrl-C."),
    "down": Sub("platform_defs.cli.up:down", "Stop what `up` or `demo` started."),
    "test": Sub("platform_defs.cli.test:test", "Run the tests: all, or those you name."),
    "apply": Sub("platform_defs.cli.apply:apply", "Check the contracts in assets/ and make them live."),
    "plan": Sub("platform_defs.cli.plan:plan", "What a change of contracts would do, before it is done."),
    "backfill": Sub("platform_defs.cli.backfill:backfill", "Build or rebuild partitions of the past."),
    "status": Sub("platform_defs.cli.status:status", "What is broken, what waits, what is complete."),
    "why": Sub("platform_defs.cli.why:why", "Why one partition is as it is, down to the root."),
    "pause": Sub("platform_defs.cli.pause:pause", "Leave a domain or a dataset alone for a while."),
    "resume": Sub("platform_defs.cli.pause:resume", "End a pause."),
    "reopen": Sub("platform_defs.cli.reopen:reopen", "Take the parked late rows of an hour in."),
    "retention": Sub("platform_defs.cli.retention:retention", "Drop what is past its retention now, or show it."),
    "send": Sub("platform_defs.cli.send:send", "Send events from a file of JSON lines."),
    "land": Sub("platform_defs.cli.land:land", "Land old events from files."),
    "import": Sub("platform_defs.cli.import_:import_", "Publish the partitions of an existing table."),
    "read": Sub("platform_defs.cli.read:read", "Show rows of an endpoint."),
    "failed": Sub("platform_defs.cli.failed:failed", "Look at events that were rejected."),
    "logs": Sub("platform_defs.cli.logs:logs", "Show the log of a run or of a process."),
    "new": Sub("platform_defs.cli.new:new", "Write a domain, event, endpoint or source that passes as it stands."),
    "secret": Sub("platform_defs.cli.secret:secret", "Keep what sources need to log in."),
    "collector": Sub("platform_defs.cli.collector:collector", "Receive events; make tokens for clients; give receivers up."),
    "bench": Sub("platform_defs.cli.bench:bench", "Measure this machine."),
}


@click.group(cls=LazyGroup, subs=SUBS, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Backline: events in, datasets under contract out.

    \b
    ./backline demo                        the whole job on real data, then stays up
    ./backline up                          daily work
    ./backline test tests/assets/charts    one folder's tests
    ./backline COMMAND --help              examples for each command

    State is in .backline beside this checkout; BACKLINE_HOME moves it.
    Exit codes: 0 done, 1 failed, 2 not understood, 130 stopped (plan: 3 breaking; test: pytest's).
    """


def main() -> None:
    """Runs the command line; every foreseen error becomes a line on standard error and exit code 1."""
    try:
        code = cli.main(prog_name="backline", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        from platform_defs.cli.speech import foreseen

        words = foreseen(error)
        if words is None:
            raise
        click.echo(f"Error: {words}", err=True)
        sys.exit(1)
