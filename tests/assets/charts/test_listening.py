"""Charts of listening, on rows written by hand."""

from __future__ import annotations

import pytest

from assets.charts.listening import daily_listeners, skip_rate
from assets.listening.events import TrackPlayed, TrackStarted
from platform_defs.execution.testing import Build, EndpointFailed, WrongRows


def test_skip_rate(build: Build) -> None:
    heard, left = TrackStarted.example(track_id="trk_aaaaaaaa"), TrackStarted.example(track_id="trk_aaaaaaaa")
    out = build(
        skip_rate,
        "2026-10-01T02",
        started=[heard, left],
        played=[TrackPlayed.example(play_id=heard.play_id)],
        tracks=[{"track_id": "trk_aaaaaaaa", "licensed": True}],
    )
    assert out.rows == [{"track_id": "trk_aaaaaaaa", "starts": 2, "plays": 1}]


def test_a_track_that_ends_in_the_next_hour_counts(build: Build) -> None:
    started = TrackStarted.example(track_id="trk_aaaaaaaa")
    played = {"2026-10-01T03": [TrackPlayed.example(play_id=started.play_id)]}
    out = build(skip_rate, "2026-10-01T02", started=[started], played=played, tracks=[{"track_id": "trk_aaaaaaaa", "licensed": True}])
    assert out.rows == [{"track_id": "trk_aaaaaaaa", "starts": 1, "plays": 1}]


def test_unlicensed_tracks_are_left_out(build: Build) -> None:
    out = build(skip_rate, "2026-10-01T02", started=[TrackStarted.example(track_id="trk_aaaaaaaa")], tracks=[{"track_id": "trk_aaaaaaaa", "licensed": False}])
    assert out.rows == []


def test_a_play_told_twice_counts_once(build: Build) -> None:
    started = TrackStarted.example(track_id="trk_aaaaaaaa")
    played = [TrackPlayed.example(play_id=started.play_id), TrackPlayed.example(play_id=started.play_id)]
    out = build(skip_rate, "2026-10-01T02", started=[started], played=played, tracks=[{"track_id": "trk_aaaaaaaa", "licensed": True}])
    assert out.rows == [{"track_id": "trk_aaaaaaaa", "starts": 1, "plays": 1}]


def test_listeners_are_counted_once_a_day(build: Build) -> None:
    morning = [TrackPlayed.example(user_id=name, track_id="trk_aaaaaaaa", ms_played=60_000) for name in ("ann", "bob")]
    evening = [TrackPlayed.example(user_id="ann", track_id="trk_aaaaaaaa", ms_played=30_000)]
    out = build(daily_listeners, "2026-10-01", played={"2026-10-01T08": morning, "2026-10-01T20": evening})
    assert out.rows == [{"track_id": "trk_aaaaaaaa", "listeners": 2, "plays": 3, "minutes": 2.5}]


def test_rows_of_hours_it_does_not_read_are_not_taken(build: Build) -> None:
    with pytest.raises(WrongRows, match=r"charts/skip_rate 2026-10-01T02 does not read listening/track_played 2026-10-01T04: it reads .*T02 to .*T03"):
        build(skip_rate, "2026-10-01T02", played={"2026-10-01T04": [TrackPlayed.example()]})


def test_what_would_be_refused_fails_the_test(build: Build) -> None:
    out = build(daily_listeners, "2026-10-01", played=[{"track_id": None, "user_id": "ann", "ms_played": 1}])
    assert not out.checks["contract"].passed
    with pytest.raises(EndpointFailed, match="track_id: not_nullable: 1 row"):
        _ = out.rows
