"""`backline import`: the partitions of an existing table, judged and published as an endpoint's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from platform_defs.contracts.contract import Contract
    from platform_defs.execution.existing import Existing
    from platform_defs.execution.importing import Extent, Importer
    from platform_defs.execution.results import PartitionResult
    from platform_defs.ledger import Ledger
    from resources.settings import Settings

_SHOWN = 20


@click.command("import")
@click.argument("endpoint")
@click.option("--from", "path", required=True, metavar="PATH", help="The table: a folder, a file, or an address that Spark understands.")
@click.option("--from-format", "form", type=click.Choice(["parquet", "delta", "csv"]), help="Of its files; told by their names otherwise.")
@click.option("--partition", metavar="COLUMN", help="The column or folder name that says the hour or day: a key, a date or a time. Else `hour` or `day`.")
@click.option("--first", metavar="PARTITION", help="First partition, 2026-10-01T03 or 2026-10-01 (UTC); else the table's first.")
@click.option("--last", metavar="PARTITION", help="Last one, included; a day is all its hours.")
@click.option("--empty", is_flag=True, help="Import what has no row between them too, as empty.")
@click.option("--replace", is_flag=True, help="Also partitions that a run has built.")
@click.option("--dry-run", is_flag=True, help="Hold the columns against the contract, say which partitions would come in; publish nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def import_(
    context: click.Context,
    endpoint: str,
    path: str,
    form: Literal["parquet", "delta", "csv"] | None,
    partition: str | None,
    first: str | None,
    last: str | None,
    empty: bool,
    replace: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the partitions of an existing table as versions of ENDPOINT.

    Its columns must be the contract's, by name and type (smaller numbers are widened; CSV is read by the contract's types, an empty cell is null). Every
    partition is judged as a build is: refused ones stay out, rows are quarantined as declared. Imported partitions are never due, stale or outdated by
    themselves; only what a person builds alone or with force replaces them. What a run has built is left alone without --replace.

    The table itself is only read. Stopped anywhere, the same command goes on: what came in with the same content is not imported again.

    Exit codes: 0 all came in or was there before, 1 some did not, 2 cannot be imported so, 130 stopped.

    \b
    ./backline import charts/skip_rate --from /old/skip_rate --partition dt --dry-run
    ./backline import charts/skip_rate --from /old/skip_rate --partition dt --first 2026-01-01 --last 2026-03-31
    ./backline import charts/daily_listeners --from listeners.csv --partition day
    """
    from platform_defs.cli.live import running_settings
    from platform_defs.execution.existing import Existing, ImportRefused
    from platform_defs.lake.engine import EngineError
    from platform_defs.ledger import Ledger
    from platform_defs.planning.places import NoSuchEndpoint, endpoint_named

    settings = running_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        contract = endpoint_named(endpoint, ledger.registry.current())
        if contract.kind != "endpoint":
            raise click.UsageError(_other_kind(contract))
        existing = Existing.at(path, form, partition)
        with _importer(settings, ledger, contract, existing, replace=replace) as importer:
            chosen = importer.look(first, last, empty=empty)
            if dry_run:
                _say(chosen, _standing(ledger, contract, chosen), as_json, replace=replace)
                return
            if not as_json:
                for note in chosen.notes:
                    click.echo(note)
            results: list[PartitionResult] = []
            with _progress(len(chosen.keys)) as tell, _dagster(settings, contract) as told:
                for part in importer.run(chosen):
                    results += part
                    told(part)
                    tell(len(part))
    except (NoSuchEndpoint, ImportRefused) as error:
        raise click.UsageError(str(error)) from error
    except EngineError as error:
        raise click.ClickException(f"{error}. What came in stays; the same command goes on") from error
    except KeyboardInterrupt:
        click.echo("Stopped: what came in stays; the same command goes on.", err=True)
        context.exit(130)
    finally:
        ledger.close()
    left = len(chosen.keys) - len(results)
    if as_json:
        _json(chosen, results)
    else:
        for line in _told(results, left):
            click.echo(line)
    context.exit(1 if left or not all(result.good for result in results) else 0)


@contextmanager
def _importer(settings: Settings, ledger: Ledger, contract: Contract, existing: Existing, *, replace: bool) -> Iterator[Importer]:
    """What imports, alone on its endpoint, as a run of its own whose session and leases end with it."""
    from platform_defs.build.loading import load_applied
    from platform_defs.execution.importing import Importer
    from platform_defs.execution.platform import Platform
    from platform_defs.lake.landing import LandingStore
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger.attended import attended
    from resources.engines import engines_of

    declared = load_applied(contract.domain, settings.home).declared.get(contract.key)
    if declared is None:
        raise click.ClickException(f"{contract.key} is not in the applied code of {contract.domain}: ./backline apply")
    with ExitStack() as stack:
        run = stack.enter_context(attended(ledger, f"import-{contract.table}"))
        if run is None:
            raise click.ClickException(f"another import into {contract.key} is at work: wait for it; what it brings in is not imported again")
        engines = engines_of(settings)
        stack.callback(engines.close)
        stack.callback(lambda: engines.engine("lake").release(run))
        lake, landing = Lake(settings.lake), LandingStore(settings.landing)
        platform = Platform(engines, lake, landing, ledger, None, lambda: datetime.now(UTC), run_logs=settings.logs / "runs")
        yield Importer(declared, ledger.registry.current(), existing, platform, run, replace=replace)


@contextmanager
def _dagster(settings: Settings, contract: Contract) -> Iterator[Callable[[Sequence[PartitionResult]], None]]:
    """Tells Dagster what came in, where there is one: its pages show these partitions as materialised."""
    if not (settings.dagster_home / "dagster.yaml").is_file():
        yield lambda results: None
        return
    from platform_defs.build.importing import tell_imported
    from platform_defs.build.instance import open_instance

    with open_instance(settings) as instance:
        yield lambda results: tell_imported(instance, contract, results)


@contextmanager
def _progress(partitions: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from platform_defs.cli.speech import console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    out = console(err=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        bar = progress.add_task("importing", total=partitions)
        yield lambda done: progress.advance(bar, done)


def _other_kind(contract: Contract) -> str:
    if contract.kind == "source":
        return f"{contract.key} is a source: only what its function yields comes in: ./backline backfill {contract.key} --from A --to B"
    return f"{contract.key} is an event type: its rows are made of events: ./backline land {contract.key} FILES --client NAME"


# --- saying --------------------------------------------------------------------------------------------------------------------------------------


def _standing(ledger: Ledger, contract: Contract, chosen: Extent) -> Counter[str]:
    """How many of the partitions are published already, by their origin."""
    return Counter(version.origin for version in ledger.partitions.published(contract.key, chosen.keys).values())


def _say(chosen: Extent, standing: Counter[str], as_json: bool, *, replace: bool) -> None:
    from platform_defs.cli.speech import show_json

    if as_json:
        show_json({"partitions": chosen.rows, "notes": chosen.notes, "published": standing})
        return
    for note in chosen.notes:
        click.echo(note)
    click.echo(f"{_partitions(len(chosen.keys))}, {chosen.keys[0]} to {chosen.keys[-1]}, {sum(chosen.rows.values()):,} rows: their columns fit.")
    if standing["imported"]:
        click.echo(f"{_partitions(standing['imported'])} of them imported before: again only where their content has changed.")
    if standing["built"]:
        does = "replaced" if replace else "left alone (--replace imports them)"
        click.echo(f"{_partitions(standing['built'])} of them built by runs: {does}.")
    click.echo("Nothing was published: this was a dry run. Rows are held against the checks when they are imported.")


def _told(results: Sequence[PartitionResult], left: int) -> Iterator[str]:
    published = [result for result in results if result.outcome == "published"]
    skipped = Counter(result.reason.split(" by run ")[0].rstrip(",") for result in results if result.outcome == "skipped")
    rows, aside = sum(result.rows for result in published), sum(result.counts.get("quarantined", 0) for result in published)
    yield f"{_partitions(len(published))} imported, {rows:,} rows" + (f", {aside:,} quarantined" if aside else "")
    for why, count in sorted(skipped.items()):
        yield f"{_partitions(count)} {_SKIPPED.get(why, why)}"
    bad = [result for result in results if not result.good]
    if bad:
        yield f"{_partitions(len(bad))} not imported; what was published of them stays:"
    for result in bad[:_SHOWN]:
        action = f". {result.failure.action}" if result.failure and result.outcome == "failed" else ""
        yield f"  {result.key} {result.outcome}: {result.reason}{action}"
    if len(bad) > _SHOWN:
        yield f"  and {len(bad) - _SHOWN:,} more: --json lists all"
    if left:
        yield f"{_partitions(left)} not reached: Spark does not answer. Once ./backline status says it does, the same command goes on"


_SKIPPED = {"imported already": "imported already, with the same content", "built": "left alone: a run has built them (--replace imports them)"}


def _json(chosen: Extent, results: Sequence[PartitionResult]) -> None:
    from platform_defs.cli.speech import show_json

    told: dict[str, Any] = {
        result.key: {"outcome": result.outcome, "rows": result.rows, "quarantined": result.counts.get("quarantined", 0), "reason": result.reason}
        for result in results
    }
    show_json({"notes": chosen.notes, "partitions": told, "not_reached": [key for key in chosen.keys if key not in told]})


def _partitions(number: int) -> str:
    return "1 partition" if number == 1 else f"{number:,} partitions"
