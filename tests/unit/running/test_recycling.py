"""When the Spark server is started anew, and that nobody who uses it notices. The server is any child of that name here."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_defs.lake.engine import EngineError
from platform_defs.running.home import wait_until
from platform_defs.running.processes import Children, Spec
from platform_defs.running.recycling import Limits, Recycler, resident, size
from platform_defs.running.services import SPARK
from resources import spark_use
from resources.spark_use import ServerUse

GIB = 1024**3
DUE = Limits(age_seconds=0.0, patience_seconds=0.2)
PATIENCE = 30.0


@pytest.mark.parametrize(
    ("age", "held", "why"),
    [(3600.0, GIB, None), (90_000.0, GIB, "it is 25 hours old"), (3600.0, 6 * GIB, "it holds 6.0 GB, of which its heap is at most 2.0")],
    ids=["young and small", "old", "large"],
)
def test_a_server_is_due_by_age_or_by_memory(age: float, held: int, why: str | None) -> None:
    assert Limits().why(age, held, size("2g")) == why


@pytest.mark.parametrize(("said", "meant"), [("2g", 2 * GIB), ("700m", 700 * 1024**2), ("512K", 512 * 1024), ("1024", 1024)])
def test_sizes_as_java_writes_them(said: str, meant: int) -> None:
    assert size(said) == meant


def test_the_memory_of_a_process() -> None:
    assert resident(os.getpid()) > 10 * 1024**2
    assert resident(2**22 + 1) == 0


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    made = Children(tmp_path, f"test-{os.getpid()}-{time.monotonic_ns()}", lambda _: None)
    made.start(Spec(SPARK, (sys.executable, "-c", "import signal; signal.pause()")))
    yield made
    made.hurry()
    made.stop([])


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_server_that_is_not_due_is_left_alone(children: Children, tmp_path: Path, said: list[str]) -> None:
    before = children.pids()
    assert not Recycler(children, tmp_path, "2g", Limits(), said.append).once()
    assert children.pids() == before


def test_it_is_started_anew_only_when_nobody_uses_it(children: Children, tmp_path: Path, said: list[str]) -> None:
    recycler, before, user = Recycler(children, tmp_path, "2g", DUE, said.append), children.pids(), ServerUse(tmp_path)
    user.begin()
    assert not recycler.once()
    assert children.pids() == before
    user.end()
    assert recycler.once()
    assert children.pids() != before
    assert said == [f"{SPARK} was started anew between runs: it is 0 hours old"]


def test_who_begins_during_a_restart_waits_and_goes_on(tmp_path: Path) -> None:
    begun = threading.Event()
    user = ServerUse(tmp_path)

    def use() -> None:
        user.begin()
        begun.set()

    with ServerUse(tmp_path).alone(PATIENCE) as alone:
        assert alone
        thread = threading.Thread(target=use)
        thread.start()
        assert not begun.wait(0.2)
    assert begun.wait(PATIENCE)
    thread.join(PATIENCE)
    with ServerUse(tmp_path).alone(0.0) as alone:
        assert not alone
    user.end()


def test_who_waits_to_be_alone_lets_nobody_new_before_him(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, got = ServerUse(tmp_path), threading.Event()
    first.begin()

    def restart() -> None:
        with ServerUse(tmp_path).alone(PATIENCE) as alone:
            assert alone
            got.set()

    thread = threading.Thread(target=restart)
    thread.start()
    monkeypatch.setattr(spark_use, "_RESTART_SECONDS", 0.0)

    def refused() -> bool:
        late = ServerUse(tmp_path)
        try:
            late.begin()
        except EngineError:
            return True
        finally:
            late.end()
        return False

    assert wait_until(refused, 60)  # as soon as the other waits, its gate is closed
    assert not got.is_set()
    first.end()
    thread.join(PATIENCE)
    assert got.is_set()


def test_without_a_running_platforms_folder_nothing_is_locked(tmp_path: Path) -> None:
    user = ServerUse(tmp_path / "none")
    user.begin()
    user.end()
    assert not (tmp_path / "none").exists()
