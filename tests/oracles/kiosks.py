"""Every table of the kiosks by DuckDB, straight from the copies that receivers have accepted. Nothing here comes from the platform.

An event of which several copies came is the first by receiver and instant; another payload under its id is a conflict. What was handed in more than a
day after the first look at its hour is in the late table. Those instants lie hours apart from all limits, so it does not matter when exactly an hour was built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

# Above it is a till's test of itself.
DEAREST = 2_000

_TABLES = f"""
create table accepted as
select *, strftime(time, '%Y-%m-%dT%H') as hour,
       (select min(l.look) from looks l where l.look >= date_trunc('hour', time) + interval 62 minute) + interval 24 hour < handed_in as parked
from copies;

create table ranked as
select *, row_number() over first_come as turn, first_value(cents) over first_come as first_cents
from accepted where not parked window first_come as (partition by id order by receiver, handed_in, place);

create table cup_sold as
select hour, time, date_trunc('second', handed_in) as received, kiosk, drink, cents from ranked where turn = 1;

create table late as select hour, time, date_trunc('second', handed_in) as received, kiosk, drink, cents from accepted where parked;

create table accounted as
select hour, count(*) as landed, count(*) filter (turn = 1) as good, count(*) filter (turn > 1 and cents = first_cents) as duplicate,
       count(*) filter (turn > 1 and cents <> first_cents) as conflict, count(*) filter (turn is null) as parked
from (select hour, turn, cents, first_cents from ranked union all select hour, null, cents, null from accepted where parked) group by hour;

create table sales as
select hour, drink, count(*) as cups, sum(cents)::bigint as cents, max(cents) as dearest from cup_sold where cents <= {DEAREST} group by all;

create table sales_day as select hour[:10] as day, drink, sum(cups)::bigint as cups, sum(cents)::bigint as cents from sales group by all;
"""


def oracle(copies: Iterable[Mapping[str, Any]], looks: Iterable[datetime]) -> duckdb.DuckDBPyConnection:
    """A DuckDB with every table as it must be in the end.

    Args:
        copies: accepted ones, in the order in which they were: receiver, handed_in, id, time, kiosk, drink, cents.
        looks: when the platform looked at what there was to build.
    """
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    rows = [{**copy, "time": _plain(copy["time"]), "handed_in": _plain(copy["handed_in"]), "place": place} for place, copy in enumerate(copies)]
    connection.register("given", pa.Table.from_pylist(rows))
    connection.register("given_looks", pa.table({"look": [_plain(look) for look in looks]}))
    connection.execute("create table copies as select * from given; create table looks as select * from given_looks")
    connection.execute(_TABLES)
    return connection


def _plain(instant: datetime) -> datetime:
    """UTC without saying so, as DuckDB's timestamps are."""
    return instant.replace(tzinfo=None)
