"""inspect() against a real server: what it sees, what it cannot, and that it leaves no trace."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.words import Unseen
from alpimonitor_watchdog.init import rungs
from alpimonitor_watchdog.init.found import Found, TableFound
from alpimonitor_watchdog.init.inspect import QUERIES, inspect, queries
from alpimonitor_watchdog.init.propose import propose
from alpimonitor_watchdog.init.selection import Passed, Selection
from alpimonitor_watchdog.init.write import text
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.link import Unseeable
from alpimonitor_watchdog.probe.rights import Standing, check_rights
from alpimonitor_watchdog.settings import load
from tests.login_roles import LoginRole, login_role

NASTY = [
    'say "hi"',
    "it's",
    "a.b",
    "back\\slash",
    "new\nline",
    "tab\t",
    "\u202egnp",
    "🏔",
    " ",
    "U&x",
    "--x",
    "%s{}",
]


@pytest.fixture
def admin(empty_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def role(empty_database: str) -> Iterator[LoginRole]:
    with login_role(empty_database) as made:
        yield made


def found(url: str, selection: Selection | None = None, *, limit: int = 100) -> Found:
    return inspect(
        url, selection or Selection(), count_limit=limit, application_name="init", monotonic=time.monotonic
    )


def tables(seen: Found) -> dict[str, TableFound]:
    return {table.name: table for table in seen.tables}


def test_it_sees_tables_of_every_schema_and_neither_views_nor_what_is_temporary_or_the_systems(
    admin: psycopg.Connection, empty_database: str
) -> None:
    admin.execute('CREATE TABLE station (id int PRIMARY KEY); CREATE SCHEMA "Alpine"')
    admin.execute('CREATE TABLE "Alpine"."Glacier" AS SELECT generate_series(1, 3) AS id')
    admin.execute("CREATE VIEW stations AS TABLE station; CREATE MATERIALIZED VIEW kept AS TABLE station")
    admin.execute("CREATE TEMPORARY TABLE passing (id int); CREATE UNLOGGED TABLE cached (id int)")
    admin.execute("CREATE SCHEMA alpimonitor_watchdog CREATE TABLE heal_attempt (id int)")
    seen = found(empty_database)
    assert [(table.schema, table.name, table.rows, table.unlogged) for table in seen.tables] == [
        ("Alpine", "Glacier", 3, False),
        ("public", "cached", 0, True),
        ("public", "station", 0, False),
    ]
    assert seen.session.database == admin.info.dbname
    assert seen.session.at.tzinfo is not None
    assert seen.session.superuser


def test_a_partitioned_table_is_one_table_with_the_rows_of_all_its_partitions(
    admin: psycopg.Connection, empty_database: str
) -> None:
    admin.execute("CREATE TABLE reading (id int, year int NOT NULL) PARTITION BY RANGE (year)")
    admin.execute("CREATE TABLE reading_old PARTITION OF reading FOR VALUES FROM (2000) TO (2025)")
    admin.execute(
        "CREATE TABLE reading_new PARTITION OF reading FOR VALUES FROM (2025) TO (2030)"
        " PARTITION BY LIST (id)"
    )
    admin.execute("CREATE TABLE reading_new_one PARTITION OF reading_new DEFAULT")
    admin.execute("CREATE TABLE parent (id int); CREATE TABLE heir () INHERITS (parent)")
    admin.execute("INSERT INTO reading VALUES (1, 2024), (2, 2026), (3, 2026); INSERT INTO heir VALUES (1)")
    seen = tables(found(empty_database))
    assert set(seen) == {"reading", "parent"}
    assert (seen["reading"].rows, seen["reading"].parts) == (3, 3)
    assert (seen["parent"].rows, seen["parent"].parts) == (1, 1)


def test_it_counts_no_further_than_the_limit(admin: psycopg.Connection, empty_database: str) -> None:
    admin.execute("CREATE TABLE few AS SELECT generate_series(1, 100)")
    admin.execute("CREATE TABLE many AS SELECT generate_series(1, 101)")
    seen = tables(found(empty_database))
    assert (seen["few"].rows, seen["few"].capped) == (100, False)
    assert (seen["many"].rows, seen["many"].capped) == (100, True)


def test_foreign_keys_moments_and_sequences_are_found(admin: psycopg.Connection, empty_database: str) -> None:
    admin.execute("CREATE TABLE station (id serial PRIMARY KEY, self int REFERENCES station)")
    admin.execute(
        "CREATE TABLE sensor (id int GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, seen timestamp,"
        " station_id int NOT NULL REFERENCES station, spare int REFERENCES station)"
    )
    seen = found(empty_database)
    sensor, station = (tables(seen)[name] for name in ("sensor", "station"))
    assert sensor.moments == ("at",)
    assert sensor.sequences == (("public", "sensor_id_seq"),)
    assert station.sequences == (("public", "station_id_seq"),)
    # A table's pointing to itself says nothing about others.
    assert {(key.referencing, key.referenced, key.required) for key in seen.foreign_keys} == {
        (sensor.oid, station.oid, True),
        (sensor.oid, station.oid, False),
    }


def test_what_was_written_is_told_by_the_statistics(admin: psycopg.Connection, empty_database: str) -> None:
    admin.execute("CREATE TABLE job AS SELECT generate_series(1, 5) AS id; DELETE FROM job WHERE id > 2")
    admin.execute("SELECT pg_stat_force_next_flush()")
    wait_until("the statistics", lambda: tables(found(empty_database))["job"].deleted == 3, deadline=20)
    assert tables(found(empty_database))["job"].inserted == 5


def test_a_table_without_rights_is_unseen_and_the_others_are_seen(
    admin: psycopg.Connection, role: LoginRole
) -> None:
    admin.execute("CREATE TABLE open AS SELECT 1 AS id; CREATE TABLE secret AS SELECT 1 AS id")
    admin.execute("CREATE SCHEMA closed CREATE TABLE inside (id int)")
    admin.execute(sql.SQL("GRANT SELECT ON open, closed.inside TO {}").format(role.identifier))
    seen = found(role.url)
    by_name = tables(seen)
    assert (by_name["open"].rows, by_name["open"].unseen) == (1, None)
    for name in ("secret", "inside"):
        assert (by_name[name].rows, by_name[name].unseen) == (None, Unseen.FORBIDDEN)
    # The remedy that stands in the file is SQL that remedies it.
    for blind in propose(seen, Selection()).blind:
        admin.execute(blind.remedy)
    assert {table.unseen for table in found(role.url).tables} == {None}


def test_a_table_whose_rows_row_security_hides_is_unseen_and_never_empty(
    admin: psycopg.Connection, role: LoginRole
) -> None:
    admin.execute("CREATE TABLE station AS SELECT 1 AS id; ALTER TABLE station ENABLE ROW LEVEL SECURITY")
    admin.execute(sql.SQL("GRANT SELECT ON station TO {}").format(role.identifier))
    seen = found(role.url)
    assert (seen.tables[0].rows, seen.tables[0].unseen) == (None, Unseen.ROW_SECURITY)
    (blind,) = propose(seen, Selection()).blind
    admin.execute(blind.remedy)
    assert found(role.url).tables[0].rows == 1


def test_a_locked_table_is_unseen_and_the_others_are_seen(
    admin: psycopg.Connection, empty_database: str
) -> None:
    admin.execute("CREATE TABLE a AS SELECT 1; CREATE TABLE locked AS SELECT 1; CREATE TABLE z AS SELECT 1")
    with psycopg.connect(empty_database) as other:
        other.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        seen = tables(found(empty_database))
    assert [seen[name].rows for name in ("a", "locked", "z")] == [1, None, 1]
    assert seen["locked"].unseen in (Unseen.LOCKED, Unseen.TIMEOUT)
    assert "timeout" in seen["locked"].detail


def test_tables_for_which_no_time_is_left_are_unseen(admin: psycopg.Connection, empty_database: str) -> None:
    admin.execute("CREATE TABLE first AS SELECT 1; CREATE TABLE second AS SELECT 1")
    clock = iter([0.0, 0.0, 1e6])
    seen = inspect(
        empty_database, Selection(), count_limit=10, application_name="init", monotonic=lambda: next(clock)
    )
    assert [(table.rows, table.unseen) for table in seen.tables] == [(1, None), (None, Unseen.TIMEOUT)]


def test_it_keeps_no_lock_on_a_table_that_is_counted(admin: psycopg.Connection, empty_database: str) -> None:
    admin.execute("CREATE TABLE first AS SELECT 1; CREATE TABLE second AS SELECT 1")
    looks: list[list[tuple[object, ...]]] = []

    def look_at_its_locks() -> float:
        """Called once before the tables, and once before each."""
        locks = admin.execute(
            "SELECT relation::regclass::text FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE application_name = 'init' AND relation >= 16384"
        )
        looks.append(locks.fetchall())
        return 0.0

    inspect(empty_database, Selection(), count_limit=10, application_name="init", monotonic=look_at_its_locks)
    assert looks == [[], [], []]


def test_it_can_write_nothing_even_where_a_table_would_make_it(
    admin: psycopg.Connection, empty_database: str
) -> None:
    admin.execute("CREATE TABLE trap (id int); CREATE TYPE verdict AS (good boolean)")
    admin.execute(
        "CREATE FUNCTION trapped(verdict) RETURNS boolean LANGUAGE sql"
        " AS 'INSERT INTO public.trap VALUES (1) RETURNING true'"
    )
    admin.execute("CREATE CAST (verdict AS boolean) WITH FUNCTION trapped(verdict) AS IMPLICIT")
    admin.execute(
        "CREATE TABLE _sqlx_migrations AS SELECT 1::bigint AS version, ROW(true)::verdict AS success"
    )
    (revision,) = found(empty_database).revisions
    assert "read-only transaction" in revision.detail
    assert admin.execute("SELECT count(*) FROM trap").fetchone() == (0,)
    # The same statement does write where it may: that it could not is the transaction's doing.
    assert admin.execute(revision.query).fetchone() == (1,)
    assert admin.execute("SELECT count(*) FROM trap").fetchone() == (1,)


def test_it_runs_no_operator_that_somebody_put_on_the_search_path(
    admin: psycopg.Connection, empty_database: str
) -> None:
    admin.execute("CREATE TYPE app AS ENUM ('accounts')")
    admin.execute("CREATE FUNCTION glue(app, text) RETURNS text LANGUAGE sql AS $$SELECT 'theirs'$$")
    admin.execute("CREATE OPERATOR || (LEFTARG = app, RIGHTARG = text, FUNCTION = glue)")
    admin.execute("CREATE TABLE django_migrations AS SELECT 1 AS id, 'accounts'::app AS app, '0001' AS name")
    (revision,) = found(empty_database).revisions
    assert admin.execute(revision.query).fetchone() == ("theirs0001",)
    assert revision.value == "accounts.0001"


@pytest.mark.parametrize(
    ("table", "rows", "value"),
    [
        ("alembic_version (version_num text)", "('b'), ('a')", "a,b"),
        (
            "_prisma_migrations (migration_name text, finished_at timestamptz, rolled_back_at timestamptz)",
            "('1', now(), NULL), ('2_more', now(), NULL), ('3_failed', NULL, NULL), ('4_back', now(), now())",
            "2_more",
        ),
        ("django_migrations (id int, app text, name text)", "(1, 'a', '0001'), (2, 'b', '0002')", "b.0002"),
        (
            "flyway_schema_history (installed_rank int, version text, success boolean)",
            "(1, '1', true), (2, '2.1', true), (3, NULL, true), (4, '3', false)",
            "2.1",
        ),
        ("schema_migrations (version bigint, dirty boolean)", "(7, false)", "7"),
        ("schema_migrations (version bigint, dirty boolean)", "(7, true)", None),
        ("schema_migrations (version text)", "('20260101'), ('20260201')", "20260201"),
        ('"__EFMigrationsHistory" ("MigrationId" text)', "('2026_a'), ('2027_b')", "2027_b"),
        ("knex_migrations (id int, name text, batch int)", "(1, 'a.js', 1), (2, 'b.js', 1)", "b.js"),
        ("migrations (id int, timestamp bigint, name text)", "(1, 1, 'A'), (2, 2, 'B')", "B"),
        ("mikro_orm_migrations (id int, name text, executed_at timestamptz)", "(1, 'A', now())", "A"),
        ('"SequelizeMeta" (name text)', "('1-a.js'), ('2-b.js')", "2-b.js"),
        ("databasechangelog (id text, orderexecuted int)", "('first', 1), ('second', 2)", "second"),
        ("goose_db_version (version_id bigint, is_applied boolean)", "(0, true), (3, true), (4, false)", "3"),
        ("_sqlx_migrations (version bigint, success boolean)", "(1, true), (2, false)", "1"),
        ("__drizzle_migrations (hash text, created_at bigint)", "('aa', 1), ('bb', 2)", "bb"),
        ("alembic_version (version_num text)", None, None),
    ],
)
def test_each_migration_tools_table_tells_the_revision(
    admin: psycopg.Connection, empty_database: str, table: str, rows: str | None, value: str | None
) -> None:
    admin.execute(f"CREATE TABLE {table}")
    if rows:
        admin.execute(f"INSERT INTO {table.partition(' (')[0]} VALUES {rows}")
    seen = found(empty_database)
    (revision,) = seen.revisions
    assert (revision.value, revision.unseen) == (value, None)
    assert Selection().passes_over(seen.tables[0]) is Passed.BOOKKEEPING
    assert seen.tables[0].rows is None


def test_a_revision_that_may_not_be_read_says_so_and_hinders_nothing(
    admin: psycopg.Connection, role: LoginRole
) -> None:
    admin.execute("CREATE TABLE alembic_version AS SELECT '1' AS version_num; CREATE TABLE x AS SELECT 1")
    admin.execute(sql.SQL("GRANT SELECT ON x TO {}").format(role.identifier))
    seen = found(role.url)
    assert (seen.revisions[0].value, seen.revisions[0].unseen) == (None, Unseen.FORBIDDEN)
    assert tables(seen)["x"].rows == 1


def test_a_database_without_any_table_has_none(empty_database: str) -> None:
    assert found(empty_database).tables == ()


def test_only_the_schemas_and_tables_that_were_asked_for_are_counted(
    admin: psycopg.Connection, empty_database: str
) -> None:
    admin.execute(
        "CREATE TABLE a AS SELECT 1; CREATE TABLE b AS SELECT 1; CREATE SCHEMA s CREATE TABLE c (x int)"
    )
    seen = tables(found(empty_database, Selection(schemas=("public",), exclude=("b",))))
    assert {name: table.rows for name, table in seen.items()} == {"a": 1, "b": None, "c": None}


def test_an_extensions_table_is_passed_over(admin: psycopg.Connection, empty_database: str) -> None:
    admin.execute("CREATE TABLE of_extension (id int)")
    admin.execute("ALTER EXTENSION plpgsql ADD TABLE of_extension")
    (only,) = found(empty_database).tables
    assert (only.extension, Selection().passes_over(only)) == ("plpgsql", Passed.EXTENSION)


def test_names_of_any_spelling_are_found_again_by_the_sidecar(
    admin: psycopg.Connection, empty_database: str, tmp_path: Path
) -> None:
    for name in NASTY:
        admin.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE TABLE {} AS SELECT 1 AS id").format(sql.Identifier(name, name)))
    proposal = propose(found(empty_database), Selection())
    path = tmp_path / "watchdog.toml"
    path.write_text(text(proposal), encoding="utf-8")
    settings = load({"WATCHDOG_DATABASE_URL": empty_database}, path)
    guarded = [Guarded(table.name) for table in settings.tables]
    assert len(guarded) == len(NASTY)
    checked = check_rights(empty_database, guarded, revision_query=None, application_name="checking")
    assert not [right for right in checked if right.standing is Standing.GAP]


def test_the_statements_of_each_rung_can_be_run_and_give_what_they_promise(
    admin: psycopg.Connection, empty_database: str
) -> None:
    for name in NASTY:
        admin.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE TABLE {} (id serial)").format(sql.Identifier(name, name)))
        admin.execute(sql.SQL("INSERT INTO {} DEFAULT VALUES").format(sql.Identifier(name, name)))
    admin.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(sql.Identifier("it's", "it's")))
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(admin.info.dbname)))
    seen = found(empty_database)
    with (
        login_role(empty_database) as watcher,
        login_role(empty_database) as healer,
        login_role(empty_database) as recorder,
    ):
        for rung in (
            rungs.watch(seen.session, seen.tables, role=watcher.name, is_new=False),
            of_a_role_that_exists(rungs.heal(seen.session, seen.tables, role=healer.name)),
            of_a_role_that_exists(rungs.name(seen.session, seen.tables, role=recorder.name)),
        ):
            for statement in rung.statements:
                admin.execute(statement)
        watched = found(watcher.url).tables
        assert {(table.rows, table.unseen, table.writable) for table in watched} == {(1, None, False)}
        put_back_and_delete_nothing(healer.url, seen.tables)
        set_triggers(recorder.url, seen.tables)


def put_back_and_delete_nothing(url: str, guarded: Sequence[TableFound]) -> None:
    with psycopg.connect(url) as healing:
        for table in guarded:
            name = sql.Identifier(table.schema, table.name)
            healing.execute(sql.SQL("CREATE TEMPORARY TABLE again AS TABLE {}").format(name))
            healing.execute(sql.SQL("INSERT INTO {} TABLE again").format(name))
            healing.execute("DROP TABLE again")
            sequence = sql.Identifier(*table.sequences[0]).as_string(healing)
            healing.execute("SELECT setval(%s::regclass, 9)", (sequence,))
            with pytest.raises(psycopg.errors.InsufficientPrivilege), healing.transaction():
                healing.execute(sql.SQL("DELETE FROM {}").format(name))


def set_triggers(url: str, guarded: Sequence[TableFound]) -> None:
    """And take them back, so that the role can be dropped."""
    with psycopg.connect(url) as recording:
        recording.execute("CREATE SCHEMA evidence")
        recording.execute(
            "CREATE FUNCTION evidence.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        )
        for table in guarded:
            recording.execute(
                sql.SQL("CREATE TRIGGER noted AFTER DELETE ON {} EXECUTE FUNCTION evidence.note()").format(
                    sql.Identifier(table.schema, table.name)
                )
            )
        recording.rollback()


def of_a_role_that_exists(rung: rungs.Rung) -> rungs.Rung:
    """The rung for a role that exists."""
    assert rung.statements[0].startswith("CREATE ROLE ")
    return replace(rung, statements=rung.statements[1:])


def test_a_database_that_is_not_there_is_said_without_a_password(empty_database: str) -> None:
    with pytest.raises(Unseeable) as caught:
        found(empty_database.rpartition("/")[0] + "/nowhere")
    assert "nowhere" in caught.value.detail
    with pytest.raises(Unseeable) as caught:
        found("postgresql://watch:sesame@127.0.0.1:1/app")
    assert "127.0.0.1:1" in caught.value.detail
    assert "sesame" not in caught.value.detail


def test_every_statement_of_its_file_is_one_that_only_reads_and_is_used() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in QUERIES.parent.glob("*.py"))
    for query in queries().values():
        assert ";" not in query.text, query.name
        assert query.text.startswith(("SELECT", "WITH")), query.name
        assert f'"{query.name}"' in sources, query.name
