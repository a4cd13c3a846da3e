"""The API while its database is away, silent, locked, not migrated or not readable; and afterwards."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest
from psycopg import sql

from alpimonitor_api.database import Access, Database, DatabaseUnavailable
from alpimonitor_api.queries.building import Statement
from alpimonitor_api.shapes import Health, Status
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from tests.api_client import NOWHERE, Client, error_of, serving, shaped
from tests.databases import PostgresForTests

BOUND = 0.5
SLACK = 1.5  # what a busy machine may add: far less than the time-out that would otherwise end the waiting
HISTORY = "/stations/2011/measurements?from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z"


def null_shaped(answer: httpx.Response) -> None:
    """/status without its database: the same shape, and nothing in it that could be a lie."""
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    shaped(Status, answer)
    told = answer.json()
    assert told["api"]["status"] == "degraded"
    assert told["database"] == {"status": "error", "schemaRevision": None}
    assert set(told["deployment"].values()) == {None}
    assert set(told["context"].values()) == {None}
    ingestion = told["ingestion"]
    assert (ingestion["lastRun"], ingestion["lastSuccessAt"]) == (None, None)
    assert set(ingestion["today"].values()) | set(ingestion["archive"].values()) == {None}


def unavailable(answer: httpx.Response) -> str:
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    error = error_of(answer)
    assert error["code"] == "SERVICE_UNAVAILABLE"
    return str(error["message"])


def unhealthy(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert shaped(Health, answer).database == "error"
    assert answer.json()["status"] == "degraded"


def all_unavailable(client: Client) -> None:
    """Each route says in its own shape that there is no database; each within its bound."""
    for path, holds in (("/health", unhealthy), ("/status", null_shaped), ("/stations", unavailable)):
        began = time.monotonic()
        answer = client.get(path)
        assert time.monotonic() - began < BOUND + SLACK
        holds(answer)


def all_well(client: Client) -> None:
    for path in ("/health", "/status", "/stations", "/stations/2011", "/catchments", HISTORY):
        assert client.get(path).status_code == 200


@pytest.fixture
def proxy(postgres_server: PostgresForTests) -> Iterator[TcpProxy]:
    address = urlsplit(postgres_server.admin_url)
    with TcpProxy(address.hostname or "127.0.0.1", address.port or 5432) as proxy:
        yield proxy


def through(proxy: TcpProxy, url: str) -> str:
    address = urlsplit(url)
    login = address.netloc.rpartition("@")[0]
    return urlunsplit(address._replace(netloc=f"{login}@{proxy.host}:{proxy.port}"))


def test_without_a_database_every_route_says_so_at_once_and_names_nothing_of_it() -> None:
    with serving(NOWHERE) as client:
        all_unavailable(client)
        for path in ("/stations", "/stations/2011", "/catchments", HISTORY):
            text = client.get(path).text
            assert "nobody" not in text
            assert "127.0.0.1" not in text


def test_killed_connections_are_replaced_without_an_error(seeded_database: str) -> None:
    with serving(seeded_database) as client, psycopg.connect(seeded_database, autocommit=True) as admin:
        client.together(*["/stations"] * 8)
        for _ in range(2):
            killed = admin.execute(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'alpimonitor-api%'"
            ).fetchone()
            assert killed is not None
            assert killed[0] > 0
            assert {answer.status_code for answer in client.together(*["/stations"] * 16)} == {200}


def test_a_database_that_goes_and_comes_back_is_found_again_without_a_restart(
    postgres_server: PostgresForTests, seeded_database: str
) -> None:
    name = sql.Identifier(urlsplit(seeded_database).path.removeprefix("/"))
    away = sql.Identifier(name.as_string().strip('"') + "_away")
    with (
        serving(seeded_database, database_timeout_seconds=BOUND) as client,
        psycopg.connect(postgres_server.admin_url, autocommit=True) as admin,
    ):
        all_well(client)
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            (name.as_string().strip('"'),),
        )
        admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(name, away))
        try:
            all_unavailable(client)
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(away, name))
        all_well(client)


def test_a_cut_network_is_told_at_once_and_found_again(proxy: TcpProxy, seeded_database: str) -> None:
    with serving(through(proxy, seeded_database), database_timeout_seconds=BOUND) as client:
        all_well(client)
        proxy.cut()
        all_unavailable(client)
        proxy.heal()
        all_well(client)


def test_a_silent_network_is_given_up_within_the_bound_and_found_again(
    proxy: TcpProxy, seeded_database: str
) -> None:
    with serving(
        through(proxy, seeded_database), database_timeout_seconds=BOUND, database_pool_size=2
    ) as client:
        all_well(client)
        proxy.hang()
        all_unavailable(client)
        # More questions than connections: those that wait for one are bounded as well.
        began = time.monotonic()
        for answer in client.together(*["/stations"] * 6):
            unavailable(answer)
        assert time.monotonic() - began < BOUND + SLACK
        proxy.heal()
        all_well(client)


def test_a_server_that_accepts_and_never_speaks_is_given_up_within_the_bound(
    proxy: TcpProxy, seeded_database: str
) -> None:
    proxy.hang()
    with serving(through(proxy, seeded_database), database_timeout_seconds=BOUND) as client:
        all_unavailable(client)


def test_a_locked_table_makes_its_routes_wait_no_longer_than_the_bound(seeded_database: str) -> None:
    with serving(seeded_database, database_timeout_seconds=BOUND) as client:
        all_well(client)
        with psycopg.connect(seeded_database) as blocker:
            blocker.execute("LOCK TABLE station IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            assert "did not answer in time" in unavailable(client.get("/stations"))
            null_shaped(client.get("/status"))
            assert time.monotonic() - began < 2 * (BOUND + SLACK)
            # The database itself is there, and that is all that health says.
            assert client.get("/health").status_code == 200
        all_well(client)


def test_a_statement_that_was_given_up_does_not_go_on_in_the_database(seeded_database: str) -> None:
    with psycopg.connect(seeded_database) as blocker, psycopg.connect(seeded_database) as watcher:
        blocker.execute("LOCK TABLE station IN ACCESS EXCLUSIVE MODE")
        with serving(seeded_database, database_timeout_seconds=BOUND) as client:
            client.get("/stations")
        waiting = watcher.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'station'::regclass"
        ).fetchone()
        assert waiting == (0,)


def test_health_answers_while_every_connection_for_answers_is_busy(seeded_database: str) -> None:
    with serving(seeded_database, database_timeout_seconds=BOUND, database_pool_size=1) as client:
        with psycopg.connect(seeded_database) as blocker:
            blocker.execute("LOCK TABLE station IN ACCESS EXCLUSIVE MODE")
            *_, health = client.together("/stations", "/stations", "/status", "/health")
        assert health.status_code == 200


def test_a_database_that_is_not_migrated_is_told_and_found_once_it_is(empty_database: str) -> None:
    from alpimonitor_cli.migrate import upgrade

    with serving(empty_database) as client:
        assert client.get("/health").status_code == 200
        null_shaped(client.get("/status"))
        assert "migrate" in unavailable(client.get("/stations"))
        assert "migrate" in unavailable(client.get(HISTORY))
        upgrade(empty_database, environment="test")
        assert client.get("/status").status_code == 200
        assert error_of(client.get("/stations"))["code"] == "CONTEXT_EMPTY"


def test_a_dropped_table_is_told_and_found_when_it_is_back(seeded_database: str) -> None:
    with serving(seeded_database) as client, psycopg.connect(seeded_database, autocommit=True) as connection:
        all_well(client)
        connection.execute("ALTER TABLE withdrawal RENAME TO gone")
        null_shaped(client.get("/status"))
        assert "migrate" in unavailable(client.get("/stations/2011"))
        assert client.get("/stations").status_code == 200
        connection.execute("ALTER TABLE gone RENAME TO withdrawal")
        all_well(client)


def test_a_role_without_rights_is_told(seeded_database: str) -> None:
    address = urlsplit(seeded_database)
    role = address.path.removeprefix("/")  # roles belong to the whole server: a name of its own
    with psycopg.connect(seeded_database, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'sesame'").format(sql.Identifier(role)))
        try:
            url = urlunsplit(address._replace(netloc=f"{role}:sesame@{address.netloc.rpartition('@')[2]}"))
            with serving(url) as client:
                assert client.get("/health").status_code == 200
                null_shaped(client.get("/status"))
                assert "grant" in unavailable(client.get("/stations"))
                admin.execute(sql.SQL("ALTER ROLE {} PASSWORD 'other'").format(sql.Identifier(role)))
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_an_outage_is_one_line_in_the_log_and_its_end_another(
    proxy: TcpProxy, seeded_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "alpimonitor_api.database")
    with serving(through(proxy, seeded_database), database_timeout_seconds=BOUND) as client:
        proxy.cut()
        for _ in range(3):
            client.get("/stations")
        proxy.heal()
        for _ in range(3):
            client.get("/stations")
    told = [vars(record)["action"] for record in caplog.records]
    assert told == ["database_unavailable", "database_available"]
    password = urlsplit(seeded_database).password
    assert not password or password not in caplog.text


def test_one_missing_table_does_not_fill_the_log(
    seeded_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "alpimonitor_api.database")
    with serving(seeded_database) as client, psycopg.connect(seeded_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE withdrawal RENAME TO gone")
        for _ in range(3):
            assert client.get("/stations").status_code == 200
            assert client.get("/stations/2011").status_code == 503
    assert [vars(record)["reason"] for record in caplog.records] == ["no_schema"]


@pytest.mark.parametrize(
    ("transaction_pooler", "options", "seen"),
    [
        (False, "", (b"1", b"off", b"1min", b"4MB")),
        (False, "?options=-c%20work_mem%3D8MB", (b"1", b"off", b"1min", b"8MB")),
        # Prepared statements and session settings would be another client's in the next transaction.
        (True, "", (b"0", b"on", b"0", b"4MB")),
    ],
)
def test_a_transaction_pooler_is_given_no_prepared_statement_and_no_session_setting(
    database: str, transaction_pooler: bool, options: str, seen: tuple[bytes, ...]
) -> None:
    look = Statement(
        b"SELECT (SELECT count(*) FROM pg_prepared_statements), current_setting('jit'), "
        b"current_setting('statement_timeout'), current_setting('work_mem')"
    )
    access = Access(
        database + options, "a test", transaction_pooler=transaction_pooler, connect_timeout=BOUND
    )

    async def second_look() -> tuple[bytes, ...]:
        lane = Database(access, size=1, name="test")
        await lane.row(look, {}, within=5)
        try:
            return await lane.row(look, {}, within=5)
        finally:
            await lane.close()

    assert asyncio.run(second_look()) == seen


def test_after_a_silence_no_kept_connection_is_trusted(database: str) -> None:
    access = Access(database, "kept", transaction_pooler=False, connect_timeout=BOUND)

    def kept(watcher: psycopg.Connection) -> int:
        row = watcher.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'kept'"
        ).fetchone()
        assert row is not None
        return int(row[0])

    async def silence(watcher: psycopg.Connection) -> tuple[int, int]:
        lane = Database(access, size=3, name="test")
        try:
            nap = Statement(b"SELECT pg_sleep(0.1)")
            await asyncio.gather(*(lane.row(nap, {}, within=5) for _ in range(3)))
            before = kept(watcher)
            with pytest.raises(DatabaseUnavailable):
                await lane.row(Statement(b"SELECT pg_sleep(30)"), {}, within=0.1)
            # Only the silent one may be left: it is still being told to stop.
            left = wait_until("the others ending", lambda: kept(watcher) <= 1, deadline=10)
            return before, int(left)
        finally:
            await lane.close()

    with psycopg.connect(database, autocommit=True) as watcher:
        assert asyncio.run(silence(watcher)) == (3, 1)


def test_a_statement_that_is_wrong_is_no_outage(database: str) -> None:
    async def asked(sql: bytes) -> tuple[bytes, ...]:
        lane = Database(
            Access(database, "a test", transaction_pooler=False, connect_timeout=BOUND), size=1, name="test"
        )
        try:
            return await lane.row(Statement(sql), {}, within=5)
        finally:
            await lane.close()

    with pytest.raises(psycopg.errors.DivisionByZero):
        asyncio.run(asked(b"SELECT 1 / 0"))
    assert asyncio.run(asked(b"SELECT 1 WHERE false")) == ()
    assert asyncio.run(asked(b"SELECT NULL::text, 'x'")) == (b"", b"x")
