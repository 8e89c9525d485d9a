"""Dagster's daemon with our intervals. Its backfill loop looks every 30 s and at changed locations every 60 s, both fixed in its code.

python -m platform_defs.build.daemon --workspace FILE
"""

from __future__ import annotations

import argparse

from platform_defs.build import dagster_private

# A backfill of 72 hours is three runs: at 30 s a look it waits longer than it works.
LOOP_SECONDS = 2
# A domain that was applied must be live within 15 s.
RELOAD_SECONDS = 10


def main() -> None:
    """Runs the daemon until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", required=True)
    asked = parser.parse_args()
    dagster_private.set_daemon_intervals(LOOP_SECONDS, RELOAD_SECONDS)
    dagster_private.run_daemon(asked.workspace)


if __name__ == "__main__":
    main()
