"""What a client of a real server may do wrong on its connection, and what that costs the others: nothing."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from starlette.types import Receive, Scope, Send

from alpimonitor_api.connections import Connection
from tests.talking import Asking, talking

HEAD = b"GET /api/v1/stations HTTP/1.1\r\nHost: x\r\n"


class Impatient(Connection):
    request_seconds = 0.05


def sending(*pieces: bytes) -> Asking:
    """Sends the pieces and reads to the end."""

    async def sent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()

    return sent


def refused(answer: bytes) -> None:
    """It is one whole refusal, in the envelope."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *headers = head.lower().split(b"\r\n")
    assert first == b"http/1.1 400 bad request"
    assert {
        b"connection: close",
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"x-content-type-options: nosniff",
    } <= set(headers)
    assert json.loads(body)["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\xff\r\n\r\n",
        b"GET /api/v1/stations?\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/stations HTTP/1.1\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_in_the_envelope(request_: bytes) -> None:
    refused(talking(sending(request_)))


def test_a_body_that_breaks_while_its_answer_is_made_is_no_failure_of_the_api(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A path whose answer is ready before the connection is lost.
    head = b"GET /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    refused(talking(sending(head + b"no length\r\n")))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_body_that_breaks_within_its_answer_cuts_that(caplog: pytest.LogCaptureFixture) -> None:
    async def begun(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"whole"})

    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        seen = await reader.readuntil(b"half\r\n")
        writer.write(b"no length\r\n")
        return seen + await reader.read()

    answer = talking(breaking, app=begun)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"half\r\n")  # of the chunks, the last one is missing
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_who_offers_another_protocol_is_answered_in_this_one_without_a_word_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    offer = b"GET /nothing HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n"
    assert talking(sending(offer)).startswith(b"HTTP/1.1 404 ")
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("begin", "answered"),
    [
        (b"", False),
        (b"GET /nothing HTTP/1.1\r\nX-A: ", False),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nX-A: ", True),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", True),
    ],
)
def test_a_request_that_does_not_come_to_its_end_is_given_up_whatever_comes_of_it(
    begin: bytes, answered: bool
) -> None:
    async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(begin)
        reading = asyncio.create_task(reader.read())
        while not reading.done():
            if begin:
                writer.write(b"a")
            await asyncio.wait((reading,), timeout=Impatient.request_seconds / 5)
        try:
            return await reading
        except ConnectionError:  # a byte was on its way when it hung up
            return b""

    answer = talking(trickling, by=Impatient)
    assert answer == b"" or (answered and answer.startswith(b"HTTP/1.1 404 "))


def test_who_waits_for_an_answer_is_not_given_up() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(Impatient.request_seconds * 2, late.set_result, None)
        await late
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    # In two pieces, so that the bound has begun to run.
    head = (b"GET / HTTP/1.1\r\nHost: x\r\n", b"Connection: close\r\n\r\n")
    assert talking(sending(*head), app=slow, by=Impatient).startswith(b"HTTP/1.1 204 ")
