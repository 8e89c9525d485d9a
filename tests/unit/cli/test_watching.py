"""A backfill being watched: Ctrl-C, a web server that goes away for a while, what is said of what was not built."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from platform_defs.cli.slots import backfill_slots
from platform_defs.cli.speech import span_words
from platform_defs.cli.watching import Watch, ask_to_cancel, progress, reasons, resume_words, unbuilt
from platform_defs.planning.facts import Trouble
from platform_defs.running.dagster_client import BackfillStatus, Progress


def status(word: str, built: int = 0, failed: int = 0, **runs: str) -> BackfillStatus:
    return BackfillStatus("b1", word, runs, {"c/rate": Progress(3, 0, built, failed), "c/day": Progress(1, 0, 1, 0)}, None)


GOING, DONE = status("REQUESTED", 1, r1="STARTED"), status("COMPLETED_SUCCESS", 3, r1="SUCCESS")
CANCELING, CANCELED = status("CANCELING", 1, r1="CANCELING"), status("CANCELED", 1, r1="CANCELED")


class Dagster:
    """Answers by a script; an exception in it is raised."""

    def __init__(self, *script: BackfillStatus | BaseException) -> None:
        self.script = list(script)
        self.cancelled: list[str] = []

    def backfill_status(self, identity: str) -> BackfillStatus:
        found = self.script.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    def cancel(self, identity: str) -> None:
        self.cancelled.append(identity)


def watch(dagster: Dagster, *answers: bool | type[BaseException]) -> tuple[BackfillStatus | None, list[str]]:
    """Watches to the end; the last state, and what was told. `answers`: what the person says at each Ctrl-C."""
    told: list[str] = []
    said = iter(answers)

    def cancel() -> bool:
        answer = next(said)
        if isinstance(answer, bool):
            return answer
        raise answer

    given: Any = dagster
    return Watch(given, "b1", lambda one: told.append(one.status), cancel, pause=lambda: None).to_the_end(), told


def test_it_is_watched_until_its_runs_have_ended() -> None:
    late = status("COMPLETED_SUCCESS", 3, r1="STARTED")
    assert watch(Dagster(GOING, late, DONE)) == (DONE, ["REQUESTED", "COMPLETED_SUCCESS", "COMPLETED_SUCCESS"])


def test_ctrl_c_lets_it_go_on() -> None:
    dagster = Dagster(GOING, KeyboardInterrupt())
    assert watch(dagster, False)[0] is None
    assert dagster.cancelled == []


@pytest.mark.parametrize("second", [KeyboardInterrupt, click.Abort])
def test_a_second_ctrl_c_at_the_question_lets_it_go_on(second: type[BaseException]) -> None:
    dagster = Dagster(KeyboardInterrupt())
    assert watch(dagster, second)[0] is None
    assert dagster.cancelled == []


def test_cancelled_it_is_watched_until_it_has_stopped() -> None:
    dagster = Dagster(GOING, KeyboardInterrupt(), CANCELING, CANCELED)
    assert watch(dagster, True)[0] == CANCELED
    assert dagster.cancelled == ["b1"]


def test_without_a_terminal_nothing_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", type("NoTerminal", (), {"isatty": lambda self: False})())
    assert not ask_to_cancel()


def test_a_web_server_that_starts_again_is_waited_for() -> None:
    gone = httpx.ConnectError("refused")
    assert watch(Dagster(GOING, *[gone] * 30, DONE))[0] == DONE
    with pytest.raises(click.ClickException, match=r"do not answer any more; the backfill goes on without them\. Watch or resume it: .*--resume b1"):
        watch(Dagster(*[gone] * 31))


def trouble(run: str, reason: str, state: Any = "refused") -> Trouble:
    return Trouble(state, reason, 1, datetime(2026, 10, 1, tzinfo=UTC), None, None, None, run)


def told(*troubles: tuple[str, str, Trouble]) -> Iterable[str]:
    return reasons(status("COMPLETED_FAILED", 1, r1="FAILURE"), {(endpoint, key): each for endpoint, key, each in troubles})


def test_what_was_not_built_is_counted_and_reasoned_by_its_own_runs() -> None:
    assert unbuilt(status("COMPLETED_FAILED", 1)) == {"c/rate": 2}
    assert told(
        ("c/rate", "2026-10-01T04", trouble("r1", "contract: 2 rows")),
        ("c/rate", "2026-10-01T03", trouble("r1", "contract: 2 rows")),
        ("c/rate", "2026-10-01T05", trouble("another", "not ours")),
        ("c/day", "2026-10-01", trouble("r1", "it raised", "stuck")),
    ) == ["c/day 2026-10-01 stuck: it raised", "c/rate 2026-10-01T03 and 1 more refused: contract: 2 rows"]


def test_many_reasons_are_cut() -> None:
    many = [("c/rate", f"2026-10-01T{n:02}", trouble("r1", f"reason {n}")) for n in range(14)]
    assert list(told(*many))[-1] == "and 4 more reasons: ./backline status"


def test_how_to_come_back_is_said() -> None:
    assert resume_words("abc") == "Watch or resume it: ./backline backfill --resume abc; cancel it: ./backline backfill --cancel abc"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (7200, "2 h"), (7800, "2 h 10 min"), (200_000, "2 d 7 h")]
)
def test_a_time_is_said_no_finer_than_it_is_known(seconds: float, words: str) -> None:
    assert span_words(seconds) == words


def test_the_backfills_slots_are_what_dagster_was_told(tmp_path: Path) -> None:
    assert backfill_slots(tmp_path) == 2
    (tmp_path / "dagster.yaml").write_text("concurrency: {runs: {tag_concurrency_limits: [{key: x, limit: 9}, {key: dagster/backfill, limit: 4}]}}")
    assert backfill_slots(tmp_path) == 4
    (tmp_path / "dagster.yaml").write_text("concurrency: {}")
    assert backfill_slots(tmp_path) == 2


def test_progress_is_a_line_whenever_something_has_changed(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=False) as shown:
        for one in (GOING, GOING, status("REQUESTED", 2, 1, r1="STARTED"), CANCELING):
            shown.tell(one)
    assert capsys.readouterr().err.splitlines() == [
        "2 of 4 partitions",
        "3 of 4 partitions, 1 failed",
        "2 of 4 partitions, being cancelled",
    ]
    with progress(quiet=True) as shown:
        shown.tell(GOING)
    assert capsys.readouterr().err == ""
