"""Answers given again for at most CACHE_SECONDS: never an older one, never one that is not for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from alpimonitor_api.app import create_app
from alpimonitor_api.auth import Scope
from alpimonitor_api.middleware.answer_cache import AnswerCache
from tests.api_client import BASE, NOW, NOWHERE, Client, serving, settings_for
from tests.bearers import Bearers


class Time:
    """Passes when the test says so; counts the answers that were made, each of which asks for it once."""

    def __init__(self, making_takes: float = 0.0) -> None:
        self.passed = 0.0
        self.made = 0
        self.making_takes = making_takes

    def monotonic(self) -> float:
        return self.passed

    def clock(self) -> datetime:
        self.made += 1
        self.passed += self.making_takes
        return NOW


@contextmanager
def caching(url: str, time: Time, **settings: Any) -> Iterator[Client]:
    told: dict[str, Any] = {"cache_seconds": 1, **settings}
    with serving(url, clock=time.clock, monotonic=time.monotonic, **told) as client:
        yield client


@pytest.fixture
def connection(seeded_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        yield connection


def test_an_answer_is_given_again_until_it_is_as_old_as_the_setting(
    seeded_database: str, connection: psycopg.Connection
) -> None:
    time = Time()
    with caching(seeded_database, time, cache_seconds=0.5) as client:
        first = client.get("/stations")
        connection.execute("UPDATE station SET operator_name = 'SIG'")
        time.passed = 0.499
        again = client.get("/stations")
        assert again.content == first.content
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["content-type"] == "application/json"
        assert again.headers.keys() == first.headers.keys()
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
        time.passed = 0.5
        assert client.get("/stations").json()["data"][0]["operatorName"] == "SIG"
    assert time.made == 2


def test_the_age_counts_from_when_the_making_began(seeded_database: str) -> None:
    time = Time(making_takes=0.6)
    with caching(seeded_database, time) as client:
        client.get("/stations")
        time.passed = 0.95
        client.get("/stations")
        assert time.made == 1
        time.passed = 1.0
        client.get("/stations")
        assert time.made == 2


def test_what_took_longer_than_the_setting_is_given_to_nobody_else(seeded_database: str) -> None:
    time = Time(making_takes=1.5)
    with caching(seeded_database, time) as client:
        client.get("/stations")
        client.get("/stations")
    assert time.made == 2


def test_who_comes_while_it_is_made_waits_for_it(seeded_database: str) -> None:
    time = Time()
    with caching(seeded_database, time) as client:
        answers = client.together(*["/stations"] * 30)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert time.made == 1


def test_when_the_making_fails_each_makes_its_own() -> None:
    time = Time()
    with caching(NOWHERE, time) as client:
        answers = client.together(*["/stations"] * 10)
    assert {answer.status_code for answer in answers} == {503}
    assert time.made == 10


def test_when_the_maker_leaves_the_others_go_on(seeded_database: str, connection: psycopg.Connection) -> None:
    time = Time()

    async def leaving(http: httpx.AsyncClient) -> list[httpx.Response]:
        maker = asyncio.create_task(http.get(f"{BASE}/stations"))
        while not time.made:
            await asyncio.sleep(0)
        others = [asyncio.create_task(http.get(f"{BASE}/stations")) for _ in range(3)]
        for _ in range(50):  # so often each of them may go on, as far as it can
            await asyncio.sleep(0)
        assert time.made == 1
        maker.cancel()
        await asyncio.wait({maker})
        assert maker.cancelled()
        locking.rollback()
        return await asyncio.gather(*others)

    with psycopg.connect(seeded_database) as locking, caching(seeded_database, time) as client:
        locking.execute("LOCK TABLE station IN ACCESS EXCLUSIVE MODE")
        answers = client.run(leaving)
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert time.made == 4


def test_an_error_is_not_kept(seeded_database: str, connection: psycopg.Connection) -> None:
    time = Time()
    with caching(seeded_database, time) as client:
        assert client.get("/stations/9999").status_code == 404
        connection.execute("UPDATE station SET ofev_code = '9999' WHERE ofev_code = '2011'")
        assert client.get("/stations/9999").status_code == 200


@pytest.mark.parametrize("cache_seconds", [0.2, 1])
def test_an_emptied_database_is_hidden_no_longer_than_the_setting(
    seeded_database: str, connection: psycopg.Connection, cache_seconds: float
) -> None:
    time = Time()
    with caching(seeded_database, time, cache_seconds=cache_seconds) as client:
        assert client.get("/stations").status_code == 200
        connection.execute("TRUNCATE catchment CASCADE")
        time.passed = cache_seconds
        assert client.get("/stations").status_code == 503


def test_another_query_is_another_answer(seeded_database: str) -> None:
    time = Time()
    with caching(seeded_database, time) as client:
        lengths = [
            len(client.get(path).json()["data"])
            for path in ("/stations", "/stations?isActive=false", "/stations?isActive=true", "/stations")
        ]
    assert lengths[1] == 0
    assert lengths[0] == lengths[3] == 7
    assert time.made == 3


def test_who_shows_a_token_and_who_asks_for_health_gets_an_answer_of_now(
    seeded_database: str,
) -> None:
    time = Time()
    with caching(seeded_database, time) as client:
        for _ in range(3):
            client.get("/stations", headers={"Authorization": "Bearer x"})
            client.get("/health")
        assert time.made == 6
        client.get("/stations")
        assert time.made == 7


def test_a_tuned_threshold_shows_at_once(seeded_database: str, tmp_path: Path) -> None:
    time, tokens = Time(), Bearers(tmp_path)
    shown = tokens.add("marie", Scope.OPERATOR)

    def alert_value(client: Client) -> float:
        told = client.get("/stations/2011").json()["data"]["thresholds"]
        (threshold,) = [found for found in told if found["parameter"] == "DISCHARGE"]
        return float(threshold["alertValue"])

    with caching(seeded_database, time, api_tokens_file=tokens.file) as client:
        before = alert_value(client)
        body = {"vigilanceValue": 1.5, "alertValue": before + 1, "direction": "ABOVE"}
        path = "/stations/2011/thresholds/DISCHARGE"
        assert client.ask("PUT", path, json=body).status_code == 401
        made = time.made
        assert alert_value(client) == before
        assert time.made == made  # what was refused changed nothing
        assert client.ask("PUT", path, json=body, headers=shown).status_code == 200
        assert alert_value(client) == before + 1


def test_a_hit_is_counted_under_its_route(seeded_database: str) -> None:
    time = Time()
    with caching(seeded_database, time) as client:
        for _ in range(3):
            assert client.get("/stations/2011").status_code == 200
        page = client.get("//metrics").text
    labels = 'method="GET",route="/api/v1/stations/{station}",status="200"'
    assert f"\nalpimonitor_http_requests_total{{{labels}}} 3.0\n" in page
    assert "\nalpimonitor_answer_cache_hits_total 2.0\n" in page
    assert "\nalpimonitor_answer_cache_misses_total 1.0\n" in page


def test_without_the_setting_there_is_no_cache() -> None:
    def classes(seconds: float) -> list[object]:
        app = create_app(settings_for(NOWHERE, cache_seconds=seconds))
        return [middleware.cls for middleware in app.user_middleware]

    assert AnswerCache not in classes(0)
    assert AnswerCache in classes(0.1)
