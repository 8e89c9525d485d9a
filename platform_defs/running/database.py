"""The process that holds the embedded Postgres, so that it is started, watched and ended like every other child.

    python -m platform_defs.running.database FOLDER READY

Starts the server of FOLDER, makes the file READY once its databases are there, ends with exit code 1 if the server dies, and stops it on SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from platform_defs.ledger.embedded import EmbeddedPostgres, PostgresError

_LOOK_SECONDS = 5.0  # a look starts a program, some 5 ms


def main(folder: Path, ready: Path) -> int:
    """Holds the server until it is told to end; the exit code."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ready.unlink(missing_ok=True)
    postgres = EmbeddedPostgres(folder)
    try:
        postgres.start()
        ready.touch()
        while not ended.wait(_LOOK_SECONDS):
            if not postgres.running():
                sys.stderr.write("Postgres ended by itself; what it said last is in server.log beside its data\n")
                return 1
    except PostgresError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        ready.unlink(missing_ok=True)
        postgres.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
