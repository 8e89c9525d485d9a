"""The proof of ranged functions finds the ones that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_defs.contracts.endpoints import EndpointDef
from platform_defs.contracts.loading import load_domain
from platform_defs.execution.ranging import RangedDiffers, prove_ranged
from platform_defs.execution.testing import Build

DOMAIN = """
from platform_defs.contracts import Domain

domain = Domain(owner="team:ranging", purpose="product", tier="normal", start="2026-01-01", retention="400d")
"""
EVENTS = '''
from uuid import UUID

from pydantic import Field

from platform_defs.contracts import Event


class Heard(Event):
    """Something was heard."""

    play_id: UUID
    track: str = Field(pattern=r"^t[0-9]$")
    seconds: float = Field(ge=0, le=9)
'''
ENDPOINT = '''
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from platform_defs.contracts import Schema, T, endpoint, field, window


class Seconds(Schema):
    """Seconds of a track."""

    track: T.StringType = field()
    seconds: T.DoubleType = field(ge=0)


@endpoint(schema=Seconds, partitions="hourly", ranged=True, inputs={"heard": HEARD})
def seconds(heard: DataFrame) -> DataFrame:
    """Seconds by track."""
    return RETURNED
'''


def endpoint_of(folder: Path, returned: str, heard: str = '"ranging/heard"') -> EndpointDef[...]:
    domain = folder / "ranging"
    domain.mkdir(parents=True)
    (domain / "domain.py").write_text(DOMAIN)
    (domain / "events.py").write_text(EVENTS)
    (domain / "seconds.py").write_text(ENDPOINT.replace("HEARD", heard).replace("RETURNED", returned))
    declaration = load_domain(domain).declared["ranging/seconds"].declaration
    assert isinstance(declaration, EndpointDef)
    return declaration


def test_a_function_that_keeps_the_hour_passes(build: Build, tmp_path: Path) -> None:
    whole = endpoint_of(tmp_path, 'heard.groupBy("hour", "track").agg(F.sum("seconds").alias("seconds"))')
    assert prove_ranged(build, whole, seed=1) > 0


@pytest.mark.parametrize(
    ("returned", "heard"),
    [
        # the hour is kept, but not in the grouping
        ('heard.groupBy("track").agg(F.max("hour").alias("hour"), F.sum("seconds").alias("seconds"))', '"ranging/heard"'),
        # a window over all that was given
        ('heard.select("hour", "track", F.sum("seconds").over(Window.partitionBy("track")).alias("seconds"))', '"ranging/heard"'),
        # rows of the neighbouring hour are counted to their own
        ('heard.groupBy("hour", "track").agg(F.sum("seconds").alias("seconds"))', 'window("ranging/heard", hours=(0, 1))'),
    ],
)
def test_one_that_mixes_hours_is_found(build: Build, tmp_path: Path, returned: str, heard: str) -> None:
    with pytest.raises(RangedDiffers, match=r"ranging/seconds: its function, called once for .* \(seed 1\).* remove ranged=True"):
        prove_ranged(build, endpoint_of(tmp_path, returned, heard), seed=1)
