"""What the ledger forgets by age, and who may drop now."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_defs.contracts.partitions import key_at, shift
from platform_defs.ledger import Ledger, Outcome
from platform_defs.ledger.forgetting import ExpiredSegments
from platform_defs.ledger.reopenings import Reopening
from platform_defs.planning.facts import Published
from tests.fixtures.contracts import endpoint, event
from tests.system.ledger.telling import DAILY, EVENT, H2, H3, H4, H5, NOON, RATE, counts, failed, published, run, seal


def test_published_partitions_before_the_first_kept_are_told_in_one_look(filled: Ledger) -> None:
    filled.partitions.record([published(EVENT, hour) for hour in (H2, H3, H5)] + [published(DAILY, "2026-10-01")], run())
    assert filled.forgetting.expired({EVENT: H5, RATE: H5, DAILY: "2026-10-02"}) == {EVENT: (H2, H3), DAILY: ("2026-10-01",)}
    assert filled.forgetting.expired({EVENT: H2, DAILY: "2026-10-01"}) == {}
    assert filled.forgetting.expired({}) == {}


def test_what_is_forgotten_was_never_published_and_nobody_is_told(filled: Ledger) -> None:
    before = [shift(H2, -n) for n in range(30)]
    filled.partitions.record([published(EVENT, hour, counts=counts(3)) for hour in (*before, H3, H4)] + [published(RATE, H2)], run())
    _, cursor = filled.partitions.changed_since(0)
    for _ in range(2):
        filled.forgetting.forget_before(EVENT, H3)
        assert filled.partitions.published(EVENT, [*before, H3, H4]).keys() == {H3, H4}
        assert filled.partitions.ranges(EVENT, "hourly") == [(H3, H4)]
        assert filled.partitions.published(RATE, [H2]).keys() == {H2}
        assert filled.partitions.changed_since(cursor) == ([], cursor)
    filled.forgetting.forget_before(EVENT, "2026-10-02T00")
    assert filled.partitions.ranges(EVENT, "hourly") == []
    with filled.store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM partition_days").scalar_one() == 1  # the other endpoint's


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 80), min_size=1), st.integers(0, 81))
def test_exactly_the_partitions_before_go(filled: Ledger, places: set[int], first: int) -> None:
    zero = 497_000
    filled.partitions.forget(RATE, [key_at("hourly", zero + n) for n in range(81)])
    keys = [key_at("hourly", zero + n) for n in sorted(places)]
    filled.partitions.record([published(RATE, key) for key in keys], run())
    kept = [key for key in keys if key >= key_at("hourly", zero + first)]
    assert filled.forgetting.expired({RATE: key_at("hourly", zero + first)}).get(RATE, ()) == tuple(key for key in keys if key not in kept)
    filled.forgetting.forget_before(RATE, key_at("hourly", zero + first))
    assert list(filled.partitions.published(RATE, keys)) == kept
    covered = {key for low, high in filled.partitions.ranges(RATE, "hourly") for key in keys if low <= key <= high}
    assert covered == set(kept)


def test_a_forgotten_partition_that_is_built_again_is_new(filled: Ledger) -> None:
    filled.partitions.record([published(RATE, H2)], run())
    filled.forgetting.forget_before(RATE, H5)
    later = NOON + timedelta(days=1)
    filled.partitions.record([published(RATE, H2, at=later)], run("run-2", later))
    found: Published = filled.partitions.published(RATE, [H2])[H2]
    assert found.first_built_at == later


def test_troubles_reopenings_and_sums_of_what_landed_go_with_their_partitions(filled: Ledger) -> None:
    filled.partitions.record([failed(EVENT, H2), failed(EVENT, H4), failed(RATE, H2)], run())
    filled.landing.record_seal(seal(1, H2, H4))
    for hour in (H2, H4):
        filled.reopenings.add(Reopening(EVENT, hour, NOON, "why"))
    assert filled.forgetting.forget_beside({EVENT: H3, DAILY: "2026-10-02"}) == {"troubles": 1, "reopenings": 1, "landed hours": 1}
    assert set(filled.troubles.all()) == {(EVENT, H4), (RATE, H2)}
    assert filled.reopenings.of(EVENT, [H2, H4]).keys() == {H4}
    assert [change.hour for change in filled.landing.changed_since(0)[0]] == [H4]
    assert filled.forgetting.forget_beside({EVENT: H3}) == {"troubles": 0, "reopenings": 0, "landed hours": 0}


def test_segments_go_by_the_age_of_their_seal_and_what_was_never_built_is_told(filled: Ledger) -> None:
    filled.landing.record_seal(seal(1, H2, H3))
    filled.landing.record_seal(seal(2, H3, at=NOON + timedelta(days=1)))
    filled.partitions.record([published(EVENT, H2)], run())
    contract = filled.registry.current()[EVENT]
    cutoffs = {EVENT: (contract, NOON + timedelta(hours=1))}
    assert filled.forgetting.expired_segments(cutoffs) == {EVENT: ExpiredSegments(2, 20, (H3,))}
    assert filled.landing.expired(EVENT, [H2, H3]) == set()  # only told so far
    assert filled.forgetting.forget_segments(cutoffs) == 2
    assert filled.forgetting.forget_segments(cutoffs) == 0
    assert filled.forgetting.expired_segments(cutoffs) == {}
    assert filled.landing.expired(EVENT, [H2, H3]) == {H2, H3}
    assert [row.seal for row in filled.landing.segments(EVENT, [H3])[H3]] == [2]
    assert {change.hour: (change.segments, change.rows) for change in filled.landing.changed_since(0)[0]} == {H2: (1, 10), H3: (2, 20)}


def test_a_seals_number_is_free_again_once_it_is_forgotten(filled: Ledger) -> None:
    filled.landing.record_seal(seal(1, H2))
    filled.landing.record_seal(seal(2, H3, at=NOON + timedelta(days=1)))
    assert filled.forgetting.recorded_seals(NOON + timedelta(hours=1)) == {("r1", 1)}
    assert not filled.landing.record_seal(seal(1, H5))
    assert filled.forgetting.forget_seals([("r1", 1), ("r1", 99)]) == 1
    assert filled.landing.record_seal(seal(1, H5))


def test_history_of_more_than_thirty_days_goes(filled: Ledger) -> None:
    filled.partitions.record([failed(RATE, H3, lasting=True)], run())
    later = NOON + timedelta(days=31)
    filled.partitions.record([Outcome(RATE, H4, "skipped")], run("run-2", later))
    told = filled.forgetting.old_history(later)
    assert told == {"days of attempts and transitions": 2, "closed requests": 0}
    assert filled.forgetting.forget_history(later) == told
    assert filled.forgetting.old_history(later) == {"days of attempts and transitions": 0, "closed requests": 0}
    assert [attempt.run_id for attempt in filled.attempts.of(RATE, "hourly")] == ["run-2"]


def test_one_at_a_time_has_a_name_and_nobody_waits(filled: Ledger) -> None:
    other = Ledger(filled.store.engine.url.render_as_string(hide_password=False))
    try:
        with filled.forgetting.alone("retention of charts") as mine:
            assert mine
            with other.forgetting.alone("retention of charts") as theirs, other.forgetting.alone("retention of music") as elsewhere:
                assert (theirs, elsewhere) == (False, True)
            with filled.forgetting.alone("retention of charts") as again:
                assert not again  # whom the second left still has it
        with other.forgetting.alone("retention of charts") as theirs:
            assert theirs
    finally:
        other.close()


def test_a_chore_is_done_when_it_was_said_to_be(filled: Ledger) -> None:
    assert filled.forgetting.done_at("sweep") is None
    filled.forgetting.note_done("sweep", "run-1")
    filled.forgetting.note_done("sweep", "run-2")
    assert filled.forgetting.done_at("sweep") == NOON


def test_a_removed_contract_still_says_what_it_promised(filled: Ledger) -> None:
    assert filled.registry.retired() == {}
    old = filled.registry.current()[EVENT]
    filled.registry.apply([endpoint(DAILY, cadence="daily")], "two")
    assert {key: contract.digest for key, contract in filled.registry.retired().items() if key == EVENT} == {EVENT: old.digest}
    assert DAILY not in filled.registry.retired()
    filled.registry.apply([event(EVENT), endpoint(DAILY, cadence="hourly")], "three")  # another cadence: another history, the same name
    assert filled.registry.retired().keys() == {RATE}
