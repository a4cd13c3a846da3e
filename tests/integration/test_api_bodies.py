"""How large a body may be: 16 KiB, whether its length is announced or not; nobody reads on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alpimonitor_api.auth import Scope
from alpimonitor_api.middleware.body_limit import LARGEST
from tests.api_client import NOWHERE, error_of, serving
from tests.bearers import Bearers
from tests.talking import talking

THRESHOLD = "/stations/2011/thresholds/DISCHARGE"


@pytest.fixture
def tokens(tmp_path: Path) -> Bearers:
    return Bearers(tmp_path)


class Pieces:
    """A body without an announced length, that counts what was taken of it."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece


@pytest.mark.parametrize("path", [THRESHOLD, "/stations", "/nothing"])
def test_a_body_that_announces_too_much_is_refused_wherever_it_goes(path: str) -> None:
    body = Pieces(b"x" * (LARGEST + 1))
    with serving(NOWHERE) as client:
        answer = client.ask("PUT", path, content=body, headers={"Content-Length": str(LARGEST + 1)})
    assert answer.status_code == 413
    error = error_of(answer)
    assert error["code"] == "PAYLOAD_TOO_LARGE"
    assert "16384 bytes" in error["message"]
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert body.taken == 0


def test_a_body_that_announces_nothing_is_refused_where_it_becomes_too_large(tokens: Bearers) -> None:
    shown = tokens.add("marie", Scope.OPERATOR)
    body = Pieces(*[b"x" * 1024] * 100)
    with serving(NOWHERE, api_tokens_file=tokens.file) as client:
        answer = client.ask("PUT", THRESHOLD, content=body, headers=shown)
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "PAYLOAD_TOO_LARGE"
    assert answer.headers["connection"] == "close"
    assert body.taken == 17


def test_a_length_that_is_a_lie_does_not_let_more_in(tokens: Bearers) -> None:
    shown = tokens.add("marie", Scope.OPERATOR)
    body = Pieces(*[b"x" * 1024] * 100)
    with serving(NOWHERE, api_tokens_file=tokens.file) as client:
        answer = client.ask("PUT", THRESHOLD, content=body, headers={**shown, "Content-Length": "5"})
    assert answer.status_code == 413
    assert body.taken == 17


def test_the_largest_body_is_read(tokens: Bearers) -> None:
    shown = {**tokens.add("marie", Scope.OPERATOR), "Content-Type": "application/json"}
    with serving(NOWHERE, api_tokens_file=tokens.file) as client:
        announced = client.ask("PUT", THRESHOLD, content=b" " * LARGEST, headers=shown)
        streamed = client.ask("PUT", THRESHOLD, content=Pieces(*[b" " * 1024] * 16), headers=shown)
    assert [answer.status_code for answer in (announced, streamed)] == [400, 400]
    assert error_of(announced)["code"] == error_of(streamed)["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "+7", "", "1,1", "٣", "0x10"])
def test_a_length_that_is_none_is_a_bad_request(length: str) -> None:
    with serving(NOWHERE) as client:
        answer = client.ask("PUT", THRESHOLD, headers={b"Content-Length": length.encode()})
    assert answer.status_code == 400
    (problem,) = error_of(answer)["details"]
    assert problem["parameter"] == "Content-Length"


@pytest.mark.parametrize("length", ["9" * 5000, "16385", "000016385"])
def test_however_a_length_is_written_it_counts(length: str) -> None:
    with serving(NOWHERE) as client:
        assert client.ask("PUT", THRESHOLD, headers={"Content-Length": length}).status_code == 413
        assert client.ask("PUT", THRESHOLD, headers={"Content-Length": "0000016384"}).status_code == 401


def test_a_method_that_reads_no_body_does_not_mind_one() -> None:
    body = Pieces(b"x" * (LARGEST + 1))
    with serving(NOWHERE) as client:
        answer = client.ask("GET", "/nothing", content=body, headers={"Content-Length": "99999"})
    assert answer.status_code == 404
    assert body.taken == 0


def test_a_real_server_refuses_before_the_body_comes_and_hangs_up() -> None:
    async def announced(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(
            f"PUT /api/v1{THRESHOLD} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        return await reader.read()

    answer = talking(announced)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"}}")
    assert b"100 Continue" not in answer


def test_a_real_server_does_not_read_a_body_that_never_ends() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(
            f"PUT /api/v1{THRESHOLD} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n".encode()
        )
        answering = asyncio.create_task(reader.read())
        piece = b"x" * 65536
        try:
            while not answering.done():
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass  # it hung up, as it should
        try:
            return await answering
        except ConnectionError:
            return b"cut"

    answer = talking(endless)
    assert answer == b"cut" or answer.startswith(b"HTTP/1.1 413 ")
