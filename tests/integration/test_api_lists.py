"""/catchments, /glaciers and /withdrawals against a real database, and what all routes refuse."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from alpimonitor_api import ids
from alpimonitor_api.shapes import CatchmentList, GlacierList, WithdrawalList
from tests.api_client import Client, error_of, serving, shaped

LISTS = ("/stations", "/catchments", "/glaciers", "/withdrawals")


@pytest.fixture
def client(seeded_database: str) -> Iterator[Client]:
    with serving(seeded_database) as client:
        yield client


@pytest.fixture
def connection(seeded_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        yield connection


def test_glaciers_are_listed_by_name_with_the_stations_below_them(client: Client) -> None:
    answer = client.get("/glaciers")
    assert [glacier.name for glacier in shaped(GlacierList, answer).data] == ["Ferpècle", "Mont Miné"]
    assert answer.json()["data"][0] == {
        "id": str(ids.glacier_id("Ferpècle")),
        "name": "Ferpècle",
        "altitudeMinM": 1900,
        "altitudeMaxM": 3700,
        "stations": [
            {"id": str(ids.station_id(code)), "name": name, "ofevCode": code}
            for name, code in (
                ("Borgne — Bramois", "TBD-BRAMOIS"),
                ("Borgne — Evolène", "TBD-EVOLENE"),
                ("Borgne — Les Haudères", "TBD-HAUDERES"),
            )
        ],
    }


def test_a_glacier_without_any_station_is_listed_too(client: Client, connection: psycopg.Connection) -> None:
    connection.execute("DELETE FROM station_glacier WHERE glacier_id = %s", (ids.glacier_id("Ferpècle"),))
    first, second = shaped(GlacierList, client.get("/glaciers")).data
    assert (first.name, len(first.stations), len(second.stations)) == ("Ferpècle", 0, 3)


def test_withdrawals_are_listed_by_name_with_the_station_that_feels_them(client: Client) -> None:
    answer = client.get("/withdrawals")
    first, second = shaped(WithdrawalList, answer).data
    assert second.name == "Station de pompage de Ferpècle"
    assert first.annual_volume_m3 is None
    assert answer.json()["data"][0] == {
        "id": str(ids.withdrawal_id("Station de pompage d'Arolla")),
        "name": "Station de pompage d'Arolla",
        "operatorName": "Grande Dixence SA",
        "latitude": 46.03,
        "longitude": 7.48,
        "altitudeM": 2009,
        "annualVolumeM3": None,
        "station": {
            "id": str(ids.station_id("TBD-HAUDERES")),
            "name": "Borgne — Les Haudères",
            "ofevCode": "TBD-HAUDERES",
        },
    }


def test_catchments_are_listed_by_name_with_their_stations_counted(
    client: Client, connection: psycopg.Connection
) -> None:
    connection.execute(
        "INSERT INTO catchment (id, name) VALUES (%s, 'Avançon')", (ids.catchment_id("Avançon"),)
    )
    found = shaped(CatchmentList, client.get("/catchments")).data
    assert [(one.name, one.stations_count) for one in found] == [("Avançon", 0), ("Bassin de la Borgne", 7)]


@pytest.mark.parametrize("path", LISTS)
def test_without_any_context_a_list_is_an_error_that_says_when_to_ask_again(database: str, path: str) -> None:
    with serving(database) as client:
        answer = client.get(path)
    assert (answer.status_code, error_of(answer)["code"]) == (503, "CONTEXT_EMPTY")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("emptied", ["station", "catchment"])
@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_an_error_when_station_or_catchment_alone_was_emptied(
    client: Client, connection: psycopg.Connection, emptied: str, path: str
) -> None:
    assert client.get(path).status_code == 200
    connection.execute("SET session_replication_role = replica")
    connection.execute(f"DELETE FROM {emptied}".encode())
    answer = client.get(path)
    assert (answer.status_code, error_of(answer)["code"]) == (503, "CONTEXT_EMPTY")


@pytest.mark.parametrize(
    ("path", "emptied"), [("/glaciers", "station_glacier, glacier"), ("/withdrawals", "withdrawal")]
)
def test_a_deployment_without_glaciers_or_withdrawals_is_a_sound_one(
    client: Client, connection: psycopg.Connection, path: str, emptied: str
) -> None:
    connection.execute(f"TRUNCATE {emptied}".encode())
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (200, {"data": []})


@pytest.mark.parametrize(
    "path",
    [*LISTS, "/stations/2011", "/health", "/status", "/stations/2011/measurements"],
)
def test_a_route_refuses_a_parameter_that_it_does_not_know(client: Client, path: str) -> None:
    answer = client.get(f"{path}?stationsId=1")
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "VALIDATION_ERROR"
    assert error["message"].startswith("stationsId: is not known here")
    assert [detail["parameter"] for detail in error["details"]] == ["stationsId"]


def test_a_misspelt_filter_is_refused_with_the_one_that_was_meant(client: Client) -> None:
    error = error_of(client.get("/stations?isactive=false&isActive=true&isActive=true"))
    assert error["message"] == (
        "isactive: is not known here; did you mean isActive? This route takes catchmentId, isActive; "
        "isActive: is given 2 times: give it once"
    )


def test_an_address_of_parameters_without_end_is_refused_and_not_repeated(client: Client) -> None:
    answer = client.get("/stations?" + "&".join(f"p{number}=" for number in range(2000)))
    assert answer.status_code == 400
    assert len(error_of(answer)["details"]) == 10


@pytest.mark.parametrize("path", ["/stations?", "/catchments?", "/stations?isActive=true"])
def test_a_question_mark_alone_asks_nothing(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200
