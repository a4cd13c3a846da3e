"""ETag and 304: who has an answer already is told so, and nobody who would have got another."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime

import httpx
import psycopg
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from alpimonitor_api.middleware.revalidation import Revalidation, etag
from tests.api_client import NOW, Client, error_of, serving

STRONG = re.compile(r'"[0-9a-f]{32}"')
ORIGIN = "https://alpimonitor.example"


@pytest.fixture
def client(seeded_database: str) -> Iterator[Client]:
    with serving(seeded_database, cors_origins=(ORIGIN,)) as client:
        yield client


def asked(client: Client, known: str, path: str = "/stations") -> httpx.Response:
    return client.get(path, headers={"If-None-Match": known})


@pytest.mark.parametrize("path", ["/stations", "/stations/2011", "/stations?isActive=false", "/catchments"])
def test_who_has_the_answer_already_is_told_so(client: Client, path: str) -> None:
    answer = client.get(path, headers={"Origin": ORIGIN})
    tag = answer.headers["etag"]
    assert STRONG.fullmatch(tag)
    assert client.get(path).headers["etag"] == tag
    again = client.get(path, headers={"If-None-Match": tag, "Origin": ORIGIN})
    assert (again.status_code, again.content) == (304, b"")
    # Whatever a cache has to know of it, but nothing of a body that is not there.
    kept = ("etag", "cache-control", "vary", "access-control-allow-origin", "x-content-type-options")
    assert {name: again.headers[name] for name in kept} == {name: answer.headers[name] for name in kept}
    assert again.headers.keys() >= {"x-request-id", "ratelimit-remaining"}
    assert not again.headers.keys() & {"content-length", "content-type"}


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"other", {tag}', 304),
        ('"a,b",W/"c" , W/{tag}', 304),
        ("*", 304),
        ('"other"', 200),
        ("{bare}", 200),
        ("", 200),
        ('"', 200),
        ('"{bare}x"', 200),
    ],
)
def test_a_known_answer_may_be_named_in_any_way_of_the_standard(
    client: Client, known: str, status: int
) -> None:
    tag = client.get("/stations").headers["etag"]
    assert asked(client, known.format(tag=tag, bare=tag.strip('"'))).status_code == status


def test_the_header_may_come_in_several_lines(client: Client) -> None:
    tag = client.get("/stations").headers["etag"]
    lines = [("If-None-Match", tag), ("If-None-Match", '"other"')]
    assert client.get("/stations", headers=lines).status_code == 304


def test_a_change_is_another_answer(client: Client, seeded_database: str) -> None:
    before = client.get("/stations").headers["etag"]
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        connection.execute("UPDATE station SET operator_name = 'SIG' WHERE ofev_code = '2011'")
    after = asked(client, before)
    assert after.status_code == 200
    assert after.headers["etag"] != before
    assert asked(client, after.headers["etag"]).status_code == 304


def test_what_tells_the_time_and_what_failed_has_no_name(client: Client) -> None:
    for path, status in (
        ("/health", 200),
        ("/status", 200),
        ("/nothing", 404),
        ("/stations/none", 404),
        ("/stations?isActive=x", 400),
        ("//openapi.json", 200),
    ):
        answer = asked(client, "*", path)
        assert (answer.status_code, "etag" in answer.headers) == (status, False)
    assert client.ask("PATCH", "/stations", headers={"If-None-Match": "*"}).status_code == 405


@pytest.mark.parametrize("cache_seconds", [0, 1])
def test_an_emptied_context_is_told_to_who_still_has_the_full_one(
    seeded_database: str, cache_seconds: float
) -> None:
    passed = 0.0
    with serving(seeded_database, cache_seconds=cache_seconds, monotonic=lambda: passed) as client:
        tags = {path: client.get(path).headers["etag"] for path in ("/stations", "/catchments")}
        with psycopg.connect(seeded_database, autocommit=True) as connection:
            connection.execute("TRUNCATE catchment CASCADE")
        passed = 1.0  # for longer nothing may hide it
        for path, tag in tags.items():
            for known in (tag, f"W/{tag}", "*"):
                answer = asked(client, known, path)
                assert answer.status_code == 503
                assert error_of(answer)["code"] == "CONTEXT_EMPTY"
                assert int(answer.headers["retry-after"]) > 0
                assert "etag" not in answer.headers


def test_a_failure_in_mid_making_is_a_failure(seeded_database: str) -> None:
    broken: list[bool] = []

    def clock() -> datetime:
        if broken:
            raise RuntimeError("the clock fell down")
        return NOW

    with serving(seeded_database, clock=clock) as client:
        tag = client.get("/stations").headers["etag"]
        broken.append(True)
        assert asked(client, tag).status_code == 500


def test_pages_with_equal_bodies_but_another_total_are_not_the_same_answer() -> None:
    def tag(total: bytes, body: bytes = b'{"data": []}') -> bytes:
        return etag([(b"content-type", b"application/json"), (b"x-total-count", total)], body)

    assert tag(b"7") == tag(b"7")
    assert len({tag(b"7"), tag(b"8"), tag(b"7", b"{}"), etag([], b'{"data": []}')}) == 4


async def pieces() -> AsyncIterator[bytes]:
    for piece in (b"one", b"two"):
        yield piece


def small() -> Response:
    return Response(b"whole", headers={"ETag": '"of its own"', "Content-Language": "de"})


def empty() -> Response:
    return Response()


def ask_of(route: Callable[..., Response], **headers: str) -> httpx.Response:
    """The answer of a route that AlpiMonitor does not have, through the same middleware."""
    app = FastAPI()
    app.add_api_route("/api/v1/route", route)

    async def got() -> httpx.Response:
        transport = httpx.ASGITransport(Revalidation(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as http:
            return await http.get("/api/v1/route", headers=headers)

    return asyncio.run(got())


def test_an_answer_in_pieces_passes_without_a_name() -> None:
    answer = ask_of(lambda: StreamingResponse(pieces()), **{"If-None-Match": "*"})
    assert (answer.status_code, answer.content) == (200, b"onetwo")
    assert "etag" not in answer.headers


def test_a_name_that_a_route_gives_stands() -> None:
    answer = ask_of(small)
    assert (answer.headers.get_list("etag"), answer.content) == (['"of its own"'], b"whole")
    again = ask_of(small, **{"If-None-Match": '"of its own"'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == '"of its own"'


def test_an_empty_answer_has_a_name_too() -> None:
    answer = ask_of(empty)
    assert STRONG.fullmatch(answer.headers["etag"])
    assert ask_of(empty, **{"If-None-Match": answer.headers["etag"]}).status_code == 304
