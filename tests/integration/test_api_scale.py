"""What an answer costs does not depend on how many measurements there are: five million, or fifty thousand.

Both databases hold the whole federal network, in the order in which ingestion would have stored it: one the
last day, the other three months. Cost is the pages that each route's real statement reads, counted by
PostgreSQL: another machine counts the same. A deeper index is all that may be added.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql

from alpimonitor_api.app import ROOMS
from alpimonitor_api.token_file import Scope
from alpimonitor_rehearsal import hydrology
from tests.api_client import BASE, serving
from tests.bearers import Bearers
from tests.databases import PostgresForTests, new_database
from tests.federal_network import make_network
from tests.plans import PLANS, Plan, explained, recorded

NOW = datetime(2026, 7, 1, 12, 5, tzinfo=UTC)
NEWEST = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)
DAYS = 90
STEPS_A_DAY = 144
SERIES = 412  # of 233 stations: as many have a discharge, a level or both
FEW, MANY = 121, DAYS * STEPS_A_DAY  # payloads: 49,852 measurements, and 5,339,520
ROOM = 1_500_000_000  # bytes, with what PostgreSQL sorts for the index

FILL = """
INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at)
SELECT sensor.id, at, 100 + mod(step, 50), at + interval '3 minutes'
  FROM generate_series({steps} - 1, 0, -1) AS step
 CROSS JOIN LATERAL (SELECT {newest}::timestamptz - step * interval '10 minutes') AS moment (at)
 CROSS JOIN sensor"""
RUNS = """
INSERT INTO ingestion_run (source, status, started_at, completed_at, archive_path)
SELECT 'LINDAS_HYDRO', 'SUCCESS', at, at, 'archive'
  FROM generate_series({steps} - 1, 0, -1) AS step
 CROSS JOIN LATERAL (SELECT {newest}::timestamptz - step * interval '10 minutes') AS moment (at)"""
EVENTS = """
INSERT INTO alert (station_id, type, level, opened_at, closed_at)
SELECT id, 'STATION_OFFLINE', 'INFO', {newest}::timestamptz - interval '2 hours', closed_at
  FROM station, (VALUES (NULL), ({newest}::timestamptz)) AS moment (closed_at);
INSERT INTO threshold_audit (station_id, parameter, after, changed_by)
SELECT id, 'DISCHARGE', '{{"vigilanceValue": 1, "alertValue": 2, "direction": "ABOVE"}}', 'ada'
  FROM station"""


class Network(NamedTuple):
    """A database and how many measurements it holds."""

    url: str
    measurements: int


def _fill(url: str, steps: int) -> Network:
    """The index is built after the rows, in a third of the time; in the end every constraint is there."""
    with psycopg.connect(url, autocommit=True) as admin:
        make_network(admin, sorted({gauge.code for gauge in hydrology.gauges()}))
        admin.execute(
            "DELETE FROM sensor WHERE id IN (SELECT id FROM sensor WHERE parameter = 'WATER_LEVEL'"
            " ORDER BY station_id OFFSET %s)",
            (SERIES - 233,),
        )
        admin.execute("SET maintenance_work_mem = '512MB'")
        constraints = admin.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = 'measurement'::regclass AND contype IN ('p', 'f') ORDER BY contype DESC"
        ).fetchall()
        for name, _ in constraints:
            admin.execute(sql.SQL("ALTER TABLE measurement DROP CONSTRAINT {}").format(sql.Identifier(name)))
        admin.execute("ALTER TABLE measurement SET UNLOGGED")  # no crash, no log to keep
        told = {"steps": sql.Literal(steps), "newest": sql.Literal(NEWEST)}
        for statement in (FILL, RUNS, *EVENTS.split(";")):
            admin.execute(sql.SQL(statement).format(**told))
        for name, definition in constraints:
            admin.execute(
                sql.SQL("ALTER TABLE measurement ADD CONSTRAINT {} ").format(sql.Identifier(name))
                + sql.SQL(definition)
            )
        for table in ("measurement", "ingestion_run", "alert", "threshold_audit", "station", "sensor"):
            admin.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))
        counted = admin.execute("SELECT count(*) FROM measurement").fetchone()
    assert counted is not None
    return Network(url, counted[0])


def _skip_without_room(server: PostgresForTests) -> None:
    with psycopg.connect(server.admin_url) as admin:
        row = admin.execute("SELECT current_setting('data_directory')").fetchone()
    assert row is not None
    place = Path(row[0])
    try:
        free = shutil.disk_usage(place).free
    except OSError:  # on another machine, which has to have it
        return
    if free < ROOM:
        pytest.skip(f"five million measurements need {ROOM:,} bytes, and {place} has {free:,}")


@pytest.fixture
def few(postgres_server: PostgresForTests, migrated_template: str) -> Iterator[Network]:
    with new_database(postgres_server, template=migrated_template) as url:
        yield _fill(url, FEW)


@pytest.fixture
def many(postgres_server: PostgresForTests, migrated_template: str) -> Iterator[Network]:
    _skip_without_room(postgres_server)
    with new_database(postgres_server, template=migrated_template) as url:
        yield _fill(url, MANY)


def history(span: timedelta, aggregate: str) -> str:
    begin = (NEWEST - span).isoformat().replace("+00:00", "Z")
    end = NEWEST.isoformat().replace("+00:00", "Z")
    return f"{BASE}/stations/2011/measurements?from={begin}&to={end}&aggregate={aggregate}"


HALF_A_DAY = timedelta(hours=12)
ASKED = {
    f"{BASE}/stations": [f"{BASE}/stations", f"{BASE}/stations?isActive=true"],
    f"{BASE}/stations/{{station}}": [f"{BASE}/stations/2011"],
    f"{BASE}/stations/{{station}}/measurements": [
        history(HALF_A_DAY, aggregate) for aggregate in ("raw", "hourly", "daily")
    ],
    f"{BASE}/status": [f"{BASE}/status"],
    f"{BASE}/health": [f"{BASE}/health"],
    f"{BASE}/catchments": [f"{BASE}/catchments"],
    f"{BASE}/glaciers": [f"{BASE}/glaciers"],
    f"{BASE}/withdrawals": [f"{BASE}/withdrawals"],
    f"{BASE}/alerts": [f"{BASE}/alerts", f"{BASE}/alerts?stationId=2011", f"{BASE}/alerts?active=true"],
    f"{BASE}/threshold-audits": [f"{BASE}/threshold-audits", f"{BASE}/threshold-audits?stationId=2011"],
    "/metrics": ["/metrics"],
}
"""Each GET route of the API, and what it is asked for."""


Executed = Callable[[str, Network, str], Plan]


@pytest.fixture
def auditor(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    bearers = Bearers(tmp_path)
    return bearers.file, bearers.add("ada", Scope.AUDITOR)


@pytest.fixture
def executed(auditor: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Executed:
    """What a route's statements read of a database, all of them together."""

    def execute(path: str, database: Network, plan: str) -> Plan:
        tokens, headers = auditor
        with serving(database.url, clock=lambda: NOW, api_tokens_file=tokens) as client:
            with recorded(monkeypatch) as asked:
                answer = client.get("/" + path, headers=headers)
            assert answer.status_code == 200, f"{path}: {answer.text}"
            assert asked, f"{path} asked the database for nothing"
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("SET jit = off")  # as the API's sessions do
            plans = [explained(connection, one, plan) for one in asked]
        return Plan(sum(one.pages for one in plans), [node for one in plans for node in one.nodes])

    return execute


def test_every_route_that_reads_is_asked() -> None:
    routes = {
        route.path for room in ROOMS for route in room.router.routes if "GET" in getattr(route, "methods", ())
    }
    assert routes == set(ASKED)


def test_no_answer_depends_on_how_many_measurements_there_are(
    few: Network, many: Network, executed: Executed
) -> None:
    """One test, because one worker is to make the databases, and once."""
    assert (few.measurements, many.measurements) == (FEW * SERIES, MANY * SERIES) == (49_852, 5_339_520)
    for database in (few, many):
        the_constraints_are_the_real_ones(database)
        the_list_of_stations_takes_one_step_in_the_index_for_each_sensor(database, executed)
    a_history_reads_its_range_and_nothing_else(many, executed)
    a_hundred_times_the_measurements_cost_no_more_than_a_deeper_index(few, many, executed)


def the_constraints_are_the_real_ones(database: Network) -> None:
    with psycopg.connect(database.url) as connection:
        names = connection.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'measurement'::regclass"
            " AND contype <> 'n' AND convalidated ORDER BY 1"
        ).fetchall()
    assert names == [("ck_measurement_value_finite",), ("fk_measurement_sensor_id",), ("pk_measurement",)]


def the_list_of_stations_takes_one_step_in_the_index_for_each_sensor(
    database: Network, executed: Executed
) -> None:
    for plan in PLANS:
        (step,) = executed(f"{BASE}/stations", database, plan).on("measurement")
        assert (step["Index Name"], step["Scan Direction"]) == ("pk_measurement", "Backward")
        assert (step["Actual Loops"], step["Actual Rows"]) == (SERIES, 1)


def a_history_reads_its_range_and_nothing_else(database: Network, executed: Executed) -> None:
    ranges = ((1, "raw"), (7, "raw"), (7, "hourly"), (30, "hourly"), (DAYS - 1, "daily"))
    for (days, aggregate), plan in product(ranges, PLANS):
        found = executed(history(timedelta(days=days), aggregate), database, plan)
        in_range = 2 * days * STEPS_A_DAY
        (read,) = found.on("measurement")
        assert read["Actual Rows"] * read["Actual Loops"] == in_range
        assert "pk_measurement" in {node.get("Index Name") for node in found.nodes}
        # Stored at other times, they lie a page each; and the index takes a hundredth of that.
        assert found.pages <= 1.05 * in_range + 50


def a_hundred_times_the_measurements_cost_no_more_than_a_deeper_index(
    few: Network, many: Network, executed: Executed
) -> None:
    pages: dict[tuple[str, str], tuple[int, int]] = {}
    for path, plan in product((path for paths in ASKED.values() for path in paths), PLANS):
        plans = [executed(path, database, plan) for database in (few, many)]
        pages[path, plan] = (plans[0].pages, plans[1].pages)
        for found in plans:
            assert "Seq Scan" not in {node["Node Type"] for node in found.on("measurement")}, (path, plan)
    assert {
        asked: (by_few, by_many) for asked, (by_few, by_many) in pages.items() if by_many > 1.5 * by_few + 8
    } == {}
