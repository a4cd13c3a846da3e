"""Fetching a payload over real HTTP from the simulator: how often, how long, how much, and what is said."""

from __future__ import annotations

import gzip
import random
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.faults import LONGEST_PAUSES, RETRIES, TRIES, SourceError, SourceFault
from alpimonitor_api.ingest.lindas import PayloadError, parse
from alpimonitor_api.ingest.source import FileSource, HttpSource, Payload
from alpimonitor_rehearsal.loopback import LoopbackServer
from alpimonitor_rehearsal.simulator import Fault, Simulator

NOW = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)


def clock() -> datetime:
    return NOW


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(clock=clock) as simulator:
        yield simulator


def at_once(low: float, high: float) -> float:
    """No pause but the one that the service asks for."""
    return low


def fetch(url: str, *, timeout_seconds: float = 10) -> Payload:
    return HttpSource(url, stopping=Waits(), timeout_seconds=timeout_seconds, jitter=at_once).fetch(clock)


def failure(url: str, *, timeout_seconds: float = 10) -> SourceError:
    with pytest.raises(SourceError) as raised:
        fetch(url, timeout_seconds=timeout_seconds)
    return raised.value


def test_the_payload_comes_as_the_service_sent_it(simulator: Simulator) -> None:
    payload = fetch(simulator.url)
    assert len(parse(payload.body).observations) == 233
    assert (payload.http_status, payload.fetched_at, payload.archived) == (200, NOW, None)
    assert simulator.queries == 1


@pytest.mark.parametrize("fault", [Fault.ERROR_500, Fault.TOO_MANY_429, Fault.DOWN, Fault.TRUNCATED])
def test_a_passing_fault_is_survived_by_the_third_try(simulator: Simulator, fault: Fault) -> None:
    simulator.fault(fault, times=2)
    assert len(parse(fetch(simulator.url).body).observations) == 233
    assert simulator.queries == 3


@pytest.mark.parametrize(
    ("fault", "reason", "status", "tries"),
    [
        (Fault.ERROR_500, SourceFault.SERVER_ERROR, 500, 3),
        (Fault.TOO_MANY_429, SourceFault.RATE_LIMITED, 429, 3),
        (Fault.DOWN, SourceFault.INTERRUPTED, None, 3),
        (Fault.TRUNCATED, SourceFault.INTERRUPTED, None, 3),
        (Fault.NOT_FOUND_404, SourceFault.REFUSED, 404, 1),
        (Fault.REDIRECT_302, SourceFault.REFUSED, 302, 1),
        (Fault.HUGE, SourceFault.TOO_LARGE, 200, 1),
    ],
)
def test_a_lasting_fault_is_tried_again_only_where_that_may_help(
    simulator: Simulator, fault: Fault, reason: SourceFault, status: int | None, tries: int
) -> None:
    simulator.fault(fault)
    error = failure(simulator.url)
    assert (error.fault, error.http_status) == (reason, status)
    assert simulator.queries == tries
    assert str(simulator.server.port) in str(error)


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.TRICKLE])
def test_the_time_out_bounds_the_whole_request_also_when_bytes_keep_coming(
    simulator: Simulator, fault: Fault
) -> None:
    simulator.fault(fault)
    error = failure(simulator.url, timeout_seconds=0.4)
    assert error.fault is SourceFault.TIMED_OUT
    assert "did not answer within 0.4 s" in str(error)
    assert simulator.queries == 3


def test_every_fault_is_met_in_a_way_of_its_own() -> None:
    assert RETRIES.keys() == set(SourceFault)


def draws(fault: SourceFault, low: list[float]) -> list[tuple[float, float]]:
    """The bounds between which the pauses after such faults are drawn."""
    again = RETRIES[fault]
    assert again is not None
    return [(least, least + again.longest(failed)) for failed, least in enumerate(low, start=1)]


@pytest.mark.parametrize(
    ("fault", "reason", "asked"),
    [
        (Fault.ERROR_500, SourceFault.SERVER_ERROR, 0.0),
        (Fault.DOWN, SourceFault.INTERRUPTED, 0.0),
        (Fault.TRUNCATED, SourceFault.INTERRUPTED, 0.0),
        (Fault.TOO_MANY_429, SourceFault.RATE_LIMITED, 1.0),  # as the simulator asks
    ],
)
def test_pauses_are_drawn_from_nothing_to_twice_as_long_each_time(
    simulator: Simulator, fault: Fault, reason: SourceFault, asked: float
) -> None:
    simulator.fault(fault)
    bounds: list[tuple[float, float]] = []
    waited = Waits()

    def highest(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    with pytest.raises(SourceError):
        HttpSource(simulator.url, stopping=waited, jitter=highest).fetch(clock)
    assert bounds == draws(reason, [asked] * TRIES)
    assert waited.seconds == [high for _, high in bounds[: TRIES - 1]]


def test_replicas_that_met_the_same_fault_do_not_come_in_step(simulator: Simulator) -> None:
    simulator.fault(Fault.ERROR_500)
    pauses = []
    for seed in range(3):
        waited = Waits()
        with pytest.raises(SourceError):
            HttpSource(simulator.url, stopping=waited, jitter=random.Random(seed).uniform).fetch(clock)
        pauses.append(tuple(waited.seconds))
    assert len(set(pauses)) == 3


@contextmanager
def answering(status: int, body: bytes = b"", **headers: str) -> Iterator[str]:
    """The URL of a server with this one answer."""
    server = LoopbackServer(lambda exchange: exchange.answer(status, body, **headers))
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        server.stop()


class Waits(threading.Event):
    """Never set; notes how long it was waited for, and lets nobody wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return False


@pytest.mark.parametrize(
    ("status", "asked", "waits"),
    [
        (429, "7", [7, 7]),
        (503, "7", [7, 7]),
        (429, "0", [0, 0]),
        (429, "Wed, 01 Jul 2026 12:03:09 GMT", [9, 9]),  # it is 12:03:00
        (503, "Wed, 01 Jul 2026 12:03:09 -0000", [9, 9]),
        (429, "Wed, 01 Jul 2026 12:00:00 GMT", [0, 0]),
        (429, "Wed, 01 Jul 2026 12:05:00 GMT", []),  # longer than a pass may take: the next one asks again
        (429, "21", []),
        (429, "9" * 12, []),
        (429, "soon", [0, 0]),
        # Dates of which no date can be made: the service said nothing that can be kept.
        (429, f"Wed, 01 Jul {'9' * 20} 12:03:09 GMT", [0, 0]),
        (503, f"Wed, 01 Jul 2026 12:03:09 +{'9' * 20}", [0, 0]),
        (429, "20", [20]),  # twice that is longer than all pauses together may take
    ],
)
def test_a_pause_that_the_service_asks_for_is_kept(status: int, asked: str, waits: list[float]) -> None:
    waited = Waits()
    with answering(status, Retry_After=asked) as url:
        source = HttpSource(url, stopping=waited, jitter=at_once)
        with pytest.raises(SourceError, match=f"answered {status}"):
            source.fetch(clock)
    assert waited.seconds == waits
    assert sum(waits) <= LONGEST_PAUSES


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "deflate"])
def test_an_encoding_that_nobody_asked_for_is_refused_unread(encoding: str) -> None:
    bomb = gzip.compress(gzip.compress(bytes(2**27)))
    with answering(200, bomb, Content_Encoding=encoding) as url:
        error = failure(url)
    assert error.fault is SourceFault.REFUSED
    assert "only gzip was asked for" in str(error)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "a gzip bomb"])
def test_a_hundred_megabytes_are_refused_in_the_memory_of_the_bound(packed: bool) -> None:
    body = bytes(100_000_000)
    headers = {}
    if packed:
        body, headers = gzip.compress(body, 9), {"Content_Encoding": "gzip"}
    with answering(200, body, **headers) as url:
        tracemalloc.start()
        try:
            error = failure(url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert error.fault is SourceFault.TOO_LARGE
    assert f"more than {archive.LARGEST_PAYLOAD} bytes" in str(error)
    # The buffer, what it has in reserve to grow, and once more while it is moved to a larger place.
    assert peak < 2.5 * archive.LARGEST_PAYLOAD


def test_the_largest_payload_that_is_taken_is_parsed_in_a_memory_that_a_server_has() -> None:
    """Empty lists, three bytes each, become some thirty times as much."""
    body = b'{"results": {"bindings": [' + b"[]," * (archive.LARGEST_PAYLOAD // 3 - 10) + b"1]}}"
    assert len(body) <= archive.LARGEST_PAYLOAD
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError, match="too_many_rows"):
            parse(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 120 * 2**20


def test_a_payload_of_just_the_bound_is_taken_packed_or_not() -> None:
    body = bytes(archive.LARGEST_PAYLOAD)
    with answering(200, gzip.compress(body, 1), Content_Encoding="gzip") as url:
        assert fetch(url).body == body
    with answering(200, body) as url:
        assert fetch(url).body == body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (gzip.compress(b"{}" * 99, mtime=0)[:-9], "cut short"),
        (b"no gzip", "damaged"),
        (b"", "cut short"),
        (gzip.compress(b"{}") + bytes(2**20), "goes on after its end"),
    ],
    ids=["its end is missing", "something else", "nothing", "more than it says"],
)
def test_a_gzip_that_is_none_or_no_whole_one_is_tried_again(body: bytes, said: str) -> None:
    with answering(200, body, Content_Encoding="gzip") as url:
        error = failure(url)
    assert (error.fault, error.http_status) == (SourceFault.INTERRUPTED, 200)
    assert said in str(error)


def test_a_name_that_nobody_resolves_is_bounded_by_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that looks it up cannot be stopped: it is left behind."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(60) and [])
    try:
        error = failure("http://lindas.test/query", timeout_seconds=0.05)
        assert not released.is_set()
    finally:
        released.set()
    assert error.fault is SourceFault.TIMED_OUT


@pytest.mark.parametrize("url", ["https://xn--/", "http://[::1]%/"])
def test_an_address_that_is_none_is_refused_and_names_the_setting(url: str) -> None:
    error = failure(url)
    assert error.fault is SourceFault.REFUSED
    assert "LINDAS_ENDPOINT" in str(error)


@pytest.mark.parametrize("proxy", ["ftp://proxy.test:1", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_refused_and_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    error = failure("http://lindas.test/query")
    assert error.fault is SourceFault.REFUSED
    assert "ALL_PROXY" in str(error)


def test_nobody_listening_is_unreachable_and_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = failure(f"http://127.0.0.1:{port}/query")
    assert error.fault is SourceFault.UNREACHABLE
    assert "LINDAS_ENDPOINT" in str(error)


def test_a_redirect_is_not_followed_and_says_where_it_leads(simulator: Simulator) -> None:
    simulator.fault(Fault.REDIRECT_302)
    assert "http://127.0.0.1:9/elsewhere: if that is right, set LINDAS_ENDPOINT" in str(
        failure(simulator.url)
    )


def test_no_credential_of_the_endpoint_is_in_a_message(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="alpimonitor_api")
    simulator.fault(Fault.ERROR_500)
    secret = simulator.url.replace("http://", "http://user:hunter2@") + "?token=hunter3"
    error = failure(secret)
    told = f"{error} {error!r} " + " ".join(
        record.getMessage() for record in caplog.records if record.name.startswith("alpimonitor_api")
    )
    assert "answered 500" in told
    assert "try 3 of 3" in told
    assert "hunter" not in told


def test_stopping_ends_the_tries(simulator: Simulator) -> None:
    stopping = threading.Event()
    stopping.set()
    simulator.fault(Fault.ERROR_500)
    with pytest.raises(SourceError):
        HttpSource(simulator.url, stopping=stopping).fetch(clock)
    assert simulator.queries == 1


def test_a_file_counts_as_fetched_now_and_one_of_the_archive_when_its_name_says(tmp_path: Path) -> None:
    plain = tmp_path / "payload.json"
    plain.write_bytes(b"{}")
    assert FileSource(plain).fetch(clock) == Payload(b"{}", NOW)
    then = datetime(2026, 4, 20, 20, 21, tzinfo=UTC)
    archived = archive.write(tmp_path, b"{}", then)
    assert FileSource(archived).fetch(clock) == Payload(b"{}", then, archived=archived)


@pytest.mark.parametrize(
    "make", [lambda path: None, Path.mkdir, lambda path: path.write_bytes(b"\x1f\x8bno")]
)
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "payload.json")
    with pytest.raises(SourceError, match=r"payload\.json could not be read") as raised:
        FileSource(tmp_path / "payload.json").fetch(clock)
    assert raised.value.fault is SourceFault.FILE_UNREADABLE
