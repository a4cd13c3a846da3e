"""What the probe reads of the flight recorder: whether it is armed, and every event exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from typing import Any

import psycopg
import pytest
from psycopg import sql

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.evidence import Event, Operation, RecorderSeen, SessionSeen
from alpimonitor_watchdog.probe import recorder
from alpimonitor_watchdog.probe.bounded import Bounded, Late
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.fingerprint import Fingerprinting
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from alpimonitor_watchdog.probe.queries import queries
from alpimonitor_watchdog.probe.unread import Position
from tests.armed import arm
from tests.databases import PostgresForTests, new_database
from tests.login_roles import LoginRole, login_role
from tests.probing import Probing, probing_as

GUARDED = [Guarded("station", context=True), Guarded("public.measurement")]


@pytest.fixture
def probing() -> Iterator[Probing]:
    with probing_as("reading", tables=GUARDED) as probing:
        yield probing


@pytest.fixture
def admin(empty_database: str) -> Iterator[psycopg.Connection]:
    """A database with the recorder on a context table and an operational one."""
    with psycopg.connect(empty_database, autocommit=True, application_name="psql") as connection:
        connection.execute("CREATE TABLE station AS SELECT generate_series(1, 10) AS id")
        connection.execute("CREATE TABLE measurement AS SELECT generate_series(1, 10) AS id")
        arm(connection, "station")
        arm(connection, "measurement", kind="operational")
        yield connection


@pytest.fixture
def role(empty_database: str, admin: psycopg.Connection) -> Iterator[LoginRole]:
    with login_role(empty_database) as made:
        admin.execute(sql.SQL("GRANT SELECT ON station, measurement TO {}").format(made.identifier))
        yield made


def read(probe: DatabaseProbe) -> RecorderSeen:
    seen = probe.look()
    assert seen.unseen is None, seen.detail
    assert all(table.unseen is None for table in seen.tables)
    assert seen.recorder is not None
    return seen.recorder


def statements(events: tuple[Event, ...]) -> list[str]:
    return [event.statement for event in events]


def test_without_a_recorder_there_is_none(empty_database: str, probing: Probing) -> None:
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute("CREATE TABLE station (); CREATE TABLE measurement ()")
    assert read(probing(empty_database)) == RecorderSeen(installed=False)


def test_an_armed_recorder_is_armed(admin: psycopg.Connection, empty_database: str, probing: Probing) -> None:
    seen = read(probing(empty_database))
    assert (seen.installed, seen.readable, seen.unarmed, seen.drops) == (True, True, (), True)
    assert seen.armed
    assert seen.arming


@pytest.mark.parametrize(
    ("doing", "unarmed"),
    [
        ("ALTER TABLE station DISABLE TRIGGER flight_recorder_delete", ("station",)),
        ("ALTER TABLE station ENABLE TRIGGER flight_recorder_truncate", ("station",)),
        ("DROP TRIGGER flight_recorder_update ON station", ("station",)),
        ("ALTER TABLE measurement DISABLE TRIGGER ALL", ("public.measurement",)),
        ("SELECT flight_recorder.release('station')", ("station",)),
    ],
)
def test_a_table_of_which_not_every_statement_is_recorded_is_named(
    admin: psycopg.Connection, empty_database: str, probing: Probing, doing: str, unarmed: tuple[str, ...]
) -> None:
    probe = probing(empty_database)
    before = read(probe)
    admin.execute(doing.encode())
    after = read(probe)
    assert after.unarmed == unarmed
    assert not after.armed
    assert after.arming != before.arming


def test_a_partition_that_is_not_guarded_leaves_its_table_unarmed(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    admin.execute("CREATE TABLE reading (id int) PARTITION BY RANGE (id)")
    admin.execute("CREATE TABLE reading_1 PARTITION OF reading FOR VALUES FROM (0) TO (10)")
    arm(admin, "reading")
    probe = probing(empty_database, tables=[Guarded("reading", context=True)])
    assert read(probe).armed
    admin.execute("CREATE TABLE reading_2 PARTITION OF reading FOR VALUES FROM (10) TO (20)")
    assert read(probe).unarmed == ("reading",)


def test_the_event_of_a_partition_is_told_of_its_table(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    admin.execute("CREATE TABLE reading (id int) PARTITION BY RANGE (id)")
    admin.execute("CREATE TABLE reading_1 PARTITION OF reading FOR VALUES FROM (0) TO (10)")
    admin.execute("INSERT INTO reading VALUES (1)")
    arm(admin, "reading")
    admin.execute("DELETE FROM reading_1")
    (event,) = read(probing(empty_database, tables=[Guarded("reading", context=True)])).events
    assert (event.table, event.rows) == ("reading", 1)


def test_disarming_for_one_transaction_leaves_another_arming(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    before = read(probe)
    with admin.transaction():
        admin.execute("ALTER EVENT TRIGGER flight_recorder_ddl DISABLE")
        admin.execute("ALTER TABLE station DISABLE TRIGGER USER")
        admin.execute("DELETE FROM station")
        admin.execute("ALTER TABLE station ENABLE ALWAYS TRIGGER flight_recorder_delete")
        admin.execute("ALTER TABLE station ENABLE ALWAYS TRIGGER flight_recorder_truncate")
        admin.execute("ALTER TABLE station ENABLE ALWAYS TRIGGER flight_recorder_update")
        admin.execute("ALTER EVENT TRIGGER flight_recorder_ddl ENABLE ALWAYS")
    after = read(probe)
    assert after.armed
    assert after.events == ()
    assert after.arming != before.arming
    assert read(probe).arming == after.arming


def test_disarming_for_one_transaction_shows_in_the_same_look_as_the_loss_of_one_of_many_tables(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    """Of many tables the state is not asked at each look, but whenever rows moved."""
    for number in range(60):
        admin.execute(sql.SQL("CREATE TABLE {} ()").format(sql.Identifier(f"many_{number}")))
    many = [Guarded(f"many_{number}") for number in range(60)]
    probe = probing(empty_database, tables=[*GUARDED, *many], monotonic=lambda: 0.0)
    before = read(probe)
    admin.execute("ALTER TABLE many_7 DISABLE TRIGGER USER")
    assert read(probe).arming == before.arming
    with admin.transaction():
        admin.execute("ALTER TABLE station DISABLE TRIGGER flight_recorder_delete; DELETE FROM station")
        admin.execute("ALTER TABLE station ENABLE ALWAYS TRIGGER flight_recorder_delete")
    assert read(probe).arming != before.arming


def test_replacing_a_function_of_the_recorder_leaves_another_arming(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    before = read(probe)
    admin.execute(
        "CREATE OR REPLACE FUNCTION flight_recorder.record_statement() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NULL; END'"
    )
    assert read(probe).arming != before.arming


def test_an_event_says_who_did_what_to_which_table_as_it_is_declared(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    assert read(probe).events == ()
    with admin.transaction():
        admin.execute("SET LOCAL watchdog.reason = 'decommissioned'")
        admin.execute("DELETE FROM station WHERE id <= 4")
    admin.execute("TRUNCATE measurement")
    delete, truncate = read(probe).events
    (mine,) = admin.execute(
        "SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    ).fetchall()
    assert (delete.operation, delete.table, delete.rows, delete.remaining) == (
        Operation.DELETE, "station", 4, 6,
    )  # fmt: skip
    assert (delete.statement, delete.reason) == ("DELETE FROM station WHERE id <= 4", "decommissioned")
    assert (delete.session_role, delete.application_name) == (admin.info.user, "psql")
    assert delete.pid == truncate.pid == admin.info.backend_pid
    assert delete.at.tzinfo is UTC
    assert (truncate.operation, truncate.table) == (Operation.TRUNCATE, "public.measurement")
    # The recorder does not tell that of operational tables: the session itself does.
    assert truncate.backend_start == delete.backend_start == mine[0]
    assert delete.id < truncate.id
    assert delete.transaction < truncate.transaction


def test_the_event_of_a_table_that_is_gone_has_its_declared_name(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    read(probe)
    admin.execute("DROP TABLE measurement")
    (event,) = read(probe).events
    assert (event.operation, event.table) == (Operation.DROP, "public.measurement")


def test_an_event_of_a_table_that_is_not_declared_is_told_with_its_schema(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    admin.execute("DELETE FROM measurement")
    (event,) = read(probing(empty_database, tables=[Guarded("station", context=True)])).events
    assert event.table == "public.measurement"


def test_each_event_is_read_once_in_whatever_order_transactions_commit(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    read(probe)
    with (
        psycopg.connect(empty_database) as first,
        psycopg.connect(empty_database) as second,
        psycopg.connect(empty_database) as third,
    ):
        first.execute("DELETE FROM station WHERE id = 1")
        second.execute("DELETE FROM station WHERE id = 2")
        third.execute("DELETE FROM station WHERE id = 3")
        second.commit()
        assert statements(read(probe).events) == ["DELETE FROM station WHERE id = 2"]
        first.execute("DELETE FROM station WHERE id = 4")
        third.rollback()
        assert read(probe).events == ()
        first.commit()
    assert statements(read(probe).events) == [
        "DELETE FROM station WHERE id = 1",
        "DELETE FROM station WHERE id = 4",
    ]
    assert read(probe).events == ()


def test_a_transaction_that_stays_open_does_not_bring_events_again(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    read(probe)
    with psycopg.connect(empty_database) as open_one:
        open_one.execute("DELETE FROM station WHERE id = 1")
        admin.execute("DELETE FROM station WHERE id = 2")
        cursors = [read(probe).cursor, read(probe).cursor]
        assert read(probe).events == ()
        (holding,) = open_one.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
    assert cursors == [holding[0], holding[0]]
    assert len(read(probe).events) == 1


def test_more_events_than_one_look_takes_come_with_the_next_ones_the_oldest_first(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    read(probe)
    _change(admin, 1200)
    found: list[tuple[Event, ...]] = []
    for _ in range(2):
        found.append(read(probe).events)
        admin.execute("UPDATE station SET id = 0 WHERE id = 0")
        admin.execute("INSERT INTO station VALUES (0)")
        admin.execute("UPDATE station SET id = 0 WHERE id = 0")
    found += [read(probe).events for _ in range(3)]
    numbers = [event.id for events in found for event in events]
    assert [len(events) for events in found] == [500, 500, 200, 4, 0]
    assert numbers == sorted(set(numbers))


def test_a_loss_does_not_wait_for_its_turn_and_is_not_told_again_when_it_comes(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    read(probe)
    with psycopg.connect(empty_database) as earlier:
        earlier.execute("DELETE FROM station WHERE id = 1")
        _change(admin, 1200)
        admin.execute("DELETE FROM measurement WHERE id = 1")  # takes no context
        admin.execute("DELETE FROM station WHERE id = 2")
        first = read(probe).events
        earlier.commit()
        admin.execute("DROP TABLE station")
    found = [first, *(read(probe).events for _ in range(5))]
    of_station = [
        [str(event.operation) for event in events if event.operation is not Operation.UPDATE]
        for events in found
    ]
    assert of_station == [["delete"], ["delete", "drop"], ["delete"], [], [], []]
    assert [event.table for event in found[2] if event.operation is Operation.DELETE] == [
        "public.measurement"
    ]
    numbers = [event.id for events in found for event in events]
    assert len(numbers) == len(set(numbers)) == 1204


@pytest.mark.parametrize("kind", ["UPDATE", "DELETE"])
def test_a_loss_is_told_at_once_however_many_events_wait(
    admin: psycopg.Connection, empty_database: str, probing: Probing, kind: str
) -> None:
    """In the 50 ms that a statement has, of a table that was never analyzed."""
    first = probing(empty_database, timeout=0.05)
    wait_until("a whole look", lambda: first.look().recorder is not None, deadline=20)
    cursor = read(first).cursor
    first.close()
    _wait(admin, kind.lower(), 200_000)
    probe = probing(empty_database, cursor=cursor, timeout=0.05)
    found: list[Event] = []
    admin.execute("DELETE FROM station")

    def told() -> bool:
        seen = probe.look().recorder
        found.extend(seen.events if seen is not None else ())
        return any(event.table == "station" and event.rows == 10 for event in found)

    wait_until("the loss", told, deadline=5)
    assert len(found) < 5_000
    asked = [probe.look().recorder for _ in range(5)]
    assert all(seen is not None and len(seen.events) == 500 for seen in asked)


def test_neither_a_plan_for_few_events_nor_an_open_transaction_of_many_keeps_a_loss_from_being_told(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    """In the 50 ms that a statement has, on the connection that planned its statements for no events."""
    probe = probing(empty_database, timeout=0.05)
    wait_until("a whole look", lambda: probe.look().recorder is not None, deadline=20)
    with psycopg.connect(empty_database) as open_one:
        _wait(open_one, "update", 500_000)
        admin.execute("DELETE FROM station")
        found: list[Event] = []

        def told() -> bool:
            seen = probe.look().recorder
            found.extend(seen.events if seen is not None else ())
            return bool(found)

        wait_until("the loss", told, deadline=5)
        assert [event.table for event in found] == ["station"]
    wait_until("a page of the others", lambda: len(read(probe).events) == 500, deadline=5)


def test_a_page_that_takes_too_long_is_read_once_more_without_what_is_in_progress(
    admin: psycopg.Connection, empty_database: str, probing: Probing, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = probing(empty_database)
    read(probe)
    page = recorder._page
    asked: list[Position] = []

    def slow(connection: psycopg.Connection, position: Position | None) -> Any:
        assert position is not None
        asked.append(position)
        if len(asked) == 1:
            raise psycopg.errors.QueryCanceled
        return page(connection, position)

    monkeypatch.setattr(recorder, "_page", slow)
    with psycopg.connect(empty_database) as open_one:
        open_one.execute("DELETE FROM station WHERE id = 1")
        ((number,),) = open_one.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
        admin.execute("DELETE FROM station WHERE id = 2")
        assert statements(read(probe).events) == ["DELETE FROM station WHERE id = 2"]
    covered = [any(span.first <= number <= span.last for span in each.unread()) for each in asked]
    assert covered == [True, False]
    assert statements(read(probe).events) == ["DELETE FROM station WHERE id = 1"]


def _change(admin: psycopg.Connection, times: int) -> None:
    """So many recorded statements of one transaction that take nothing, each of one row."""
    admin.execute("INSERT INTO station VALUES (0)")
    admin.execute(
        sql.SQL(
            "DO $$ BEGIN FOR n IN 1..{} LOOP UPDATE station SET id = 0 WHERE id = 0; END LOOP; END $$"
        ).format(sql.Literal(times))
    )


def _wait(admin: psycopg.Connection, operation: str, events: int) -> None:
    """So many events of one transaction on the operational table."""
    admin.execute(
        "INSERT INTO flight_recorder.event (at, operation, schema_name, table_name, relation, rows, "
        "session_role, role, application_name, pid, transaction, statement, inner_context) "
        "SELECT now(), %s, 'public', 'measurement', 'measurement'::regclass, 1, 'app', 'app', 'psql', 1, "
        "pg_current_xact_id()::text::bigint, '', '' FROM generate_series(1, %s)",
        (operation, events),
    )


def test_without_a_cursor_it_begins_with_the_newest_of_the_last_day(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    for number in range(1, 5):
        admin.execute("DELETE FROM station WHERE id = %s", (number,))
    admin.execute("UPDATE flight_recorder.event SET at = at - interval '25 hours' WHERE id <= 2")
    admin.execute(
        "INSERT INTO flight_recorder.event (at, operation, schema_name, table_name, relation, session_role, "
        "role, application_name, pid, transaction, statement, inner_context) SELECT at, operation, "
        "schema_name, table_name, relation, session_role, role, application_name, pid, transaction, 'older', "
        "'' FROM flight_recorder.event, generate_series(1, 600) WHERE id = 1"
    )
    events = read(probing(empty_database)).events
    assert events == ()  # the newest five hundred are all older than a day
    admin.execute("DELETE FROM flight_recorder.event WHERE statement = 'older'")
    assert [event.id for event in read(probing(empty_database)).events] == [3, 4]


def test_with_a_cursor_a_later_process_misses_nothing(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    admin.execute("DELETE FROM station WHERE id = 1")
    with psycopg.connect(empty_database) as open_one:
        open_one.execute("DELETE FROM station WHERE id = 2")
        first = probing(empty_database)
        cursor = read(first).cursor
        first.close()
        admin.execute("DELETE FROM station WHERE id = 3")
        open_one.commit()
    later = probing(empty_database, cursor=cursor)
    assert {event.id for event in read(later).events} == {2, 3}
    assert read(later).events == ()


def test_a_cursor_ahead_of_the_database_is_void(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    """As after an older backup was put back: the numbers of its transactions were all read."""
    admin.execute("DELETE FROM station")
    probe = probing(empty_database, cursor=2**40 + 3)
    seen = read(probe)
    assert len(seen.events) == 1
    assert seen.cursor is not None
    assert seen.cursor < 2**40
    assert read(probe).events == ()


def test_in_another_database_under_the_same_name_it_begins_anew(
    admin: psycopg.Connection, empty_database: str, postgres_server: PostgresForTests, probing: Probing
) -> None:
    probe = probing(empty_database)
    read(probe)
    name = psycopg.conninfo.conninfo_to_dict(empty_database)["dbname"]
    with new_database(postgres_server) as other:
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute("CREATE TABLE station AS SELECT 1 AS id; CREATE TABLE measurement ()")
            arm(connection, "station")
            connection.execute("DELETE FROM station")
        admin.execute("DELETE FROM station")
        read(probe)
        other_name = psycopg.conninfo.conninfo_to_dict(other)["dbname"]
        admin.close()
        with psycopg.connect(postgres_server.admin_url, autocommit=True) as elsewhere:
            elsewhere.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))), prepare=False
            )
            elsewhere.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(str(name)), sql.Identifier(str(other_name))
                )
            )
    (event,) = read(probe).events
    assert event.statement == "DELETE FROM station"
    assert event.rows == 1


def test_a_role_that_may_not_read_the_events_still_sees_rows_and_arming(
    admin: psycopg.Connection, role: LoginRole, probing: Probing
) -> None:
    admin.execute("DELETE FROM station")
    probe = probing(role.url)
    seen = read(probe)
    assert (seen.installed, seen.readable, seen.armed, seen.events) == (True, False, True, ())
    admin.execute(
        sql.SQL(
            "GRANT USAGE ON SCHEMA flight_recorder TO {0}; GRANT SELECT ON flight_recorder.event TO {0}"
        ).format(role.identifier)
    )
    seen = read(probe)
    assert seen.readable
    assert len(seen.events) == 1


def test_an_event_table_that_somebody_locks_costs_the_look_its_events_only(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database, timeout=0.2)
    wait_until("a whole look", lambda: probe.look().recorder is not None, deadline=20)
    admin.execute("DELETE FROM station")
    with psycopg.connect(empty_database) as locking:
        locking.execute("LOCK flight_recorder.event IN ACCESS EXCLUSIVE MODE")
        seen = probe.look()
        assert seen.recorder is None
        assert {table.name: table.rows for table in seen.tables} == {"station": 0, "public.measurement": 10}
    assert len(read(probe).events) == 1


def test_an_event_table_of_another_kind_is_not_readable(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    admin.execute("ALTER TABLE flight_recorder.event RENAME COLUMN statement TO said")
    seen = read(probing(empty_database))
    assert (seen.installed, seen.readable) == (True, False)


def test_what_a_newer_recorder_records_is_left_alone(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    admin.execute("ALTER TABLE flight_recorder.event DROP CONSTRAINT ck_event_operation")
    admin.execute("DELETE FROM station WHERE id <= 2; DELETE FROM station WHERE id = 3")
    admin.execute("UPDATE flight_recorder.event SET operation = 'merge' WHERE id = 1")
    assert [event.id for event in read(probing(empty_database)).events] == [2]


def test_the_sessions_behind_recent_events_are_told_until_they_end(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    with psycopg.connect(empty_database) as deleting:
        deleting.execute("DELETE FROM station")
        deleting.commit()
        deleting.execute("SELECT 1")
        pid = deleting.info.backend_pid
        (session,) = read(probe).sessions
        assert (session.pid, session.state) == (pid, "idle in transaction")
        (event,) = admin.execute("SELECT backend_start FROM flight_recorder.event").fetchall()
        assert session.backend_start == event[0]
        deleting.rollback()
        assert [session.state for session in read(probe).sessions] == ["idle"]
    wait_until("the end of the session", lambda: not read(probe).sessions, deadline=10)


def test_the_sessions_of_older_events_are_nobodys_business(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    admin.execute("DELETE FROM station")
    admin.execute("UPDATE flight_recorder.event SET at = at - interval '11 minutes'")
    seen = read(probing(empty_database))
    assert len(seen.events) == 1
    assert seen.sessions == ()


def test_the_sessions_behind_many_losses_are_each_told_and_those_behind_other_changes_are_not(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as deleting:
        deleting.execute("DELETE FROM station WHERE id = 1")
        for _ in range(3):
            _change(admin, 100)
            admin.execute("DELETE FROM measurement WHERE id = 1")
        assert [session.pid for session in read(probe).sessions] == [deleting.info.backend_pid]
        assert [session.pid for session in read(probe).sessions] == [deleting.info.backend_pid]


def test_a_later_process_knows_the_sessions_of_losses_that_were_read_before_it(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    first = probing(empty_database)
    admin.execute("DELETE FROM station WHERE id = 1")
    read(first)
    cursor = read(first).cursor
    later = read(probing(empty_database, cursor=cursor))
    assert later.events == ()
    assert [session.pid for session in later.sessions] == [admin.info.backend_pid]


def test_sessions_that_cannot_be_asked_for_cost_the_look_nothing_else(
    admin: psycopg.Connection, empty_database: str, probing: Probing, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = probing(empty_database)
    read(probe)
    admin.execute("DELETE FROM station WHERE id = 1")
    (known,) = read(probe).sessions
    with psycopg.connect(empty_database, autocommit=True) as other, monkeypatch.context() as failing:
        other.execute("DELETE FROM station WHERE id = 2")
        failing.setitem(queries(), "sessions", replace(queries()["sessions"], text="SELECT 1/0, %(pids)s"))
        seen = read(probe)
        assert len(seen.events) == 1
        assert set(seen.sessions) == {known, SessionSeen(other.info.backend_pid, None, None)}


def test_a_connection_that_ends_after_the_events_were_read_costs_none_of_them(
    admin: psycopg.Connection, empty_database: str, probing: Probing, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = probing(empty_database)
    read(probe)
    admin.execute("DELETE FROM station")
    take = Fingerprinting.take
    cut: list[int] = []

    def ended(self: Fingerprinting, connection: psycopg.Connection, *given: Any, **options: Any) -> Any:
        if not cut:
            cut.append(connection.info.backend_pid)
            admin.execute("SELECT pg_terminate_backend(%s, 10000)", cut)
        return take(self, connection, *given, **options | {"now": True})

    monkeypatch.setattr(Fingerprinting, "take", ended)
    assert [event.table for event in read(probe).events] == ["station"]
    assert cut
    assert read(probe).events == ()


def test_a_look_that_ends_too_late_leaves_its_events_to_the_next_one(
    admin: psycopg.Connection, empty_database: str, probing: Probing, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = probing(empty_database)
    read(probe)
    admin.execute("DELETE FROM station")
    run = Bounded.run

    def late(self: Bounded[Any]) -> Any:
        run(self)
        raise Late

    with monkeypatch.context() as slow:
        slow.setattr(Bounded, "run", late)
        assert probe.look().unseen is not None
    assert [event.table for event in read(probe).events] == ["station"]
    assert read(probe).events == ()


def test_a_plain_role_knows_that_a_session_is_there_and_nothing_else_of_it(
    admin: psycopg.Connection, role: LoginRole, probing: Probing
) -> None:
    admin.execute(
        sql.SQL(
            "GRANT USAGE ON SCHEMA flight_recorder TO {0}; GRANT SELECT ON flight_recorder.event TO {0}"
        ).format(role.identifier)
    )
    admin.execute("DELETE FROM station")
    (session,) = read(probing(role.url)).sessions
    assert (session.pid, session.state, session.backend_start) == (admin.info.backend_pid, None, None)
