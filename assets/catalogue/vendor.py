"""What a chart vendor says of tracks; its files come when they come."""

from collections.abc import Iterator
from typing import Annotated

import boto3
from pydantic import Field

from platform_defs.contracts import NotPersonal, NotReady, RawFile, Record, Window, current_secret, source


class ChartLine(Record):
    """One place of the vendor's chart."""

    isrc: str = Field(pattern=r"^[A-Z]{2}[A-Z0-9]{3}[0-9]{7}$", description="International Standard Recording Code")
    place: int = Field(ge=1, le=1000)
    title: Annotated[str, NotPersonal("titles of works")] = Field(min_length=1, max_length=300)
    weeks: int = Field(ge=0, le=5000, description="In the chart so far")


@source(row=ChartLine, partitions="daily", key=["isrc"], ready_within="9h", recheck="3d", secrets=["vendor_s3"])
def vendor_chart(at: Window) -> Iterator[RawFile]:
    """The vendor's daily chart: one CSV a day in their bucket."""
    s3, where = boto3.client("s3", **current_secret("vendor_s3")), {"Bucket": "vendor-drop", "Key": f"charts/{at.start:%Y/%m/%d}.csv.gz"}
    try:
        etag = s3.head_object(**where)["ETag"]
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        raise NotReady(f"{where['Key']} is not there yet", retry="10m") from None  # waiting, not failed
    yield RawFile(where["Key"], version=etag, format="csv", read=lambda: s3.get_object(**where, IfMatch=etag)["Body"])
