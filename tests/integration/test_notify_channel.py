"""One attempt through apprise, against real targets and each of their faults."""

from __future__ import annotations

import email
import email.policy
import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from alpimonitor_rehearsal.pager import Fault, Pager
from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.notify import Channel, ChannelError, send_now
from alpimonitor_watchdog.notify.channel import Parcel
from alpimonitor_watchdog.store import Severity

MESSAGE = Message(
    "hydro: 2 tables empty (station 0/7, glacier 0/2); heals in 9 s",
    "Nothing to do: the sidecar puts the rows back.\n\nRows: *station* 0/7 <b> & 0_of_7\nLook: http://127.0.0.1:9877/",
)


@pytest.fixture
def pager() -> Iterator[Pager]:
    with Pager() as running:
        yield running


def channel(pager: Pager, query: str = "", user: str = "") -> Channel:
    address = pager.apprise_url.replace("json://", f"json://{user}")
    return Channel("ops", f"{address}hook{query}")


def test_a_message_arrives_as_it_was_written_with_severity_and_key(pager: Pager) -> None:
    assert channel(pager).send(Parcel(MESSAGE, Severity.FAILURE, "key-1")) == ""
    (receipt,) = pager.receipts
    assert (receipt.title, receipt.body) == (MESSAGE.title, MESSAGE.body)
    assert (receipt.type, receipt.idempotency_key, receipt.path) == ("failure", "key-1", "/hook")


@pytest.mark.parametrize("scheme", ["form", "xml"])
def test_other_plain_http_targets_get_the_key_too(pager: Pager, scheme: str) -> None:
    target = Channel("ops", pager.apprise_url.replace("json://", f"{scheme}://"))
    assert target.send(Parcel(MESSAGE, Severity.INFO, "key-2")) == ""
    (receipt,) = pager.receipts
    assert receipt.idempotency_key == "key-2"


def test_no_content_is_a_delivery(pager: Pager) -> None:
    pager.fault(Fault.NO_CONTENT_204)
    assert send_now(channel(pager), MESSAGE) is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.ERROR_500, "answered 500"),
        (Fault.TOO_MANY_429, "answered 429"),
        (Fault.REDIRECT_302, "answered 302: a redirect is not followed, it would lose the message"),
        (Fault.REFUSE, "could not be reached, or ended the connection"),
    ],
)
def test_a_refusal_is_no_delivery_and_says_how(pager: Pager, fault: Fault, said: str) -> None:
    pager.fault(fault)
    assert send_now(channel(pager), MESSAGE) == f"json://127.0.0.1:{pager.server.port} {said}"
    assert len(pager.attempts) == 1


def test_a_url_that_would_hide_failures_is_overruled(pager: Pager) -> None:
    pager.fault(Fault.ERROR_500)
    error = send_now(channel(pager, "?retry=3&wait=0&optional=yes"), MESSAGE)
    assert error is not None
    assert error.endswith("answered 500")
    assert len(pager.attempts) == 1, "the outbox repeats, and nothing else"
    pager.fault(Fault.REDIRECT_302)
    error = send_now(channel(pager, "?redirect=yes"), MESSAGE)
    assert error is not None
    assert "answered 302" in error


def test_nobody_listening_is_said_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = send_now(Channel("ops", f"json://127.0.0.1:{port}/"), MESSAGE)
    assert error == f"json://127.0.0.1:{port} could not be reached, or ended the connection"


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.TRICKLE, Fault.HANG])
def test_a_target_that_does_not_end_its_answer_is_waited_for_no_longer_than_the_deadline(
    pager: Pager, fault: Fault
) -> None:
    pager.fault(fault)
    error = send_now(channel(pager), MESSAGE, deadline=0.3)
    assert error == "no answer within 0.3 s; whether the message arrived is unknown"
    assert len(pager.receipts) == 1, "it had arrived: unknown does not mean lost"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that a log configured for everything shows. (caplog also attaches itself to silenced loggers.)"""
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    yield shown
    root.removeHandler(handler)
    root.setLevel(level)


@contextmanager
def mail_server() -> Iterator[tuple[int, list[EmailMessage]]]:
    received: list[EmailMessage] = []

    class Keep:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            received.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
            return "250 OK"

    controller = Controller(Keep(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield controller.port, received
    finally:
        controller.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def mailto(port: int) -> str:
    return f"mailto://127.0.0.1:{port}?from=sidecar@example.org&to=oncall@example.org&mode=insecure"


def test_mail_arrives_as_plain_text_with_every_character() -> None:
    with mail_server() as (port, received):
        assert Channel("mail", mailto(port)).send(Parcel(MESSAGE, Severity.WARNING, "key-3")) == ""
    (mail,) = received
    assert mail["Subject"] == MESSAGE.title
    assert mail["To"] == "oncall@example.org"
    assert mail["Idempotency-Key"] == "key-3"
    text = mail.get_body(preferencelist=("plain",))
    assert text is not None
    assert text.get_content().strip().splitlines() == MESSAGE.body.splitlines()


def test_a_mail_server_that_says_nothing_is_waited_for_no_longer_than_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = send_now(Channel("mail", mailto(silent.getsockname()[1])), MESSAGE, deadline=0.3)
    assert error == "no answer within 0.3 s; whether the message arrived is unknown"


def test_no_mail_server_is_said() -> None:
    port = free_port()
    error = send_now(Channel("mail", mailto(port)), MESSAGE)
    assert error == f"mailto://127.0.0.1:{port} could not be reached, or ended the connection"


@pytest.mark.parametrize(
    "url",
    [
        "jsn://user:sesame@host/sesame",
        "sesame",
        "",
        "http://",
        "slack://sesame",
        "json://user:sesame@host:notaport/",
        "json://one.example/sesame json://two.example/sesame",
        "mailto://sesame",
    ],
)
def test_a_url_that_apprise_cannot_use_is_refused_without_being_shown(
    url: str, log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ChannelError, match=r"^Channel night-shift: ") as raised:
        Channel("night-shift", url)
    output = capfd.readouterr()
    assert "sesame" not in str(raised.value) + log.getvalue() + output.out + output.err


def test_a_failed_send_tells_logs_and_errors_no_secret(
    pager: Pager, log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    pager.fault(Fault.ERROR_500)
    target = channel(pager, "?token=sesame", user="user:sesame@")
    error = send_now(target, MESSAGE)
    output = capfd.readouterr()
    assert pager.attempts[0].headers.get("Authorization", "").startswith("Basic")
    assert error == f"json://127.0.0.1:{pager.server.port} answered 500"
    assert "sesame" not in log.getvalue() + output.out + output.err + repr(target)


def test_a_hosted_service_shows_not_even_its_host() -> None:
    assert Channel("chat", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/").address == "slack://…"


def test_a_channel_that_raises_is_an_error_that_shows_no_text() -> None:
    class Raises:
        def send(self, parcel: Parcel) -> str:
            raise ValueError("sesame")

    assert send_now(Raises(), MESSAGE) == "the channel failed with ValueError"


def test_a_hanging_send_does_not_keep_the_process(pager: Pager) -> None:
    pager.fault(Fault.HANG)
    send_now(channel(pager), MESSAGE, deadline=0.1)
    senders = [thread for thread in threading.enumerate() if thread.name == "send"]
    assert senders
    assert all(thread.daemon for thread in senders)
    pooled = [thread.name for thread in threading.enumerate() if thread.name.startswith("ThreadPool")]
    assert pooled == [], "apprise's own pool would be joined at the end of the process"
