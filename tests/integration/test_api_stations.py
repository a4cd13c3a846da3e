"""/stations, /stations/{station} and /catchments against a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from alpimonitor_api import ids
from alpimonitor_api.shapes import CatchmentList, OneStation, StationList
from tests.api_client import NOW, Client, error_of, serving, shaped

SION = "2011"


@pytest.fixture
def client(seeded_database: str) -> Iterator[Client]:
    with serving(seeded_database) as client:
        yield client


@pytest.fixture
def connection(seeded_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        yield connection


def measured(
    connection: psycopg.Connection, value: float, *, ago: timedelta, parameter: str = "DISCHARGE"
) -> None:
    connection.execute(
        "INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at) VALUES (%s, %s, %s, %s)",
        (ids.sensor_id(SION, parameter), NOW - ago, value, NOW),
    )


def sion(client: Client) -> dict[str, Any]:
    stations: list[dict[str, Any]] = client.get("/stations").json()["data"]
    (found,) = (station for station in stations if station["ofevCode"] == SION)
    return found


def test_all_stations_are_listed_by_name_then_code_in_byte_order(client: Client) -> None:
    answer = client.get("/stations")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    stations = shaped(StationList, answer).data
    assert [(station.name, station.ofev_code) for station in stations] == [
        ("Borgne — Bramois", "TBD-BRAMOIS"),
        ("Borgne — Evolène", "TBD-EVOLENE"),
        ("Borgne — Les Haudères", "TBD-HAUDERES"),
        ("Brig", "2346"),
        ("Porte du Scex", "2009"),
        ("Sion", "2011"),
        ("Sion", "2630"),
    ]
    assert [station.id for station in stations] == [ids.station_id(station.ofev_code) for station in stations]


def test_a_station_carries_what_the_fixtures_declare(client: Client) -> None:
    assert sion(client) == {
        "id": str(ids.station_id(SION)),
        "ofevCode": "2011",
        "name": "Sion",
        "riverName": "Rhône",
        "latitude": 46.2191,
        "longitude": 7.3579,
        "altitudeM": 483,
        "flowType": "NATURAL",
        "operatorName": "OFEV",
        "dataSource": "LIVE",
        "sourcingStatus": "CONFIRMED",
        "latestMeasurements": [],
        "activeAlertsCount": 0,
    }


def test_the_latest_measurement_of_each_sensor_is_shown(
    client: Client, connection: psycopg.Connection
) -> None:
    measured(connection, 70.0, ago=timedelta(minutes=20))
    measured(connection, 68.056, ago=timedelta(minutes=10))
    measured(connection, 483.339, ago=timedelta(minutes=30), parameter="WATER_LEVEL")
    assert sion(client)["latestMeasurements"] == [
        {
            "parameter": "DISCHARGE",
            "unit": "m3/s",
            "value": 68.056,
            "recordedAt": "2026-04-21T11:50:00Z",
            "status": "NORMAL",
        },
        {
            "parameter": "WATER_LEVEL",
            "unit": "m",
            "value": 483.339,
            "recordedAt": "2026-04-21T11:30:00Z",
            "status": "NORMAL",
        },
    ]


INSTANT = timedelta(microseconds=1)
HOUR = timedelta(minutes=60)


@pytest.mark.parametrize(
    ("direction", "vigilance", "alert", "value", "ago", "status"),
    [
        ("ABOVE", 500, 800, 499.999, timedelta(0), "NORMAL"),
        ("ABOVE", 500, 800, 500, timedelta(0), "VIGILANCE"),
        ("ABOVE", 500, 800, 799.999, timedelta(0), "VIGILANCE"),
        ("ABOVE", 500, 800, 800, timedelta(0), "ALERT"),
        ("ABOVE", 500, 800, 900, HOUR, "ALERT"),
        ("ABOVE", 500, 800, 900, HOUR + INSTANT, "OFFLINE"),
        ("BELOW", 5, 2, 5.001, timedelta(0), "NORMAL"),
        ("BELOW", 5, 2, 5, timedelta(0), "VIGILANCE"),
        ("BELOW", 5, 2, 2.001, timedelta(0), "VIGILANCE"),
        ("BELOW", 5, 2, 2, timedelta(0), "ALERT"),
        ("BELOW", 5, 2, 0, timedelta(0), "ALERT"),
    ],
)
def test_the_status_follows_age_threshold_and_direction_and_reaching_counts(
    client: Client,
    connection: psycopg.Connection,
    direction: str,
    vigilance: float,
    alert: float,
    value: float,
    ago: timedelta,
    status: str,
) -> None:
    connection.execute(
        "UPDATE threshold SET direction = %s, vigilance_value = %s, alert_value = %s WHERE station_id = %s",
        (direction, vigilance, alert, ids.station_id(SION)),
    )
    measured(connection, value, ago=ago)
    (latest,) = sion(client)["latestMeasurements"]
    assert latest["status"] == status


def test_a_measurement_without_a_threshold_is_normal(client: Client, connection: psycopg.Connection) -> None:
    measured(connection, 99_999.0, ago=timedelta(0), parameter="WATER_LEVEL")
    (latest,) = sion(client)["latestMeasurements"]
    assert latest["status"] == "NORMAL"


def test_a_sensor_out_of_service_shows_no_measurement(client: Client, connection: psycopg.Connection) -> None:
    measured(connection, 68.0, ago=timedelta(minutes=1))
    connection.execute(
        "UPDATE sensor SET is_active = false WHERE id = %s", (ids.sensor_id(SION, "DISCHARGE"),)
    )
    assert sion(client)["latestMeasurements"] == []


def test_only_open_alerts_are_counted(client: Client, connection: psycopg.Connection) -> None:
    kinds = (("STATION_OFFLINE", None), ("STATISTICAL_ANOMALY", None), ("STATION_OFFLINE", NOW))
    for kind, closed_at in kinds:
        connection.execute(
            "INSERT INTO alert (station_id, type, level, opened_at, closed_at)"
            " VALUES (%s, %s, 'INFO', %s, %s)",
            (ids.station_id(SION), kind, NOW - HOUR, closed_at),
        )
    assert sion(client)["activeAlertsCount"] == 2


def test_filters_choose_and_a_filter_that_matches_nothing_is_an_empty_list(
    client: Client, connection: psycopg.Connection
) -> None:
    connection.execute("UPDATE station SET is_active = false WHERE ofev_code = '2346'")
    borgne = ids.catchment_id("Bassin de la Borgne")
    counts = {
        path: len(client.get(f"/stations?{path}").json()["data"])
        for path in (
            "isActive=true",
            "isActive=false",
            f"catchmentId={borgne}",
            f"catchmentId={borgne}&isActive=false",
            f"catchmentId={ids.catchment_id('Another')}",
        )
    }
    assert list(counts.values()) == [6, 1, 7, 1, 0]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("isActive=perhaps", "isActive: must be true or false"),
        ("isActive=", "isActive: must be true or false"),
        ("catchmentId=borgne", "catchmentId: must be an identifier such as "),
        ("catchmentId=%00", "catchmentId: must be an identifier such as "),
    ],
)
def test_a_filter_that_is_not_understood_is_named_with_its_remedy(
    client: Client, query: str, message: str
) -> None:
    answer = client.get(f"/stations?{query}")
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "VALIDATION_ERROR"
    assert error["message"].startswith(message)
    (detail,) = error["details"]
    assert detail["parameter"] == query.partition("=")[0]


def test_every_bad_filter_is_told_at_once(client: Client) -> None:
    error = error_of(client.get("/stations?isActive=x&catchmentId=y"))
    assert {detail["parameter"] for detail in error["details"]} == {"isActive", "catchmentId"}


@pytest.mark.parametrize("key", ["TBD-HAUDERES", str(ids.station_id("TBD-HAUDERES"))])
def test_one_station_is_found_by_identifier_and_by_code_with_all_that_hangs_on_it(
    client: Client, key: str
) -> None:
    answer = client.get(f"/stations/{key}")
    assert answer.status_code == 200
    shaped(OneStation, answer)
    station = answer.json()["data"]
    assert station["ofevCode"] == "TBD-HAUDERES"
    assert station["catchment"] == {
        "id": str(ids.catchment_id("Bassin de la Borgne")),
        "name": "Bassin de la Borgne",
    }
    assert station["sensors"] == [
        {"parameter": "DISCHARGE", "unit": "m3/s", "isActive": True},
        {"parameter": "WATER_LEVEL", "unit": "m", "isActive": True},
    ]
    assert station["thresholds"] == [
        {"parameter": "DISCHARGE", "vigilanceValue": 20, "alertValue": 40, "direction": "ABOVE"}
    ]
    assert [glacier["name"] for glacier in station["relatedGlaciers"]] == ["Ferpècle", "Mont Miné"]
    assert station["upstreamWithdrawals"] == [
        {
            "name": "Station de pompage d'Arolla",
            "operatorName": "Grande Dixence SA",
            "altitudeM": 2009,
            "annualVolumeM3": None,
        },
        {
            "name": "Station de pompage de Ferpècle",
            "operatorName": "Grande Dixence SA",
            "altitudeM": 1896,
            "annualVolumeM3": None,
        },
    ]


@pytest.mark.parametrize(
    "key", ["2012", str(ids.station_id("2012")), "%00", "%27%20OR%201=1--", "a%2Fb", "é"]
)
def test_an_unknown_station_is_not_found_whatever_its_key_looks_like(client: Client, key: str) -> None:
    answer = client.get(f"/stations/{key}")
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "NOT_FOUND"


def test_a_catchment_is_listed_with_its_stations_counted(client: Client) -> None:
    (catchment,) = shaped(CatchmentList, client.get("/catchments")).data
    assert catchment.name == "Bassin de la Borgne"
    assert catchment.area_km2 == 383
    assert catchment.stations_count == 7


@pytest.mark.parametrize(
    "path",
    [
        "/stations",
        "/catchments",
        "/stations/2346",
        "/stations/2346/measurements?from=2026-04-20T00:00:00Z&to=2026-04-20T01:00:00Z",
    ],
)
def test_an_empty_context_is_an_error_and_says_when_to_ask_again(database: str, path: str) -> None:
    with serving(database) as client:
        answer = client.get(path)
    assert answer.status_code == 503
    assert error_of(answer)["code"] == "CONTEXT_EMPTY"
    assert int(answer.headers["retry-after"]) > 0


def test_an_emptied_context_shows_at_the_next_request(client: Client, connection: psycopg.Connection) -> None:
    assert client.get("/stations").status_code == 200
    connection.execute(
        "TRUNCATE station_glacier, withdrawal, threshold, measurement, sensor, alert, station CASCADE"
    )
    answer = client.get("/stations")
    assert (answer.status_code, error_of(answer)["code"]) == (503, "CONTEXT_EMPTY")
    assert client.get("/stations?isActive=true").json() == {"data": []}
    assert error_of(client.get("/catchments"))["code"] == "CONTEXT_EMPTY"


def test_stations_without_any_catchment_are_no_context(
    client: Client, connection: psycopg.Connection
) -> None:
    connection.execute("SET session_replication_role = replica")
    connection.execute("DELETE FROM catchment")
    assert error_of(client.get("/stations"))["code"] == "CONTEXT_EMPTY"
    assert error_of(client.get("/catchments"))["code"] == "CONTEXT_EMPTY"
