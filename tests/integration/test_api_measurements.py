"""/stations/{station}/measurements against a real database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from alpimonitor_api import ids
from alpimonitor_api.queries.measurements import MAX_POINTS
from alpimonitor_api.shapes import History
from tests.api_client import Client, error_of, serving, shaped

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def client(seeded_database: str) -> Iterator[Client]:
    with serving(seeded_database) as client:
        yield client


def fill(url: str, parameter: str, points: Sequence[tuple[datetime, float]], code: str = "2011") -> None:
    with (
        psycopg.connect(url) as connection,
        connection.cursor() as cursor,
        cursor.copy(
            "COPY measurement (sensor_id, recorded_at, value, payload_fetched_at) FROM STDIN"
        ) as copy,
    ):
        for at, value in points:
            copy.write_row((ids.sensor_id(code, parameter), at, value, at))


def every_ten_minutes(count: int) -> list[tuple[datetime, float]]:
    """0, 1, 2 … from BEGIN on."""
    return [(BEGIN + number * TEN_MINUTES, float(number)) for number in range(count)]


def ask(client: Client, begin: str, end: str, *, station: str = "2011", **more: str) -> Any:
    return client.get(f"/stations/{station}/measurements", params={"from": begin, "to": end, **more})


def test_a_day_is_given_as_measured_in_the_order_of_time(client: Client, seeded_database: str) -> None:
    fill(seeded_database, "DISCHARGE", list(reversed(every_ten_minutes(200))))
    answer = ask(client, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    assert answer.status_code == 200
    shaped(History, answer)
    data = answer.json()["data"]
    assert data["stationId"] == str(ids.station_id("2011"))
    assert (data["from"], data["to"]) == ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    assert data["aggregate"] == "raw"
    (series,) = data["series"]
    assert (series["parameter"], series["unit"]) == ("DISCHARGE", "m3/s")
    assert [point["v"] for point in series["points"]] == list(range(144))
    assert series["points"][1] == {"t": "2026-03-01T00:10:00Z", "v": 1}


def test_the_range_begins_with_from_and_ends_before_to(client: Client, seeded_database: str) -> None:
    fill(seeded_database, "DISCHARGE", every_ten_minutes(4))
    data = ask(client, "2026-03-01T00:10:00Z", "2026-03-01T00:30:00Z").json()["data"]
    assert [point["v"] for point in data["series"][0]["points"]] == [1, 2]


def test_an_offset_is_honoured_and_answered_in_utc(client: Client, seeded_database: str) -> None:
    fill(seeded_database, "DISCHARGE", every_ten_minutes(4))
    data = ask(client, "2026-03-01T01:10:00+01:00", "2026-02-28T19:30:00-05:00").json()["data"]
    assert (data["from"], data["to"]) == ("2026-03-01T00:10:00Z", "2026-03-01T00:30:00Z")
    assert [point["v"] for point in data["series"][0]["points"]] == [1, 2]


def test_up_to_a_week_is_given_as_means_of_hours(client: Client, seeded_database: str) -> None:
    fill(seeded_database, "DISCHARGE", every_ten_minutes(18))
    data = ask(client, "2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z").json()["data"]
    assert data["aggregate"] == "hourly"
    assert data["series"][0]["points"] == [
        {"t": "2026-03-01T00:00:00Z", "v": 2.5},
        {"t": "2026-03-01T01:00:00Z", "v": 8.5},
        {"t": "2026-03-01T02:00:00Z", "v": 14.5},
    ]


def test_longer_ranges_are_given_as_means_of_days_in_utc(client: Client, seeded_database: str) -> None:
    fill(seeded_database, "DISCHARGE", every_ten_minutes(288))
    # Whatever the time zone of the database is, a day is one of UTC.
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        connection.execute(
            "ALTER ROLE CURRENT_USER IN DATABASE " + connection.info.dbname + " SET timezone = 'Asia/Tokyo'"
        )
    data = ask(client, "2026-03-01T00:00:00Z", "2026-03-20T00:00:00Z").json()["data"]
    assert data["aggregate"] == "daily"
    assert data["series"][0]["points"] == [
        {"t": "2026-03-01T00:00:00Z", "v": 71.5},
        {"t": "2026-03-02T00:00:00Z", "v": 215.5},
    ]


def test_a_mean_shows_no_noise_of_floating_point(client: Client, seeded_database: str) -> None:
    fill(
        seeded_database,
        "DISCHARGE",
        [(BEGIN, 0.1), (BEGIN + TEN_MINUTES, 0.2), (BEGIN + 2 * TEN_MINUTES, 0.3)],
    )
    data = ask(client, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", aggregate="daily").json()["data"]
    assert data["series"][0]["points"] == [{"t": "2026-03-01T00:00:00Z", "v": 0.2}]


def test_the_aggregate_asked_for_is_the_one_given(client: Client, seeded_database: str) -> None:
    fill(seeded_database, "DISCHARGE", every_ten_minutes(3))
    for aggregate, points in (("raw", 3), ("hourly", 1), ("daily", 1)):
        data = ask(client, "2026-03-01T00:00:00Z", "2026-03-15T00:00:00Z", aggregate=aggregate).json()["data"]
        assert data["aggregate"] == aggregate
        assert len(data["series"][0]["points"]) == points


def test_each_parameter_is_a_series_and_one_can_be_chosen(client: Client, seeded_database: str) -> None:
    fill(seeded_database, "WATER_LEVEL", every_ten_minutes(1))
    fill(seeded_database, "DISCHARGE", every_ten_minutes(1))
    fill(seeded_database, "DISCHARGE", every_ten_minutes(5), code="2346")
    day = ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    both = ask(client, *day).json()["data"]["series"]
    assert [(series["parameter"], len(series["points"])) for series in both] == [
        ("DISCHARGE", 1),
        ("WATER_LEVEL", 1),
    ]
    (one,) = ask(client, *day, parameter="WATER_LEVEL").json()["data"]["series"]
    assert one["parameter"] == "WATER_LEVEL"
    assert ask(client, *day, parameter="TURBIDITY").json()["data"]["series"] == []


def test_nothing_measured_is_an_empty_list_of_series(client: Client) -> None:
    answer = ask(client, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", station=str(ids.station_id("2011")))
    assert answer.json()["data"]["series"] == []
    shaped(History, answer)


@pytest.mark.parametrize("station", ["9999", str(ids.station_id("9999")), "%00"])
def test_an_unknown_station_has_no_history(client: Client, station: str) -> None:
    answer = ask(client, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", station=station)
    assert (answer.status_code, error_of(answer)["code"]) == (404, "NOT_FOUND")


DAY = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z"


@pytest.mark.parametrize(
    ("query", "parameter", "message"),
    [
        ("to=2026-03-02T00:00:00Z", "from", "is required. A time with an offset, such as"),
        ("from=2026-03-02T00:00:00Z", "to", "is required. A time with an offset, such as"),
        ("from=2026-03-01&to=2026-03-02T00:00:00Z", "from", "must be a time with an offset, such as"),
        (
            "from=2026-03-01T00:00:00&to=2026-03-02T00:00:00Z",
            "from",
            "must be a time with an offset, such as",
        ),
        ("from=2026-03-01T00:00:00+01:00&to=2026-03-02T00:00:00Z", "from", "write it as %2B"),
        ("from=1772323200&to=2026-03-02T00:00:00Z", "from", "must be a time with an offset"),
        ("from=0001-01-01T00:00:00%2B14:00&to=2026-03-02T00:00:00Z", "from", "must be a time with an offset"),
        ("from=2026-03-02T00:00:00Z&to=2026-03-02T00:00:00Z", "from", "must be earlier than to"),
        ("from=2026-03-03T00:00:00Z&to=2026-03-02T00:00:00Z", "from", "must be earlier than to"),
        (f"{DAY}&aggregate=weekly", "aggregate", "must be one of 'raw', 'hourly' or 'daily'"),
        (f"{DAY}&parameter=discharge", "parameter", "must be one of 'DISCHARGE', 'WATER_LEVEL'"),
        ("from=2026-01-01T00:00:00Z&to=2026-03-02T00:00:00Z&aggregate=raw", "to", "aggregate=hourly"),
        ("from=2020-01-01T00:00:00Z&to=2026-03-02T00:00:00Z&aggregate=hourly", "to", "aggregate=daily"),
        ("from=1990-01-01T00:00:00Z&to=2026-03-02T00:00:00Z", "to", "at most 10958 days"),
    ],
)
def test_a_question_that_cannot_be_answered_names_the_parameter_and_the_remedy(
    client: Client, query: str, parameter: str, message: str
) -> None:
    answer = client.get(f"/stations/2011/measurements?{query}")
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "VALIDATION_ERROR"
    (detail,) = error["details"]
    assert detail["parameter"] == parameter
    assert message in detail["message"]
    assert f"{parameter}: {detail['message']}" == error["message"]


def test_beyond_the_largest_answer_the_coarser_aggregate_is_named(
    client: Client, seeded_database: str
) -> None:
    second = timedelta(seconds=1)
    fill(seeded_database, "DISCHARGE", [(BEGIN + number * second, 1.0) for number in range(MAX_POINTS)])
    asked = ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    full = ask(client, *asked)
    assert full.status_code == 200
    assert len(full.json()["data"]["series"][0]["points"]) == MAX_POINTS
    fill(seeded_database, "WATER_LEVEL", [(BEGIN, 1.0)])
    refused = ask(client, *asked)
    assert refused.status_code == 400
    message = error_of(refused)["message"]
    assert str(MAX_POINTS) in message
    assert "aggregate=hourly" in message
    assert ask(client, *asked, aggregate="hourly").status_code == 200
