"""`backline apply`: the contracts written in assets/ become those in force."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click


@click.command()
@click.option("--check", is_flag=True, help="Only check: load, resolve, and whether contracts.json says the same. Needs nothing running.")
@click.option("--allow", metavar="KEY", multiple=True, help="A dataset whose breaking change or removal is decided. May be given several times.")
@click.option("--assets", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The domains' folder, if it is not assets/ of this checkout.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON.")
def apply(check: bool, allow: tuple[str, ...], assets: Path | None, quiet: bool, as_json: bool) -> None:
    """Check the contracts in assets/ and make them live.

    All domains or none: a wrong declaration or a breaking change refuses the whole, and what was applied before runs on. Otherwise tables are
    made or changed, the registry holds the new contracts with the git commit, assets/<domain>/contracts.json is written, and code locations
    load the new code. `up` does this at its start and whenever a file is saved. Doing it twice changes nothing.

    \b
    ./backline apply
    ./backline apply --check                             in CI, without any service
    ./backline apply --allow charts/skip_rate            a breaking change that is decided
    """
    from platform_defs.cli.speech import show_json
    from platform_defs.cli.up import assets_folder
    from platform_defs.running import applying
    from resources.settings import Settings, checkout

    folder = assets.absolute() if assets else assets_folder(checkout())
    if check:
        with tempfile.TemporaryDirectory() as scratch:
            written = applying.load(folder, Path(scratch))
        stale = applying.out_of_date(folder, written)
        if stale:
            names = "\n".join(f"  {path.relative_to(folder.parent)}" for path in stale)
            raise click.ClickException(f"these do not say what the declarations say; run ./backline apply and commit them:\n{names}")
        if as_json:
            show_json({"contracts": [contract.key for contract in written.all], "domains": sorted(written.contracts)})
        elif not quiet:
            click.echo(f"{len(written.all)} contracts of {len(written.contracts)} domains are sound")
        return
    report = applying.apply(Settings.load(), folder, allowed=allow, tell=lambda words: None if quiet or as_json else click.echo(words, err=True))
    if as_json:
        show_json({"added": report.added, "changed": report.changed, "removed": report.removed, "version": report.version, "notes": report.notes})
    elif not quiet:
        for word, keys in (("added", report.added), ("changed", report.changed), ("removed", report.removed)):
            if keys:
                click.echo(f"{word} {len(keys)}: {', '.join(keys)}")
        for note in report.notes:
            click.echo(f"  {note}")
        for path in report.files:
            click.echo(f"  wrote {path.relative_to(folder.parent)}")
        if not (report.added or report.changed or report.removed):
            click.echo("nothing changed")
    sys.stdout.flush()
