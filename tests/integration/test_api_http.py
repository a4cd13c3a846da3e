"""What every answer has, whatever the route: envelope, headers, origins; and what the application carries."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from datetime import UTC, datetime
from importlib.metadata import version

import httpx
import pytest

from alpimonitor_api.application_name import application_name
from alpimonitor_api.server import GONE_AFTER_SECONDS, listening_socket
from tests.api_client import NOWHERE, error_of, serving

ALLOWED = "https://alpimonitor.example"
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


def broken_clock() -> datetime:
    raise RuntimeError("the clock of postgresql://api:sesame@db fell down")


def test_an_unknown_path_is_a_404_in_the_envelope() -> None:
    with serving(NOWHERE) as client:
        for path in ("/nothing", "//", "//api", "/stations/", "//docs", "/health/"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert error_of(answer)["code"] == "NOT_FOUND"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_is_a_405_that_names_the_one_to_use(method: str) -> None:
    with serving(NOWHERE) as client:
        answer = client.ask(method, "/stations")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    error = error_of(answer)
    assert error["code"] == "METHOD_NOT_ALLOWED"
    assert error["message"].endswith("use GET.")


def test_a_failure_nobody_expected_tells_the_client_nothing_and_the_log_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(NOWHERE, clock=broken_clock, cors_origins=(ALLOWED,)) as client:
        answer = client.get("/stations", headers={"Origin": ALLOWED})
    assert answer.status_code == 500
    assert error_of(answer)["code"] == "INTERNAL_ERROR"
    assert "clock" not in answer.text
    assert "sesame" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    (failed,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert failed.exc_info is not None
    assert "GET /api/v1/stations" in failed.getMessage()


@pytest.mark.parametrize(
    "path", ["/health", "/stations", "/nothing", "/stations?isActive=x", "//openapi.json"]
)
def test_every_answer_carries_the_security_headers(path: str) -> None:
    with serving(NOWHERE) as client:
        headers = client.get(path).headers
    assert {name: headers[name] for name in SECURITY} == SECURITY
    assert headers["cache-control"] == "no-cache"
    assert "strict-transport-security" not in headers
    assert "server" not in headers


def test_browsers_are_held_to_tls_only_when_every_client_comes_that_way() -> None:
    with serving(NOWHERE, behind_tls=True) as client:
        assert client.get("/health").headers["strict-transport-security"] == "max-age=31536000"


def test_only_the_origins_of_the_list_are_allowed() -> None:
    def allowed(answer: httpx.Response) -> str | None:
        return answer.headers.get("access-control-allow-origin")

    asks = {"Access-Control-Request-Method": "GET"}
    with serving(NOWHERE, cors_origins=(ALLOWED,)) as client:
        assert allowed(client.get("/health", headers={"Origin": ALLOWED})) == ALLOWED
        assert allowed(client.get("/health", headers={"Origin": "https://else.example"})) is None
        assert (
            "access-control-allow-credentials"
            not in client.get("/health", headers={"Origin": ALLOWED}).headers
        )
        preflight = client.ask("OPTIONS", "/stations", headers={"Origin": ALLOWED, **asks})
        assert (preflight.status_code, allowed(preflight)) == (200, ALLOWED)
        refused = client.ask("OPTIONS", "/stations", headers={"Origin": "https://else.example", **asks})
        assert (refused.status_code, allowed(refused)) == (400, None)
        assert "CORS_ORIGINS" in error_of(refused)["message"]
        assert refused.headers["x-content-type-options"] == "nosniff"


def test_without_a_list_no_origin_is_allowed() -> None:
    with serving(NOWHERE) as client:
        answer = client.get("/health", headers={"Origin": ALLOWED})
    assert "access-control-allow-origin" not in answer.headers


def test_the_document_is_served_with_the_routes() -> None:
    with serving(NOWHERE) as client:
        answer = client.get("//openapi.json")
    assert answer.status_code == 200
    assert "/api/v1/stations" in answer.json()["paths"]
    assert "422" not in answer.text


def test_what_runs_beside_the_answers_begins_and_ends_with_them() -> None:
    told: list[str] = []

    class Beside:
        def start(self) -> None:
            told.append("start")

        def stop(self) -> None:
            told.append("stop")

    with serving(NOWHERE, background=Beside()) as client:
        client.get("/health")
        assert told == ["start"]
    assert told == ["start", "stop"]


def test_health_tells_the_time_of_the_clock() -> None:
    with serving(NOWHERE, clock=lambda: datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)) as client:
        assert client.get("/health").json()["timestamp"] == "2026-01-02T03:04:05.600000Z"


def test_the_name_in_the_database_fits_and_keeps_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "é" * 80)
    monkeypatch.setattr("os.getpid", lambda: 4194304)
    name = application_name("api")
    assert len(name.encode()) == 63
    assert name.startswith(f"alpimonitor-api {version('alpimonitor')} ???")
    assert name.endswith(" 4194304")


def accepted_with(option: int) -> int:
    """An option of TCP, as the connection of a client of the server has it."""

    async def found() -> int:
        met: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            met.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, option))
            writer.close()

        listener = listening_socket("127.0.0.1", 0)
        async with await asyncio.start_server(accepted, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            try:
                return await met
            finally:
                writer.close()
                await writer.wait_closed()

    return asyncio.run(found())


def test_an_answer_does_not_wait_for_the_clients_acknowledgement() -> None:
    """Head and body are two writes: with Nagle's algorithm the second waits 40 ms for the first."""
    assert accepted_with(socket.TCP_NODELAY)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives up a client that takes nothing")
def test_who_never_reads_its_answer_does_not_hold_it_for_ever() -> None:
    assert accepted_with(socket.TCP_USER_TIMEOUT) == GONE_AFTER_SECONDS * 1000
