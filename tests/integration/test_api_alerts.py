"""/alerts against a real database: its filters, its pages, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from alpimonitor_api import ids
from alpimonitor_api.queries.alerts import ALERT_PAGE, Asked
from alpimonitor_api.shapes import AlertList
from tests.api_client import NOW, Client, error_of, serving, shaped

HOUR = timedelta(hours=1)


@pytest.fixture
def client(seeded_database: str) -> Iterator[Client]:
    with serving(seeded_database) as client:
        yield client


@pytest.fixture
def connection(seeded_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        yield connection


def opened(connection: psycopg.Connection, code: str, *, ago: timedelta, **changed: Any) -> str:
    """An alert of that station, opened so long ago: VIGILANCE of its discharge, open, unless changed."""
    row = {
        "station_id": ids.station_id(code),
        "type": "THRESHOLD_EXCEEDED",
        "level": "VIGILANCE",
        "parameter": "DISCHARGE",
        "trigger_value": 512.25,
        "threshold_value": 500,
        "opened_at": NOW - ago,
        "closed_at": None,
        **changed,
    }
    statement = sql.SQL("INSERT INTO alert ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Placeholder, row))
    )
    (identifier,) = connection.execute(statement, row).fetchone() or ()
    return str(identifier)


@pytest.fixture
def three(connection: psycopg.Connection) -> Mapping[str, str]:
    """The identifiers of three alerts: the newest first, as they are listed."""
    oldest = opened(connection, "2346", ago=30 * HOUR, level="ALERT", closed_at=NOW - 29 * HOUR)
    middle = opened(connection, "2011", ago=2 * HOUR)
    newest = opened(
        connection,
        "2011",
        ago=HOUR,
        type="STATION_OFFLINE",
        level="INFO",
        parameter=None,
        trigger_value=None,
        threshold_value=None,
    )
    return {"newest": newest, "middle": middle, "oldest": oldest}


def identifiers(client: Client, query: str = "") -> list[str]:
    answer = client.get(f"/alerts?{query}")
    assert answer.status_code == 200, answer.text
    return [str(alert.id) for alert in shaped(AlertList, answer).data]


def test_an_alert_says_where_what_and_how_long_it_has_lasted(
    client: Client, three: Mapping[str, str]
) -> None:
    answer = client.get("/alerts")
    shaped(AlertList, answer)
    newest, middle, oldest = answer.json()["data"]
    sion = {"id": str(ids.station_id("2011")), "name": "Sion", "ofevCode": "2011"}
    assert middle == {
        "id": three["middle"],
        "station": sion,
        "type": "THRESHOLD_EXCEEDED",
        "level": "VIGILANCE",
        "parameter": "DISCHARGE",
        "triggerValue": 512.25,
        "thresholdValue": 500,
        "openedAt": "2026-04-21T10:00:00Z",
        "closedAt": None,
        "durationSeconds": 7200,
    }
    assert oldest["closedAt"] == "2026-04-20T07:00:00Z"
    assert oldest["durationSeconds"] == 3600
    assert (newest["parameter"], newest["triggerValue"], newest["thresholdValue"]) == (None, None, None)


def test_an_open_alert_lasts_until_now_in_whole_seconds_and_never_less_than_nothing(
    connection: psycopg.Connection, client: Client
) -> None:
    opened(connection, "2011", ago=timedelta(seconds=90, microseconds=-1))
    opened(connection, "2346", ago=-HOUR)
    lasted = [alert["durationSeconds"] for alert in client.get("/alerts").json()["data"]]
    assert lasted == [0, 89]


def test_without_any_alert_the_list_is_empty(client: Client) -> None:
    answer = client.get("/alerts")
    assert (answer.status_code, answer.json()) == (200, {"data": []})
    assert answer.headers["X-Total-Count"] == "0"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["newest", "middle", "oldest"]),
        ("stationId=2011", ["newest", "middle"]),
        (f"stationId={ids.station_id('2346')}", ["oldest"]),
        ("stationId=9999", []),
        (f"stationId={ids.station_id('9999')}", []),
        ("stationId=%00", []),
        ("level=ALERT", ["oldest"]),
        ("type=STATION_OFFLINE", ["newest"]),
        ("type=STATISTICAL_ANOMALY", []),
        ("active=true", ["newest", "middle"]),
        ("active=false", ["oldest"]),
        ("stationId=2011&active=true&type=THRESHOLD_EXCEEDED&level=VIGILANCE", ["middle"]),
        ("stationId=2011&active=false", []),
        ("from=2026-04-21T10:00:00Z", ["newest", "middle"]),
        ("from=2026-04-21T10:00:00.000001Z", ["newest"]),
        ("to=2026-04-21T11:00:00Z", ["middle", "oldest"]),
        ("from=2026-04-21T12:00:00%2B02:00&to=2026-04-21T11:00:00Z", ["middle"]),
        ("from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z", ["newest", "middle", "oldest"]),
    ],
)
def test_filters_choose_and_one_that_matches_nothing_gives_an_empty_list(
    client: Client, three: Mapping[str, str], query: str, found: list[str]
) -> None:
    assert identifiers(client, query) == [three[name] for name in found]
    assert client.get(f"/alerts?{query}").headers["X-Total-Count"] == str(len(found))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2026-04-21T10:00:00Z&to=2026-04-21T10:00:00Z", "from: must be earlier than to"),
        ("from=2026-04-21T10:00:00", "from: must be a time with an offset"),
        ("to=yesterday", "to: must be a time with an offset"),
        ("level=HIGH", "level: must be one of 'INFO', 'VIGILANCE' or 'ALERT'"),
        ("type=alert", "type: must be one of 'THRESHOLD_EXCEEDED'"),
        ("active=perhaps", "active: must be true or false"),
        ("stationId=", "stationId: "),
        ("page=0", "page: must be a whole number from 1"),
        ("pageSize=201", "pageSize: must be a whole number from 1 to 200"),
        ("isActive=true", "isActive: is not known here; did you mean active?"),
        ("level=INFO&level=ALERT", "level: is given 2 times: give it once"),
    ],
)
def test_what_is_not_understood_is_named_with_its_remedy(client: Client, query: str, message: str) -> None:
    answer = client.get(f"/alerts?{query}")
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "VALIDATION_ERROR"
    assert error["message"].startswith(message)


def test_pages_hold_every_alert_once_also_those_opened_at_the_same_time(
    client: Client, connection: psycopg.Connection
) -> None:
    written = {opened(connection, "2011", ago=HOUR, closed_at=NOW) for _ in range(5)}
    pages = [client.get(f"/alerts?page={page}&pageSize=2") for page in (1, 2, 3, 4)]
    listed = [alert["id"] for page in pages for alert in page.json()["data"]]
    assert listed == sorted(written)
    assert [len(page.json()["data"]) for page in pages] == [2, 2, 1, 0]
    for number, page in enumerate(pages, start=1):
        told = {name: page.headers[name] for name in ("X-Total-Count", "X-Page", "X-Page-Size")}
        assert told == {"X-Total-Count": "5", "X-Page": str(number), "X-Page-Size": "2"}


def test_alerts_are_listed_also_while_there_is_no_context(database: str) -> None:
    with serving(database) as client:
        assert client.get("/alerts").json() == {"data": []}


def test_an_alert_whose_station_is_gone_is_neither_shown_nor_counted(
    client: Client, connection: psycopg.Connection, three: Mapping[str, str]
) -> None:
    connection.execute("SET session_replication_role = replica")
    connection.execute("DELETE FROM station WHERE ofev_code = '2011'")
    assert identifiers(client) == [three["oldest"]]
    assert client.get("/alerts").headers["X-Total-Count"] == "1"


MANY = 30_000


@pytest.fixture
def many(connection: psycopg.Connection) -> psycopg.Connection:
    """Thirty thousand closed alerts of all stations, a quarter of an hour apart."""
    with connection.transaction():
        # Checking each row's station would take longer than writing it.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(
            "INSERT INTO alert (station_id, type, level, parameter, opened_at, closed_at)"
            " SELECT codes[1 + n %% 7], 'THRESHOLD_EXCEEDED',"
            " (ARRAY['INFO', 'VIGILANCE', 'ALERT'])[1 + n %% 3], 'DISCHARGE',"
            " %(now)s - n * interval '15 minutes', %(now)s - n * interval '15 minutes' + interval '1 minute'"
            " FROM generate_series(1, %(many)s) AS n, (SELECT array_agg(id) AS codes FROM station) AS all_of",
            {"now": NOW, "many": MANY},
        )
    connection.execute("VACUUM ANALYZE alert")
    return connection


def plan_of(connection: psycopg.Connection, asked: Asked, mode: str, **given: object) -> list[dict[str, Any]]:
    """The steps of the plan, as the server makes it for a prepared statement in that `plan_cache_mode`."""
    parameters = {
        "now": NOW, "from_time": None, "to_time": None, "level": None, "type": None, "station_id": None,
        "ofev_code": None, "limit": 50, "offset": 0, **given,
    }  # fmt: skip
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", ALERT_PAGE[asked].decode())))
    text = ALERT_PAGE[asked].decode()
    for place, name in enumerate(names, start=1):
        text = text.replace(f"%({name})s", f"${place}")
    connection.execute(sql.SQL("SET plan_cache_mode = {}").format(sql.Literal(mode)))
    connection.execute(f"PREPARE page AS {text}".encode())
    values = sql.SQL(", ").join(sql.Literal(parameters[name]) for name in names)
    (found,) = connection.execute(
        sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE page({})").format(values)
    ).fetchone() or ([],)
    connection.execute("DEALLOCATE page")

    def steps(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield step
        for inner in step.get("Plans", ()):
            yield from steps(inner)

    return list(steps(found[0]["Plan"]))


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_no_filter_that_an_index_serves_reads_every_alert(many: psycopg.Connection, mode: str) -> None:
    day = {"from_time": NOW - 24 * HOUR, "to_time": NOW}
    for asked, given in (
        (Asked(of_one_station=True, active=None), {"ofev_code": "2011"}),
        (Asked(of_one_station=True, active=False), {"ofev_code": "2011", **day}),
        (Asked(of_one_station=True, active=True), {"ofev_code": "2011"}),
        (Asked(of_one_station=False, active=True), {}),
        (Asked(of_one_station=False, active=None), day),
        (Asked(of_one_station=False, active=False), {"level": "ALERT", **day}),
    ):
        steps = plan_of(many, asked, mode, **given)
        scanned = {step["Node Type"] for step in steps if step.get("Relation Name") == "alert"}
        assert scanned, "the plan does not name the table at all"
        assert "Seq Scan" not in scanned, (asked, given)


def test_the_first_page_without_a_filter_takes_its_rows_from_the_index_in_order(
    many: psycopg.Connection, client: Client
) -> None:
    steps = plan_of(many, Asked(of_one_station=False, active=None), "force_custom_plan")
    assert "ix_alert_opened_at" in {step.get("Index Name") for step in steps}
    answer = client.get("/alerts?pageSize=200")
    assert (len(answer.json()["data"]), answer.headers["X-Total-Count"]) == (200, str(MANY))
