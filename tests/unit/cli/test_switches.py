"""What `status` says of schedules and sensors that somebody switched off."""

from __future__ import annotations

from platform_defs.cli.switches import switched_off
from platform_defs.running.dagster_client import Switch

SWITCHES = [
    Switch("music", "music_hourly", "schedule", on=True),
    Switch("music", "music_late_data", "sensor", on=False),
    Switch("music", "music_daily", "schedule", on=False),
    Switch("sales", "sales_hourly", "schedule", on=False),
    Switch("sales", "weekly_mail", "schedule", on=False),
]


def test_each_is_named_with_what_it_leaves_undone_and_what_to_do() -> None:
    assert [each.words for each in switched_off(SWITCHES, ())] == [
        "schedule music_daily is switched off: nothing daily of music is asked for by itself; switch it on in the web pages, Automation",
        "sensor music_late_data is switched off: late rows, changed inputs and changes from outside of music are not followed; "
        "switch it on in the web pages, Automation",
        "schedule sales_hourly is switched off: nothing hourly of sales is asked for by itself; switch it on in the web pages, Automation",
        "schedule weekly_mail is switched off: what it does for sales is not done; switch it on in the web pages, Automation",
    ]


def test_a_domain_that_is_left_alone_is_not_told_of() -> None:
    assert [each.name for each in switched_off(SWITCHES, {"sales"})] == ["music_daily", "music_late_data"]
