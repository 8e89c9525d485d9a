"""Verdicts: every reason, neighbours unharmed, one spelling out, no value in a message."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.collection.validation import BodyMalformed, Judge, Limits, rfc3339
from platform_defs.collection.verdicts import Judged
from tests.fixtures.collecting import CONTRACTS, NOW, PLAYED, RATED, encoded, played, rated

JUDGE = Judge(CONTRACTS)


def judged(body: Any, judge: Judge = JUDGE, form: Any = "batch") -> Judged:
    return judge.judge(body if isinstance(body, bytes) else encoded(body), form, "web", NOW)


def lines(one: Judged) -> list[dict[str, Any]]:
    return [json.loads(line) for group in one.groups for line in bytes(group.lines).splitlines()]


def raw(event: dict[str, Any], **swaps: str) -> bytes:
    """An event with JSON texts put in for the values of its data."""
    event = {**event, "data": {**event["data"], **{name: f"@{name}@" for name in swaps}}}
    body = json.dumps(event)
    for name, swap in swaps.items():
        body = body.replace(f'"@{name}@"', swap)
    return body.encode()


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != name}


BAD: dict[str, tuple[bytes, str, str]] = {
    "no object": (b"4", "malformed", "an event is a JSON object"),
    "no json": (b"nonsense", "malformed", "no JSON"),
    "half a surrogate": (raw(played(), track_id='"\\ud800"'), "malformed", "no JSON"),
    "invalid utf-8": (raw(played(), track_id='"SECRET"').replace(b"SECRET", b"SECRET\xff"), "malformed", "no JSON"),
    "number of 5000 digits": (raw(played(), ms_played="1" * 5000), "malformed", "no JSON"),
    "no version": (encoded(without(played(), "specversion")), "malformed", "missing: specversion"),
    "other version": (encoded(played(specversion="0.3")), "malformed", "literal_error: specversion"),
    "no id": (encoded(without(played(), "id")), "malformed", "missing: id"),
    "empty id": (encoded(played(id="")), "malformed", "string_too_short: id"),
    "long id": (encoded(played(id="SECRET" * 40)), "malformed", "string_too_long: id"),
    "numeric id": (encoded(played(id=7)), "malformed", "string_type: id"),
    "no type": (encoded(without(played(), "type")), "malformed", "missing: type"),
    "numeric type": (encoded(played(type=7)), "malformed", "string_type: type"),
    "unknown type": (encoded(played(type="SECRET/type")), "unknown_type", "no contract has this type"),
    "no time": (encoded(without(played(), "time")), "malformed", "missing: time"),
    "naive time": (encoded(played(at="2026-10-01T03:12:45")), "malformed", "timezone_aware: time"),
    "time as seconds": (encoded(played(at="1790823165")), "malformed", "datetime_parsing: time"),
    "time as a number": (encoded(played(time=1790823165)), "malformed", "string_type: time"),
    "no such day": (encoded(played(at="2026-09-31T03:12:45.000000Z")), "malformed", "datetime_parsing: time"),
    "no such day, other spelling": (encoded(played(at="2026-09-31T03:12:45+02:00")), "malformed", "datetime_parsing: time"),
    "before all calendars": (encoded(played(at="0001-01-01T00:00:00+10:00")), "malformed", "datetime_parsing: time"),
    "future": (encoded(played(at=rfc3339(NOW + timedelta(minutes=6)))), "out_of_range", "in_future: time"),
    "before start": (encoded(played(at="2026-09-19T23:59:59Z")), "out_of_range", "too_old: time"),
    "older than landing": (encoded(played(at=rfc3339(NOW - timedelta(days=8)))), "out_of_range", "too_old: time"),
    "no data": (encoded(without(played(), "data")), "schema", "missing: data"),
    "data no object": (encoded(played(data=[1])), "schema", "data"),
    "missing field": (encoded(played(data=without(played()["data"], "track_id"))), "schema", "missing: data.track_id"),
    "unknown field": (encoded(played(data={**played()["data"], "SECRET": 1})), "schema", "extra_forbidden: data.<unknown field>"),
    "text for a number": (raw(played(), ms_played='"SECRET"'), "schema", "int_type: data.ms_played"),
    "number for a text": (raw(played(), track_id="4"), "schema", "string_type: data.track_id"),
    "pattern": (raw(played(), track_id='"SECRET"'), "schema", "string_pattern_mismatch: data.track_id"),
    "choice": (raw(played(), platform='"SECRET"'), "schema", "literal_error: data.platform"),
    "no uuid": (raw(played(), play_id='"SECRET"'), "schema", "uuid_parsing: data.play_id"),
    "below": (raw(played(), ms_played="-1"), "schema", "greater_than_equal: data.ms_played"),
    "above": (raw(played(), ms_played="86400001"), "schema", "less_than_equal: data.ms_played"),
    "30 digits": (raw(played(), ms_played="1" * 30), "schema", "less_than_equal: data.ms_played"),
    "float for an integer": (raw(played(), ms_played="1.0"), "schema", "int_type: data.ms_played"),
    "null": (raw(played(), track_id="null"), "schema", "string_type: data.track_id"),
    "NaN": (raw(rated(), stars="NaN"), "schema", "finite_number: data.stars"),
    "1e400": (raw(rated(), stars="1e400"), "schema", "finite_number: data.stars"),
    "30 digits in 64 bits": (raw(rated(), parts='[{"client":"a","seconds":' + "9" * 30 + "}]"), "schema", "data.parts[0].seconds"),
    "inner unknown": (raw(rated(), parts='[{"client":"a","seconds":1,"SECRET":1}]'), "schema", "extra_forbidden: data.parts[0].<unknown field>"),
    "map value": (raw(rated(), notes='{"SECRET": 4}'), "schema", "string_type: data.notes.<key>"),
    "deep": (raw(played(), track_id="[" * 40 + "]" * 40), "too_large", "nested deeper than 32"),
    "very deep": (raw(played(), track_id="[" * 9000 + "]" * 9000), "too_large", "nested deeper than 32"),
    "deep attribute": (encoded(played(ext=[["SECRET"]])), "malformed", "<unknown attribute>"),
    "256 KB and more": (encoded(played(id="big", data={"SECRET": "x" * 262_144})), "too_large", "the limit is 262144"),
    "spaces count": (encoded(played()).replace(b'"data":', b'"data":' + b" " * 262_144), "too_large", "the limit is 262144"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_event_is_refused_with_its_reason_kept_whole_and_hurts_no_neighbour(name: str) -> None:
    body, reason, detail = BAD[name]
    one = judged(b"[ " + encoded(played(1)) + b" , " + body + b",\n" + encoded(rated(2)) + b"]")
    assert [verdict["status"] for verdict in one.verdicts] == ["accepted", "rejected", "accepted"]
    refused = one.verdicts[1]
    assert refused["reason"] == reason
    assert detail in str(refused["detail"])
    assert "SECRET" not in str(refused["detail"])
    assert [(kept.reason, kept.body, kept.size) for kept in one.rejected] == [(reason, body, len(body))]
    assert "SECRET" not in str(one.rejected[0].event)
    assert [line["id"] for line in lines(one)] == ["e1", "r2"]


def test_the_answer_names_each_event_in_order() -> None:
    one = judged([played(1), played(2, type="x/y"), played(3, id=""), played(4)])
    assert [(verdict["id"], verdict["status"]) for verdict in one.verdicts] == [("e1", "accepted"), ("e2", "rejected"), (None, "rejected"), ("e4", "accepted")]


@pytest.mark.parametrize("ids", [["a"], ["a", "b c"], ['"', "b"], ["\\", "é", "\x7f"], ["a", "x" * 201], []])
def test_the_answer_is_the_verdicts_and_lines_hold_the_id_whatever_is_in_it(ids: list[str]) -> None:
    one = judged([played(n, id=id_) for n, id_ in enumerate(ids)])
    rejected = len(one.rejected)
    assert json.loads(one.answer()) == {"received": len(ids), "accepted": len(ids) - rejected, "rejected": rejected, "events": one.verdicts}
    assert [verdict["id"] for verdict in one.verdicts] == [id_ if len(id_) < 201 else None for id_ in ids]
    assert [line["id"] for line in lines(one)] == [id_ for id_ in ids if len(id_) < 201]


def test_accepted_events_are_grouped_by_type_and_hour_in_one_spelling() -> None:
    one = judged(
        [
            played(1, at="2026-10-01T05:12:45+02:00", subject="dropped", dataschema="x"),
            played(2, at="2026-10-01T02:59:59.9999999Z"),
            rated(3, notes={"b": "2", "a": "1"}),
            played(4, at="2026-10-01t03:00:00z"),
        ]
    )
    assert [(group.event, group.hour, group.rows) for group in one.groups] == [
        (PLAYED.key, "2026-10-01T03", 2),
        (PLAYED.key, "2026-10-01T02", 1),
        (RATED.key, "2026-10-01T03", 1),
    ]
    assert bytes(one.groups[0].lines).splitlines()[0] == (
        b'{"client":"web","id":"e1","time":"2026-10-01T03:12:45.000000Z","received_at":"2026-10-01T03:30:00.000000Z","data":{"play_id":'
        b'"00000000-0000-0000-0000-000000000001","user_id":"user-1","email":null,"track_id":"trk_aaaaaaaa","ms_played":1,"platform":"ios"}}'
    )
    assert lines(one)[2]["time"] == "2026-10-01T02:59:59.999999Z"
    assert bytes(one.groups[2].lines).endswith(b'"data":{"stars":4.5,"notes":{"a":"1","b":"2"},"parts":[]}}\n')


def test_the_same_event_twice_and_an_id_with_another_payload_are_the_intakes_matter() -> None:
    one = judged([played(1), played(1), played(1, data={**played(1)["data"], "ms_played": 9})])
    assert [verdict["status"] for verdict in one.verdicts] == ["accepted"] * 3


def test_of_a_key_given_twice_the_last_holds() -> None:
    one = judged(b"[" + encoded(played(1)).replace(b'"ms_played": 1', b'"ms_played": "x", "ms_played": 2') + b"]")
    assert lines(one)[0]["data"]["ms_played"] == 2
    assert judged(b"[" + encoded(played(1)).replace(b'"ms_played": 1', b'"ms_played": 2, "ms_played": "x"') + b"]").rejected[0].reason == "schema"


@pytest.mark.parametrize("at", [rfc3339(NOW + timedelta(minutes=5)), rfc3339(NOW - timedelta(days=7))])
def test_the_ends_of_the_range_are_inside(at: str) -> None:
    assert judged([played(1, at=at)]).rejected == ()


@pytest.mark.parametrize("body", [b"", b" ", b"nonsense", b"[1", b'[{"a":"x}]', b"{}", b'"x"', b"\xff\xfe[]", b"[] x", b"\xef\xbb\xbf[]"])
def test_a_body_that_is_no_array_is_refused_whole(body: bytes) -> None:
    with pytest.raises(BodyMalformed):
        judged(body)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"{},{}", b"1],[2", encoded(played(1)) + b"," + encoded(played(2)), b'{"a":"\\ud800"}'])
def test_a_body_that_is_not_one_event_is_refused_whole(body: bytes) -> None:
    with pytest.raises(BodyMalformed):
        judged(body, form="single")


def test_one_event_alone_and_either_form() -> None:
    for form, body in (("single", encoded(played(1))), ("either", b" " + encoded(played(1))), ("either", b" [" + encoded(played(1)) + b"]")):
        assert [line["id"] for line in lines(judged(body, form=form))] == ["e1"]
    assert judged(raw(played(), track_id="[" * 300 + "]" * 300), form="single").rejected[0].reason == "too_large"
    assert judged(b"[]").verdicts == []


@pytest.mark.parametrize("contracts", [{}, {PLAYED.key: PLAYED}])
def test_few_contracts(contracts: dict[str, Any]) -> None:
    one = judged([played(1), rated(2)], Judge(contracts))
    assert [verdict["reason"] for verdict in one.verdicts] == [None if contracts else "unknown_type", "unknown_type"]
    assert one.unknown


def test_a_new_judge_takes_over_the_models_of_unchanged_contracts() -> None:
    narrower = PLAYED.model_copy(update={"fields": PLAYED.fields[:-1]})
    newer = Judge({PLAYED.key: narrower, RATED.key: RATED}, before=JUDGE)
    assert judged([rated(1), played(2)], newer).rejected[0].detail == "extra_forbidden: data.<unknown field>"


PARTS = st.lists(
    st.sampled_from([body for body, _, _ in BAD.values() if len(body) < 1000]) | st.integers(0, 99).map(lambda n: encoded(played(n))), min_size=1, max_size=12
)


@given(PARTS, st.sampled_from([400, 262_144]))
def test_a_verdict_does_not_depend_on_the_neighbours(parts: list[bytes], event_bytes: int) -> None:
    judge = Judge(CONTRACTS, Limits(event_bytes=event_bytes), JUDGE)
    together = judged(b"[" + b",".join(parts) + b"]", judge)
    alone = [judged(b"[" + part + b"]", judge) for part in parts]
    assert together.verdicts == [one.verdicts[0] for one in alone]
    assert [kept.body for kept in together.rejected] == [part for part, one in zip(parts, alone, strict=True) if one.rejected]
    assert sorted(map(str, lines(together))) == sorted(str(line) for one in alone for line in lines(one))
