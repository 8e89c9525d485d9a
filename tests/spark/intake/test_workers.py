"""Processes that derive: the same answers as in this one, what goes wrong there told here, and none left behind."""

from __future__ import annotations

import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
import sqlalchemy as sa

from platform_defs.execution.failures import kind_of
from platform_defs.execution.results import FailureKind
from platform_defs.execution.withheld import RunLog
from platform_defs.privacy.deriving import ERASED_AT, PSEUDONYM, Wanted, derived, pseudonym
from platform_defs.privacy.encryption import FieldCipher
from platform_defs.privacy.keys import FileKek, KeyProblem
from platform_defs.privacy.vault import Vault, VaultUnavailable
from platform_defs.privacy.workers import Deriver, WorkerGone, serve
from tests.fixtures.dagster import until
from tests.fixtures.people import people_of

WANTED = Wanted("person", "product", (("email", False), ("pin", True)))
# Asks, says which processes answered, and stays as long as somebody may write to it.
ASKER = """
import sys
import psutil
import pyarrow as pa
from platform_defs.privacy.keys import FileKek
from platform_defs.privacy.vault import Vault
from platform_defs.privacy.workers import Deriver
from platform_defs.privacy.deriving import Wanted
people = Deriver(Vault(sys.argv[1], FileKek("test", bytes(range(32)))), most=2, pays_from=1)
people.derived(Wanted("person", "product", ()), pa.table({"user_id": [str(n) for n in range(10)]}))
print(*(child.pid for child in psutil.Process().children()), flush=True)
sys.stdin.read()
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


def processes() -> list[psutil.Process]:
    """Those of this process that run."""
    found = list[psutil.Process]()
    for child in psutil.Process().children():
        with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            if "platform_defs.privacy.workers" in child.cmdline():
                found.append(child)
    return found


def ended(process: psutil.Process) -> bool:
    """Also one that nobody has waited for yet: that is its new parent's matter."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two questions
        return True


def is_asked() -> bool:
    """Whether some thread of ours waits for one of them."""
    return any("workers.py" in frame.filename and frame.name == "ask" for top in sys._current_frames().values() for frame in traceback.extract_stack(top))


class Odd(Exception):
    """Can be told, and not understood."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)


class OddVault:
    """Raises it."""

    def people(self, kind: str, identifiers: Any) -> Any:
        raise Odd(kind, "other")


def test_answers_are_those_of_this_process_in_order(vault: Vault, people: Deriver) -> None:
    whose = [f"user-{n}" for n in range(3_000)]
    [again, erased] = people_of(vault, [("person", "user-7"), ("person", "user-8")])
    with vault._engine.begin() as connection:
        connection.execute(sa.text("UPDATE persons SET generation = 1 WHERE lookup = :l"), {"l": vault.lookup("person", "user-7")})
        connection.execute(sa.text("INSERT INTO tombstones VALUES (:l, '2026-10-01T02:30:00Z')"), {"l": vault.lookup("person", "user-8")})
    rows = named(*random.Random(1).choices(whose, k=60_000))
    found = people.derived(WANTED, rows)  # told in three parts
    assert len(processes()) == 2
    assert found.combine_chunks().equals(derived(vault, WANTED, rows).combine_chunks())
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
        assert processes() == []
    with Deriver(vault, most=1, pays_from=1) as alone:
        assert len(alone.derived(WANTED, named("a", "b"))) == 2
        assert processes() == []


def test_after_one_is_killed_another_is_started(people: Deriver, tmp_path: Path) -> None:
    people.derived(WANTED, named("a", "b"))
    killed = processes()
    for each in killed:
        each.kill()
    with pytest.raises(WorkerGone, match="ended with code -9") as gone:
        people.derived(WANTED, named("a", "b"))
    assert RunLog(tmp_path, "run").failure("a/b", "intake", "2026-10-01T00", gone.value).kind is FailureKind.ENGINE
    assert kind_of(gone.value) is FailureKind.ENGINE
    until(lambda: both_answer(people), 30, "in place of both that were killed there are others")
    assert not set(killed) & set(processes())


def both_answer(people: Deriver) -> bool:
    """Asks; whichever thread meets a dead one starts another with its next question."""
    with suppress(WorkerGone):
        people.derived(WANTED, named("a", "b"))
    return len(processes()) == 2


def test_after_half_an_answer_another_is_started(people: Deriver, monkeypatch: pytest.MonkeyPatch) -> None:
    people.derived(WANTED, named("a", "b"))
    receive = Connection.recv_bytes

    def too_large(self: Connection, maxlength: int | None = None) -> bytes:
        monkeypatch.setattr(Connection, "recv_bytes", receive)
        raise MemoryError

    monkeypatch.setattr(Connection, "recv_bytes", too_large)
    with pytest.raises(MemoryError):
        people.derived(WANTED, named("a", "b"))
    assert len(people.derived(WANTED, named("c", "d"))) == 2


def test_an_authors_time_limit_for_sockets_is_not_theirs(vault: Vault) -> None:
    socket.setdefaulttimeout(0.0001)
    try:
        with Deriver(vault, most=2, pays_from=1) as people:
            assert len(people.derived(WANTED, named("a", "b"))) == 2
    finally:
        socket.setdefaulttimeout(None)


def test_who_looks_at_them_from_outside_sees_no_secret(vault: Vault, people: Deriver) -> None:
    people.derived(WANTED, named("ada@x.example", "b"))
    password = vault._engine.url.password
    for each in processes():
        shown = "\n".join([*each.cmdline(), *each.environ().values(), *(file.path for file in each.open_files())])
        assert password
        assert not any(secret in shown for secret in (password, bytes(range(32)).hex(), "ada@x.example"))


def test_what_is_raised_there_is_raised_here_as_what_it_is(vault: Vault, people: Deriver, tmp_path: Path) -> None:
    people.derived(WANTED, named("a", "b"))
    with vault._engine.begin() as connection:
        connection.execute(sa.text("UPDATE persons SET wrapped = (SELECT wrapped FROM persons ORDER BY lookup LIMIT 1)"))
    with pytest.raises(KeyProblem, match="epoch 1") as raised:
        people.derived(WANTED, named("a", "b"))
    assert "In another process" in raised.value.__notes__[0]
    nowhere = Vault(str(vault._engine.url.set(host="127.0.0.1", port=1, query={})), FileKek("test", bytes(32)))
    with Deriver(nowhere, most=2, pays_from=1) as lost, pytest.raises(VaultUnavailable) as away:
        lost.derived(WANTED, named("a", "b"))
    assert "Connection refused" in away.value.__notes__[0]
    failure = RunLog(tmp_path, "run").failure("a/b", "intake", "2026-10-01T00", away.value)
    assert (failure.kind, failure.lasting) == (FailureKind.ENGINE, False)


def test_an_error_that_does_not_survive_the_way_is_told_in_words() -> None:
    ours, theirs = Pipe()
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve, theirs)
        ours.send_bytes(pickle.dumps(OddVault))
        for asked in (pickle.dumps((WANTED, stream(named("a")))), b"no question"):
            ours.send_bytes(asked)
        odd, unread = (pickle.loads(ours.recv_bytes()) for _ in range(2))
        ours.close()
        serving.result(30)
    assert (type(odd), "Odd: person" in str(odd)) == (RuntimeError, True)
    assert isinstance(unread, pickle.UnpicklingError)


def stream(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def test_they_end_with_what_asks_them(people: Deriver) -> None:
    people.derived(WANTED, named("a", "b"))
    left = processes()
    for each in left:
        each.suspend()  # so that a question is not answered before the end
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(people.derived, WANTED, named("a", "b"))
        until(is_asked, 30, "they are asked")
        people.close()
        assert isinstance(asking.exception(30), WorkerGone)
    assert left
    assert all(map(ended, left))
    assert processes() == []
    with pytest.raises(RuntimeError, match="closed"):
        people.derived(WANTED, named("a", "b"))


def test_they_end_with_a_process_that_is_killed(vault: Vault) -> None:
    url, root = vault._engine.url.render_as_string(hide_password=False), str(Path(__file__).resolve().parents[3])
    environment = {**os.environ, "PYTHONPATH": root}
    asker = subprocess.Popen([sys.executable, "-c", ASKER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert asker.stdout is not None
    pids = [int(each) for each in asker.stdout.readline().split()]
    left = [psutil.Process(pid) for pid in pids]
    assert len(left) == 2
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    until(lambda: all(map(ended, left)), 30, "the processes have ended")
