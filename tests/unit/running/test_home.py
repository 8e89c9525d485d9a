"""Home: folders and modes, one holder at a time, a killed holder's lock taken over, sockets short enough, ports."""

import os
import socket
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from platform_defs.running.home import AlreadyRunning, Home, HomeUnusable, accepts, free_port

HOLD = """
import sys
from pathlib import Path
from platform_defs.running.home import Home
home = Home(Path(sys.argv[1]))
home.prepare()
lock = home.lock()
lock.take()
lock.sign("mark-of-the-first")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("h") / "home")
    home.prepare()
    return home


def test_folders_are_private_where_they_must_be(home: Home) -> None:
    for name in ("run", "logs", "landing", "spool", "vault", "dagster"):
        assert stat.S_IMODE((home.root / name).stat().st_mode) == 0o700, name
    (home.root / "landing").chmod(0o755)
    home.prepare()
    assert stat.S_IMODE((home.root / "landing").stat().st_mode) == 0o700


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnusable, match=r"file/home.*Set BACKLINE_HOME"):
        Home(tmp_path / "file" / "home").prepare()


def test_second_holder_is_told_who_holds_it(home: Home) -> None:
    first, second = home.lock(), home.lock()
    assert first.take() is None
    first.sign("m")
    with pytest.raises(AlreadyRunning, match=rf"already runs in .*home \(process {os.getpid()}, since"):
        second.take()
    holder = second.holder()
    assert holder is not None
    assert (holder.pid, holder.mark) == (os.getpid(), "m")
    first.release()
    assert second.holder() is None
    assert second.take() is None
    second.release()


def test_lock_of_a_killed_holder_is_taken_over_with_its_mark(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(home.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning):
            home.lock().take()
        process.kill()
        process.wait()
    lock = home.lock()
    left = lock.take()
    assert left is not None
    assert left.mark == "mark-of-the-first"
    lock.release()


def test_release_that_is_not_clean_leaves_the_mark(home: Home) -> None:
    lock = home.lock()
    lock.take()
    lock.sign("m")
    lock.release(clean=False)
    left = home.lock().take()
    assert left is not None
    assert left.mark == "m"


def test_a_home_too_long_for_sockets_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    long = Path(tmp_path, *["a-long-name"] * 9)
    with pytest.raises(HomeUnusable, match="too long a path"):
        Home(long).prepare()
    assert not (tmp_path / "a-long-name").exists()


def test_a_wanted_port_is_given_if_free_and_another_if_not() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        with closing(free_port(taken)) as other:
            assert other.number != taken
    with closing(free_port(taken)) as port:
        assert port.number == taken


def test_a_held_port_is_given_to_nobody_and_listened_on_by_whom_it_is_for() -> None:
    """Two that start at once would else each find it free, and take the other's server for their own."""
    with closing(free_port()) as mine, closing(free_port(mine.number)) as other:
        assert other.number != mine.number
        for _ in range(2):  # the one it is for may be started again
            with socket.create_server(("127.0.0.1", mine.number)):
                assert accepts(("127.0.0.1", mine.number))
    with closing(free_port(mine.number)) as again:
        assert again.number == mine.number
