"""What the flight recorder writes down of a statement, however it was sent."""

from __future__ import annotations

import contextlib
import threading

import psycopg
import pytest
from psycopg import sql

from tests import recorders
from tests.login_roles import login_role

TABLES = """
CREATE TABLE station (id int PRIMARY KEY, name text);
CREATE TABLE sensor (id int PRIMARY KEY, station_id int REFERENCES station ON DELETE CASCADE);
INSERT INTO station SELECT n, 'station ' || n FROM generate_series(1, 7) AS n;
INSERT INTO sensor SELECT n, (n - 1) % 7 + 1 FROM generate_series(1, 14) AS n;
"""


@pytest.fixture
def recorded(empty_database: str) -> str:
    """The URL of a database with seven stations and fourteen sensors, both guarded."""
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute(TABLES)
    recorders.install(empty_database, "station", "sensor")
    return empty_database


def run(url: str, *statements: str) -> list[str]:
    """Each in a transaction of its own; the warnings."""
    warnings: list[str] = []
    with psycopg.connect(url, autocommit=True) as session:
        session.add_notice_handler(
            lambda notice: (
                warnings.append(str(notice.message_primary))
                if notice.severity_nonlocalized == "WARNING"
                else None
            )
        )
        for statement in statements:
            session.execute(statement.encode())
    return warnings


def test_a_delete_says_who_ran_what_and_in_which_transaction(recorded: str) -> None:
    with (
        login_role(recorded) as role,
        psycopg.connect(recorded, autocommit=True) as owner,
    ):
        owner.execute(sql.SQL("GRANT SELECT, DELETE ON sensor TO {}").format(role.identifier))
        with psycopg.connect(role.url, application_name="a script") as session:
            session.execute("SET LOCAL watchdog.reason = 'spring cleaning'")
            session.execute("DELETE FROM sensor WHERE id > 10")
            number = session.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
            pid = session.info.backend_pid
        (event,) = recorders.events(recorded)
    expected = {
        **{"operation": "delete", "schema_name": "public", "table_name": "sensor"},
        **{"rows": 4, "remaining": 10, "session_role": role.name, "role": role.name},
        **{"application_name": "a script", "pid": pid, "reason": "spring cleaning"},
        **{"statement": "DELETE FROM sensor WHERE id > 10", "inner_context": ""},
    }
    assert {name: event[name] for name in expected} == expected
    assert number == (event["transaction"],)
    assert str(event["client_addr"]) in ("127.0.0.1", "::1", "127.0.0.1/32")


def test_nothing_is_left_of_what_was_rolled_back_and_of_what_found_no_row(recorded: str) -> None:
    with psycopg.connect(recorded) as session:
        session.execute("DELETE FROM sensor")
        session.execute("SAVEPOINT again")
        session.rollback()
    run(
        recorded,
        "DELETE FROM sensor WHERE id = 99",
        "UPDATE station SET name = '' WHERE id = 99",
        "CREATE TABLE empty (id int)",
        "SELECT flight_recorder.guard('empty', 'context', true, 0)",
        "TRUNCATE empty",
    )
    assert recorders.events(recorded) == []


def test_a_truncate_in_an_old_snapshot_is_recorded_though_it_cannot_see_the_rows(recorded: str) -> None:
    run(recorded, "CREATE TABLE late (id int)", "SELECT flight_recorder.guard('late', 'context', true, 0)")
    with psycopg.connect(recorded) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.execute("SELECT count(*) FROM station")
        run(recorded, "INSERT INTO late VALUES (1)")
        session.execute("TRUNCATE late")
    assert [(event["operation"], event["table_name"]) for event in recorders.events(recorded)] == [
        ("truncate", "late")
    ]


def test_a_cascade_is_several_events_of_one_transaction(recorded: str) -> None:
    run(recorded, "DELETE FROM station WHERE id <= 3")
    events = recorders.events(recorded)
    assert sorted(recorders.brief(recorded)) == [("delete", "sensor", 6, 8), ("delete", "station", 3, 4)]
    assert len({event["transaction"] for event in events}) == 1
    assert {event["statement"] for event in events} == {"DELETE FROM station WHERE id <= 3"}


def test_truncate_cascade_is_an_event_for_each_table(recorded: str) -> None:
    run(recorded, "TRUNCATE station CASCADE")
    assert sorted(recorders.brief(recorded)) == [("truncate", "sensor", 14, 0), ("truncate", "station", 7, 0)]


@pytest.mark.parametrize(
    ("statement", "inner"),
    [
        pytest.param("DO $$ BEGIN DELETE FROM sensor; END $$", "DELETE FROM sensor", id="a DO block"),
        pytest.param(
            "DO $$ BEGIN EXECUTE 'DELETE ' || 'FROM sensor'; END $$", "DELETE FROM sensor", id="dynamic SQL"
        ),
        pytest.param(
            "WITH gone AS (DELETE FROM sensor RETURNING id) SELECT count(*) FROM gone", "", id="a CTE"
        ),
        pytest.param(
            "MERGE INTO sensor USING station ON station_id = station.id WHEN MATCHED THEN DELETE",
            "",
            id="MERGE",
        ),
    ],
)
def test_it_is_recorded_however_it_is_written(recorded: str, statement: str, inner: str) -> None:
    run(recorded, statement)
    (event,) = recorders.events(recorded)
    assert (event["rows"], event["remaining"], event["statement"]) == (14, 0, statement)
    assert inner in event["inner_context"]
    assert "record_statement" not in event["inner_context"]


def test_a_prepared_statement_shows_its_parameters_by_number(recorded: str) -> None:
    with psycopg.connect(recorded) as session:
        session.execute("DELETE FROM sensor WHERE id = %s", (3,), prepare=True)
    (event,) = recorders.events(recorded)
    assert event["statement"] == "DELETE FROM sensor WHERE id = $1"


def test_whom_a_session_had_become_is_recorded_beside_who_logged_in(recorded: str) -> None:
    with login_role(recorded) as other, psycopg.connect(recorded) as session:
        session.execute(sql.SQL("GRANT DELETE ON sensor TO {}").format(other.identifier))
        session.execute(sql.SQL("SET LOCAL ROLE {}").format(other.identifier))
        session.execute("DELETE FROM sensor")
        session.commit()
        user = session.info.user
        (event,) = recorders.events(recorded)
    assert (event["session_role"], event["role"]) == (user, other.name)


def test_replicas_are_recorded_too(recorded: str) -> None:
    run(recorded, "SET session_replication_role = replica", "DELETE FROM sensor")
    with psycopg.connect(recorded, autocommit=True) as session:
        session.execute("SET session_replication_role = replica")
        session.execute("TRUNCATE station CASCADE")
    assert {event["table_name"] for event in recorders.events(recorded)} == {"station", "sensor"}


def test_only_context_tables_tell_of_updates_and_of_what_is_left(empty_database: str) -> None:
    run(empty_database, TABLES)
    recorders.install(empty_database, "station")
    recorders.guard(empty_database, "sensor", kind="operational")
    run(
        empty_database,
        "UPDATE station SET name = NULL",
        "UPDATE sensor SET id = id + 100",
        "DELETE FROM sensor",
    )
    assert recorders.brief(empty_database) == [("update", "station", 7, None), ("delete", "sensor", 14, None)]


def test_what_is_left_is_not_counted_where_that_costs_more_than_the_statement(recorded: str) -> None:
    run(recorded, "INSERT INTO sensor SELECT n, 1 FROM generate_series(100, 20000) AS n")
    run(recorded, "DELETE FROM sensor WHERE id = 1", "DELETE FROM sensor WHERE id > 5000")
    counts = [(event["rows"], event["remaining"]) for event in recorders.events(recorded)]
    assert counts == [(1, None), (15000, 4914)]


def test_a_serializable_transaction_does_not_come_to_depend_on_the_whole_table(recorded: str) -> None:
    """It would fail where it would not have without a recorder."""
    both = [psycopg.connect(recorded), psycopg.connect(recorded)]
    with contextlib.ExitStack() as sessions:
        for number, session in enumerate(both):
            sessions.enter_context(session)
            session.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            session.execute("SET enable_seqscan = off")
            session.execute("DELETE FROM sensor WHERE id = %s", (number + 1,))
        for session in both:
            session.commit()
    assert recorders.brief(recorded) == [("delete", "sensor", 1, None)] * 2


def test_the_journal_keeps_so_many_old_rows_and_of_an_update_the_new_ones(recorded: str) -> None:
    recorders.guard(recorded, "station", journal=3)
    run(
        recorded,
        "UPDATE station SET name = NULL WHERE id = 2",
        "DELETE FROM station",
        "INSERT INTO station VALUES (1)",
    )
    run(recorded, "TRUNCATE station CASCADE")
    with psycopg.connect(recorded) as owner:
        rows = owner.execute(
            "SELECT operation, before, after, columns"
            " FROM flight_recorder.journal JOIN flight_recorder.event ON event = event.id ORDER BY event.id"
        ).fetchall()
    assert rows[0] == ("update", '(2,"station 2")', "(2,)", ["id", "name"])
    assert [row[3] for row in rows[1:]] == [["id", "name"], None, None, ["id", "name"]]
    assert [row[0] for row in rows] == ["update", "delete", "delete", "delete", "truncate"]


def test_columns_may_be_named_as_anything_in_the_recorder_is(recorded: str) -> None:
    run(
        recorded, "CREATE TABLE odd (event int, stack int, taken int, tells int, tg_op int, rows int, id int)"
    )
    recorders.guard(recorded, "odd", journal=5)
    warnings = run(
        recorded,
        "INSERT INTO odd VALUES (1, 2, 3, 4, 5, 6, 7)",
        "UPDATE odd SET event = 11",
        "DELETE FROM odd",
        "INSERT INTO odd VALUES (1, 2, 3, 4, 5, 6, 7)",
        "TRUNCATE odd",
    )
    assert warnings == []
    assert recorders.brief(recorded) == [
        *(("update", "odd", 1, None), ("delete", "odd", 1, 0), ("truncate", "odd", 1, 0))
    ]
    with psycopg.connect(recorded) as owner:
        rows = owner.execute("SELECT before, after FROM flight_recorder.journal").fetchall()
    one, eleven = "(1,2,3,4,5,6,7)", "(11,2,3,4,5,6,7)"
    assert rows == [(one, eleven), (eleven, None), (one, None)]


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("DROP TABLE sensor", id="a table"),
        pytest.param("DROP SCHEMA public CASCADE", id="the schema that holds it"),
    ],
)
def test_a_drop_is_recorded(recorded: str, statement: str) -> None:
    run(recorded, statement)
    found = {
        (e["operation"], e["table_name"], e["remaining"], e["statement"]) for e in recorders.events(recorded)
    }
    assert ("drop", "sensor", 0, statement) in found
    assert {operation for operation, *_ in found} == {"drop"}


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE sensor DISABLE TRIGGER flight_recorder_delete",
        "ALTER TABLE sensor DISABLE TRIGGER ALL",
        "ALTER TABLE sensor ENABLE REPLICA TRIGGER flight_recorder_truncate",
        "DROP TRIGGER flight_recorder_update ON sensor",
    ],
)
def test_disarming_is_recorded(recorded: str, statement: str) -> None:
    run(recorded, statement)
    (event,) = recorders.events(recorded)
    assert (event["operation"], event["table_name"], event["statement"]) == ("disarm", "sensor", statement)


def test_other_changes_of_a_table_are_no_disarming(recorded: str) -> None:
    run(
        recorded,
        "ALTER TABLE sensor ADD note text",
        "ALTER TABLE sensor DROP note",
        "CREATE TEMP TABLE t (id int)",
    )
    assert recorders.events(recorded) == []


def test_a_leaf_is_guarded_as_its_parent_is_and_nothing_counts_twice(empty_database: str) -> None:
    run(
        empty_database,
        "CREATE TABLE reading (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE low PARTITION OF reading FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE high PARTITION OF reading FOR VALUES FROM (10) TO (20)",
        "CREATE TABLE old_kind (id int)",
        "CREATE TABLE child (note text) INHERITS (old_kind)",
        "INSERT INTO reading SELECT generate_series(0, 19)",
        "INSERT INTO child SELECT generate_series(1, 3)",
    )
    recorders.install(empty_database, "reading", "old_kind")
    run(
        empty_database,
        "DELETE FROM reading WHERE id IN (1, 11)",
        "DELETE FROM low WHERE id = 2",
        "TRUNCATE reading",
        "DELETE FROM child WHERE id = 1",
        "DELETE FROM old_kind",
    )
    assert sorted(recorders.brief(empty_database), key=str) == sorted(
        [
            ("delete", "reading", 2, 18),
            ("delete", "low", 1, 8),
            ("truncate", "low", 8, 0),
            ("truncate", "high", 9, 0),
            ("delete", "child", 1, 2),
            ("delete", "old_kind", 2, 0),
        ],
        key=str,
    )


def heard(url: str, *statements: str) -> list[str]:
    """The payloads that a listener gets while a session commits these."""
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute("LISTEN flight_recorder")
        with psycopg.connect(url, autocommit=True) as session:
            for statement in statements:
                session.execute(statement.encode())
            session.execute("NOTIFY flight_recorder, 'end'")
        payloads = []
        for notification in listener.notifies(timeout=30):
            if notification.payload == "end":
                break
            payloads.append(notification.payload)
    return payloads


def test_a_listener_hears_once_of_a_transaction_and_by_its_number(recorded: str) -> None:
    payloads = heard(recorded, "BEGIN; DELETE FROM station WHERE id = 1; DELETE FROM station; COMMIT")
    assert payloads == [
        str(number) for number in {event["transaction"] for event in recorders.events(recorded)}
    ]


def test_a_listener_hears_nothing_of_many_rows_left_of_updates_and_of_operational_tables(
    recorded: str,
) -> None:
    run(recorded, "CREATE TABLE many AS SELECT generate_series(1, 2000) AS id")
    recorders.guard(recorded, "many")
    recorders.guard(recorded, "sensor", kind="operational")
    statements = ("DELETE FROM many WHERE id = 1", "UPDATE station SET name = ''", "DELETE FROM sensor")
    assert heard(recorded, *statements) == []
    assert heard(recorded, "SET flight_recorder.notify = off", "DELETE FROM station") == []
    assert len(recorders.events(recorded)) == 4


def test_two_sessions_record_at_once(recorded: str) -> None:
    ready = threading.Barrier(4)

    def delete(first: int) -> None:
        with psycopg.connect(recorded, autocommit=True) as session:
            ready.wait(30)
            for number in range(first, 15, 4):
                session.execute("DELETE FROM sensor WHERE id = %s", (number,))

    threads = [threading.Thread(target=delete, args=(first,)) for first in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(event["rows"] for event in recorders.events(recorded)) == 14
