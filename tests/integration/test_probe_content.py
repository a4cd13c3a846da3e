"""The content of context tables, seen through DatabaseProbe: when it changes, and what it never spoils."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.seen import TableSeen
from alpimonitor_watchdog.core.words import Unseen
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from tests.login_roles import login_role
from tests.probing import probing_as

ProbingNames = Callable[..., DatabaseProbe]


@pytest.fixture
def probing(empty_database: str) -> Iterator[ProbingNames]:
    """Builds probes of context tables, given their names."""
    with probing_as("hashing") as probing:

        def build(*names: str, url: str = empty_database, **options: Any) -> DatabaseProbe:
            return probing(url, **{"tables": [Guarded(name, context=True) for name in names], **options})

        yield build


@pytest.fixture
def admin(empty_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE station (id int, name text)")
        connection.execute("INSERT INTO station VALUES (1, 'Sion'), (2, 'Brig'), (3, 'Visp')")
        connection.execute("CREATE TABLE glacier AS SELECT 1 AS id")
        yield connection


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that took a content, as they come."""
    asked: list[str] = []
    execute = psycopg.Cursor.execute

    def noting(self: psycopg.Cursor, query: Any, *args: Any, **options: Any) -> Any:
        text = query.as_string(self) if isinstance(query, sql.Composable) else str(query)
        if "hash_record_extended" in text or "record_out" in text:
            asked.append(text)
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", noting)
    return asked


def first(probe: DatabaseProbe) -> TableSeen:
    seen = probe.look()
    assert seen.unseen is None, seen.detail
    return seen.tables[0]


def content(probe: DatabaseProbe) -> str:
    """That of the first table; a busy machine may need more than one look to take it within its bound."""
    return wait_until("a content", lambda: first(probe).content, deadline=20)


def changed(probe: DatabaseProbe, before: str) -> str:
    """The next content that is another one. Counters follow a change by some seconds at most."""

    def another() -> str | None:
        found = first(probe).content
        return found if found != before else None

    return wait_until("another content", another, deadline=30)


def flush(admin: psycopg.Connection) -> None:
    """What this session changed shows in the counters once this has returned."""
    admin.execute("SELECT pg_stat_force_next_flush()")


def test_it_is_rows_hash_and_version(admin: psycopg.Connection, probing: ProbingNames) -> None:
    rows, hashed, version = content(probing("station")).split(":")
    assert (rows, version) == ("3", str(admin.info.server_version))
    assert int(hashed) != 0


def test_it_changes_when_a_row_is_changed_in_place_and_changes_back(
    admin: psycopg.Connection, probing: ProbingNames
) -> None:
    probe = probing("station")
    before = content(probe)
    admin.execute("UPDATE station SET name = 'Sierre' WHERE id = 1")
    flush(admin)
    after = changed(probe, before)
    assert after.split(":")[0] == before.split(":")[0] == "3"
    # Another order of the same rows, and another place of each on disk.
    admin.execute("DELETE FROM station; INSERT INTO station VALUES (3, 'Visp'), (1, 'Sion'), (2, 'Brig')")
    flush(admin)
    assert changed(probe, after) == before


def test_values_that_moved_between_rows_or_columns_change_it(
    admin: psycopg.Connection, probing: ProbingNames
) -> None:
    admin.execute("CREATE TABLE pair (a int, b int); INSERT INTO pair VALUES (1, 2), (3, 4)")
    probe = probing("pair")
    before = content(probe)
    for statement in ("UPDATE pair SET a = b, b = a", "UPDATE pair SET a = 4 - a"):
        admin.execute(statement)
        flush(admin)
        before = changed(probe, before)


@pytest.mark.parametrize("statement", ["VACUUM FULL station", "SELECT pg_stat_reset()"])
def test_what_moves_the_counters_and_no_row_has_it_taken_anew_and_the_same(
    admin: psycopg.Connection, probing: ProbingNames, hashed: list[str], statement: str
) -> None:
    flush(admin)
    probe = probing("station")
    before = content(probe)
    hashed.clear()
    admin.execute(statement)
    wait_until("a content taken anew", lambda: first(probe) and hashed, deadline=30)
    assert content(probe) == before


def test_it_is_not_taken_anew_while_nothing_happens_but_once_a_minute(
    admin: psycopg.Connection, probing: ProbingNames, hashed: list[str]
) -> None:
    flush(admin)
    now = [1000.0]
    probe = probing("station", "glacier", monotonic=lambda: now[0])
    before = content(probe)
    wait_until("both contents", lambda: all(table.content for table in probe.look().tables), deadline=20)
    hashed.clear()
    now[0] += 59.9
    assert first(probe).content == before
    assert hashed == []
    now[0] += 60.0
    assert first(probe).content == before
    assert len(hashed) == 2


def test_a_change_that_moves_no_counter_is_seen_within_a_minute(
    admin: psycopg.Connection, probing: ProbingNames
) -> None:
    """Those of a partitioned table stand still, whatever is done to its partitions."""
    admin.execute(
        "CREATE TABLE level (at int, n int) PARTITION BY RANGE (at);"
        "CREATE TABLE level_1 PARTITION OF level FOR VALUES FROM (0) TO (10);"
        "INSERT INTO level VALUES (1, 1)"
    )
    now = [1000.0]
    probe = probing("level", monotonic=lambda: now[0])
    before = content(probe)
    admin.execute("UPDATE level SET n = 2")
    flush(admin)
    now[0] += 59.0
    assert first(probe).content == before
    now[0] += 1.0
    assert first(probe).content != before


def test_beside_another_number_of_rows_the_old_one_is_never_shown(
    admin: psycopg.Connection, probing: ProbingNames
) -> None:
    probe = probing("station")
    content(probe)
    for statement, rows in (
        ("INSERT INTO station VALUES (4, 'Naters')", 4),
        ("DELETE FROM station WHERE id > 1", 1),
        ("TRUNCATE station", 0),
    ):
        admin.execute(statement)
        seen = first(probe)
        assert seen.rows == rows
        assert seen.content is None or seen.content.startswith(f"{rows}:")
        assert content(probe).startswith(f"{rows}:")


def test_another_table_of_the_same_name_has_a_content_of_its_own(
    admin: psycopg.Connection, probing: ProbingNames
) -> None:
    probe = probing("station")
    before = content(probe)
    admin.execute(
        "DROP TABLE station; CREATE TABLE station AS SELECT g AS id, 'x' AS name FROM generate_series(1, 3) g"
    )
    seen = first(probe)
    assert (seen.rows, seen.content == before) == (3, False)


@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [
        ("json", '{"a": 1}', '{"a": 2}'),
        ("money", "1", "2"),
        ("point", "(1,2)", "(2,1)"),
        ("json[]", "{1}", "{2}"),
        ("timestamptz", "2026-04-21 12:00+00", "2026-04-21 12:00:00.000001+00"),
        ("double precision", "0.1", "0.10000000000000002"),
        ("bytea", "\\x00", "\\x01"),
    ],
)
def test_a_column_of_any_type_counts(
    admin: psycopg.Connection, probing: ProbingNames, kind: str, value: str, other: str
) -> None:
    literal = sql.SQL("CREATE TABLE typed AS SELECT {}::{} AS v, 1 AS n")
    admin.execute(literal.format(sql.Literal(value), sql.SQL(kind)))
    probe = probing("typed")
    before = content(probe)
    statement = sql.SQL("UPDATE typed SET v = {}::{}")
    admin.execute(statement.format(sql.Literal(other), sql.SQL(kind)))
    flush(admin)
    after = changed(probe, before)
    admin.execute("UPDATE typed SET n = 2")
    flush(admin)
    changed(probe, after)


def test_a_column_of_xml_is_no_obstacle_even_on_a_server_without_it(
    admin: psycopg.Connection, probing: ProbingNames
) -> None:
    """Its type has no hash, which matters to a row of nothing but NULL, too."""
    admin.execute("CREATE TABLE typed AS SELECT NULL::xml AS v, 1 AS n")
    probe = probing("typed")
    before = content(probe)
    admin.execute("UPDATE typed SET n = 2")
    flush(admin)
    changed(probe, before)


SETTINGS = {
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "German",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "-3",
    "bytea_output": "escape",
    "lc_monetary": "C.UTF-8",
}


def test_it_depends_on_no_setting_of_the_session(admin: psycopg.Connection, probing: ProbingNames) -> None:
    admin.execute(
        "CREATE TABLE typed AS SELECT json '{}' AS j, timestamptz '2026-04-21 12:00+00' AS t,"
        " interval '1 day 2 h' AS i, 0.1::float8 + 0.2::float8 AS f, '\\x41'::bytea AS b, money '3.5' AS m"
    )
    before = content(probing("typed"))
    for name, value in SETTINGS.items():
        admin.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(admin.info.dbname), sql.Identifier(name), sql.Literal(value)
            )
        )
    assert content(probing("typed")) == before


def test_on_a_new_connection_it_is_taken_anew(
    admin: psycopg.Connection, probing: ProbingNames, hashed: list[str]
) -> None:
    """The server may have been restored in between, with the same counters."""
    probe = probing("station", monotonic=lambda: 1000.0)
    before = content(probe)
    hashed.clear()
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'hashing'"
    assert admin.execute(ended).fetchall() == [(True,)]
    assert content(probe) == before
    assert len(hashed) == 1


def test_taking_it_leaves_the_connection_as_it_was(admin: psycopg.Connection, probing: ProbingNames) -> None:
    admin.execute("ALTER TABLE station ADD j json")
    ask = "SELECT current_setting('statement_timeout') || ' ' || current_setting('TimeZone')"
    name = sql.Identifier(admin.info.dbname)
    admin.execute(sql.SQL("ALTER DATABASE {} SET TimeZone = 'Asia/Kathmandu'").format(name))
    probe = probing("station", revision_query=ask)
    content(probe)
    assert probe.look().revision == "5s Asia/Kathmandu"


def test_which_hash_is_taken_does_not_depend_on_what_a_table_once_had(
    admin: psycopg.Connection, probing: ProbingNames, hashed: list[str]
) -> None:
    plain = content(probing("station"))
    admin.execute("ALTER TABLE station ADD document json DEFAULT '{}'")
    hashed.clear()
    probe = probing("station")
    before = content(probe)
    assert before != plain
    admin.execute("UPDATE station SET name = 'Sierre' WHERE id = 1")
    flush(admin)
    before = changed(probe, before)
    # That the record has no hash is found out once: it is an error in the server's log.
    assert len([statement for statement in hashed if "hash_record_extended" in statement]) == 1
    admin.execute("ALTER TABLE station DROP document; UPDATE station SET name = 'Sion' WHERE id = 1")
    flush(admin)
    assert changed(probe, before) == plain == content(probing("station"))


def test_operational_and_uncountable_tables_have_none(
    admin: psycopg.Connection, probing: ProbingNames, hashed: list[str]
) -> None:
    admin.execute("CREATE SCHEMA other; CREATE TABLE other.glacier AS SELECT 1 AS id")
    tables = [Guarded("station"), Guarded("glacier", context=True), Guarded("other.glacier")]
    probe = probing(tables=tables)
    wait_until("the content of the only context table", lambda: probe.look().tables[1].content, deadline=20)
    assert [table.content is None for table in probe.look().tables] == [True, False, True]
    assert all('"public"."glacier"' in statement for statement in hashed)


def test_of_more_rows_than_are_counted_there_is_none(
    admin: psycopg.Connection, probing: ProbingNames, hashed: list[str]
) -> None:
    probe = probing("station", count_limit=2)
    seen = first(probe)
    assert (seen.rows, seen.capped, seen.content) == (2, True, None)
    assert hashed == []
    admin.execute("DELETE FROM station WHERE id = 1")
    assert content(probe).startswith("2:")


def test_what_cannot_be_seen_has_no_content_and_spoils_no_other(
    admin: psycopg.Connection, empty_database: str, probing: ProbingNames
) -> None:
    with login_role(empty_database) as role:
        admin.execute(sql.SQL("GRANT SELECT ON station, glacier TO {}").format(role.identifier))
        probe = probing("station", "glacier", url=role.url, timeout=0.3)
        before = content(probe)
        wait_until("the other content", lambda: probe.look().tables[1].content, deadline=20)
        with psycopg.connect(empty_database) as other:
            other.execute("LOCK TABLE glacier IN ACCESS EXCLUSIVE MODE")
            station, glacier = probe.look().tables
            assert (station.rows, station.content) == (3, before)
            assert (glacier.unseen, glacier.content) == (Unseen.LOCKED, None)
        admin.execute("ALTER TABLE station ENABLE ROW LEVEL SECURITY")
        station, glacier = probe.look().tables
        assert (station.unseen, station.rows, station.content) == (Unseen.ROW_SECURITY, None, None)
        assert glacier.rows == 1


def test_what_takes_too_long_to_hash_has_none_and_is_tried_again_only_later(
    admin: psycopg.Connection, probing: ProbingNames, hashed: list[str]
) -> None:
    """A hundred megabytes, compressed to little: counted at once, and far too much to hash."""
    admin.execute("CREATE TABLE wide AS SELECT repeat('x', 500000) AS v FROM generate_series(1, 200)")
    now = [1000.0]
    probe = probing("wide", "station", monotonic=lambda: now[0])
    for _ in range(3):
        wide, station = probe.look().tables
        assert (wide.rows, wide.unseen, wide.content) == (200, None, None)
        assert station.rows == 3
    attempts = [statement for statement in hashed if "wide" in statement]
    assert len(attempts) == 1
    now[0] += 10.0
    probe.look()
    assert len([statement for statement in hashed if "wide" in statement]) == 2


def test_of_many_tables_each_look_takes_a_few_until_all_are_taken(
    admin: psycopg.Connection, probing: ProbingNames
) -> None:
    names = [f"many_{number}" for number in range(12)]
    for name in names:
        admin.execute(sql.SQL("CREATE TABLE {} AS SELECT 1 AS id").format(sql.Identifier(name)))
    ticks = [0.0]

    def slow() -> float:
        """Two milliseconds pass between one question for the time and the next."""
        ticks[0] += 0.002
        return ticks[0]

    probe = probing(*names, monotonic=slow)
    taken = 0
    for _ in range(len(names)):
        seen = probe.look().tables
        assert [table.rows for table in seen] == [1] * len(names)
        now_taken = sum(table.content is not None for table in seen)
        assert taken < now_taken <= taken + 3
        taken = now_taken
        if taken == len(names):
            break
    assert taken == len(names)
    for name in names:
        admin.execute(sql.SQL("INSERT INTO {} VALUES (2)").format(sql.Identifier(name)))
    seen = probe.look().tables
    assert {table.content is None or table.content.startswith("2:") for table in seen} == {True}
    assert None in {table.content for table in seen}


NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15
).filter(lambda name: len(name.encode()) <= 63)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=NAMES, column=NAMES)
@example(table="t", column="t")
@example(table="%s {table} %(x)s", column="few")
@example(table="\\", column="'")
def test_any_identifiers_will_do(
    admin: psycopg.Connection, probing: ProbingNames, table: str, column: str
) -> None:
    admin.execute("DROP SCHEMA IF EXISTS odd CASCADE; CREATE SCHEMA odd")
    name = sql.Identifier("odd", table)
    for more in ("", ", ADD json_beside_it json"):  # by record, and as text
        admin.execute(sql.SQL("CREATE TABLE {} ()").format(name))
        add = sql.SQL("ALTER TABLE {} ADD {} int" + more)
        admin.execute(add.format(name, sql.Identifier(column)))
        admin.execute(sql.SQL("INSERT INTO {} VALUES (1), (2)").format(name))
        probe = probing('odd."' + table.replace('"', '""') + '"')
        assert content(probe).startswith("2:")
        probe.close()
        admin.execute(sql.SQL("DROP TABLE {}").format(name))
