"""What `up` and `demo` say while they start."""

from __future__ import annotations

import pytest

from platform_defs.cli.up import progress
from platform_defs.running.supervisor import Progress


def test_what_an_author_is_told_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    words = 'mark it: Annotated[str, Personal("...")]; track_id matches trk_[a-z0-9]{8}; a text with [/b]'
    progress()(Progress("contracts", "failed", words))
    assert words in capsys.readouterr().out
