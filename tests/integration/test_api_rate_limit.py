"""How often one address may ask, and who that is."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest

from alpimonitor_api.auth import Scope
from alpimonitor_api.middleware import rate_limit
from alpimonitor_api.middleware.clients import customer
from alpimonitor_api.middleware.rate_limit import AddressCounts
from tests.api_client import NOWHERE, Client, error_of, serving
from tests.bearers import Bearers

MINUTE = 1_776_772_800.0  # at which a minute of the clock begins
ANYWHERE = "/nothing"  # answered without a database, and counted like the rest
ORIGIN = "https://alpimonitor.example"


class Wall:
    """The clock on the wall, by which the library counts its windows."""

    def __init__(self) -> None:
        self.now = MINUTE

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    wall = Wall()
    monkeypatch.setattr("time.time", wall)
    return wall


def allowed(client: Client, times: int, **headers: str) -> int:
    """How many of so many requests are let through."""
    statuses = [client.get(ANYWHERE, headers=headers).status_code for _ in range(times)]
    assert set(statuses) <= {404, 429}
    return statuses.count(404)


def remaining(answer: httpx.Response) -> int:
    return int(answer.headers["ratelimit-remaining"])


@pytest.mark.usefixtures("wall")
def test_each_answer_says_how_many_remain() -> None:
    with serving(NOWHERE, rate_limit=3) as client:
        answers = [client.get(path) for path in (ANYWHERE, "/stations", "//openapi.json", ANYWHERE)]
    assert [(answer.status_code, remaining(answer)) for answer in answers] == [
        (404, 2),
        (503, 1),
        (200, 0),
        (429, 0),
    ]


def test_beyond_the_limit_the_refusal_says_when_to_come_back_and_that_is_right(wall: Wall) -> None:
    wall.now = MINUTE + 20.5
    with serving(NOWHERE, rate_limit=3) as client:
        assert allowed(client, 3) == 3
        refused = client.get(ANYWHERE)
        assert refused.status_code == 429
        error = error_of(refused)
        assert error["code"] == "RATE_LIMITED"
        assert "3 times a minute" in error["message"]
        assert "in 40 s" in error["message"]
        assert refused.headers["retry-after"] == "40"
        assert refused.headers["x-content-type-options"] == "nosniff"
        wall.now += 39
        assert allowed(client, 1) == 0
        wall.now += 1
        assert allowed(client, 1) == 1


@pytest.mark.parametrize("limit", [1, 2, 60])
@pytest.mark.parametrize("into_the_minute", [0.0, 0.25, 30.0, 59.999])
def test_who_comes_back_when_told_is_let_in(wall: Wall, limit: int, into_the_minute: float) -> None:
    wall.now = MINUTE + into_the_minute
    with serving(NOWHERE, rate_limit=limit) as client:
        for _ in range(5):
            allowed(client, limit + 1)
            seconds = int(client.get(ANYWHERE).headers["retry-after"])
            assert 1 <= seconds <= 61
            wall.now += seconds
            assert allowed(client, 1) == 1


def test_a_full_minute_does_not_give_twice_as_many(wall: Wall) -> None:
    wall.now = MINUTE + 59
    with serving(NOWHERE, rate_limit=10) as client:
        assert allowed(client, 20) == 10
        wall.now += 2
        assert allowed(client, 20) == 1
        wall.now += 30
        assert allowed(client, 20) == 5


def test_what_is_refused_does_not_count(wall: Wall) -> None:
    with serving(NOWHERE, rate_limit=5) as client:
        assert allowed(client, 50) == 5
        wall.now += 90
        assert allowed(client, 50) == 3  # half of the five still counts


@pytest.mark.usefixtures("wall")
def test_what_has_to_answer_is_free() -> None:
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    with serving(NOWHERE, rate_limit=1, cors_origins=ORIGIN) as client:
        assert allowed(client, 2) == 1
        answers = [client.get(path) for path in ("/health", "/status", "//metrics") * 3]
        answers += [client.ask("OPTIONS", "/stations", headers=preflight) for _ in range(3)]
        assert all(answer.status_code != 429 for answer in answers)
        assert all("ratelimit-remaining" not in answer.headers for answer in answers)
        assert allowed(client, 1) == 0


@pytest.mark.usefixtures("wall")
@pytest.mark.parametrize("cors_origins", ["", ORIGIN])
def test_what_no_browser_asks_before_a_request_is_not_free(cors_origins: str) -> None:
    asks = {"Access-Control-Request-Method": "GET"}
    with serving(NOWHERE, rate_limit=1, cors_origins=cors_origins) as client:
        assert [client.ask("OPTIONS", ANYWHERE, headers=asks).status_code for _ in range(2)] == [404, 429]


@pytest.mark.usefixtures("wall")
@pytest.mark.parametrize("path", ["/health/", "//api/v1/status/x", "//metricsx", "//health"])
def test_what_only_looks_free_is_not(path: str) -> None:
    with serving(NOWHERE, rate_limit=1) as client:
        assert [client.get(path).status_code for _ in range(2)] == [404, 429]


@pytest.mark.usefixtures("wall")
def test_without_a_trusted_proxy_a_forwarded_address_means_nothing() -> None:
    with serving(NOWHERE, rate_limit=2) as client:
        assert allowed(client, 1, **{"X-Forwarded-For": "192.0.2.1"}) == 1
        assert allowed(client, 1, **{"X-Forwarded-For": "192.0.2.2"}) == 1
        assert allowed(client, 1, **{"X-Forwarded-For": "192.0.2.3"}) == 0
    with serving(NOWHERE, rate_limit=1, trusted_proxies="203.0.113.0/24") as client:
        assert allowed(client, 1, **{"X-Forwarded-For": "192.0.2.1"}) == 1
        assert allowed(client, 1, **{"X-Forwarded-For": "192.0.2.2"}) == 0


PROXIES = "127.0.0.1, 203.0.113.0/24, 2001:db8:ffff::/48"


@pytest.mark.usefixtures("wall")
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("198.51.100.1, 192.0.2.1", "198.51.100.2, 192.0.2.1", True),  # what a client wrote itself
        ("192.0.2.1, 203.0.113.7", "192.0.2.1, 203.0.113.8", True),  # a chain of proxies
        ("192.0.2.1, 203.0.113.7", "192.0.2.2, 203.0.113.7", False),
        ("nonsense, 192.0.2.1", "192.0.2.1", True),  # malformed where nobody looks
        ("192.0.2.1, nonsense", "192.0.2.2, nonsense", True),  # malformed: the peer itself
        ("192.0.2.1:80", "192.0.2.2:80", True),
        ("", ", ,", True),
        ("203.0.113.7", "203.0.113.8", False),  # a proxy that asks for itself
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),  # one customer's network
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:DB8::1", "2001:db8:0:0::2", True),
        ("192.0.2.1, 2001:db8:ffff::7", "192.0.2.1", True),
        (", ".join(["203.0.113.7"] * 500), "203.0.113.7" + ", 203.0.113.9" * 500, True),
    ],
)
def test_behind_a_trusted_proxy_the_nearest_address_that_is_none_counts(
    one: str, other: str, same: bool
) -> None:
    with serving(NOWHERE, rate_limit=1, trusted_proxies=PROXIES) as client:
        assert allowed(client, 1, **{"X-Forwarded-For": one}) == 1
        assert allowed(client, 1, **{"X-Forwarded-For": other}) == (0 if same else 1)


@pytest.mark.usefixtures("wall")
def test_a_forwarded_address_in_several_headers_is_one_list() -> None:
    with serving(NOWHERE, rate_limit=1, trusted_proxies=PROXIES) as client:
        lines = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "203.0.113.7")]
        assert client.get(ANYWHERE, headers=lines).status_code == 404
        assert allowed(client, 1, **{"X-Forwarded-For": "192.0.2.1"}) == 0
        assert allowed(client, 1, **{"X-Forwarded-For": "203.0.113.7"}) == 1


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("/run/api:sock", "/run/api:sock"),
    ],
)
def test_an_address_counts_as_what_one_customer_has(address: str, counts_as: str) -> None:
    assert customer(address) == counts_as


@pytest.mark.usefixtures("wall")
@pytest.mark.parametrize("scope", Scope)
def test_the_sidecar_may_ask_as_often_as_it_has_to(tmp_path: Path, scope: Scope) -> None:
    tokens = Bearers(tmp_path)
    shown = tokens.add("asks", scope)
    with serving(NOWHERE, rate_limit=2, api_tokens_file=tokens.file) as client:
        assert allowed(client, 10, **shown) == (10 if scope is Scope.WATCHDOG else 2)
        # What it asked was not counted against those at the same address.
        assert allowed(client, 10) == (2 if scope is Scope.WATCHDOG else 0)


@pytest.mark.usefixtures("wall")
def test_a_token_that_nobody_knows_exempts_nobody(tmp_path: Path) -> None:
    tokens = Bearers(tmp_path)
    shown = tokens.add("sidecar", Scope.WATCHDOG)
    tokens.remove("sidecar")
    with serving(NOWHERE, rate_limit=2, api_tokens_file=tokens.file) as client:
        assert allowed(client, 1, **shown) == 1
        assert allowed(client, 1, Authorization="Bearer x") == 1
        assert allowed(client, 1, Authorization="Basic x") == 0


def test_a_refusal_is_counted(wall: Wall) -> None:
    with serving(NOWHERE, rate_limit=2) as client:
        allowed(client, 5)
        wall.now += 1
        page = client.get("//metrics").text
    assert "\nalpimonitor_rate_limited_requests_total 3.0\n" in page


def test_addresses_that_ask_no_more_are_forgotten(wall: Wall) -> None:
    counts = AddressCounts()
    for minute in range(5):
        for number in range(1000):
            assert counts.acquire_sliding_window_entry(f"{minute} {number}", 60, 60)
        assert counts.storage.keys() == counts.expirations.keys()
        assert (
            len(counts.storage) <= 3000
        )  # those of this minute, of the one before, and of the one that goes
        wall.now += 60
    wall.now += 120
    for number in range(3000):
        counts.acquire_sliding_window_entry(f"last {number}", 60, 60)
    assert all(key.startswith("last ") for key in counts.storage)


def test_a_flood_of_addresses_costs_the_oldest_their_count(
    wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "MOST_ADDRESSES", 100)
    counts = AddressCounts()
    for number in range(1000):
        wall.now += 0.001
        assert counts.acquire_sliding_window_entry(f"address {number}", 60, 60)
        assert len(counts.storage) <= 100
    assert any(key.startswith("address 999/") for key in counts.storage)


def test_counting_starts_no_thread() -> None:
    counts = AddressCounts()
    counts.timer.join()  # the library's own, that ends by itself
    before = threading.active_count()
    for number in range(100):
        assert counts.acquire_sliding_window_entry(f"address {number}", 60, 60)
    assert threading.active_count() == before
    assert not counts.timer.is_alive()
