"""The pager over real HTTP, with real notifications of apprise: what it records, and how it misbehaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import apprise
import httpx
import pytest

from alpimonitor_rehearsal.pager import Fault, Pager

NOW = datetime(2026, 7, 1, 12, 3, 4, 5678, tzinfo=UTC)

# Loading its plugins, apprise imports a module that Python 3.13 no longer has, and brings its own there.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def pager() -> Iterator[Pager]:
    with Pager(clock=lambda: NOW, slow_seconds=0.05, trickle_seconds=0.001) as pager:
        yield pager


def notification(pager: Pager) -> httpx.Response:
    body = {"version": "1.0", "title": "T", "message": "M", "type": "warning"}
    return httpx.post(f"{pager.url}/page", json=body, timeout=10)


def test_a_notification_of_apprise_is_recorded_with_its_words_path_and_key(pager: Pager) -> None:
    sender = apprise.Apprise()
    assert sender.add(f"{pager.apprise_url}page?+Idempotency-Key=inc-1%2F2")
    assert sender.notify(
        title="station lost 7 of 7 rows",
        body="Nothing to do.\nÉvolène",
        notify_type=apprise.NotifyType.FAILURE,
        body_format=apprise.NotifyFormat.TEXT,
    )
    (receipt,) = pager.wait_for(lambda receipts: len(receipts) == 1)
    assert (receipt.title, receipt.body) == ("station lost 7 of 7 rows", "Nothing to do.\nÉvolène")
    assert (receipt.type, receipt.number, receipt.accepted) == ("failure", 1, True)
    assert receipt.path == "/page"
    assert receipt.idempotency_key == "inc-1/2"
    assert receipt.headers["Idempotency-Key"] == "inc-1/2"
    assert receipt.received_at == "2026-07-01T12:03:04.005678Z"
    assert receipt.monotonic > 0


def test_receipts_are_served_in_their_order(pager: Pager) -> None:
    for _ in range(3):
        notification(pager)
    receipts = httpx.get(f"{pager.url}/receipts").json()["receipts"]
    assert [receipt["number"] for receipt in receipts] == [1, 2, 3]
    assert receipts[0]["title"] == "T"
    assert receipts[0]["body"] == "M"
    moments = [receipt["monotonic"] for receipt in receipts]
    assert moments == sorted(moments)


def test_each_attempt_is_a_line_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "receipts.jsonl"
    with Pager(file=file) as pager:
        notification(pager)
        pager.fault(Fault.ERROR_500)
        notification(pager)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(line["number"], line["accepted"], line["fault"]) for line in lines] == [
        (1, True, "none"),
        (2, False, "500"),
    ]


def test_what_is_no_json_is_recorded_as_it_came(pager: Pager) -> None:
    httpx.post(f"{pager.url}/raw", content=b"only \xff text")
    (receipt,) = pager.receipts
    assert (receipt.title, receipt.body, receipt.path) == ("", "only � text", "/raw")


@pytest.mark.parametrize(
    ("fault", "status", "received"),
    [
        (Fault.NONE, 200, True),
        (Fault.NO_CONTENT_204, 204, True),
        (Fault.SLOW, 200, True),
        (Fault.ERROR_500, 500, False),
        (Fault.TOO_MANY_429, 429, False),
        (Fault.REDIRECT_302, 302, False),
    ],
)
def test_each_fault_answers_as_it_says_and_counts_what_was_received(
    pager: Pager, fault: Fault, status: int, received: bool
) -> None:
    pager.fault(fault)
    assert notification(pager).status_code == status
    assert len(pager.attempts) == 1
    assert len(pager.receipts) == received


def test_refusing_resets_the_connection(pager: Pager) -> None:
    pager.fault(Fault.REFUSE)
    with pytest.raises(httpx.ReadError):
        notification(pager)
    assert pager.receipts == []
    assert len(pager.attempts) == 1


def test_trickling_receives_and_answers_a_byte_at_a_time(pager: Pager) -> None:
    pager.fault(Fault.TRICKLE)
    with httpx.Client(timeout=10) as client, client.stream("POST", pager.url, json={"title": "T"}) as answer:
        pieces = answer.iter_raw(1)
        assert [next(pieces) for _ in range(3)] == [b"r", b"e", b"c"]
    assert [receipt.title for receipt in pager.receipts] == ["T"]


def test_hanging_receives_and_never_answers_until_the_pager_stops(pager: Pager) -> None:
    pager.fault(Fault.HANG)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{pager.url}/page", json={"title": "T"}, timeout=0.2)
    assert [receipt.title for receipt in pager.receipts] == ["T"]


def test_apprise_takes_the_faults_for_failures_and_204_for_a_success(pager: Pager) -> None:
    sender = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
    assert sender.add(pager.apprise_url)
    delivered = {}
    for fault in (Fault.NONE, Fault.NO_CONTENT_204, Fault.ERROR_500, Fault.TOO_MANY_429, Fault.REDIRECT_302):
        pager.fault(fault)
        delivered[fault] = bool(sender.notify(title="T", body="M", body_format=apprise.NotifyFormat.TEXT))
    assert delivered == {
        Fault.NONE: True,
        Fault.NO_CONTENT_204: True,
        Fault.ERROR_500: False,
        Fault.TOO_MANY_429: False,
        Fault.REDIRECT_302: False,
    }


def test_a_fault_can_last_for_a_number_of_notifications(pager: Pager) -> None:
    pager.fault(Fault.ERROR_500, times=2)
    assert [notification(pager).status_code for _ in range(3)] == [500, 500, 200]


def test_faults_can_be_switched_over_http(pager: Pager) -> None:
    answer = httpx.post(f"{pager.url}/control", json={"fault": "429", "times": 1})
    assert answer.json() == {"fault": "429", "times": 1}
    assert notification(pager).status_code == 429
    assert [attempt["accepted"] for attempt in httpx.get(f"{pager.url}/attempts").json()["attempts"]] == [
        False
    ]
    assert httpx.post(f"{pager.url}/control", json={"fault": "sulking"}).status_code == 400
    assert notification(pager).status_code == 200


def test_waiting_in_vain_says_what_is_there_instead(pager: Pager) -> None:
    notification(pager)
    with pytest.raises(TimeoutError, match=r"it has \['T'\]"):
        pager.wait_for(lambda receipts: len(receipts) == 2, deadline=0.05)


def test_waiting_can_count_what_was_refused(pager: Pager) -> None:
    pager.fault(Fault.ERROR_500)
    notification(pager)
    assert len(pager.wait_for(lambda attempts: len(attempts) == 1, attempts=True)) == 1


def test_it_listens_on_loopback_only(pager: Pager) -> None:
    assert pager.url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{pager.url}/elsewhere").status_code == 404


def test_as_a_process_it_says_where_it_is_records_and_ends_at_sigterm(tmp_path: Path) -> None:
    file = tmp_path / "receipts.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "alpimonitor_rehearsal.pager", "--port", "0", "--file", str(file)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        httpx.post(f"{url}/page", json={"title": "T", "message": "M", "type": "info"})
        (receipt,) = httpx.get(f"{url}/receipts").json()["receipts"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert json.loads(file.read_text(encoding="utf-8")) == receipt
    assert datetime.fromisoformat(receipt["received_at"]).utcoffset() is not None
