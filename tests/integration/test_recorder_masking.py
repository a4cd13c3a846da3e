"""What of a statement is kept: never what follows PASSWORD, and no literal unless that is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from alpimonitor_watchdog.recorder.statements import recorder_sql
from tests import recorders
from tests.databases import PostgresForTests, new_database


@pytest.fixture(scope="module")
def owner(postgres_server: PostgresForTests) -> Iterator[psycopg.Connection]:
    with (
        new_database(postgres_server) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute(recorder_sql().encode())
        yield connection


def told(owner: psycopg.Connection, statement: str, *, keep: bool) -> str:
    row = owner.execute("SELECT flight_recorder.told(%s, %s)", (statement, keep)).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("DELETE FROM t WHERE a = 'it''s' AND b = 5", "DELETE FROM t WHERE a = … AND b = …"),
        ("DELETE FROM t WHERE a = $1 AND t2.b = -1.5e10", "DELETE FROM t WHERE a = $1 AND t2.b = -…"),
        (r"SELECT E'a\'b', 'c' || e'\\' || 'd'", "SELECT …, … || … || …"),
        (r"SELECT date'2020\' || 'secret'", "SELECT date… || …"),
        ("SELECT $$it's$$ || 'x' FROM t", "SELECT … || … FROM t"),
        ("DO $body$ 'a' $body$ 'b'", "DO …"),
        ("SELECT $a$ secret $b$ still $a$, 'x'", "SELECT …"),
        ("""DELETE FROM "it's" WHERE "a""b" = 'x'""", """DELETE FROM "it's" WHERE "a""b" = …"""),
        ("""SELECT "A"'x', "b" FROM t""", """SELECT "A"…, "b" FROM t"""),
        ("DELETE FROM t -- don't\nWHERE a = 'secret'", "DELETE FROM t …\nWHERE a = …"),
        ("DELETE /* don't */ FROM t WHERE a = 'secret'", "DELETE … FROM t WHERE a = …"),
        ("DELETE /* a /* b */ don't */ FROM t WHERE a = 'secret'", "DELETE …"),
        ("DELETE FROM t WHERE a = 'cut off by the bou", "DELETE FROM t WHERE a = …"),
        ("SELECT a$$b FROM t1 WHERE x = 'y'", "SELECT a$$b FROM t1 WHERE x = …"),
        ("SELECT 0xdead, 1_000, x'1F', U&'d\\0061t'", "SELECT …, …, x…, U&…"),
    ],
)
def test_no_literal_is_kept(owner: psycopg.Connection, statement: str, kept: str) -> None:
    assert told(owner, statement, keep=False) == kept
    assert told(owner, statement, keep=True) == statement


def test_where_strings_may_end_elsewhere_nothing_after_the_first_is_kept(owner: psycopg.Connection) -> None:
    owner.execute("SET standard_conforming_strings = off")
    try:
        assert (
            told(owner, r"DELETE FROM t WHERE a = 'x\' OR b = 'secret'", keep=False)
            == "DELETE FROM t WHERE a = …"
        )
    finally:
        owner.execute("RESET standard_conforming_strings")


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("ALTER ROLE app PASSWORD 'secret' LOGIN", "ALTER ROLE app PASSWORD …"),
        ("alter role app encrypted password'secret'", "alter role app encrypted password…"),
        ("DELETE FROM users WHERE password = 'secret'", "DELETE FROM users WHERE password …"),
    ],
)
def test_what_follows_password_is_never_kept(
    owner: psycopg.Connection, keep: bool, statement: str, kept: str
) -> None:
    assert told(owner, statement, keep=keep) == kept


def test_a_column_of_a_similar_name_is_no_password(owner: psycopg.Connection) -> None:
    statement = "DELETE FROM users WHERE password_changed_at < now()"
    assert told(owner, statement, keep=True) == statement


def test_a_statement_and_its_context_are_bounded_and_masked(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as session:
        session.execute("CREATE TABLE station AS SELECT 'secret' AS name")
        recorders.install(empty_database, "station", keep=False)
        session.execute("DO $$ BEGIN DELETE FROM station WHERE name = 'secret'; END $$ -- " + "x" * 9000)  # type: ignore[arg-type]
        session.execute("INSERT INTO station VALUES ('secret')")
        session.execute("DELETE FROM station WHERE name IN ('secret', '" + "x" * 9000 + "')")  # type: ignore[arg-type]
    done, deleted = recorders.events(empty_database)
    assert done["statement"] == "DO … …"
    assert done["inner_context"].startswith(
        'SQL statement "DELETE FROM station WHERE name = …\nPL/pgSQL function'
    )
    assert "secret" not in str([done, deleted])
    assert deleted["statement"] == "DELETE FROM station WHERE name IN (…, …"


def test_kept_literals_are_bounded_too(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as session:
        session.execute("CREATE TABLE station AS SELECT 'x' AS name")
        recorders.install(empty_database, "station", keep=True)
        session.execute("DELETE FROM station WHERE name IN ('x', '" + "y" * 9000 + "')")  # type: ignore[arg-type]
    (event,) = recorders.events(empty_database)
    assert len(event["statement"]) == 2000
