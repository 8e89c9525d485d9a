"""Processes that derive: the same answers as in this one, what goes wrong there told here, and none left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
import sqlalchemy as sa

from platform_defs.execution.results import FailureKind
from platform_defs.execution.withheld import RunLog
from platform_defs.privacy.deriving import ERASED_AT, PSEUDONYM, Wanted, derived, pseudonym
from platform_defs.privacy.encryption import FieldCipher
from platform_defs.privacy.keys import FileKek, KeyProblem
from platform_defs.privacy.vault import Vault
from platform_defs.privacy.workers import Deriver, WorkerGone
from tests.fixtures.dagster import until
from tests.fixtures.people import people_of

WANTED = Wanted("person", "product", (("email", False), ("pin", True)))
# Asks, says which process answered, and waits to be killed.
ASKER = """
import sys, time
import pyarrow as pa
from platform_defs.privacy.keys import FileKek
from platform_defs.privacy.vault import Vault
from platform_defs.privacy.workers import Deriver
from platform_defs.privacy.deriving import Wanted
people = Deriver(Vault(sys.argv[1], FileKek("test", bytes(range(32)))), most=2, pays_from=1)
people.derived(Wanted("person", "product", ()), pa.table({"user_id": [str(n) for n in range(10)]}))
print(*people.pids, flush=True)
time.sleep(600)
"""


@pytest.fixture
def people(vault: Vault) -> Iterator[Deriver]:
    with Deriver(vault, most=2, pays_from=1) as made:
        yield made


def named(*whose: str) -> Any:
    """Each of these with an e-mail and, every other one, a pin."""
    return pa.table(
        {
            "user_id": pa.array(whose, pa.string()),
            "email": pa.array([f"{who}@x.example" for who in whose], pa.string()),
            "pin": pa.array([str(len(who)) if at % 2 else None for at, who in enumerate(whose)], pa.string()),
        }
    )


def processes(people: Deriver) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in people.pids]


def ask_for_ever(people: Deriver) -> None:
    while True:
        people.derived(WANTED, named(*map(str, range(2_000))))


def ended(process: psutil.Process) -> bool:
    """Also one that nobody has waited for yet: that is its new parent's matter."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_answers_are_those_of_this_process_in_order(vault: Vault, people: Deriver) -> None:
    whose = [f"user-{n}" for n in range(3_000)]
    [again, erased] = people_of(vault, [("person", "user-7"), ("person", "user-8")])
    with vault._engine.begin() as connection:
        connection.execute(sa.text("UPDATE persons SET generation = 1 WHERE lookup = :l"), {"l": vault.lookup("person", "user-7")})
        connection.execute(sa.text("INSERT INTO tombstones VALUES (:l, '2026-10-01T02:30:00Z')"), {"l": vault.lookup("person", "user-8")})
    rows = named(*random.Random(1).choices(whose, k=5_000))
    found = people.derived(WANTED, rows)
    assert len(people.pids) == 2
    assert found.to_pylist() == derived(vault, WANTED, rows).to_pylist()
    one = people.derived(WANTED, named("user-7", "user-8")).to_pylist()
    assert one[0][PSEUDONYM] == pseudonym(again._replace(generation=1), "product") != pseudonym(again, "product")
    assert (one[0][ERASED_AT], one[1][ERASED_AT]) == (None, datetime(2026, 10, 1, 2, 30, tzinfo=UTC))
    assert (one[0]["pin"], FieldCipher("pin").decrypt(erased.key, one[1]["pin"])) == (None, 6)
    assert FieldCipher("email").decrypt(again.key, one[0]["email"]) == "user-7@x.example"


def test_who_is_seen_there_first_is_known_here(vault: Vault, people: Deriver) -> None:
    found = people.derived(WANTED, named("new", "newer"))
    assert [pseudonym(each, "product") for each in people_of(vault, [("person", "new"), ("person", "newer")])] == found[PSEUDONYM].to_pylist()


def test_few_rows_start_no_process(vault: Vault) -> None:
    with Deriver(vault, most=2) as people:
        assert len(people.derived(WANTED, named("a", "b"))) == 2
        assert len(people.derived(WANTED, named())) == 0
        assert people.pids == []
    with Deriver(vault, most=1, pays_from=1) as alone:
        assert len(alone.derived(WANTED, named("a", "b"))) == 2
        assert alone.pids == []


def test_after_one_is_killed_another_is_started(people: Deriver, tmp_path: Path) -> None:
    people.derived(WANTED, named("a", "b"))
    killed = processes(people)
    for each in killed:
        each.kill()
    with pytest.raises(WorkerGone, match="ended with code -9") as gone:
        people.derived(WANTED, named("a", "b"))
    assert RunLog(tmp_path, "run").failure("a/b", "intake", "2026-10-01T00", gone.value).kind is FailureKind.ENGINE
    # The other one is met by whichever thread is asked next.
    for _ in range(2):
        try:
            people.derived(WANTED, named("a", "b"))
        except WorkerGone:
            continue
    assert len(people.derived(WANTED, named("a", "b"))) == 2
    assert not {each.pid for each in killed} & set(people.pids)


def test_what_is_raised_there_is_raised_here_as_what_it_is(vault: Vault, people: Deriver, tmp_path: Path) -> None:
    people.derived(WANTED, named("a", "b"))
    with vault._engine.begin() as connection:
        connection.execute(sa.text("UPDATE persons SET wrapped = (SELECT wrapped FROM persons ORDER BY lookup LIMIT 1)"))
    with pytest.raises(KeyProblem, match="epoch 1") as raised:
        people.derived(WANTED, named("a", "b"))
    assert "In another process" in raised.value.__notes__[0]
    nowhere = Vault(str(vault._engine.url.set(host="127.0.0.1", port=1, query={})), FileKek("test", bytes(32)))
    with Deriver(nowhere, most=2, pays_from=1) as lost, pytest.raises(sa.exc.OperationalError) as away:
        lost.derived(WANTED, named("a", "b"))
    failure = RunLog(tmp_path, "run").failure("a/b", "intake", "2026-10-01T00", away.value)
    assert (failure.kind, failure.lasting) == (FailureKind.ENGINE, False)


def test_they_end_with_what_asks_them(people: Deriver) -> None:
    people.derived(WANTED, named("a", "b"))
    left = processes(people)
    assert left
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_for_ever, people)
        people.close()
        assert isinstance(asking.exception(30), RuntimeError)  # WorkerGone, or that it is closed
    assert all(map(ended, left))
    with pytest.raises(RuntimeError, match="closed"):
        people.derived(WANTED, named("a", "b"))


def test_they_end_with_a_process_that_is_killed(vault: Vault) -> None:
    url = vault._engine.url.render_as_string(hide_password=False)
    root = str(Path(__file__).resolve().parents[3])
    asker = subprocess.Popen([sys.executable, "-c", ASKER, url], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root})
    assert asker.stdout is not None
    pids = [int(each) for each in asker.stdout.readline().split()]
    left = [psutil.Process(pid) for pid in pids]
    assert len(left) == 2
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    until(lambda: all(map(ended, left)), 30, "the processes have ended")
