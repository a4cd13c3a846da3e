"""GET /metrics against a real database: who may read it, and what it says with and without that."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network

import psycopg
import pytest

from tests.api_client import NOW, NOWHERE, Client, error_of, serving
from tests.api_metrics import samples

NEIGHBOUR, STRANGER = "10.1.2.3", "203.0.113.9"
NETWORKS = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.fixture
def connection(seeded_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        yield connection


def page(client: Client) -> dict[str, float]:
    answer = client.get("//metrics")
    assert answer.status_code == 200, answer.text
    return samples(answer.text)


def ran(connection: psycopg.Connection, status: str, archive_error: str | None = None) -> None:
    """A run of ingestion that ended ten minutes ago."""
    connection.execute(
        "INSERT INTO ingestion_run (source, status, started_at, completed_at, duration_ms,"
        " stations_seen_count, measurements_created_count, archive_error)"
        " VALUES ('LINDAS_HYDRO', %s, %s, %s, 1500, 4, 8, %s)",
        (status, NOW - timedelta(minutes=11), NOW - timedelta(minutes=10), archive_error),
    )


def test_a_scrape_counts_the_requests_before_it(seeded_database: str) -> None:
    with serving(seeded_database) as client:
        client.together("/stations", "/stations", "/stations/2011", "/stations/nowhere", "/nothing")
        found = page(client)
        again = page(client)
    stations = "{method=GET}{route=/api/v1/stations}"
    one = "{method=GET}{route=/api/v1/stations/{station}}"
    assert found[f"alpimonitor_http_requests_total{stations}{{status=200}}"] == 2
    assert found[f"alpimonitor_http_requests_total{one}{{status=200}}"] == 1
    assert found[f"alpimonitor_http_requests_total{one}{{status=404}}"] == 1
    assert found["alpimonitor_http_requests_total{method=GET}{route=none}{status=404}"] == 1
    assert found["alpimonitor_http_request_duration_seconds_count{route=/api/v1/stations}"] == 2
    assert found["alpimonitor_http_request_duration_seconds_sum{route=/api/v1/stations}"] > 0
    assert found["alpimonitor_http_requests_in_progress"] == 1, "the scrape itself"
    assert again["alpimonitor_http_requests_total{method=GET}{route=/metrics}{status=200}"] == 1


def test_a_failure_nobody_expected_counts_as_a_500(seeded_database: str) -> None:
    times = iter([NOW])

    with serving(seeded_database, clock=lambda: next(times)) as client:
        page(client)
        assert client.get("/stations").status_code == 500  # the clock has no time left
        client.get("/health")
        times = iter([NOW])
        found = page(client)
    assert found["alpimonitor_http_requests_total{method=GET}{route=/api/v1/stations}{status=500}"] == 1
    assert found["alpimonitor_http_requests_total{method=GET}{route=/api/v1/health}{status=500}"] == 1


def test_a_scrape_tells_ingestion_context_and_alerts_as_the_database_knows_them(
    seeded_database: str, connection: psycopg.Connection
) -> None:
    with serving(seeded_database, ingestion_healthy_threshold_minutes=45) as client:
        before = page(client)
        assert "alpimonitor_ingestion_last_run_timestamp_seconds" not in before
        ran(connection, "PARTIAL", archive_error="no space left on device")
        connection.execute(
            "INSERT INTO alert (station_id, type, level, parameter, opened_at, closed_at)"
            " SELECT id, 'THRESHOLD_EXCEEDED', 'VIGILANCE', 'DISCHARGE', %(now)s,"
            " CASE WHEN ofev_code = '2011' THEN %(now)s END FROM station WHERE ofev_code IN ('2009', '2011')",
            {"now": NOW},
        )
        found = page(client)
    assert found["alpimonitor_database_up"] == 1
    assert found["alpimonitor_ingestion_last_success_timestamp_seconds"] == NOW.timestamp() - 600
    assert found["alpimonitor_ingestion_last_run_duration_seconds"] == 1.5
    assert found["alpimonitor_ingestion_last_run_failed"] == 0
    assert found["alpimonitor_ingestion_last_run_stations_seen"] == 4
    assert found["alpimonitor_ingestion_healthy_threshold_seconds"] == 45 * 60
    assert found["alpimonitor_archive_consecutive_failures"] == 1
    assert found["alpimonitor_context_rows{table=station}"] == 7
    assert found["alpimonitor_alerts_active{level=VIGILANCE}{type=THRESHOLD_EXCEEDED}"] == 1, "the open one"


def test_without_the_database_a_scrape_succeeds_and_claims_nothing_of_it(
    seeded_database: str, connection: psycopg.Connection
) -> None:
    ran(connection, "SUCCESS")
    with serving(seeded_database, database_timeout_seconds=0.5) as client:
        seen = page(client)
        with psycopg.connect(seeded_database) as locking:
            locking.execute("LOCK TABLE ingestion_run IN ACCESS EXCLUSIVE MODE")
            blind = page(client)
        again = page(client)
    of_the_database = ("alpimonitor_ingestion_last", "alpimonitor_archive", "alpimonitor_context")
    assert blind["alpimonitor_database_up"] == 0
    assert not [name for name in blind if name.startswith(of_the_database)]
    assert blind["alpimonitor_database_failures_total{lane=answers}{reason=too_slow}"] == 1
    for others in (seen, again):
        assert others["alpimonitor_database_up"] == 1
        assert [name for name in others if name.startswith(of_the_database)]


def test_the_lanes_are_told_apart_and_their_connections_counted(seeded_database: str) -> None:
    history = "/stations/2011/measurements?from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z"
    with serving(seeded_database, database_pool_size=5) as client:
        client.get("/health")
        client.get(history)
        found = page(client)
    used = {
        name.partition("{lane=")[2].partition("}")[0]: value
        for name, value in found.items()
        if name.startswith("alpimonitor_database_connections_limit")
    }
    assert used == {"answers": 5, "history": 2, "health": 1, "changes": 2}
    assert found["alpimonitor_database_connections{lane=health}{state=idle}"] == 1
    assert found["alpimonitor_database_connections{lane=history}{state=idle}"] == 1
    assert found["alpimonitor_database_connections{lane=answers}{state=in_use}"] == 0
    assert found["alpimonitor_database_waiting_requests{lane=answers}"] == 0


def test_the_database_that_cannot_be_reached_is_counted_by_lane_and_reason() -> None:
    with serving(NOWHERE) as client:
        client.get("/stations")
        client.get("/health")
        found = page(client)
    assert found["alpimonitor_database_up"] == 0
    failures = "alpimonitor_database_failures_total"
    assert found[f"{failures}{{lane=answers}}{{reason=unreachable}}"] == 2, "the scrape's own look too"
    assert found[f"{failures}{{lane=health}}{{reason=unreachable}}"] == 1
    assert found[f"{failures}{{lane=history}}{{reason=unreachable}}"] == 0


@pytest.mark.parametrize("peer", [NEIGHBOUR, "::ffff:10.1.2.3", "2001:db8::7"])
def test_a_peer_of_the_networks_reads_it(peer: str) -> None:
    with serving(NOWHERE, peer=peer, metrics_from=NETWORKS) as client:
        assert client.get("//metrics").status_code == 200


@pytest.mark.parametrize("peer", [STRANGER, "::ffff:203.0.113.9", "2001:db9::7", "127.0.0.1", "unknown"])
def test_anybody_else_is_refused_with_the_name_of_the_setting(peer: str) -> None:
    with serving(NOWHERE, peer=peer, metrics_from=NETWORKS) as client:
        answer = client.get("//metrics")
    assert answer.status_code == 403
    error = error_of(answer)
    assert error["code"] == "FORBIDDEN"
    assert "METRICS_FROM" in error["message"]
    assert peer in error["message"]


def test_by_default_only_this_machine_reads_it() -> None:
    with serving(NOWHERE, peer="::1") as client:
        assert client.get("//metrics").status_code == 200
    with serving(NOWHERE, peer=NEIGHBOUR) as client:
        assert client.get("//metrics").status_code == 403


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Proto", "x-forwarded-host"]
)
def test_what_came_through_a_proxy_is_refused_whoever_it_says_to_be_for(header: str) -> None:
    trusted = (ip_network("127.0.0.0/8"),)
    with serving(NOWHERE, trusted_proxies=trusted) as client:
        answer = client.get("//metrics", headers={header: "127.0.0.1"})
    assert answer.status_code == 403
    assert header.lower() in error_of(answer)["message"]


def test_a_cached_page_is_never_given_to_another(seeded_database: str) -> None:
    with serving(seeded_database, cache_seconds=1) as client:
        first = page(client)
        assert client.get("//metrics", headers={"X-Forwarded-For": STRANGER}).status_code == 403
        second = page(client)
    scrapes = "alpimonitor_http_requests_total{method=GET}{route=/metrics}{status=200}"
    assert second[scrapes] == first[scrapes] + 1


def test_it_is_no_part_of_the_contract_and_takes_only_get() -> None:
    with serving(NOWHERE) as client:
        assert "/metrics" not in client.get("//openapi.json").json()["paths"]
        assert client.get("/metrics").status_code == 404
        assert client.ask("POST", "//metrics").status_code == 405


def test_prometheus_finds_nothing_to_complain_of(seeded_database: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install --no-install-recommends prometheus")
    with serving(seeded_database) as client:
        client.together("/stations", "/nothing")
        text = client.get("//metrics").text
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_many_scrapes_at_once_all_succeed(seeded_database: str) -> None:
    with serving(seeded_database, database_pool_size=2) as client:
        answers = client.together(*["//metrics"] * 5)
    assert [answer.status_code for answer in answers] == [200] * 5
