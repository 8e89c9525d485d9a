"""Rules between contracts, each with the contracts that break it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from platform_defs.contracts.contract import Column, Contract
from platform_defs.contracts.errors import ContractError, ContractErrors
from platform_defs.contracts.resolving import resolve
from tests.fixtures.contracts import DAY, HOUR, as_of, contract, endpoint, event, lateness, reads

PLAYED = event("listening/track_played")
TRACKS = contract("catalogue/tracks", kind="source", cadence="daily")
PERSON = (Column(name="user_id", type="BINARY", mark="person"),)


def problems(*contracts: Contract, known: Mapping[str, Contract] | None = None) -> list[ContractError]:
    try:
        resolve(contracts, known or {})
    except ContractErrors as errors:
        return errors.errors
    return []


def test_what_fits_has_no_problem() -> None:
    rate = endpoint("charts/skip_rate", reads("listening/track_played", 0, 1), as_of("catalogue/tracks"))
    week = endpoint("charts/week", reads("charts/day", -6, 0, "days"), cadence="daily")
    day = endpoint(
        "charts/day",
        reads("listening/track_played", 0, 0, "days"),
        reads("listening/track_played", -6, 1),
        reads("charts/day", -1, -1, "days"),
        cadence="daily",
    )
    assert problems(rate, week, day, known={c.key: c for c in (PLAYED, TRACKS)}) == []


def test_an_unknown_input_is_named_with_what_was_meant() -> None:
    (problem,) = problems(endpoint("charts/rate", reads("listening/track_plaid")), PLAYED)
    assert (problem.where, problem.why) == ("charts/rate inputs['track_plaid']", "there is no listening/track_plaid")
    assert problem.write == "Did you mean listening/track_played?"
    (problem,) = problems(endpoint("charts/rate", reads("nothing/alike")))
    assert "declared" in problem.write


def test_what_a_domain_no_longer_declares_is_not_there() -> None:
    old = {c.key: c for c in (contract("charts/old"), PLAYED)}
    (problem,) = problems(endpoint("charts/rate", reads("charts/old"), reads("listening/track_played")), known=old)
    assert "there is no charts/old" in problem.why


def test_a_ring_is_told_once_with_its_way_and_a_self_read_is_none() -> None:
    ring = [
        endpoint("a/x", reads("a/y")),
        endpoint("a/y", reads("a/z")),
        endpoint("a/z", reads("a/x"), reads("a/z", -1, -1)),
        endpoint("a/reader", reads("a/x")),
    ]
    (problem,) = problems(*ring)
    assert problem.why == "it waits for itself: a/x reads a/y reads a/z reads a/x"


def test_a_ring_across_domains_is_found() -> None:
    known = {c.key: c for c in (endpoint("b/y", reads("a/x")),)}
    (problem,) = problems(endpoint("a/x", reads("b/y")), known=known)
    assert "a/x reads b/y reads a/x" in problem.why


def test_two_rings_are_two_problems() -> None:
    found = problems(endpoint("a/w", reads("a/x")), endpoint("a/x", reads("a/w")), endpoint("a/y", reads("a/z")), endpoint("a/z", reads("a/y")))
    assert [problem.why for problem in found] == ["it waits for itself: a/w reads a/x reads a/w", "it waits for itself: a/y reads a/z reads a/y"]


def test_a_chain_may_be_long() -> None:
    chain = [endpoint(f"a/n{i}", *([reads(f"a/n{i + 1}")] if i < 5000 else [])) for i in range(5001)]
    assert problems(*chain) == []


def test_a_name_twice() -> None:
    (problem,) = problems(event("a/x"), contract("a/x"))
    assert problem.why == "it is declared twice, as event and as endpoint"


def test_the_late_lane_of_an_event_is_taken() -> None:
    (problem,) = problems(PLAYED, contract("listening/track_played__late"))
    assert "late rows" in problem.why
    assert problems(contract("listening/something__late")) == []


@pytest.mark.parametrize(
    ("reader", "why", "write"),
    [
        (endpoint("c/r", reads("catalogue/tracks")), "daily, and an hour is only a part", "as_of('catalogue/tracks', within='3d')"),
        (endpoint("c/r", as_of("listening/track_played")), "hourly, and as_of takes daily", "hours=(-24, 0)"),
        (endpoint("c/r", reads("catalogue/tracks", -24, 0), cadence="daily"), "its window is in hours", "days="),
        (endpoint("c/r", reads("listening/track_played", -6, 0, "days"), cadence="daily"), "its window is in days", "hours=(-144, 0)"),
        (endpoint("c/r", reads("listening/track_played", 0, 0, "days")), "its window is in days", "hours=(0, 0)"),
    ],
)
def test_cadences_that_do_not_fit(reader: Contract, why: str, write: str) -> None:
    (problem,) = problems(reader, PLAYED, TRACKS)
    assert problem.where.startswith("c/r inputs[")
    assert why in problem.why
    assert write in problem.write


@pytest.mark.parametrize("mark", ["person", "personal"])
def test_personal_inputs_keep_their_purpose(mark: str) -> None:
    source = event("listening/opened", columns=(Column(name="who", type="BINARY", mark=mark),), purpose="product")  # type: ignore[arg-type]
    (problem,) = problems(source, endpoint("charts/x", reads("listening/opened"), purpose="marketing"))
    assert "the purpose 'product', and this is for 'marketing'" in problem.why
    assert 'purpose="product"' in problem.write


def test_what_holds_no_person_may_serve_any_purpose() -> None:
    counts = contract("charts/counts", columns=(Column(name="listeners", type="BIGINT", mark="people"),), purpose="product")
    assert problems(counts, endpoint("ads/x", reads("charts/counts"), purpose="marketing")) == []


def test_landing_outlives_the_last_rebuild_by_two_days() -> None:
    assert problems(event("a/x", lateness=lateness(settle=(HOUR, 5 * DAY)))) == []
    (problem,) = problems(event("a/x", lateness=lateness(settle=(HOUR, 5 * DAY + HOUR))))
    assert problem.where == "a/x lateness"
    assert 'landing="169h"' in problem.write
    assert problems(contract("a/x", kind="source", lateness=lateness(settle=(30 * DAY,)))) == []


def test_all_problems_come_at_once() -> None:
    found = problems(
        endpoint("a/x", reads("a/no")), endpoint("a/y", as_of("listening/track_played")), PLAYED, event("a/z", lateness=lateness(settle=(30 * DAY,)))
    )
    assert len(found) == 3
