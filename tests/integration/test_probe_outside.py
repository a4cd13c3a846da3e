"""OutsideProbe against real HTTP servers, good, odd and hostile ones."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.seen import HealthSeen, IngestionSeen, OutsideSeen
from alpimonitor_watchdog.probe.answers import Answer, Expected
from alpimonitor_watchdog.probe.ingestion_query import IngestionQuery
from alpimonitor_watchdog.probe.outside import IngestionAddress, OutsideProbe
from alpimonitor_watchdog.settings import load

BUSY = 3.0  # seconds that a busy machine may add to a bound
NEVER = 3600.0  # seconds between looks: only a wake brings the next one

Speak = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Api:
    """A server whose every path can be told what to say; `asked` has the paths in the order they came."""

    says: dict[str, Speak] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    shown: list[str | None] = field(default_factory=list)  # the Authorization of each request
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def api() -> Iterator[Api]:
    told = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told.asked.append(self.path)
            told.shown.append(self.headers["Authorization"])
            try:
                told.says[self.path](self)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that left in mid-answer is what several of these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield told
    told.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def looking() -> Iterator[Callable[..., OutsideProbe]]:
    """Builds and starts probes, and stops them."""
    probes: list[OutsideProbe] = []

    def start(*args: Any, **options: Any) -> OutsideProbe:
        probe = OutsideProbe(*args, **{"every": NEVER, **options})
        probe.start()
        probes.append(probe)
        return probe

    yield start
    for probe in probes:
        probe.stop()


def body(status: int, content: bytes, **headers: str) -> Speak:
    def speak(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    return speak


def answer(status: int, document: object) -> Speak:
    return body(status, json.dumps(document).encode())


def trickle(api: Api, first: bytes, then: bytes) -> Speak:
    """A byte every 20 ms, for ever: each read succeeds, and the answer never ends."""

    def speak(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(first)
        while not api.closing.wait(0.02):
            request.wfile.write(then)
            request.wfile.flush()

    return speak


def first_look(probe: OutsideProbe) -> OutsideSeen:
    return wait_until("the first look", lambda: probe.latest(time.monotonic()), deadline=20)


def only(seen: OutsideSeen) -> HealthSeen:
    (health,) = seen.health
    return health


def test_before_the_first_look_has_ended_there_is_nothing(
    api: Api, looking: Callable[..., OutsideProbe]
) -> None:
    api.says["/"] = trickle(api, b"", b"x")
    assert looking([Expected(f"{api.url}/")], None).latest(0.0) is None


def test_it_sees_health_and_the_last_run_of_ingestion(api: Api, looking: Callable[..., OutsideProbe]) -> None:
    api.says["/health"] = answer(200, {"status": "ok"})
    api.says["/stations"] = answer(200, {"data": [{}] * 7})
    last_run = {
        "status": "SUCCESS",
        "startedAt": "2026-04-21T12:00:00Z",
        "completedAt": "2026-04-21T12:00:01Z",
        "stationsSeenCount": 4,
    }
    api.says["/status"] = answer(200, {"ingestion": {"lastRun": last_run, "lastSuccessAt": None}})
    probe = looking(
        [
            Expected(f"{api.url}/health", ("status",), "ok"),
            Expected(f"{api.url}/stations", ("data",), 7),
        ],
        IngestionAddress(f"{api.url}/status", ("ingestion", "lastRun")),
    )
    seen = first_look(probe)
    assert seen.health == tuple(
        HealthSeen(f"{api.url}{path}", ok=True) for path in ("/health", "/stations", "/status")
    )
    assert seen.ingestion is not None
    assert replace(seen.ingestion, success_age=None) == IngestionSeen(
        4,
        started_at=datetime(2026, 4, 21, 12, 0, 0, tzinfo=UTC),
        last_success_at=datetime(2026, 4, 21, 12, 0, 1, tzinfo=UTC),
    )
    assert seen.deployment is None


def test_it_sees_the_archive_and_the_deployment_that_the_api_serves(
    api: Api, looking: Callable[..., OutsideProbe]
) -> None:
    last_run = {"status": "FAILURE", "stationsSeenCount": 0, "completedAt": "2026-04-21T12:10:00Z"}
    ingestion = {
        "lastRun": last_run,
        "lastSuccessAt": "2026-04-21T12:00:00Z",
        "archive": {"consecutiveFailures": 3, "lastError": "no space left on device"},
    }
    document = {"deployment": {"environment": "test", "id": "0b"}, "ingestion": ingestion}
    headers = {"Date": "Tue, 21 Apr 2026 12:10:30 GMT"}

    def speak(request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(200)  # which adds no date of its own
        content = json.dumps(document).encode()
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    api.says["/status"] = speak
    address = IngestionAddress(f"{api.url}/status", ("ingestion", "lastRun"))
    seen = first_look(looking([], address, utc=lambda: datetime(2026, 4, 21, 13, 0, tzinfo=UTC)))
    assert seen.deployment == "0b"
    assert seen.ingestion is not None
    assert (seen.ingestion.archive_failures, seen.ingestion.archive_error) == (3, "no space left on device")
    assert seen.ingestion.success_age == 630.0

    headers.clear()
    own = looking([], address, utc=lambda: datetime(2026, 4, 21, 13, 0, tzinfo=UTC))
    told = first_look(own).ingestion
    assert told is not None
    assert told.success_age == 3600.0
    nobody = first_look(looking([], address)).ingestion
    assert nobody is not None
    assert nobody.success_age is None


def test_an_api_without_its_database_serves_no_deployment(
    api: Api, looking: Callable[..., OutsideProbe]
) -> None:
    api.says["/status"] = answer(503, {"deployment": {"id": "0b"}, "ingestion": {"lastRun": None}})
    seen = first_look(looking([], IngestionAddress(f"{api.url}/status", ("ingestion", "lastRun"))))
    assert (seen.deployment, seen.ingestion, only(seen).ok) == (None, None, False)


def test_the_deployment_is_told_before_the_first_run(api: Api, looking: Callable[..., OutsideProbe]) -> None:
    api.says["/status"] = answer(200, {"deployment": {"id": "0b"}, "ingestion": {"lastRun": None}})
    seen = first_look(looking([], IngestionAddress(f"{api.url}/status", ("ingestion", "lastRun"))))
    assert (seen.deployment, seen.ingestion, only(seen).ok) == ("0b", None, True)


def test_an_emptied_context_is_told_from_an_unhealthy_api(
    api: Api, looking: Callable[..., OutsideProbe]
) -> None:
    api.says["/stations"] = answer(503, {"error": {"code": "CONTEXT_EMPTY", "message": "no station"}})
    api.says["/health"] = answer(503, {"status": "degraded", "database": "error"})
    probe = looking(
        [Expected(f"{api.url}/stations", ("data",), 7), Expected(f"{api.url}/health", ("status",), "ok")],
        None,
    )
    stations, health = first_look(probe).health
    assert (stations.ok, stations.context_empty, stations.detail) == (
        False,
        True,
        "answered 503 CONTEXT_EMPTY",
    )
    assert (health.ok, health.context_empty, health.detail) == (False, False, "answered 503")


HOSTILE: dict[str, tuple[Callable[[Api], Speak], str]] = {
    "trickling body": (
        lambda api: trickle(api, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        "no whole answer within 0.5 s",
    ),
    "trickling head": (
        lambda api: trickle(api, b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        "no whole answer within 0.5 s",
    ),
    "silence": (lambda api: lambda _: api.closing.wait() and None, "no whole answer within 0.5 s"),
    "too much": (lambda _: body(200, b" " * 1_100_000), "answered more than 1048576 bytes"),
    "not HTTP": (lambda _: lambda request: request.wfile.write(b"SSH-2.0\r\n\r\n"), "cannot be asked"),
    "redirect": (
        lambda api: body(302, b"", Location=f"{api.url}/elsewhere"),
        "answered 302, a redirect, which is not followed",
    ),
    "not JSON": (lambda _: body(200, b"<html>"), "answered something that is not JSON"),
    "not text": (lambda _: body(200, b"\xff\xfe\x00"), "answered something that is not JSON"),
    "bad compression": (
        lambda _: body(200, b"not gzip", **{"Content-Encoding": "gzip"}),
        "cannot be asked",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_whatever_a_server_does_the_look_ends_in_time_and_says_what_was_wrong(
    api: Api, looking: Callable[..., OutsideProbe], kind: str
) -> None:
    speak, says = HOSTILE[kind]
    api.says["/"] = speak(api)
    api.says["/good"] = answer(200, {"status": "ok"})
    began = time.monotonic()
    probe = looking(
        [Expected(f"{api.url}/", ("status",), "ok"), Expected(f"{api.url}/good", ("status",), "ok")],
        IngestionAddress(f"{api.url}/", ("ingestion",)),
        within=0.5,
    )
    bad, good, status = first_look(probe).health
    assert time.monotonic() - began < 0.5 + BUSY
    assert (bad.ok, good.ok, status.ok) == (False, True, False)
    assert bad.detail.startswith(says)
    assert status.detail.startswith(says)
    assert first_look(probe).ingestion is None


def test_an_api_that_is_not_there_is_not_ok(looking: Callable[..., OutsideProbe]) -> None:
    health = only(first_look(looking([Expected("http://127.0.0.1:1/health")], None)))
    assert (health.ok, health.context_empty) == (False, False)
    assert health.detail.startswith("cannot be asked: ")


def test_a_wake_brings_the_next_look_forward(api: Api, looking: Callable[..., OutsideProbe]) -> None:
    api.says["/"] = answer(503, {"error": {"code": "CONTEXT_EMPTY"}})
    probe = looking([Expected(f"{api.url}/")], None)
    assert not only(first_look(probe)).ok
    api.says["/"] = answer(200, {})
    probe.wake()
    wait_until("a look after the wake", lambda: only(first_look(probe)).ok, deadline=20)
    assert api.asked == ["/", "/"]


def test_a_wake_during_a_look_is_followed_by_a_look_of_its_own(
    api: Api, looking: Callable[..., OutsideProbe]
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slowly(request: BaseHTTPRequestHandler) -> None:
        asked.set()
        go_on.wait(20)
        answer(503, {})(request)

    api.says["/"] = slowly
    probe = looking([Expected(f"{api.url}/")], None, within=20.0)
    assert asked.wait(20)
    api.says["/"] = answer(200, {})
    probe.wake()
    go_on.set()
    wait_until("the look that the wake asked for", lambda: only(first_look(probe)).ok, deadline=20)


def test_it_looks_again_and_again(api: Api, looking: Callable[..., OutsideProbe]) -> None:
    api.says["/"] = answer(200, {})
    looking([Expected(f"{api.url}/")], None, every=0.05)
    wait_until("five looks", lambda: len(api.asked) >= 5, deadline=20)


def test_the_age_of_a_look_is_that_of_its_beginning(api: Api, looking: Callable[..., OutsideProbe]) -> None:
    now = [100.0]

    def slowly(request: BaseHTTPRequestHandler) -> None:
        now[0] = 103.0
        answer(200, {})(request)

    api.says["/"] = slowly
    probe = looking([Expected(f"{api.url}/")], None, monotonic=lambda: now[0])
    wait_until("the first look", lambda: probe.latest(103.0), deadline=20)
    for at, age in ((103.0, 3.0), (110.5, 10.5)):
        seen = probe.latest(at)
        assert seen is not None
        assert seen.age == age


def test_one_look_can_be_had_without_starting(api: Api) -> None:
    api.says["/"] = answer(200, {})
    seen = OutsideProbe([Expected(f"{api.url}/")], None).look_once()
    assert only(seen).ok
    assert 0 <= seen.age < 60


def test_the_last_run_of_ingestion_can_be_asked_of_the_database(
    empty_database: str, looking: Callable[..., OutsideProbe]
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute("CREATE TABLE run (seen int, began timestamptz, succeeded timestamptz)")
    query = "SELECT seen, began, succeeded FROM run ORDER BY began DESC LIMIT 1"

    def look() -> OutsideSeen:
        source = IngestionQuery(empty_database, query, application_name="asking")
        return first_look(looking([], source))

    assert (only(look()).ok, look().ingestion) == (True, None)
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute("INSERT INTO run VALUES (4, '2026-04-21 14:00:00+02', NULL)")
    assert look().ingestion == IngestionSeen(4, datetime(2026, 4, 21, 12, 0, tzinfo=UTC), None)


def test_an_ingestion_query_may_name_its_columns(
    empty_database: str, looking: Callable[..., OutsideProbe]
) -> None:
    def asked(query: str) -> IngestionSeen:
        seen = first_look(looking([], IngestionQuery(empty_database, query, application_name="asking")))
        assert seen.ingestion is not None, only(seen).detail
        assert seen.deployment is None
        return seen.ingestion

    assert asked("SELECT 4 AS stations_seen") == IngestionSeen(4)
    told = asked(
        "SELECT 2 AS archive_failures, 'no space' AS archive_error, 4 AS stations_seen,"
        " now() - interval '90 s' AS last_success_at"
    )
    assert (told.stations_seen, told.archive_failures, told.archive_error) == (4, 2, "no space")
    assert told.success_age is not None
    assert 90 <= told.success_age < 90 + 20 * BUSY  # by the database's clock, whatever the machine's says
    ahead = asked("SELECT 4 AS stations_seen, now() + interval '1 h' AS last_success_at")
    assert ahead.success_age == 0.0
    for odd in ("-1", "'3'", "2.0", "true", "9999999999999", "NULL"):
        assert asked(f"SELECT 4 AS stations_seen, {odd} AS archive_failures") == IngestionSeen(4)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT 1", "a row of 1 columns"),
        ("SELECT 4 AS stations_seen, now() AS began_at", "a column began_at; known are stations_seen, "),
        ("SELECT 'four', now(), now()", 'the number of stations seen is "four"'),
        ("SELECT 4, now()::timestamp, now()", "a time is not of the type timestamptz"),
        ("SELECT 4, 'infinity'::timestamptz, now()", "timestamp too large"),
        ("SELECT * FROM no_such_table", 'relation "no_such_table" does not exist'),
        ("SELECT pg_sleep(60), now(), now()", "canceling statement due to statement timeout"),
    ],
)
def test_an_ingestion_query_that_goes_wrong_says_how(
    empty_database: str, looking: Callable[..., OutsideProbe], query: str, says: str
) -> None:
    source = IngestionQuery(empty_database, query, application_name="asking")
    seen = first_look(looking([], source))
    assert seen.ingestion is None
    assert (only(seen).url, only(seen).ok) == ("[ingestion] query", False)
    assert only(seen).detail.startswith(says)


def test_an_ingestion_query_of_a_database_that_is_away_says_so(
    looking: Callable[..., OutsideProbe],
) -> None:
    source = IngestionQuery("postgresql://u:sesame@127.0.0.1:1/x", "SELECT 1", application_name="asking")
    health = only(first_look(looking([], source)))
    assert health.detail == "127.0.0.1:1 cannot be reached: Connection refused"


def test_stopping_waits_for_no_query_that_hangs(empty_database: str) -> None:
    address = urlsplit(empty_database)

    def runs(name: str) -> bool:
        return name in [thread.name for thread in threading.enumerate()]

    with TcpProxy(address.hostname or "", address.port or 0) as proxy:
        proxy.hang()
        through = empty_database.replace(f":{address.port}/", f":{proxy.port}/")
        probe = OutsideProbe([], IngestionQuery(through, "SELECT 7", application_name="asking"))
        probe.start()
        wait_until("the query", lambda: proxy.connections, deadline=20)
        probe.stop()
        wait_until("the end of the probe", lambda: not runs("outside-probe"), deadline=20)
        assert runs("ingestion-query"), "it waited for the query"


def test_a_look_that_fails_in_an_unknown_way_is_not_the_last(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.says["/"] = answer(200, {})
    asked: list[str] = []
    original = OutsideProbe._answer

    async def failing(self: OutsideProbe, client: httpx.AsyncClient, place: Expected) -> Answer:
        asked.append(place.url)
        if len(asked) == 1:
            raise RuntimeError("can't start new thread")
        return await original(self, client, place)

    monkeypatch.setattr(OutsideProbe, "_answer", failing)
    probe = OutsideProbe([Expected(f"{api.url}/")], None, every=0.01)
    probe.start()
    try:
        assert only(first_look(probe)).ok
    finally:
        probe.stop()


def test_stopping_ends_a_look_that_hangs(api: Api) -> None:
    asked = threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        asked.set()
        api.closing.wait()

    api.says["/"] = hang
    probe = OutsideProbe([Expected(f"{api.url}/")], None, within=30.0)
    probe.start()
    assert asked.wait(20)
    began = time.monotonic()
    probe.stop()
    assert time.monotonic() - began < BUSY
    assert not [thread for thread in threading.enumerate() if thread.name == "outside-probe"]


TOKEN = "alpi_sesame"


@pytest.fixture
def with_token(api: Api, tmp_path: Path) -> OutsideProbe:
    """What a declaration becomes in which two of three addresses are asked with a token."""
    config = tmp_path / "watchdog.toml"
    config.write_text(
        '[[table]]\nname = "station"\nexpected = 7\n'
        f'[[health]]\nurl = "{api.url}/with"\ntoken_env = "API_TOKEN"\n'
        f'[[health]]\nurl = "{api.url}/without"\n'
        f'[ingestion]\nurl = "{api.url}/status"\njson_path = "seen"\nexpected = 4\ntoken_env = "API_TOKEN"\n'
    )
    environ = {"WATCHDOG_DATABASE_URL": "postgresql://u@h/d", "API_TOKEN": TOKEN}
    probe = OutsideProbe.of(load(environ, config))
    assert probe is not None
    return probe


def test_a_token_goes_to_the_addresses_that_declare_it_and_to_no_other(
    api: Api, with_token: OutsideProbe, caplog: pytest.LogCaptureFixture
) -> None:
    api.says.update(
        {"/with": answer(200, {}), "/without": answer(200, {}), "/status": answer(200, {"seen": 4})}
    )
    with caplog.at_level(logging.DEBUG):
        seen = with_token.look_once()
    assert all(health.ok for health in seen.health)
    assert dict(zip(api.asked, api.shown, strict=True)) == {
        "/with": f"Bearer {TOKEN}",
        "/without": None,
        "/status": f"Bearer {TOKEN}",
    }
    assert "GET" in caplog.text
    assert TOKEN not in caplog.text + repr(seen) + repr(vars(with_token))


def test_a_token_goes_to_no_place_that_an_answer_names(api: Api, with_token: OutsideProbe) -> None:
    elsewhere = body(302, b"", Location=f"{api.url}/elsewhere")
    api.says.update(dict.fromkeys(("/with", "/without", "/status", "/elsewhere"), elsewhere))
    seen = with_token.look_once()
    assert not any(health.ok for health in seen.health)
    assert set(api.asked) == {"/with", "/without", "/status"}
    assert TOKEN not in repr(seen)


def test_a_token_is_not_told_of_an_address_that_cannot_be_asked(api: Api, with_token: OutsideProbe) -> None:
    def no_http(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"SSH-2.0\r\n\r\n")

    api.says.update(dict.fromkeys(("/with", "/without", "/status"), no_http))
    seen = with_token.look_once()
    assert all(health.detail.startswith("cannot be asked") for health in seen.health)
    assert TOKEN not in repr(seen)


def test_what_the_shipped_profile_declares_is_what_is_asked(api: Api) -> None:
    api.says["/api/v1/health"] = answer(200, {"status": "ok"})
    api.says["/api/v1/stations"] = answer(200, {"data": [{}] * 7})
    api.says["/api/v1/status"] = answer(200, {"ingestion": {"lastRun": None, "lastSuccessAt": None}})
    environ = {"WATCHDOG_DATABASE_URL": "postgresql://u@h/d", "ALPIMONITOR_API_URL": api.url}
    settings = load({**environ, "WATCHDOG_API_TOKEN": TOKEN})
    probe = OutsideProbe.of(settings)
    assert probe is not None
    probe.start()
    try:
        seen = first_look(probe)
    finally:
        probe.stop()
    assert all(health.ok for health in seen.health), seen.health
    assert seen.ingestion is None
    assert set(api.asked) == {"/api/v1/health", "/api/v1/stations", "/api/v1/status"}
    assert set(api.shown) == {f"Bearer {TOKEN}"}
    api.shown.clear()
    without = OutsideProbe.of(load(environ))  # the token may be left out
    assert without is not None
    without.look_once()
    assert set(api.shown) == {None}
