"""`backline retention`: what is past its retention, dropped now instead of at night; or only shown."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from platform_defs.execution.housekeeping import Report
    from platform_defs.execution.sweeping import Dropped
    from platform_defs.ledger import Ledger
    from resources.settings import Settings


@click.command()
@click.argument("domain", required=False)
@click.option("--dry-run", is_flag=True, help="Say what would be dropped, drop nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def retention(context: click.Context, domain: str | None, dry_run: bool, as_json: bool) -> None:
    """Drop what is past its retention: what every domain's schedule does at 03:17 UTC, now.

    Without DOMAIN: partitions of all datasets, then landing, failed log, records, logs of runs, what killed runs left, and the ledger's history. With it:
    that domain's datasets alone. Nothing is dropped that a contract still keeps. Landing and logs leave the disk at once; files of dropped partitions do
    within two weeks, for readers of older versions.

    Exit codes: 0 done, 1 something could not be dropped, 2 not understood.

    \b
    ./backline retention --dry-run
    ./backline retention
    ./backline retention charts --json
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.cli.speech import console, show_json
    from platform_defs.ledger import Ledger

    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        domains = _domains(ledger, domain)
        with console(err=True).status("looking at what there is"):
            report = _kept(settings, ledger, domains, shared=domain is None, dry_run=dry_run, quiet=as_json)
    finally:
        ledger.close()
    if as_json:
        show_json({**asdict(report), "dry_run": dry_run})
    else:
        for line in report.left:
            click.echo(line)
        click.echo(f"{report.head}. Nothing was dropped: this was a dry run." if dry_run else report.head)
    context.exit(1 if report.troubles else 0)


def _kept(settings: Settings, ledger: Ledger, domains: list[str], *, shared: bool, dry_run: bool, quiet: bool) -> Report:
    from platform_defs.execution.housekeeping import keep_retention
    from platform_defs.execution.platform import Platform
    from platform_defs.lake.landing import LandingStore
    from platform_defs.lake.layout import Lake
    from resources.engines import engines_of

    def tell(entry: Dropped) -> None:
        if not quiet:
            click.echo(entry.line)

    engines = engines_of(settings)  # asks nobody before there is something to drop
    logs, captured = settings.logs / "runs", settings.compute_logs
    lake, landing = Lake(settings.lake), LandingStore(settings.landing)
    platform = Platform(engines, lake, landing, ledger, None, lambda: datetime.now(UTC), run_logs=logs, captured=captured)
    try:
        return keep_retention(platform, domains, uuid.uuid4().hex[:12], shared=shared, always=True, dry_run=dry_run, tell=tell)
    finally:
        engines.close()


def _domains(ledger: Ledger, name: str | None) -> list[str]:
    """The domains meant: that one, or all."""
    from platform_defs.planning.places import did_you_mean

    known = sorted({contract.domain for contract in ledger.registry.current().values()})
    if name is not None and name not in known:
        if name.partition("/")[0] in known:
            raise click.UsageError(f"{name} is a dataset: name its domain, {name.partition('/')[0]}")
        raise click.UsageError(f"there is no domain {name}{did_you_mean(name, known)}")
    return known if name is None else [name]
