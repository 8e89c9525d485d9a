"""`backline status` opens with root causes: what is at the far end of what waits, whether or not that has promised anything itself."""

from __future__ import annotations

from datetime import timedelta

from tests.system.cli.conftest import DAILY, PLAYED, RATE, TRACKS, Desk


def test_a_silent_receiver_is_the_cause_of_readers_that_are_overdue(desk: Desk) -> None:
    """Event types mostly have no deadline; what reads them has."""
    contracts = dict(desk.ledger.registry.current())
    contracts[PLAYED] = contracts[PLAYED].model_copy(update={"ready_within_seconds": None})
    desk.ledger.registry.apply(contracts.values(), "no deadline")
    hours = [desk.hour(ago) for ago in range(9 * 24)]
    desk.publish(TRACKS, *(desk.day(ago) for ago in range(1, 12)))
    desk.publish(PLAYED, *hours[8:])
    desk.publish(RATE, *hours[8:])
    silent = desk.now - timedelta(hours=9)
    held = contracts[PLAYED].lateness
    assert held is not None
    contracts[PLAYED] = contracts[PLAYED].model_copy(update={"lateness": held.model_copy(update={"hold_seconds": None})})
    desk.ledger.registry.apply(contracts.values(), "held for ever")
    desk.ledger.landing.beat("r2", silent, silent)

    (cause,) = desk.json("status", "--days", "3")["causes"]
    assert (cause["endpoint"], cause["state"], cause["partitions"][-1]) == (PLAYED, "waiting", hours[2])
    assert cause["reason"].startswith(
        f"receiver r2 silent since {silent:%Y-%m-%d %H:%M}: restart it or give it up with `backline collector lost r2 --why TEXT`"
    )
    assert RATE in cause["datasets"]
    assert set(cause["datasets"]) <= {RATE, DAILY}
    said = desk.run("status", "--days", "3")
    assert "1 thing broken; " in said
    assert f"  {PLAYED} waiting {cause['partitions'][0]} to {hours[2]} (" in said
    assert "Nothing is broken" not in said
