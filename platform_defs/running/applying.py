"""Makes what is written in `assets/` the contracts in force: all of it, or nothing with every reason at once.

    load -> resolve -> compare with the registry -> tables -> registry -> contracts.json -> copies that locations load

Each step is safe to do again, so an apply that was cut short is mended by the next. It imports authors' files and so runs in a process of its own.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from platform_defs.build.snapshot import Snapshot, activate, applied_domains, snapshot, withdraw
from platform_defs.contracts import registry_file
from platform_defs.contracts.compatibility import Change
from platform_defs.contracts.contract import Contract
from platform_defs.contracts.errors import ContractError, ContractErrors
from platform_defs.contracts.loading import domain_folders, load_domain
from platform_defs.contracts.places import short
from platform_defs.contracts.resolving import resolve
from platform_defs.planning.proposals import proposals
from platform_defs.planning.selection import nearest
from platform_defs.running import refusal
from platform_defs.running.home import accepts, wait_until

if TYPE_CHECKING:
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger
    from resources.settings import Settings

# Making a table is waiting for small commits: four at a time are done in a third of the time.
_TABLE_THREADS = 4
_SPARK_SECONDS = 300.0
# Of one domain: 2,000 assets load in 5 s, ten times that on a busy machine.
_LOAD_SECONDS = 120.0


class ApplyRefused(RuntimeError):
    """Nothing was applied; the message names every reason and what to do."""


@dataclass(frozen=True)
class Report:
    """What an apply did.

    Attributes:
        added, changed, removed: keys. version: of the registry, afterwards.
        notes: what to know, a sentence each: changes in words, tables made.
        files: `contracts.json` files that were written.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    version: int
    notes: tuple[str, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Written:
    """What the files say: the copies that were loaded, and the contracts of each domain."""

    copies: Mapping[str, Snapshot]
    contracts: Mapping[str, tuple[Contract, ...]]

    @property
    def all(self) -> tuple[Contract, ...]:
        """All contracts, by key."""
        return tuple(sorted((one for domain in self.contracts.values() for one in domain), key=lambda one: one.key))


def apply(settings: Settings, assets: Path, *, allowed: Collection[str] = (), tell: Callable[[str], None] = lambda _: None) -> Report:
    """Puts the contracts of a folder of assets in force.

    Args:
        allowed: keys whose breaking changes, removal among them, somebody has decided on.
        tell: gets what is being done, step by step.

    Raises:
        ApplyRefused: wrong declarations, breaking changes, a table that cannot follow. What was in force still is.
    """
    from platform_defs.lake.layout import Lake
    from platform_defs.ledger import Ledger

    with alone(settings.run / "apply.lock", tell):
        tell(f"loading {assets}")
        written = load(assets, settings.home)
        ledger = Ledger(settings.ledger_url)
        try:
            in_force = ledger.registry.current()
            notes = compared(written.all, in_force, allowed, lambda contract: in_use(ledger, contract), ledger.registry.earlier)
            todo = [contract for contract in written.all if _needs_tables(contract, in_force, Lake(settings.lake))]
            if todo:
                tell(f"making or changing tables of {len(todo)} {'dataset' if len(todo) == 1 else 'datasets'}")
                notes += ensure_tables(settings, todo, ledger.turns.at)
            done = ledger.registry.apply(written.all, git_ref(assets))
        finally:
            ledger.close()
        files = [assets / domain / registry_file.FILE for domain, contracts in written.contracts.items() if registry_file.write(assets / domain, contracts)]
        for copy in written.copies.values():
            activate(settings.home, copy)
        for domain in set(applied_domains(settings.home)) - written.copies.keys():
            withdraw(settings.home, domain)
        if assets.absolute() == settings.assets:
            refusal.accept(settings.run)  # what was refused when it was saved may have been allowed by hand
    return Report(done.added, done.changed, done.removed, done.version, tuple(notes), tuple(files))


def load(assets: Path, home: Path) -> Written:
    """Copies and loads every domain, and judges their contracts against each other. Raises ApplyRefused with all that is wrong.

    Ends the process, with words, if a file's import does not come to an end.
    """
    folders = domain_folders(assets)
    if not folders:
        raise ApplyRefused(f"{assets} holds no domain: make one with ./backline new domain NAME")
    copies = {folder.name: snapshot(home, assets, folder.name) for folder in folders}
    problems: list[ContractError] = []
    contracts: dict[str, tuple[Contract, ...]] = {}
    for domain, copy in copies.items():
        try:
            with _in_time(home, domain):
                contracts[domain] = load_domain(copy.folder).contracts
        except ContractErrors as errors:
            problems += errors.errors
    if not problems:  # a domain that did not load would be missing everywhere
        try:
            resolve((one for domain in contracts.values() for one in domain), {})
        except ContractErrors as errors:
            problems += errors.errors
    if problems:
        raise ApplyRefused(said(problems))
    return Written(copies, contracts)


def compared(
    written: Sequence[Contract],
    in_force: Mapping[str, Contract],
    allowed: Collection[str],
    used: Callable[[Contract], bool],
    earlier: Callable[[Iterable[str]], Mapping[str, Sequence[Contract]]] = lambda keys: {},
) -> list[str]:
    """What changes, in words.

    Args:
        used: whether a dataset ever held anything. earlier: contracts that keys had before, newest first: their columns are in the tables still.

    Raises:
        ApplyRefused: breaking changes of datasets in use that nobody allowed, or something allowed that is no dataset.
    """
    notes: list[str] = []
    refused: list[str] = []
    now = {contract.key: contract for contract in written}
    unknown = sorted(set(allowed) - now.keys() - in_force.keys())
    if unknown:
        near = nearest(unknown[0], [*now, *in_force])
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ApplyRefused(f"Nothing was applied: --allow {unknown[0]} names no dataset{hint}")
    touched = [key for key in now.keys() | in_force.keys() if key not in now or key not in in_force or now[key].digest != in_force[key].digest]
    before = earlier(touched)
    for each in proposals({key: in_force[key] for key in touched if key in in_force}, {key: now[key] for key in touched if key in now}, before):
        stored = each.was or next(iter(before.get(each.key, ())), None)
        if each.breaking and each.key not in allowed and stored is not None and used(stored):
            refused += [f"{each.key} {_in_words(change)}" for change in each.breaking]
        elif each.what == "removed":
            notes.append(f"{each.key}: removed; its tables stay")
        elif each.was is not None or each.breaking:
            notes += [f"{each.key} {change.path}: {change.words}" for change in each.changes if change.kind != "text"]
    if refused:
        lines = "\n".join(f"  {line}" for line in refused)
        keys = " ".join(f"--allow {key}" for key in dict.fromkeys(line.partition(" ")[0] for line in refused))
        raise ApplyRefused(
            f"Nothing was applied: these changes break what reads, sends or is stored, or a promise about it:\n{lines}\n"
            f"Undo them or give the new form a new name. ./backline plan says whom they concern. If they are decided: ./backline apply {keys}"
        )
    return notes


def _in_words(change: Change) -> str:
    return change.words if change.path == "key" else f"{change.path}: {change.words}"


def in_use(ledger: Ledger, contract: Contract) -> bool:
    """Whether a dataset has a published partition or accepted events: only then can a change break anything."""
    if ledger.partitions.newest(contract.key, contract.cadence) is not None:
        return True
    today = datetime.now(UTC).date()
    return any(total.event == contract.key and total.accepted for total in ledger.landing.accounts("1970-01-01", str(today)))


def ensure_tables(settings: Settings, contracts: Sequence[Contract], turn: Callable[[str], AbstractContextManager[None]]) -> list[str]:
    """Makes or changes the tables of these contracts; what was done, in words.

    Args:
        turn: held while the tables of an endpoint are looked at and changed: nobody publishes meanwhile.

    Raises:
        ApplyRefused: a table cannot follow its contract.
    """
    from platform_defs.lake.layout import Lake
    from platform_defs.lake.tables import TableError, ensure_table
    from platform_defs.ledger.turns import TurnTaken
    from resources.engines import engines_of

    lake = Lake(settings.lake)
    # `up` applies while Spark starts: what there is to load and to compare is done meanwhile.
    port = urlsplit(settings.spark_lake.partition("/;")[0]).port
    if port is None or not wait_until(lambda: accepts(("127.0.0.1", port)), _SPARK_SECONDS):
        raise ApplyRefused("Nothing was applied: tables must be made or changed, and the Spark server does not answer. Its log: ./backline logs spark")
    engine = engines_of(settings).engine("lake")
    stamp = uuid.uuid4().hex
    lanes = [contracts[first::_TABLE_THREADS] for first in range(min(_TABLE_THREADS, len(contracts)))]

    def work(number: int, mine: Iterable[Contract]) -> tuple[list[str], list[str]]:
        done: list[str] = []
        wrong: list[str] = []
        run = f"apply-{stamp}-{number}"  # a session each: what a commit is signed with is a setting of the session
        try:
            session = engine.session(run)
            for contract in mine:
                try:
                    with turn(contract.key):
                        done += ensure_table(session, lake, contract)
                except (TableError, TurnTaken) as error:
                    wrong.append(str(error))
        finally:
            engine.release(run)
        return done, wrong

    with ThreadPoolExecutor(max_workers=_TABLE_THREADS) as pool:
        answers = list(pool.map(work, range(len(lanes)), lanes))
    wrong = [words for _, mine in answers for words in mine]
    if wrong:
        lines = "\n".join(f"  {line}" for line in sorted(wrong))
        raise ApplyRefused(f"Nothing was applied: these tables cannot follow their contracts:\n{lines}")
    return sorted(words for done, _ in answers for words in done)


def out_of_date(assets: Path, written: Written) -> list[Path]:
    """The `contracts.json` files that do not say what the declarations say."""
    found = []
    for domain, contracts in written.contracts.items():
        path = assets / domain / registry_file.FILE
        if not path.is_file() or path.read_text(encoding="utf-8") != registry_file.text_of(contracts):
            found.append(path)
    return found


def said(problems: Sequence[ContractError]) -> str:
    """All problems of a load, one a paragraph, each with its place first."""
    head = "1 thing is wrong" if len(problems) == 1 else f"{len(problems)} things are wrong"
    return "\n".join([f"Nothing was applied: {head}.", *(f"  {problem.where}\n      {problem.why}.\n      {problem.write}." for problem in problems)])


def git_ref(folder: Path) -> str:
    """The commit the folder's files come from, `+` behind it if they differ from it; `unversioned` outside git."""

    def git(*arguments: str) -> str | None:
        try:
            asked = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603, S607
        except (OSError, subprocess.TimeoutExpired):
            return None
        return asked.stdout.strip() if asked.returncode == 0 else None

    commit = git("rev-parse", "--short=12", "HEAD")
    if commit is None:
        return "unversioned"
    return commit + ("+" if git("status", "--porcelain", "--", ".") else "")


def _needs_tables(contract: Contract, in_force: Mapping[str, Contract], lake: Lake) -> bool:
    from platform_defs.lake.tables import head_version

    old = in_force.get(contract.key)
    return old is None or old.digest != contract.digest or head_version(lake.table(contract.key)) is None


@contextmanager
def alone(path: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """One apply at a time in a home; the second says for whom it waits."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            tell(f"waiting for another apply to end: {file.read()}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC")
        file.flush()
        yield


@contextmanager
def _in_time(home: Path, domain: str) -> Iterator[None]:
    """Whoever saves a mended file must not wait for one that hangs. An import that waits inside a library is ended by nothing less than the process."""
    timer = threading.Timer(_LOAD_SECONDS, _give_up, (threading.get_ident(), home, domain))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _give_up(thread: int, home: Path, domain: str) -> None:
    """Says where the loading thread is in an author's file, and ends the process."""
    copies = (home / "applied").resolve()  # as the loader names files
    frames = traceback.walk_stack(sys._current_frames()[thread])
    at = next((f": it was at {short(file)}:{line}" for frame, line in frames if Path(file := frame.f_code.co_filename).is_relative_to(copies)), "")
    words = f"Nothing was applied: assets/{domain} did not load within {_LOAD_SECONDS / 60:.0f} minutes{at}"
    sys.stderr.write(f"Error: {words}.\nFiles are imported to learn what they declare: move what waits or computes there into the function.\n")
    sys.stderr.flush()
    os._exit(1)
