"""Children: ready before they count, started again when they die, ended in order and to the last grandchild, whatever ends the supervisor."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_defs.running import keeper, processes
from platform_defs.running.home import wait_until
from platform_defs.running.processes import ChildFailed, Children, Spec, Stopping

WAIT = "import sys, signal; print('up', flush=True); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
# A child whose child has a session of its own, as daemons do.
PARENT = f"import subprocess, sys, signal; subprocess.Popen([sys.executable, '-c', {DEAF!r}], start_new_session=True); signal.pause()"

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the mark is read from /proc")


def python(name: str, text: str, **more: object) -> Spec:
    return Spec(name, (sys.executable, "-c", text), **more)  # type: ignore[arg-type]


class Told:
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def __call__(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def heard(self, words: str) -> bool:
        return any(words in sentence for sentence in self.sentences)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def children(tmp_path: Path, told: Told) -> Iterator[Children]:
    made = Children(tmp_path, f"test-{os.getpid()}-{time.monotonic_ns()}", told)
    yield made
    if not made.stopping:
        made.hurry()
        made.stop([])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_start_returns_when_the_child_is_ready(children: Children, tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    pid = children.start(python("a", f"import time, pathlib; pathlib.Path({str(flag)!r}).touch(); time.sleep(60)", ready=flag.exists))
    assert flag.exists()
    assert children.pids() == {"a": pid}


def test_a_child_that_ends_while_it_starts_shows_the_end_of_its_log(children: Children) -> None:
    with pytest.raises(ChildFailed, match=r"a ended while it started \(exit code 3\)[\s\S]*no such thing"):
        children.start(python("a", "print('no such thing'); raise SystemExit(3)", ready=lambda: False))
    assert children.pids() == {}


def test_a_child_that_is_never_ready_is_ended(children: Children) -> None:
    with pytest.raises(ChildFailed, match=r"a was not ready after 0 s"):
        children.start(python("a", WAIT, ready=lambda: False, ready_seconds=0.2))
    assert children.pids() == {}


def test_a_program_that_is_not_there_is_named(children: Children) -> None:
    with pytest.raises(ChildFailed, match="a could not be started: /nowhere/java: No such file"):
        children.start(Spec("a", ("/nowhere/java",)))


def test_logs_are_private_and_bounded(children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES", 50_000)
    children.watch()
    children.start(python("a", "import time\nwhile True: print('x' * 999, flush=True); time.sleep(0.001)"))
    older = tmp_path / "a.log.1"
    assert wait_until(older.exists, 10)
    for log in (older, tmp_path / "a.log"):
        assert log.stat().st_mode & 0o777 == 0o600


def test_a_child_that_dies_comes_back_and_it_is_said(children: Children, told: Told) -> None:
    first = children.start(python("a", WAIT))
    children.watch()
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: told.heard("a started again"), 10)
    assert told.heard("a died (killed by SIGKILL); it starts again in 0.5 s")
    second = children.pids()["a"]
    assert second != first
    assert alive(second)


def test_whoever_wants_to_know_is_told_of_new_process_ids(tmp_path: Path, told: Told) -> None:
    pids: list[dict[str, int]] = []
    children = Children(tmp_path, f"test-{os.getpid()}-{time.monotonic_ns()}", told, changed=lambda now: pids.append(dict(now)))
    try:
        first = children.start(python("a", WAIT))
        assert wait_until(lambda: children.tail("a") == "up", 10)
        children.watch()
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: pids and pids[-1]["a"] != first, 10)
        assert pids[-1] == children.pids()
        assert wait_until(lambda: children.tail("a") == "up\nup", 10)
        children.stop_one("a")
        assert wait_until(lambda: pids[-1] == {}, 10)
    finally:
        children.hurry()
        children.stop([])


def test_a_child_that_dies_again_and_again_waits_longer_each_time(children: Children, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "BACKOFF_SECONDS", (0.0, 0.1, 0.3))
    broken = tmp_path / "broken"
    pid = children.start(python("a", f"import os, signal\nif not os.path.exists({str(broken)!r}): signal.pause()"))
    broken.touch()
    os.kill(pid, signal.SIGKILL)
    children.watch()
    assert wait_until(lambda: told.heard("again in 0.3 s"), 10)
    assert [s.partition(" in ")[2][:3] for s in told.sentences if "died" in s][:3] == ["0 s", "0.1", "0.3"]


@needs_proc
def test_a_child_whose_start_cannot_be_prepared_is_tried_again(children: Children, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "BACKOFF_SECONDS", (0.0,))
    troubles = [None, OSError(errno.ENOSPC, "No space left on device", "/spill"), None]

    def prepare() -> None:
        if (trouble := troubles.pop(0)) is not None:
            raise trouble

    pid = children.start(python("a", WAIT, before=prepare))
    children.watch()
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: told.heard("a started again"), 10)
    assert told.heard("a could not be started: /spill: No space left on device; it starts again in 0 s")


@needs_proc
def test_a_child_that_hangs_is_killed_and_comes_back(children: Children, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_ASK_SECONDS", 0.02)
    hangs = threading.Event()
    pid = children.start(python("a", WAIT, alive=lambda: not hangs.is_set(), silent_seconds=0.1))
    children.start(python("b", WAIT))
    children.watch()
    hangs.set()
    assert wait_until(lambda: told.heard("a has not answered for"), 20)
    hangs.clear()
    assert wait_until(lambda: told.heard("a started again"), 20)
    assert not alive(pid)
    assert not told.heard("b ")


def test_stop_ends_in_order_and_leaves_no_grandchild(children: Children, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    end = "import signal, sys\ndef end(*_):\n open({!r}, 'a').write({!r}); sys.exit()\n"
    say = end + "signal.signal(signal.SIGTERM, end); print('up', flush=True); signal.pause()"
    for name in ("one", "two", "three"):
        children.start(python(name, say.format(str(ends), name + " "), ready=lambda name=name: "up" in children.tail(name)))
    children.start(python("parent", PARENT, ready=lambda: "up" in children.tail("parent")))
    grand = keeper.marked(children._mark)
    assert len(grand) == 5
    children.stop([["three"], ["two"], ["one"]])
    assert ends.read_text().split() == ["three", "two", "one"]
    assert [pid for pid in grand if alive(pid)] == []


def test_a_child_deaf_to_sigterm_is_killed_at_its_deadline(children: Children) -> None:
    pid = children.start(python("a", DEAF, ready=lambda: "up" in children.tail("a"), stop_seconds=0.3))
    begun = time.monotonic()
    children.stop([["a"]])
    assert 0.3 <= time.monotonic() - begun < 5
    assert not alive(pid)


def test_hurry_does_not_wait(children: Children) -> None:
    pid = children.start(python("a", DEAF, ready=lambda: "up" in children.tail("a"), stop_seconds=60))
    stopping = threading.Thread(target=children.stop, args=([["a"]],))
    stopping.start()
    children.hurry()
    stopping.join(10)
    assert not stopping.is_alive()
    assert not alive(pid)


def test_whoever_waits_for_a_child_gives_up_when_it_is_time_to_stop(children: Children) -> None:
    raised: list[BaseException] = []

    def start() -> None:
        try:
            children.start(python("a", WAIT, ready=lambda: False))
        except Stopping as error:
            raised.append(error)

    starting = threading.Thread(target=start)
    starting.start()
    assert wait_until(lambda: bool(children.pids()), 10)
    pid = children.pids()["a"]
    children.stop([])
    starting.join(10)
    assert len(raised) == 1
    assert not alive(pid)
    with pytest.raises(Stopping):
        children.start(python("b", WAIT))


def test_replace_ends_the_old_before_the_new_starts(children: Children) -> None:
    first = children.start(python("a", WAIT))
    second = children.replace(python("a", WAIT))
    assert not alive(first)
    assert children.pids() == {"a": second}


def test_a_retired_child_gives_its_name_free_lives_on_and_ends_with_the_others(children: Children) -> None:
    old = children.start(python("a", WAIT))
    children.retire("a")
    new = children.start(python("a", WAIT))
    assert alive(old)
    assert children.pids() == {"a": new}
    children.stop([])
    assert not alive(old)
    assert not alive(new)


def test_a_program_that_ends_by_itself_gives_its_code_and_words(children: Children) -> None:
    children.watch()
    for words in ("first", "second"):
        assert children.run(python("a", f"print({words!r}); raise SystemExit(4)")) == (4, f"{words}\n")
    assert children.pids() == {}


SUPERVISOR = f"""
import sys, signal
from pathlib import Path
from platform_defs.running.processes import Children, Spec
children = Children(Path(sys.argv[1]), sys.argv[2], print)
children.start(Spec("deaf", (sys.executable, "-c", {DEAF!r}), ready=lambda: "up" in children.tail("deaf")))
children.start(Spec("parent", (sys.executable, "-c", {PARENT!r}), ready=lambda: "up" in children.tail("parent")))
print("up", flush=True)
signal.pause()
"""


@needs_proc
def test_kill_9_of_the_supervisor_leaves_nothing(tmp_path: Path) -> None:
    mark = f"test-{os.getpid()}-{time.monotonic_ns()}"
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(tmp_path), mark], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert len(keeper.marked(mark)) == 3
        process.kill()
    assert wait_until(lambda: not keeper.marked(mark), 15)


def test_a_restarted_child_is_a_new_process_and_nobody_elses_business(children: Children, told: Told, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    spec = python("one", f"from pathlib import Path; Path({str(ready)!r}).touch(); {WAIT}", ready=ready.exists, before=lambda: ready.unlink(missing_ok=True))
    before = children.start(spec)
    children.watch()
    children.restart("one")
    after = children.pids()["one"]
    assert after != before
    assert not alive(before)
    assert alive(after)
    assert told.sentences == []  # it did not die
    children.restart("nobody")  # harmless
    assert children.age("nobody") is None
