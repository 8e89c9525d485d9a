"""`backline plan`: what a change of contracts would do, before anybody does it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from platform_defs.contracts.contract import Contract
    from platform_defs.planning.estimates import Estimate
    from platform_defs.planning.facts import Facts
    from platform_defs.planning.proposals import Outlook, Proposal
    from platform_defs.running.committed import Committed

DEPLOYED = "deployed"
BREAKING = 3
_SENDERS_DAYS = 30


@dataclass(frozen=True)
class Against:
    """What is compared with.

    Attributes:
        what: in words. contracts: in force there. earlier: what keys were before, newest first.
        used: whether a dataset ever held anything; None where nobody can say.
        senders, outlooks, estimates: by key, as far as a running platform knows.
    """

    what: str
    contracts: Mapping[str, Contract]
    proposals: Sequence[Proposal]
    used: Mapping[str, bool] | None = None
    senders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outlooks: Mapping[str, Outlook] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] = field(default_factory=dict)

    def refused(self, proposal: Proposal) -> bool:
        """Whether `apply` would refuse it: it breaks something, and something is there to be broken."""
        return bool(proposal.breaking) and (self.used is None or self.used.get(proposal.key, False))


@click.command()
@click.option("--against", default=DEPLOYED, show_default=True, metavar="deployed|GIT_REF", help="The contracts in force, or those committed in a git ref.")
@click.option("--assets", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The domains' folder, if it is not assets/ of this checkout.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def plan(context: click.Context, against: str, assets: Path | None, as_json: bool) -> None:
    """What applying assets/ would do: changed datasets, what breaks, who reads them, which partitions are outdated or built again, how long that takes.

    Changes nothing. Against `deployed` it needs a running Backline and knows partitions, senders and times; against a git ref it needs nothing.
    A change breaks if readers, senders or stored rows cannot go on, or if a promise changes: shorter retention, wider access, a personal mark gone.
    What never held anything may change freely. Exit codes: 0 compatible, 3 breaking, 2 wrong usage, 1 the declarations are not sound, or nothing runs.

    \b
    ./backline plan
    ./backline plan --against main                       in CI, without any service
    ./backline plan --against HEAD --json
    """
    from platform_defs.cli.speech import show_json
    from platform_defs.cli.up import assets_folder
    from platform_defs.running import applying
    from platform_defs.running.committed import Committed, NoSuchRef
    from resources.settings import checkout

    folder = assets.absolute() if assets else assets_folder(checkout())
    say = _silent if as_json else _progress
    settings = commit = None
    try:  # before two seconds of loading
        if against == DEPLOYED:
            settings = _running()
        else:
            commit = Committed(folder, against)
    except NoSuchRef as error:
        raise click.UsageError(str(error)) from None
    say(f"loading {folder}")
    with tempfile.TemporaryDirectory() as scratch:
        written = {contract.key: contract for contract in applying.load(folder, Path(scratch)).all}
    found = _deployed(settings, written, say) if commit is None else _committed(commit, against, written)
    if as_json:
        show_json(_plain(found))
    else:
        _show(found)
    if any(found.refused(each) for each in found.proposals):
        context.exit(BREAKING)


def _running() -> Any:
    from platform_defs.cli.live import running_settings
    from resources.settings import NotRunning

    try:
        return running_settings()
    except NotRunning as error:
        raise click.ClickException(f"{error}, or compare with what is committed: ./backline plan --against HEAD") from None


def _committed(commit: Committed, ref: str, written: Mapping[str, Contract]) -> Against:
    from platform_defs.planning.proposals import proposals

    old = commit.contracts()
    earlier = commit.earlier(key for key in old.keys() | written.keys() if old.get(key) != written.get(key))
    return Against(f"{ref} ({commit.commit[:12]})", old, proposals(old, written, earlier))


def _deployed(settings: Any, written: Mapping[str, Contract], say: Any) -> Against:
    from platform_defs.ledger import Ledger
    from platform_defs.planning.proposals import proposals
    from platform_defs.running import applying

    ledger = Ledger(settings.ledger_url)
    try:
        old, now = ledger.registry.current(), datetime.now(UTC)
        earlier = ledger.registry.earlier(key for key in old.keys() | written.keys() if old.get(key) != written.get(key))
        found = proposals(old, written, earlier)
        say(f"{len(found)} {'dataset differs' if len(found) == 1 else 'datasets differ'}: looking at partitions")
        stored = {each.key: each.was or next(iter(earlier.get(each.key, ())), None) for each in found}
        used = {key: contract is not None and applying.in_use(ledger, contract) for key, contract in stored.items()}
        outlooks = _outlooks(ledger, found, old, now)
        return Against(
            what=f"what is deployed (registry version {ledger.registry.version()})",
            contracts=old,
            proposals=found,
            used=used,
            senders=_senders(ledger, found, now),
            outlooks=outlooks,
            estimates=_estimates(ledger, found, outlooks, old, settings.dagster_home),
        )
    finally:
        ledger.close()


def _outlooks(ledger: Any, found: Sequence[Proposal], old: Mapping[str, Contract], now: datetime) -> dict[str, Outlook]:
    from platform_defs.planning.proposals import concerned, outlook, rebuilt
    from platform_defs.planning.states import LOOK_BACK

    keys, reach = concerned(found, old)
    facts: Facts = ledger.facts(sorted(keys), now - LOOK_BACK - reach - timedelta(days=1), now)
    asked = rebuilt(found, facts, now)
    return {each.key: outlook(each, ledger.partitions.ranges(each.key, each.was.cadence) if each.was else [], asked.get(each.key, 0), now) for each in found}


def _senders(ledger: Any, found: Sequence[Proposal], now: datetime) -> dict[str, tuple[str, ...]]:
    """Clients that sent an event type in the last days, of those whose fields change."""
    events = {each.key for each in found if each.contract.kind == "event" and any(change.kind in ("field", "identity") for change in each.changes)}
    if not events:
        return {}
    totals = ledger.landing.accounts(str((now - timedelta(days=_SENDERS_DAYS)).date()), str(now.date()))
    return {key: tuple(sorted({total.client for total in totals if total.event == key})) for key in events}


def _estimates(ledger: Any, found: Sequence[Proposal], outlooks: Mapping[str, Outlook], old: Mapping[str, Contract], dagster_home: Path) -> dict[str, Estimate]:
    from platform_defs.cli.slots import backfill_slots
    from platform_defs.planning.estimates import RunShape, estimate, paces
    from platform_defs.planning.requests import MAX_KEYS

    known = paces(ledger.attempts.run_times([(each.key, old[each.key].cadence) for each in found if each.key in old]))
    slots = backfill_slots(dagster_home)
    estimates = {}
    for each in found:
        count = outlooks[each.key].outdated
        most = min(MAX_KEYS[each.contract.cadence], count)
        if count:
            estimates[each.key] = estimate([RunShape((each.key,), 0, -(-count // most), most)], known, slots)
    return estimates


# --- showing -------------------------------------------------------------------------------------------------------------------------------------


def _plain(found: Against) -> dict[str, Any]:
    datasets = []
    for each in found.proposals:
        estimate = found.estimates.get(each.key)
        datasets.append(
            {
                "key": each.key,
                "kind": each.contract.kind,
                "what": each.what,
                "breaking": found.refused(each),
                "used": None if found.used is None else found.used.get(each.key, False),
                "changes": [change.model_dump() for change in each.changes],
                "readers": each.readers,
                "further_readers": each.further,
                "senders": found.senders.get(each.key),
                "partitions": asdict(found.outlooks[each.key]) if each.key in found.outlooks else None,
                "rebuild_seconds": None if estimate is None or estimate.seconds is None else round(estimate.seconds, 1),
            }
        )
    broken = [each.key for each in found.proposals if found.refused(each)]
    return {"against": found.what, "compatible": not broken, "breaking": broken, "datasets": datasets}


def _show(found: Against) -> None:
    from platform_defs.cli.speech import console

    out = console()
    for each in found.proposals:
        refused = found.refused(each)
        verdict = "[red]breaking[/red]" if refused else "breaking, but it never held anything" if each.breaking else "compatible"
        out.print(f"{each.contract.kind} [bold]{each.key}[/bold] {each.what}, {verdict}")
        for change in each.changes:
            mark = "  ! " if change.breaking else "    "
            out.print(f"{mark}{change.path}: {change.words}", markup=False)
        for line in _lines(found, each):
            out.print(f"    {line}", markup=False)
    broken = [each.key for each in found.proposals if found.refused(each)]
    if not found.proposals:
        out.print(f"Nothing changes against {found.what}.", markup=False)
        return
    out.print()
    count = len(found.proposals)
    told = f"{count} {'dataset changes' if count == 1 else 'datasets change'} against {found.what}"
    if not broken:
        out.print(f"{told}; nothing breaks.", markup=False)
        return
    out.print(f"{told}; breaking: {', '.join(broken)}.", markup=False)
    allow = " ".join(f"--allow {key}" for key in broken)
    out.print(f"Undo that or give the new form a new name. If it is decided: ./backline apply {allow}", markup=False)


def _lines(found: Against, each: Proposal) -> list[str]:
    from platform_defs.cli.speech import span_words

    lines = []
    if each.readers:
        further = f"; and through them {', '.join(each.further)}" if each.further else ""
        lines.append(f"read by {', '.join(each.readers)}{further}")
    if found.senders.get(each.key):
        lines.append(f"sent in the last {_SENDERS_DAYS} days by {', '.join(found.senders[each.key])}")
    view = found.outlooks.get(each.key)
    if view is None:
        return lines
    if view.outdated:
        estimate = found.estimates.get(each.key)
        seconds = None if estimate is None else estimate.seconds
        time = f"about {span_words(seconds)}" if seconds is not None else "no past run to estimate from"
        lines.append(f"{view.outdated:,} partitions become outdated; to rebuild them ({time}): ./backline backfill {each.key} --outdated --downstream")
    if view.by_itself:
        lines.append(f"{view.by_itself:,} partitions are built by themselves")
    if view.new > view.by_itself:
        how = f"once applied, ./backline status --missing {each.key} says how"
        lines.append(f"{view.new - view.by_itself:,} earlier partitions come into being; they are built when somebody asks: {how}")
    if view.hidden:
        lines.append(f"{view.hidden:,} published partitions are deleted or not shown any more")
    return lines


def _progress(words: str) -> None:
    click.echo(words, err=True)


def _silent(words: str) -> None:
    pass
