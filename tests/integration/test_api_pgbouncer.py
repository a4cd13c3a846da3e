"""API, ingestion, migration and seed behind a real PgBouncer in transaction mode.

Two connections to the server for everybody, changed hands after each transaction: whatever a client leaves in
one, a prepared statement or a setting, the next client stumbles over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from alpimonitor_api import ids
from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.outcome import Outcome
from alpimonitor_api.ingest.replay import Replay, archived
from alpimonitor_api.ingest.run import Ingestion
from alpimonitor_api.ingest.source import Payload
from alpimonitor_api.ingest.store import Store
from alpimonitor_api.token_file import Scope
from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from tests import running
from tests.api_client import NOW, Client, serving
from tests.bearers import Bearers
from tests.poolers import SERVER_CONNECTIONS, Pooler, transaction_pooler

DEADLINE = 30.0
BOUND = 0.5  # seconds that a question may wait for its answer
HISTORY = "/stations/2011/measurements?from=2026-04-21T00:00:00Z&to=2026-04-22T00:00:00Z"
ROUTES = (
    "/health", "/status", "/stations", "/stations?isActive=true", "/stations/2011", HISTORY, "/catchments",
    "/glaciers", "/withdrawals", "/alerts", "/alerts?stationId=2011&active=true", "//metrics",
)  # fmt: skip
TOLD_BY_THE_SERVER = "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name"
WISH = {"vigilanceValue": 450.5, "alertValue": 750, "direction": "ABOVE"}


@pytest.fixture
def pooler(seeded_database: str) -> Iterator[Pooler]:
    with transaction_pooler(seeded_database) as pooler:
        yield pooler


@pytest.fixture
def pooled(seeded_database: str, pooler: Pooler) -> str:
    """The URL of the test's database, through the pooler."""
    return pooler.url(seeded_database)


@pytest.fixture
def client(pooled: str) -> Iterator[Client]:
    with serving(pooled, database_transaction_pooler=True, database_timeout_seconds=10) as client:
        yield client


def codes(client: Client, *paths: str) -> set[int]:
    return {answer.status_code for answer in client.together(*paths)}


def left_behind(url: str) -> list[tuple[Any, ...]]:
    """What each of the pooler's connections to the server keeps: prepared statements, settings, locks."""
    found: list[tuple[Any, ...]] = []
    connections = [psycopg.connect(url, prepare_threshold=None) for _ in range(SERVER_CONNECTIONS)]
    try:
        # A transaction on each at once: so they are different ones.
        backends = {one.execute("SELECT pg_backend_pid()").fetchall()[0][0] for one in connections}
        assert len(backends) == SERVER_CONNECTIONS
        for one in connections:
            found += one.execute("SELECT name, statement FROM pg_prepared_statements").fetchall()
            settings = one.execute(TOLD_BY_THE_SERVER).fetchall()
            # The pooler itself hands on what a client said of itself when it connected.
            found += [row for row in settings if row[0] not in ("application_name", "client_encoding")]
            found += one.execute(
                "SELECT 'watchdog.reason', current_setting('watchdog.reason', true)"
                " WHERE current_setting('watchdog.reason', true) <> ''"
            ).fetchall()
            found += one.execute(
                "SELECT locktype, objid FROM pg_locks WHERE locktype = 'advisory'"
            ).fetchall()
    finally:
        for one in connections:
            one.close()
    return found


class Bytes:
    def __init__(self, body: bytes) -> None:
        self.body = body

    def fetch(self, clock: Callable[[], datetime]) -> Payload:
        return Payload(self.body, fetched_at=clock(), http_status=200)


def one_pass(url: str, at: datetime = NOW) -> Outcome:
    source = Bytes(hydrology.payload(at))
    clock, monotonic = (lambda: at), (lambda: 0.0)
    return Ingestion(source, Store(url), archive_root=None, clock=clock, monotonic=monotonic).run().outcome


def test_every_route_answers_as_it_does_without_a_pooler(
    client: Client, seeded_database: str, pooled: str
) -> None:
    one_pass(seeded_database)
    with serving(seeded_database) as direct:
        for path in ROUTES:
            through, without = client.get(path), direct.get(path)
            assert (through.status_code, without.status_code) == (200, 200), path
            if path != "//metrics":  # figures of this process
                assert _told(through.json()) == _told(without.json()), path
    assert left_behind(pooled) == []


def _told(body: Any) -> Any:
    """Without what time alone changes."""
    if isinstance(body, dict):
        return {name: _told(value) for name, value in body.items() if name != "uptimeSeconds"}
    return body


def test_more_questions_than_connections_are_all_answered_and_leave_nothing_behind(
    client: Client, pooled: str, pooler: Pooler
) -> None:
    """Two instances in turn, each with more connections of its own than the pooler has to the server."""
    with serving(pooled, database_transaction_pooler=True, database_timeout_seconds=10) as other:
        for _ in range(4):
            assert codes(client, *ROUTES) == codes(other, *reversed(ROUTES)) == {200}
    assert left_behind(pooled) == []
    servers = pooler.console("SHOW SERVERS")
    assert len(servers) <= SERVER_CONNECTIONS


def test_clients_at_the_same_time_each_get_their_own_answer(seeded_database: str, pooled: str) -> None:
    one_pass(seeded_database)
    stations = ("2346", "2011", "2630", "2009")

    def ask(code: str) -> list[str]:
        with serving(pooled, database_transaction_pooler=True, database_timeout_seconds=20) as client:
            answers = [client.get(f"/stations/{code}") for _ in range(10)]
        return [answer.json()["data"]["ofevCode"] for answer in answers]

    with ThreadPoolExecutor(len(stations)) as clients:
        assert list(clients.map(ask, stations)) == [[code] * 10 for code in stations]


def test_a_threshold_is_tuned_with_its_audit_and_the_bounds_of_that_stay_in_its_transaction(
    pooled: str, seeded_database: str, tmp_path: Path
) -> None:
    bearers = Bearers(tmp_path)
    marie = bearers.add("marie", Scope.OPERATOR, Scope.AUDITOR)
    with serving(
        pooled, database_transaction_pooler=True, database_timeout_seconds=10, api_tokens_file=bearers.file
    ) as client:
        tuned = client.ask(
            "PUT", "/stations/2011/thresholds/DISCHARGE", content=json.dumps(WISH),
            headers={"Content-Type": "application/json", **marie},
        )  # fmt: skip
        assert tuned.status_code == 200, tuned.text
        (audit,) = client.get("/threshold-audits", headers=marie).json()["data"]
    assert audit["after"] == WISH
    with psycopg.connect(seeded_database) as direct:
        row = direct.execute(
            "SELECT vigilance_value FROM threshold WHERE id = %s", (ids.threshold_id("2011", "DISCHARGE"),)
        ).fetchone()
    assert row == (450.5,)
    assert left_behind(pooled) == []


def test_ingestion_stores_and_gives_its_turn_back(pooled: str) -> None:
    # Ten times: a statement that the driver prepared after its fifth time would show.
    outcomes = [one_pass(pooled, NOW + number * timedelta(minutes=10)) for number in range(10)]
    assert outcomes == [Outcome.SUCCESS] * 10
    with psycopg.connect(pooled, prepare_threshold=None) as connection:
        recorded = connection.execute("SELECT status, count(*) FROM ingestion_run GROUP BY status")
        assert recorded.fetchall() == [("SUCCESS", 10)]
    assert left_behind(pooled) == []


def test_of_two_ingestions_one_has_the_turn_until_its_end(pooled: str) -> None:
    """The lock is the transaction's: the other one's questions reach the same connections of the pooler."""
    first, second = Store(pooled), Store(pooled)
    with first.turn() as turn, second.turn() as other:
        assert turn is not None
        assert other is None
    with second.turn() as other:
        assert other is not None


def test_a_replay_rebuilds_the_measurements(pooled: str, tmp_path: Path) -> None:
    for number in range(3):
        at = NOW + number * timedelta(minutes=10)
        archive.write(tmp_path, hydrology.payload(at), at)
    work = Replay(Store(pooled), batch_payloads=1)
    work.run(archived(tmp_path, None, None)[0])
    assert (work.tally.payloads, work.tally.created) == (3, 24)
    assert left_behind(pooled) == []


def test_a_migration_and_a_seed_need_no_direct_connection(empty_database: str, tmp_path: Path) -> None:
    with transaction_pooler(empty_database) as pooler:
        url = pooler.url(empty_database)
        owners = dict.fromkeys(("DATABASE_URL", "OWNER_DATABASE_URL", "SEED_DATABASE_URL"), url)
        prepared = running.run(tmp_path, "boot --prepare", {**owners, "SEED_ON_BOOT": "true"})
        assert prepared.code == 0, prepared.said
        assert left_behind(url) == []
        with serving(url, database_transaction_pooler=True, database_timeout_seconds=10) as client:
            assert len(client.get("/stations").json()["data"]) == 7


@pytest.mark.parametrize("lenient", [False, True])
def test_the_sidecar_says_that_it_needs_a_direct_connection(
    seeded_database: str, tmp_path: Path, lenient: bool
) -> None:
    """Its time-outs and prepared statements are the session's: a look that nothing bounds is no look.

    A lenient pooler takes what it does not understand and forgets it.
    """
    config = tmp_path / "watchdog.toml"
    config.write_text('[[table]]\nname = "station"\nexpected = 7\n[database]\nenvironment = "test"\n')
    with transaction_pooler(seeded_database, lenient=lenient) as pooler:
        settings = {
            "WATCHDOG_DATABASE_URL": pooler.url(seeded_database),
            "WATCHDOG_CONFIG": str(config),
            "WATCHDOG_STATE_DIR": str(tmp_path / "state"),
        }
        checked = running.run(tmp_path, "watchdog check", settings)
    assert checked.code in (1, 5)
    assert "transaction pooler" in checked.said or "pooler in session mode" in checked.said, checked.said


def test_without_the_setting_the_api_is_refused_and_never_wrong(pooled: str) -> None:
    with serving(pooled, database_timeout_seconds=10) as client:
        answers = client.together(*ROUTES[:3])
    assert [answer.status_code for answer in answers] == [503] * 3


def test_what_is_left_behind_would_be_seen(seeded_database: str) -> None:
    """By an API that was not told, behind a pooler that does not say so either."""
    with transaction_pooler(seeded_database, lenient=True) as pooler:
        url = pooler.url(seeded_database)
        with serving(url, database_timeout_seconds=10) as client:
            client.together(*ROUTES[1:4])
        assert left_behind(url) != []


def test_a_locked_table_makes_nobody_wait_longer_than_the_bound(pooled: str, seeded_database: str) -> None:
    with (
        serving(pooled, database_transaction_pooler=True, database_timeout_seconds=BOUND) as client,
        psycopg.connect(seeded_database) as blocker,
    ):
        assert client.get("/stations").status_code == 200
        blocker.execute("LOCK TABLE station IN ACCESS EXCLUSIVE MODE")
        assert codes(client, *["/stations"] * 4) == {503}
        # Cancelled on the server, too: else what was given up would hold both of the pooler's connections.
        wait_until("health", lambda: client.get("/health").status_code == 200, deadline=DEADLINE)
        blocker.rollback()
        wait_until("an answer", lambda: client.get("/stations").status_code == 200, deadline=DEADLINE)


def test_a_killed_pooler_is_an_outage_and_a_new_one_its_end(pooled: str, pooler: Pooler) -> None:
    with serving(pooled, database_transaction_pooler=True, database_timeout_seconds=2) as client:
        assert codes(client, *ROUTES) == {200}
        pooler.kill()
        assert codes(client, *ROUTES[:6]) == {503}
        pooler.start()
        assert codes(client, *ROUTES) == {200}


def test_the_poolers_own_reconnect_is_no_outage(client: Client, pooled: str, pooler: Pooler) -> None:
    for _ in range(3):
        assert codes(client, *ROUTES) == {200}
        pooler.console("RECONNECT")
    assert codes(client, *ROUTES) == {200}
    assert left_behind(pooled) == []


def test_a_server_that_ends_its_sessions_is_found_again(client: Client, seeded_database: str) -> None:
    """As at its restart: who was idle notices nothing, and the pooler connects again."""
    assert codes(client, *ROUTES) == {200}
    with psycopg.connect(seeded_database, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    wait_until("answers", lambda: codes(client, *ROUTES) == {200}, deadline=DEADLINE)


def test_a_server_behind_the_pooler_that_goes_away_is_an_outage_and_comes_back(seeded_database: str) -> None:
    address = urlsplit(seeded_database)
    with (
        TcpProxy(address.hostname or "127.0.0.1", address.port or 5432) as network,
        transaction_pooler(seeded_database, server=f"{network.host}:{network.port}") as pooler,
        serving(
            pooler.url(seeded_database), database_transaction_pooler=True, database_timeout_seconds=BOUND
        ) as client,
    ):
        assert codes(client, "/stations", "/status", "/health") == {200}
        network.cut()
        assert codes(client, "/stations", "/status", "/health") == {503}
        network.heal()
        wait_until("an answer", lambda: client.get("/stations").status_code == 200, deadline=DEADLINE)
        assert codes(client, "/stations", "/status", "/health") == {200}
