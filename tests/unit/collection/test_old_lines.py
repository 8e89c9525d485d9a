"""Lines of old files: every form becomes the CloudEvent it stands for, byte by byte; what is none is said to be none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_defs.collection.old_lines import old_line
from platform_defs.collection.validation import Judge, Limits
from tests.fixtures.collecting import CONTRACTS, NOW, PLAYED, event_contract, played

TYPE = PLAYED.key
FIELDS = [field.name for field in PLAYED.fields]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


def spelled(line: Any, fields: list[str] | None = None) -> Any:
    raw = line if isinstance(line, bytes) else json.dumps(line).encode()
    return old_line(7, raw, TYPE, FIELDS if fields is None else fields)


def test_a_cloud_event_stays_as_it_is() -> None:
    raw = json.dumps(played(1, client="web"), indent=1).replace("\n", " ").encode()
    assert (spelled(raw).event, spelled(raw).client, spelled(raw).type) == (raw, "web", TYPE)
    assert spelled(played(1)).client is None
    assert spelled(played(1, type="listening/other")).type == "listening/other"
    assert spelled(played(1, type=7)).type is None


def test_plain_forms_become_cloud_events() -> None:
    given = played(1)
    wanted = {"specversion": "1.0", "type": TYPE, "id": "e1", "time": given["time"], "data": given["data"]}
    wrapped = spelled({"id": "e1", "time": given["time"], "data": given["data"], "client": "web", "received_at": "2026-10-01T03:12:46.000001Z"})
    flat = spelled({"id": "e1", "time": given["time"], "client": "web", **given["data"]})
    for one in (wrapped, flat):
        assert json.loads(one.event) == wanted
        assert (one.client, one.type, one.number) == ("web", None, 7)
    assert "id" not in json.loads(spelled(given["data"]).event)  # it is missing, and validation says so
    assert spelled({"id": "e1", "type": "listening/other", "data": {}}).type == "listening/other"


def test_a_name_that_is_a_field_is_data() -> None:
    line = {"id": "e1", "time": "2026-10-01T03:00:00Z", "client": "a browser", "type": "home", "data": "x"}
    one = spelled(line, ["client", "type", "data"])
    assert (one.client, one.type) == (None, None)
    assert json.loads(one.event)["data"] == {"client": "a browser", "type": "home", "data": "x"}
    assert json.loads(one.event)["type"] == TYPE


@given(st.dictionaries(st.text(), JSON, min_size=1))
def test_data_keeps_its_spelling(data: dict[str, Any]) -> None:
    inner = json.dumps(data, separators=(" , ", " :\t"))
    one = old_line(1, f'{{"time":"t" , "data" :{inner}, "id":"e"}}'.encode(), TYPE, FIELDS)
    assert f'"data":{inner}'.encode() in (one.event or b"")
    named = {name: value for name, value in data.items() if name not in ("id", "time", "type", "client", "received_at", "data", "specversion")}
    assert json.loads(old_line(1, json.dumps({"id": "e", "time": "t", **named}).encode(), TYPE, FIELDS).event or b"")["data"] == named


@pytest.mark.parametrize(
    "raw", [b"", b"7", b"[1]", b'{"a":1', b'{"a":1}}', b'{"a" 1}', b'{"a":}', b'{"a":1,}', b"{7:1}", b'{"a":1 "b":2}', b'{"\xff":1}', b"nonsense"]
)
def test_what_is_no_object_is_no_event(raw: bytes) -> None:
    one = spelled(raw)
    assert (one.event, one.client, one.type, one.size) == (None, None, None, len(raw))


def test_numbers_that_only_a_text_can_hold_stay() -> None:
    digits = "1" * 5000
    one = spelled(f'{{"id":"e","time":"t","data":{{"n":{digits}}}}}'.encode())
    assert digits.encode() in one.event
    deep = b'{"id":"e","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert spelled(deep).event == deep


def test_how_old_history_may_be() -> None:
    """Back to the start, or as far as partitions are kept; never from the future; not where landing lost a part of the hour."""
    young = event_contract("listening/young", (), start="2020-01-01")
    judge = Judge({PLAYED.key: PLAYED, young.key: young}, Limits(history=True), gone={(TYPE, "2026-09-21T05")})

    def verdict(at: str, type: str = TYPE) -> str | None:
        event = played(at=at, type=type, **({} if type == TYPE else {"data": {}}))
        (found,) = judge.judge(json.dumps([event]).encode(), "batch", "web", NOW).verdicts
        return found["detail"]

    assert verdict("2026-09-20T00:00:00Z") is None
    assert verdict("2026-09-19T23:59:59Z") == "too_old: time"
    assert verdict("2026-09-21T05:00:00Z") == "landing_expired: time"
    assert verdict("2026-09-21T06:00:00Z") is None
    assert verdict("2026-10-01T04:00:00Z") == "in_future: time"
    # 400 days before NOW is 2025-08-27T03:30: its hour is the oldest that is kept.
    assert verdict("2025-08-27T03:00:00Z", young.key) is None
    assert verdict("2025-08-27T02:59:59Z", young.key) == "too_old: time"


def test_live_events_may_not_be_so_old() -> None:
    (found,) = Judge(CONTRACTS).judge(json.dumps([played(at="2026-09-21T05:00:00Z")]).encode(), "batch", "web", NOW).verdicts
    assert found["detail"] == "too_old: time"
