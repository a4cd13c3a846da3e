"""Who was connected and what the application recorded: gathered around a loss, and harmless to the look."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.evidence import Record
from alpimonitor_watchdog.core.seen import DatabaseSeen
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from tests.armed import arm
from tests.login_roles import LoginRole, login_role
from tests.probing import Clock, Probing, probing_as

OWN = "watching 1 host 2"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probing(clock: Clock) -> Iterator[Probing]:
    with probing_as(OWN, tables=[Guarded("station", context=True)], monotonic=clock) as probing:
        yield probing


@pytest.fixture
def admin(empty_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(empty_database, autocommit=True, application_name="psql") as connection:
        connection.execute("CREATE TABLE station AS SELECT generate_series(1, 7) AS id")
        connection.execute("CREATE TABLE reload (id int, who text)")
        connection.execute("INSERT INTO reload VALUES (1, 'anna')")
        yield connection


@pytest.fixture
def role(empty_database: str, admin: psycopg.Connection) -> Iterator[LoginRole]:
    with login_role(empty_database) as made:
        admin.execute(sql.SQL("GRANT SELECT ON station, reload TO {}").format(made.identifier))
        yield made


def look(probe: DatabaseProbe) -> DatabaseSeen:
    seen = probe.look()
    assert seen.unseen is None, seen.detail
    assert seen.tables[0].rows is not None
    return seen


def closely(probe: DatabaseProbe) -> DatabaseSeen:
    probe.closely = True
    return look(probe)


def test_while_all_is_well_nobody_is_sampled_and_nothing_asked(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    seen = look(probing(empty_database, evidence={"reload": "SELECT * FROM reload"}))
    assert (seen.activity, seen.records) == ((), ())


def test_an_event_brings_who_is_connected_and_what_the_application_recorded(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    arm(admin, "station")
    probe = probing(empty_database, evidence={"reload": "SELECT * FROM reload"})
    look(probe)
    admin.execute("DELETE FROM station")
    seen = look(probe)
    assert [client.application_name for client in seen.activity] == ["psql"]
    (record,) = seen.records
    assert record.name == "reload"
    assert json.loads(record.body) == {"id": 1, "who": "anna"}


def test_a_client_is_told_with_what_it_waits_for_and_without_its_statement(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    secret = "a value that is nobody's business"
    with psycopg.connect(empty_database, application_name="writer") as writer:
        writer.execute("SELECT %s", (secret,))
        seen = closely(probe)
        (waiting,) = [client for client in seen.activity if client.application_name == "writer"]
        started = admin.execute(
            "SELECT backend_start, xact_start FROM pg_stat_activity WHERE pid = %s", (waiting.pid,)
        ).fetchone()
        assert (waiting.pid, waiting.role) == (writer.info.backend_pid, writer.info.user)
    assert waiting.client_addr == "127.0.0.1"
    assert (waiting.state, waiting.waits_for) == ("idle in transaction", "Client: ClientRead")
    assert (waiting.backend_start, waiting.transaction_start) == started
    assert secret not in repr(seen)


def test_the_sidecars_own_connections_are_left_out_and_those_that_only_borrow_its_name_are_not(
    admin: psycopg.Connection, empty_database: str, role: LoginRole, probing: Probing
) -> None:
    with (
        psycopg.connect(make_conninfo(role.url, application_name=f"{OWN} listener")),
        psycopg.connect(make_conninfo(empty_database, application_name=OWN)) as borrower,
        psycopg.connect(make_conninfo(role.url, application_name="psql")) as by_hand,
    ):
        pids = {client.pid for client in closely(probing(role.url)).activity}
        assert pids == {borrower.info.backend_pid, by_hand.info.backend_pid, admin.info.backend_pid}


def test_those_in_a_transaction_come_first_and_there_are_at_most_fifty(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    connections = [psycopg.connect(empty_database) for _ in range(52)]
    try:
        connections[-1].execute("SELECT 1")
        busy = connections[-1].info.backend_pid
        seen = closely(probing(empty_database))
    finally:
        for connection in connections:
            connection.close()
    assert len(seen.activity) == 50
    assert seen.activity[0].pid == busy


def test_it_is_sampled_once_a_second(
    admin: psycopg.Connection, empty_database: str, probing: Probing, clock: Clock
) -> None:
    probe = probing(empty_database)
    sampled = []
    for _ in range(4):
        sampled.append(bool(closely(probe).activity))
        clock.now += 0.5
    assert sampled == [True, False, True, False]


def test_each_row_of_a_query_is_returned_once(
    admin: psycopg.Connection, empty_database: str, probing: Probing, clock: Clock
) -> None:
    probe = probing(empty_database, evidence={"reload": "SELECT * FROM reload ORDER BY id DESC -- newest"})
    assert len(closely(probe).records) == 1
    clock.now += 1
    assert closely(probe).records == ()
    admin.execute("INSERT INTO reload VALUES (2, 'beat')")
    clock.now += 1
    assert closely(probe).records == (Record("reload", '{"id":2,"who":"beat"}'),)


def test_of_one_query_fifty_rows_are_read(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database, evidence={"many": "SELECT generate_series(1, 1000) AS id"})
    assert len(closely(probe).records) == 50


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM nowhere",
        "SELECT 1/0",
        "SELECT pg_sleep(10)",
        "WITH gone AS (DELETE FROM reload RETURNING *) SELECT * FROM gone",
        "SELECT nextval('counted')",
        "SELECT 1) AS a; DELETE FROM reload; SELECT (1",
        "SELECT",
    ],
)
def test_a_query_that_fails_or_writes_harms_neither_the_look_nor_the_others(
    admin: psycopg.Connection,
    empty_database: str,
    probing: Probing,
    query: str,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    admin.execute("CREATE SEQUENCE counted")
    probe = probing(empty_database, evidence={"bad": query, "reload": "TABLE reload"})
    with caplog.at_level(logging.WARNING):
        seen = closely(probe)
        clock.now += 1
        closely(probe)
    assert [record.name for record in seen.records if record.name == "reload"] == ["reload"]
    assert seen.activity
    assert admin.execute("SELECT count(*) FROM reload").fetchone() == (1,)
    assert admin.execute("SELECT is_called FROM counted").fetchone() == (False,)
    if query != "SELECT":  # which is a row without columns, and as good as any
        (said,) = [entry.getMessage() for entry in caplog.records]
        assert said.startswith("[evidence.queries] bad brings no evidence: ")


def test_a_table_that_somebody_locks_costs_the_look_that_query_only(
    admin: psycopg.Connection, empty_database: str, probing: Probing, clock: Clock
) -> None:
    probe = probing(empty_database, evidence={"reload": "SELECT * FROM reload"})
    with psycopg.connect(empty_database) as locking:
        locking.execute("LOCK reload IN ACCESS EXCLUSIVE MODE")
        seen = closely(probe)
        assert seen.records == ()
    clock.now += 1
    assert len(closely(probe).records) == 1


def test_a_value_is_written_the_same_whatever_the_session_is_set_to(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    query = "SELECT timestamptz '2026-04-21T10:00:00Z' AS at, '\\xff'::bytea AS raw"
    plain = closely(probing(empty_database, evidence={"a": query})).records
    admin.execute(
        sql.SQL(
            "ALTER DATABASE {0} SET timezone = 'Europe/Zurich'; "
            "ALTER DATABASE {0} SET bytea_output = 'escape'"
        ).format(sql.Identifier(admin.info.dbname))
    )
    assert closely(probing(empty_database, evidence={"a": query})).records == plain


def test_the_refusal_of_a_connection_has_the_servers_code(
    admin: psycopg.Connection, empty_database: str, role: LoginRole, probing: Probing
) -> None:
    dropped = make_conninfo(empty_database, dbname="there is none of that name")
    assert probing(dropped).look().code == "3D000"
    assert probing(make_conninfo(role.url, password="wrong")).look().code == "28P01"
    assert probing(make_conninfo(role.url, user="nobody_of_that_name")).look().code == "28P01"
    admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role.identifier))
    refused = probing(role.url).look()
    assert (refused.code, refused.unseen) == ("28000", "refused")
    assert role.password not in repr(refused)


def test_what_can_be_reached_or_cannot_has_no_code(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    assert look(probing(empty_database)).code is None
    assert probing(make_conninfo(empty_database, port="1")).look().code is None


def test_a_probe_that_was_refused_sees_again_as_soon_as_it_may(
    admin: psycopg.Connection, role: LoginRole, probing: Probing
) -> None:
    admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role.identifier))
    probe = probing(role.url)
    assert probe.look().code == "28000"
    admin.execute(sql.SQL("ALTER ROLE {} LOGIN").format(role.identifier))
    wait_until("a look", lambda: probe.look().unseen is None, deadline=10)
