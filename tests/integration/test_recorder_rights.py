"""Who may do what to evidence, and where it belongs when there is a role for it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from alpimonitor_watchdog.recorder.statements import recorder_sql
from alpimonitor_watchdog.recorder.wishes import granting
from tests import recorders
from tests.databases import PostgresForTests, new_database
from tests.login_roles import LoginRole, login_role

KEEPER = "alpimonitor_recorder"


@pytest.fixture
def database_of_an_owner(postgres_server: PostgresForTests) -> Iterator[tuple[str, LoginRole]]:
    """A database whose owner is no superuser, with a table of its own; the admin's URL, and the owner."""
    with new_database(postgres_server) as url, login_role(url) as owner:
        with psycopg.connect(url, autocommit=True) as admin:
            name = sql.Identifier(admin.info.dbname)
            admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, owner.identifier))
            admin.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(owner.identifier))
        with psycopg.connect(owner.url, autocommit=True) as session:
            session.execute("CREATE TABLE station AS SELECT n AS id FROM generate_series(1, 5) AS n")
        yield url, owner
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(sql.Identifier(admin.info.dbname))
            )


def install(session: psycopg.Connection, *, journal: int = 0) -> tuple[object, object]:
    """As whoever the session is; who the evidence belongs to, and whether drops are recorded."""
    session.execute(recorder_sql().encode())
    owner = session.execute("SELECT flight_recorder.hand_over()").fetchone()
    session.execute("SELECT flight_recorder.guard('station', 'context', false, %s)", (journal,))
    drops = session.execute("SELECT flight_recorder.watch_drops()").fetchone()
    assert owner is not None
    assert drops is not None
    return owner[0], drops[0]


def test_a_plain_owner_installs_all_but_the_event_triggers(
    database_of_an_owner: tuple[str, LoginRole],
) -> None:
    url, owner = database_of_an_owner
    with psycopg.connect(owner.url, autocommit=True) as session:
        assert install(session) == (owner.name, False)
        session.execute("DELETE FROM station")
    assert recorders.brief(url) == [("delete", "station", 5, 0)]


def test_evidence_goes_to_the_role_that_keeps_it_and_the_owner_goes_on_guarding(
    database_of_an_owner: tuple[str, LoginRole],
) -> None:
    """In a transaction that is rolled back: the role is the server's, which other tests share."""
    url, owner = database_of_an_owner
    with psycopg.connect(url) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(KEEPER)))
        admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(KEEPER), owner.identifier))
        admin.execute(sql.SQL("SET LOCAL ROLE {}").format(owner.identifier))
        assert install(admin, journal=2) == (KEEPER, False)
        row = admin.execute("SELECT current_setting('role')").fetchone()
        assert row == (owner.name,)
        owners = admin.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
            " WHERE relnamespace = 'flight_recorder'::regnamespace AND relkind IN ('r', 'v', 'S')"
            " UNION SELECT pg_get_userbyid(proowner) FROM pg_proc"
            " WHERE pronamespace = 'flight_recorder'::regnamespace"
        ).fetchall()
        assert owners == [(KEEPER,)]
        admin.execute("RESET ROLE")
        admin.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(KEEPER), owner.identifier))
        admin.execute(sql.SQL("SET LOCAL ROLE {}").format(owner.identifier))
        admin.execute("CREATE TABLE sensor AS SELECT 1 AS id")
        admin.execute("SELECT flight_recorder.guard('sensor', 'context', false, 0)")
        admin.execute("DELETE FROM sensor")
        admin.execute("DELETE FROM station")
        for forbidden in ("DELETE FROM flight_recorder.event", "SELECT * FROM flight_recorder.journal"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), admin.transaction():
                admin.execute(forbidden.encode())
        admin.execute("RESET ROLE")
        found = admin.execute(
            "SELECT table_name, rows, remaining, role FROM flight_recorder.event ORDER BY id"
        ).fetchall()
        assert found == [("sensor", 1, 0, owner.name), ("station", 5, 0, owner.name)]
        assert admin.execute("SELECT count(*) FROM flight_recorder.journal").fetchone() == (2,)
        admin.rollback()


FORBIDDEN = (
    "SELECT * FROM flight_recorder.event",
    "INSERT INTO flight_recorder.journal VALUES (1, '{}')",
    "DELETE FROM flight_recorder.event",
    "TRUNCATE flight_recorder.event",
    "UPDATE flight_recorder.event SET role = 'somebody else'",
    "DELETE FROM flight_recorder.guarded",
    "DROP TABLE flight_recorder.event",
    "DROP SCHEMA flight_recorder CASCADE",
    "SELECT flight_recorder.release('station')",
    "SELECT flight_recorder.tell()",
    "SELECT flight_recorder.record('delete', 0, true, 1, 1, '', false)",
    "CREATE OR REPLACE FUNCTION flight_recorder.masked(text) RETURNS text LANGUAGE sql AS 'SELECT NULL'",
    "CREATE TEMP TABLE forged (id int); CREATE TRIGGER forge AFTER DELETE ON forged REFERENCING OLD TABLE AS"
    " old_rows FOR EACH STATEMENT EXECUTE FUNCTION flight_recorder.record_statement('context', 'true', '0')",
    "ALTER TABLE station DISABLE TRIGGER flight_recorder_delete",
    "DROP TRIGGER flight_recorder_delete ON station",
    "SET session_replication_role = replica",
)


def test_an_application_can_neither_read_nor_change_evidence_nor_disarm(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as admin, login_role(empty_database) as role:
        # Somebody gave everything away, to come.
        for things in ("TABLES", "SEQUENCES", "FUNCTIONS"):
            admin.execute(sql.SQL("ALTER DEFAULT PRIVILEGES GRANT ALL ON " + things + " TO PUBLIC"))
            admin.execute(
                sql.SQL("ALTER DEFAULT PRIVILEGES GRANT ALL ON " + things + " TO {}").format(role.identifier)
            )
        admin.execute("CREATE TABLE station AS SELECT 1 AS id")
        recorders.install(empty_database, "station")
        with psycopg.connect(role.url, autocommit=True) as session:
            for statement in FORBIDDEN:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(statement.encode())
            session.execute("DELETE FROM station")
    (event,) = recorders.events(empty_database)
    assert (event["operation"], event["rows"]) == ("delete", 1)


def test_the_sidecar_reads_the_evidence_and_changes_nothing(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as admin, login_role(empty_database) as role:
        admin.execute("CREATE TABLE station AS SELECT 1 AS id")
        recorders.install(empty_database, "station")
        admin.execute(granting(role.name))
        with psycopg.connect(role.url, autocommit=True) as sidecar:
            for relation in ("event", "guarded", "journal", "version"):
                sidecar.execute(f"SELECT * FROM flight_recorder.{relation}".encode())
            for statement in FORBIDDEN[1:]:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    sidecar.execute(statement.encode())


def test_a_right_to_triggers_is_enough_and_it_is_said_what_is_lacking(empty_database: str) -> None:
    said: list[str] = []
    with psycopg.connect(empty_database, autocommit=True) as admin, login_role(empty_database) as role:
        admin.execute("CREATE TABLE station AS SELECT 1 AS id")
        admin.execute(sql.SQL("GRANT SELECT, TRIGGER ON station TO {}").format(role.identifier))
        database = sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role.identifier))
        with psycopg.connect(role.url, autocommit=True) as installer:
            installer.add_notice_handler(
                lambda notice: said.append(f"{notice.message_primary} {notice.message_hint}")
            )
            install(installer)
            again = installer.execute(
                "SELECT flight_recorder.guard('station', 'context', false, 0)"
            ).fetchone()
        admin.execute("DELETE FROM station")
        assert again == (0,)
        assert recorders.brief(empty_database) == [("delete", "station", 1, 0)]
        (warning,) = [line for line in said if "replicas" in line]
        assert "ENABLE ALWAYS TRIGGER flight_recorder_delete" in warning
        admin.execute("DROP SCHEMA flight_recorder CASCADE")  # with the triggers, so that the role can go


def test_a_journal_runs_nothing_that_the_owner_of_a_table_has_made(
    database_of_an_owner: tuple[str, LoginRole],
) -> None:
    """A superuser's recorder on a plain owner's table, whose column has a cast to JSON of the owner's own."""
    url, owner = database_of_an_owner
    recorders.install(url)
    with psycopg.connect(owner.url, autocommit=True) as session:
        session.execute("CREATE TYPE mood AS ENUM ('calm')")
        session.execute(
            sql.SQL(
                "CREATE FUNCTION spelled(mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN"
                " EXECUTE 'ALTER ROLE {} SUPERUSER'; RETURN '{{}}'; END $$"
            ).format(owner.identifier)
        )
        session.execute("CREATE CAST (mood AS json) WITH FUNCTION spelled(mood)")
        session.execute("ALTER TABLE station ADD mood mood DEFAULT 'calm', ADD old_rows mood")
        recorders.guard(url, "station", journal=10)
        session.execute("DELETE FROM station WHERE id = 1")
        session.execute("UPDATE station SET id = 9 WHERE id = 2")
        session.execute("DELETE FROM station WHERE id > 3")
        session.execute("TRUNCATE station")
    with psycopg.connect(url) as admin:
        assert admin.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = %s", (owner.name,)
        ).fetchone() == (False,)
        kept = admin.execute("SELECT before, after FROM flight_recorder.journal WHERE columns IS NOT NULL")
        assert kept.fetchall()[:2] == [("(1,calm,)", None), ("(2,calm,)", "(9,calm,)")]
        assert admin.execute("SELECT count(*) FROM flight_recorder.journal").fetchone() == (6,)
        admin.execute("DROP TYPE mood CASCADE")  # with the cast, so that the role can go


def test_a_foreign_child_is_not_read(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute("CREATE TABLE station (id int)")
        admin.execute("CREATE FOREIGN DATA WRAPPER nothing")
        admin.execute("CREATE SERVER away FOREIGN DATA WRAPPER nothing")
        recorders.install(empty_database, "station")
        admin.execute("CREATE FOREIGN TABLE far () INHERITS (station) SERVER away")
        admin.execute("INSERT INTO station VALUES (1)")
        row = admin.execute("SELECT flight_recorder.remaining('station', 1)").fetchone()
    assert row == (None,)


def test_an_owner_can_neither_rewrite_the_list_of_guarded_tables_nor_disarm_unseen(
    database_of_an_owner: tuple[str, LoginRole],
) -> None:
    """In a transaction that is rolled back: the role is the server's, which other tests share."""
    url, owner = database_of_an_owner
    with psycopg.connect(url) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(KEEPER)))
        admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(KEEPER), owner.identifier))
        admin.execute("CREATE TABLE foreigner (id int)")
        admin.execute(sql.SQL("SET LOCAL ROLE {}").format(owner.identifier))
        install(admin)
        admin.execute("CREATE TABLE reading (id int)")
        admin.execute("SELECT flight_recorder.guard('reading', 'operational', false, 0)")
        admin.execute("RESET ROLE")
        admin.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(KEEPER), owner.identifier))
        assert admin.execute("SELECT flight_recorder.watch_drops()").fetchone() == (True,)
        readable = "SELECT has_table_privilege(%s, %s, 'SELECT')"
        assert admin.execute(readable, (KEEPER, "station")).fetchone() == (True,)
        assert admin.execute(readable, (KEEPER, "reading")).fetchone() == (False,)
        admin.execute(sql.SQL("SET LOCAL ROLE {}").format(owner.identifier))
        for forbidden in (
            "DELETE FROM flight_recorder.guarded",
            "UPDATE flight_recorder.guarded SET kind = 'operational'",
            "INSERT INTO flight_recorder.guarded SELECT * FROM flight_recorder.guarded",
            "SELECT flight_recorder.remember('foreigner', 'context', false, 0)",
            "SELECT flight_recorder.forget('foreigner')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), admin.transaction():
                admin.execute(forbidden.encode())
        with pytest.raises(psycopg.errors.ObjectInUse), admin.transaction():
            admin.execute("SELECT flight_recorder.forget('station')")
        admin.execute("SELECT flight_recorder.release('reading')")
        admin.execute("RESET ROLE")
        admin.execute("DELETE FROM flight_recorder.event")
        admin.execute("DELETE FROM flight_recorder.guarded")
        admin.execute("ALTER TABLE station DISABLE TRIGGER flight_recorder_delete")
        found = admin.execute("SELECT operation, table_name FROM flight_recorder.event").fetchall()
        assert found == [("disarm", "station")]
        admin.rollback()


def test_rows_that_its_owner_may_not_see_are_not_counted(
    database_of_an_owner: tuple[str, LoginRole],
) -> None:
    url, owner = database_of_an_owner
    with psycopg.connect(owner.url, autocommit=True) as session:
        install(session)
        session.execute("ALTER TABLE station ENABLE ROW LEVEL SECURITY")
        session.execute("ALTER TABLE station FORCE ROW LEVEL SECURITY")
        session.execute("CREATE POLICY few ON station USING (id = 1)")
        session.execute("DELETE FROM station")
    assert recorders.brief(url) == [("delete", "station", 1, None)]


def test_a_name_for_nobody_else(empty_database: str) -> None:
    """A role of a spelling that needs its quotes can be the reader."""
    name = f"The Watch {secrets.token_hex(4)}"
    with psycopg.connect(empty_database) as admin:
        admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        admin.execute(recorder_sql().encode())
        admin.execute(granting(name))
        allowed = admin.execute("SELECT has_table_privilege(%s, 'flight_recorder.event', 'SELECT')", (name,))
        assert allowed.fetchone() == (True,)
        admin.rollback()
