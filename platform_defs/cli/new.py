"""`backline new`: files to begin with, a test beside each, that pass as they stand. What the files say is in `templates`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from platform_defs.contracts.contract import Contract

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@click.group()
def new() -> None:
    """Write a domain, event, endpoint or source, with its test, that passes as it stands. Then make it yours.

    \b
    ./backline new domain payments --owner team:payments
    ./backline new event payments/order_placed
    ./backline new endpoint payments/orders_per_hour --of payments/order_placed
    ./backline new source payments/exchange_rates
    ./backline test tests/assets/payments
    """


@new.command()
@click.argument("name")
@click.option("--owner", help="Who answers for it, as in team:payments; team:NAME unless given.")
@click.option("--purpose", default="product", show_default=True, help="What its data is for; people are told apart inside one purpose only.")
@click.option("--start", default=None, metavar="DAY", help="Its first day; today unless given.")
def domain(name: str, owner: str | None, purpose: str, start: str | None) -> None:
    """A folder of assets that one team owns.

    \b
    ./backline new domain payments
    ./backline new domain payments --owner team:money --purpose billing --start 2026-01-01
    """
    from datetime import UTC, datetime

    from platform_defs.build.processes import domains_of, workspace_text
    from platform_defs.cli import templates
    from platform_defs.contracts.partitions import PartitionKeyError, cadence_of

    _check(name, "a domain")
    first = start or f"{datetime.now(UTC):%Y-%m-%d}"
    try:
        daily = cadence_of(first) == "daily"
    except PartitionKeyError:
        daily = False
    if not daily:
        raise click.UsageError(f"{first!r} is no day: write it as 2026-10-01")
    root, assets = _places()
    files = {
        assets / name / "__init__.py": "",
        assets / name / "domain.py": templates.domain(name, owner or f"team:{name.replace('_', '-')}", purpose, first),
        root / "tests" / "assets" / name / "__init__.py": "",
        root / "tests" / "assets" / name / "test_domain.py": templates.domain_test(name),
    }
    written = _write(files)
    workspace = root / "workspace.yaml"
    listed = domains_of(workspace) if workspace.is_file() else []
    if name not in listed:
        workspace.write_text(workspace_text(sorted([*listed, name])), encoding="utf-8")
        written.append(workspace)
    _tell(written, root, f"./backline new event {name}/something_happened", f"./backline test tests/assets/{name}")


@new.command()
@click.argument("name")
def event(name: str) -> None:
    """An event type: something that happened, sent by a product. NAME is domain/what_happened.

    \b
    ./backline new event payments/order_placed
    """
    from platform_defs.cli import templates

    domain_, what = _key(name, "an event type")
    root, assets = _places()
    path = assets / domain_ / "events.py"
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    _refuse_declared(name, assets)
    tests = root / "tests" / "assets" / domain_
    written = _write(
        {tests / f"test_{what}.py": templates.event_test(domain_, what), **({} if (tests / "__init__.py").exists() else {tests / "__init__.py": ""})}
    )
    path.write_text(templates.event(domain_, what, before), encoding="utf-8")
    _tell([path, *written], root, f"./backline new endpoint {domain_}/{what}_per_hour --of {name}", f"./backline test tests/assets/{domain_}")


@new.command()
@click.argument("name")
@click.option("--of", "source_key", metavar="DATASET", help="The dataset it reads; the domain's first event type unless given.")
@click.option("--daily", is_flag=True, help="A partition a day; an hour unless given.")
def endpoint(name: str, source_key: str | None, daily: bool) -> None:
    """A dataset computed from others. NAME is domain/dataset.

    \b
    ./backline new endpoint payments/orders_per_hour --of payments/order_placed
    ./backline new endpoint payments/orders_per_day --of payments/order_placed --daily
    """
    from platform_defs.cli import templates

    domain_, what = _key(name, "an endpoint")
    root, assets = _places()
    known = _refuse_declared(name, assets)
    if source_key is None:
        source_key = next((key for key, contract in known.items() if contract.domain == domain_ and contract.kind == "event"), None)
        if source_key is None:
            raise click.UsageError(
                f"what does it read? Name a dataset with --of, or make an event type first: ./backline new event {domain_}/something_happened"
            )
    read = known.get(source_key)
    if read is None:
        raise click.ClickException(f"there is no {source_key}; declared are {', '.join(known) or 'none'}")
    if read.cadence == "daily":
        daily = True
    tests = root / "tests" / "assets" / domain_
    files = {
        assets / domain_ / f"{what}.py": templates.endpoint(what, read, daily=daily),
        tests / f"test_{what}.py": templates.endpoint_test(domain_, what, read, daily=daily),
    }
    if not (tests / "__init__.py").exists():
        files[tests / "__init__.py"] = ""
    _tell(_write(files), root, None, f"./backline test tests/assets/{domain_}")


@new.command()
@click.argument("name")
def source(name: str) -> None:
    """Data that is not events: a vendor's file, a table elsewhere, an API. NAME is domain/dataset.

    \b
    ./backline new source payments/exchange_rates
    """
    from platform_defs.cli import templates

    domain_, what = _key(name, "a source")
    root, assets = _places()
    _refuse_declared(name, assets)
    tests = root / "tests" / "assets" / domain_
    files = {assets / domain_ / f"{what}.py": templates.source(what), tests / f"test_{what}.py": templates.source_test(domain_, what)}
    if not (tests / "__init__.py").exists():
        files[tests / "__init__.py"] = ""
    _tell(_write(files), root, None, f"./backline test tests/assets/{domain_}")


def _places() -> tuple[Path, Path]:
    from platform_defs.cli.up import assets_folder
    from resources.settings import checkout

    assets = assets_folder(checkout())
    return assets.parent, assets


def _check(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} cannot be {what}'s name: write lower case words with underscores, as in order_placed")


def _key(name: str, what: str) -> tuple[str, str]:
    domain_, slash, own = name.partition("/")
    if not slash:
        raise click.UsageError(f"{name!r} lacks its domain: write domain/name, as in payments/order_placed")
    _check(domain_, "a domain")
    _check(own, what)
    _, assets = _places()
    if not (assets / domain_ / "domain.py").is_file():
        raise click.ClickException(f"there is no domain {domain_}: make it first with ./backline new domain {domain_}")
    return domain_, own


def _refuse_declared(name: str, assets: Path) -> dict[str, Contract]:
    """What is declared, by key; raises click.ClickException if the name is taken. A domain that does not load says so here already."""
    from platform_defs.contracts.loading import domain_folders, load_domain

    known = {contract.key: contract for folder in domain_folders(assets) for contract in load_domain(folder, fresh=True).contracts}
    if name in known:
        raise click.ClickException(f"{name} is declared already, as {known[name].kind}: choose another name")
    return known


def _write(files: dict[Path, str]) -> list[Path]:
    """Writes all files or, if one of them exists, none."""
    there = [path for path in files if path.exists()]
    if there:
        raise click.ClickException(f"{there[0]} exists already; nothing was written")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [path for path, text in files.items() if text]


def _tell(written: list[Path], root: Path, following: str | None, test: str) -> None:
    for path in written:
        click.echo(f"wrote {path.relative_to(root)}")
    click.echo(f"next: {test}" + (f"\n      {following}" if following else ""))
