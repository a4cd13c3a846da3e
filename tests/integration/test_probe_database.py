"""DatabaseProbe against a real server: what it counts, and what it makes of all that it cannot count."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.seen import DatabaseSeen, TableSeen
from alpimonitor_watchdog.core.words import Unseen
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from tests.armed import arm
from tests.login_roles import LoginRole, login_role
from tests.probing import probing_as

BRIEF = 0.2  # where it is

ProbingNames = Callable[..., DatabaseProbe]


@pytest.fixture
def probing() -> Iterator[ProbingNames]:
    """Builds probes of tables, given their names."""
    with probing_as("probe under test") as probing:

        def build(url: str, *names: str, **options: Any) -> DatabaseProbe:
            return probing(url, **{"tables": [Guarded(name) for name in names], **options})

        yield build


@pytest.fixture
def admin(empty_database: str) -> Iterator[psycopg.Connection]:
    """A database with three small tables: one with 3 rows, one with 1, one with none."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE station AS SELECT g AS id FROM generate_series(1, 3) g")
        connection.execute("CREATE TABLE glacier AS SELECT 1 AS id")
        connection.execute("CREATE TABLE withdrawal (id int)")
        yield connection


@pytest.fixture
def role(empty_database: str) -> Iterator[LoginRole]:
    with login_role(empty_database) as made:
        yield made


def by_name(seen: DatabaseSeen) -> dict[str, TableSeen]:
    assert seen.unseen is None, seen.detail
    return {table.name: table for table in seen.tables}


def rows(seen: DatabaseSeen) -> dict[str, int | None]:
    return {name: table.rows for name, table in by_name(seen).items()}


THREE = ("station", "glacier", "withdrawal")


def test_it_counts_every_declared_table_in_the_declared_order(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    seen = probing(empty_database, "withdrawal", "station", "glacier").look()
    assert list(rows(seen).items()) == [("withdrawal", 0), ("station", 3), ("glacier", 1)]
    assert not any(table.capped or table.unseen or not table.exists for table in seen.tables)


def test_it_sees_rows_come_and_go_from_look_to_look(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, *THREE)
    assert rows(probe.look()) == {"station": 3, "glacier": 1, "withdrawal": 0}
    admin.execute("DELETE FROM station; TRUNCATE glacier; INSERT INTO withdrawal VALUES (1), (2)")
    assert rows(probe.look()) == {"station": 0, "glacier": 0, "withdrawal": 2}


def test_a_count_is_exact_up_to_the_limit_and_capped_beyond_it(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, "station", count_limit=3)
    (exact,) = probe.look().tables
    assert (exact.rows, exact.capped) == (3, False)
    admin.execute("INSERT INTO station VALUES (4)")
    (capped,) = probe.look().tables
    assert (capped.rows, capped.capped) == (3, True)


def test_a_table_that_grows_from_few_rows_beyond_the_limit_is_capped_at_once(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, "station", "glacier", count_limit=20)
    assert rows(probe.look()) == {"station": 3, "glacier": 1}
    for inserted, counted in ((17, 20), (1, 20)):
        admin.execute("INSERT INTO station SELECT generate_series(1, %s)", (inserted,))
        seen = by_name(probe.look())["station"]
        assert (seen.rows, seen.capped) == (counted, inserted == 1)
    admin.execute("INSERT INTO glacier SELECT generate_series(1, 100)")
    seen = by_name(probe.look())["glacier"]
    assert (seen.rows, seen.capped) == (20, True)


def test_a_flood_into_a_small_table_is_capped_within_the_time_of_a_statement(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    """Counting all of it would take far longer than that: the look falls back on counting up to the limit."""
    probe = probing(empty_database, *THREE, timeout=BRIEF)
    wait_until("a whole look", lambda: by_name(probe.look())["station"].rows == 3, deadline=20)
    admin.execute("INSERT INTO station SELECT generate_series(1, 5000000)")
    seen = by_name(probe.look())
    assert (seen["station"].rows, seen["station"].capped) == (10_000, True)
    assert (seen["glacier"].rows, seen["withdrawal"].rows) == (1, 0)


def test_it_knows_the_database_its_clock_and_how_long_it_took(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    seen = probing(empty_database, "station").look()
    row = admin.execute("SELECT current_database(), now()").fetchone()
    assert row is not None
    assert seen.name == row[0]
    assert seen.clock is not None
    assert seen.clock.tzinfo is UTC
    assert timedelta(0) <= row[1] - seen.clock < timedelta(minutes=1)
    assert 0 < seen.duration < 60


@pytest.mark.parametrize(
    "declared",
    ["StationGlacier", '"StationGlacier"', "Alpine.StationGlacier", '"Alpine"."StationGlacier"'],
)
def test_a_name_in_mixed_case_is_found_with_and_without_quotes(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames, declared: str
) -> None:
    schema = "Alpine" if "Alpine" in declared else "public"
    admin.execute(
        sql.SQL("CREATE SCHEMA IF NOT EXISTS {0}; CREATE TABLE {0}.{1} AS SELECT 1 AS id").format(
            sql.Identifier(schema), sql.Identifier("StationGlacier")
        )
    )
    assert rows(probing(empty_database, declared).look()) == {declared: 1}


@pytest.mark.parametrize("declared", ["station", "STATION", "public.station", "Public.Station", '"station"'])
def test_a_name_in_lower_case_is_found_in_every_spelling_that_sql_accepts(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames, declared: str
) -> None:
    assert rows(probing(empty_database, declared).look()) == {declared: 3}


def test_a_quoted_name_never_means_another_spelling(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    (seen,) = probing(empty_database, '"Station"').look().tables
    assert not seen.exists


def test_a_name_with_quotes_and_spaces_harms_nobody(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    awkward = 'a"; DROP TABLE station; --'
    admin.execute(sql.SQL("CREATE TABLE {} AS SELECT 1 AS id").format(sql.Identifier(awkward)))
    declared = '"' + awkward.replace('"', '""') + '"'
    assert rows(probing(empty_database, declared, "station").look()) == {declared: 1, "station": 3}


def test_without_a_schema_the_search_path_decides(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames, role: LoginRole
) -> None:
    admin.execute("CREATE SCHEMA hydro; CREATE TABLE hydro.station AS SELECT 1 AS id")
    admin.execute(sql.SQL("GRANT USAGE ON SCHEMA hydro TO {0}").format(role.identifier))
    admin.execute(sql.SQL("GRANT SELECT ON station, hydro.station TO {0}").format(role.identifier))
    assert rows(probing(role.url, "station").look()) == {"station": 3}
    admin.execute(sql.SQL("ALTER ROLE {} SET search_path = hydro, public").format(role.identifier))
    assert rows(probing(role.url, "station").look()) == {"station": 1}


def test_a_dropped_table_does_not_exist_and_the_others_are_counted(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, *THREE)
    probe.look()
    admin.execute("DROP TABLE glacier")
    seen = by_name(probe.look())
    assert (seen["glacier"].exists, seen["glacier"].rows, seen["glacier"].unseen) == (False, None, None)
    assert (seen["station"].rows, seen["withdrawal"].rows) == (3, 0)


def test_a_table_dropped_and_created_again_is_counted_anew(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, *THREE)
    probe.look()
    admin.execute("DROP TABLE station; CREATE TABLE station (other text)")
    assert rows(probe.look())["station"] == 0


def test_a_view_in_the_place_of_a_table_is_no_table(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    admin.execute("ALTER TABLE glacier RENAME TO old; CREATE VIEW glacier AS SELECT * FROM old")
    (seen,) = probing(empty_database, "glacier").look().tables
    assert (seen.exists, seen.detail) == (False, "a view has taken its name")


def test_a_partitioned_table_is_counted_over_its_partitions(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    admin.execute(
        "CREATE TABLE level (at int) PARTITION BY RANGE (at);"
        "CREATE TABLE level_1 PARTITION OF level FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE level_2 PARTITION OF level FOR VALUES FROM (10) TO (20);"
        "INSERT INTO level VALUES (1), (11), (12)"
    )
    assert rows(probing(empty_database, "level").look()) == {"level": 3}


def test_only_declared_columns_are_missed(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    tables = [Guarded("station", ("id", "ID", "river_name")), Guarded("glacier")]
    seen = by_name(probing(empty_database, tables=tables).look())
    assert seen["station"].missing_columns == ("river_name",)
    assert (seen["station"].rows, seen["glacier"].missing_columns) == (3, ())


def test_a_locked_table_alone_is_unseen_and_the_holder_is_named(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, *THREE, timeout=BRIEF)
    with psycopg.connect(empty_database) as other:
        other.execute("LOCK TABLE glacier IN ACCESS EXCLUSIVE MODE")
        for _ in range(2):  # at first in the common statement, then by itself
            seen = by_name(probe.look())
            assert (seen["glacier"].unseen, seen["glacier"].rows) == (Unseen.LOCKED, None)
            assert seen["glacier"].locked_by == other.info.backend_pid
            assert seen["glacier"].exists
            assert (seen["station"].rows, seen["withdrawal"].rows) == (3, 0)
    assert rows(probe.look()) == {"station": 3, "glacier": 1, "withdrawal": 0}


def test_waiting_behind_somebody_who_waits_for_a_lock_names_the_one_in_front(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, "station", timeout=BRIEF)
    waiting = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
    with psycopg.connect(empty_database) as reader, psycopg.connect(empty_database) as waiter:
        reader.execute("SELECT FROM station")
        lock = threading.Thread(target=waiter.execute, args=["LOCK TABLE station IN ACCESS EXCLUSIVE MODE"])
        lock.start()
        pid = waiter.info.backend_pid
        try:
            wait_until(
                "waiting for the reader", lambda: admin.execute(waiting, (pid,)).fetchone(), deadline=10
            )
            (seen,) = probe.look().tables
        finally:
            reader.rollback()
            lock.join()
    assert (seen.unseen, seen.locked_by) == (Unseen.LOCKED, pid)


def test_a_table_that_takes_too_long_alone_is_unseen(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    """Dead rows that an old snapshot keeps: counting none of them takes as long as reading all of them."""
    admin.execute("CREATE TABLE flood AS SELECT g AS id FROM generate_series(1, 2000000) g")
    with psycopg.connect(empty_database) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT FROM station")
        admin.execute("DELETE FROM flood")
        # A tenth of what the dead rows take, many times what the others take: most looks miss only those.
        probe = probing(empty_database, *THREE, "flood", timeout=0.005)

        def only_the_flood_is_unseen() -> TableSeen | None:
            seen = {table.name: table for table in probe.look().tables}  # none, if the catalog took too long
            unseen = {name for name, table in seen.items() if table.unseen is not None}
            return seen["flood"] if unseen == {"flood"} else None

        flood = wait_until("a look that only misses the slow table", only_the_flood_is_unseen, deadline=30)
        assert flood == replace(flood, rows=None, locked_by=None, exists=True, unseen=Unseen.TIMEOUT)


def test_a_table_without_select_is_forbidden_and_never_empty(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames, role: LoginRole
) -> None:
    admin.execute(sql.SQL("GRANT SELECT ON station TO {}").format(role.identifier))
    probe = probing(role.url, "station", "glacier")
    seen = by_name(probe.look())
    assert seen["station"].rows == 3
    assert (seen["glacier"].exists, seen["glacier"].unseen) == (True, Unseen.FORBIDDEN)
    admin.execute(sql.SQL("GRANT SELECT (id) ON glacier TO {}").format(role.identifier))
    assert rows(probe.look()) == {"station": 3, "glacier": 1}


def test_a_schema_without_usage_forbids_its_tables_instead_of_hiding_them(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames, role: LoginRole
) -> None:
    admin.execute(sql.SQL("GRANT SELECT ON station TO {}").format(role.identifier))
    admin.execute("REVOKE USAGE ON SCHEMA public FROM public")
    for declared in ("station", "public.station"):
        (seen,) = probing(role.url, declared).look().tables
        assert (seen.exists, seen.unseen) == (True, Unseen.FORBIDDEN)


def test_a_table_whose_rows_row_security_hides_is_unseen(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames, role: LoginRole
) -> None:
    admin.execute(sql.SQL("GRANT SELECT ON station, glacier TO {}").format(role.identifier))
    probe = probing(role.url, "station", "glacier")
    assert rows(probe.look()) == {"station": 3, "glacier": 1}
    admin.execute("ALTER TABLE station ENABLE ROW LEVEL SECURITY")
    seen = by_name(probe.look())
    assert (seen["station"].unseen, seen["station"].rows) == (Unseen.ROW_SECURITY, None)
    assert seen["glacier"].rows == 1


def test_more_tables_than_one_statement_takes_are_all_counted(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    names = [f"many_{number}" for number in range(230)]
    for number, name in enumerate(names):
        admin.execute(
            sql.SQL("CREATE TABLE {} AS SELECT generate_series(1, {}) AS id").format(
                sql.Identifier(name), sql.Literal(number % 4)
            )
        )
    expected = {name: number % 4 for number, name in enumerate(names)}
    assert rows(probing(empty_database, *names).look()) == expected


def test_a_healthy_look_is_four_statements_and_with_a_recorder_five(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog, the counts, the revision, the recorder's state and events: one round trip each."""
    probe = probing(empty_database, *THREE, revision_query="SELECT 'r1'")
    probe.look()
    asked: list[object] = []
    execute = psycopg.Cursor.execute

    def counting(self: psycopg.Cursor, query: object, *args: object, **options: object) -> psycopg.Cursor:
        asked.append(query)
        return execute(self, query, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)
    assert probe.look().revision == "r1"
    assert len(asked) == 4
    arm(admin, "station")
    probe.look()
    asked.clear()
    assert probe.look().recorder is not None
    assert len(asked) == 5


def test_the_revision_is_what_its_query_returns(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, "station", revision_query="SELECT version_num FROM alembic_version")
    seen = probe.look()
    assert (seen.revision, seen.revision_unseen) == (None, None)  # not migrated is a fact, too
    admin.execute("CREATE TABLE alembic_version (version_num varchar)")
    assert probe.look().revision is None
    admin.execute("INSERT INTO alembic_version VALUES ('0001')")
    assert probe.look().revision == "0001"
    admin.execute("INSERT INTO alembic_version VALUES ('0000a')")
    assert probe.look().revision == "0000a,0001"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT no_such_column FROM station", Unseen.ERROR),
        ("SELECT 1 / 0", Unseen.ERROR),
        ("SELECT rolpassword FROM pg_authid", Unseen.FORBIDDEN),
        ("SELECT pg_sleep(60)", Unseen.TIMEOUT),
    ],
)
def test_a_revision_that_cannot_be_seen_hides_no_table(
    admin: psycopg.Connection,
    empty_database: str,
    probing: ProbingNames,
    role: LoginRole,
    query: str,
    reason: Unseen,
) -> None:
    admin.execute(sql.SQL("GRANT SELECT ON station TO {}").format(role.identifier))
    seen = probing(role.url, "station", revision_query=query, timeout=BRIEF).look()
    assert (seen.revision, seen.revision_unseen) == (None, reason)
    assert seen.detail.startswith("revision: ")
    assert rows(seen) == {"station": 3}


@pytest.mark.parametrize("name", ["change", "migration"])
@pytest.mark.parametrize("prefix", ["alpimonitor", "hydro", "p1", "p2", "p3"])
def test_the_holder_of_the_change_or_migration_lock_is_named(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames, name: str, prefix: str
) -> None:
    probe = probing(empty_database, "station", lock_prefix=prefix)
    with psycopg.connect(empty_database) as other:
        take = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
        other.execute(take, (f"other:{name}",))
        other.execute(take, (f"{prefix}:leader",))
        assert probe.look().change_held_by is None
        other.execute(take, (f"{prefix}:{name}",))
        assert probe.look().change_held_by == other.info.backend_pid
    assert probe.look().change_held_by is None


def test_a_database_made_read_only_is_noticed_on_the_kept_connection(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, "station")
    assert not probe.look().read_only
    this = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    name = sql.Identifier(admin.info.dbname)
    for value, read_only in (("on", True), ("off", False), ("true", True)):
        admin.execute(this.format(name, sql.Literal(value)))
        assert probe.look().read_only is read_only


def test_what_makes_only_the_sidecar_read_only_says_nothing_about_the_database(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames, role: LoginRole
) -> None:
    admin.execute(sql.SQL("GRANT SELECT ON station TO {}").format(role.identifier))
    admin.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role.identifier))
    seen = probing(role.url, "station").look()
    assert (seen.read_only, rows(seen)) == (False, {"station": 3})
    separator = "&" if "?" in empty_database else "?"
    own = f"{empty_database}{separator}options=-c%20default_transaction_read_only%3Don"
    assert not probing(own, "station").look().read_only


def test_tables_that_a_subscription_writes_to_are_named(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, *THREE)
    assert probe.look().subscribed == ()
    admin.execute(
        "CREATE SUBSCRIPTION feed CONNECTION 'dbname=elsewhere' PUBLICATION p"
        " WITH (connect = false, slot_name = NONE)"
    )
    try:
        # What `connect = true` would have entered, had there been a publisher.
        admin.execute("SET allow_system_table_mods = on")
        admin.execute(
            "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
            " SELECT oid, 'glacier'::regclass, 'r' FROM pg_subscription WHERE subname = 'feed'"
        )
        assert probe.look().subscribed == ("glacier",)
    finally:
        admin.execute("DROP SUBSCRIPTION feed")
    assert probe.look().subscribed == ()


def test_it_never_writes_and_shows_who_it_is(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    probe = probing(empty_database, *THREE)
    probe.look()
    row = admin.execute(
        "SELECT backend_xid, state FROM pg_stat_activity WHERE application_name = 'probe under test'"
    ).fetchone()
    assert row == (None, "idle")
