"""`alpimonitor recorder`: install, status, remove and prune, as processes on a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from psycopg import sql

from alpimonitor_watchdog.probe.link import Link
from alpimonitor_watchdog.probe.names import parse
from alpimonitor_watchdog.recorder.install import ATTEMPTS, Outcome, Refused, install
from alpimonitor_watchdog.recorder.wishes import Wish
from tests import recorders
from tests.login_roles import login_role

COMMAND = (sys.executable, "-m", "alpimonitor_cli.main", "recorder")
TRIGGERS = """
SELECT tgrelid::regclass::text, tgname, tgenabled, xmin FROM pg_trigger
WHERE tgname LIKE 'flight%' ORDER BY 1, 2"""


@pytest.fixture
def guardable(empty_database: str) -> str:
    """A database with a context table, an operational one and one of an awkward name."""
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute("CREATE TABLE station AS SELECT n AS id FROM generate_series(1, 7) AS n")
        owner.execute("CREATE TABLE measurement AS SELECT n AS id FROM generate_series(1, 7) AS n")
        owner.execute('CREATE TABLE "Odd ""name""" (id int)')
    return empty_database


def run(url: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        env={**os.environ, "OWNER_DATABASE_URL": url, "WATCHDOG_CONFIG": "", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as owner:
        return owner.execute(query.encode()).fetchall()


def test_installed_twice_it_is_armed_and_the_second_time_touches_nothing(guardable: str) -> None:
    words = (
        "install",
        "--tables",
        'station,"Odd ""name"""',
        "--operational",
        "measurement",
        "--journal",
        "5",
    )
    before = run(guardable, "status")
    assert (before.returncode, "no flight recorder" in before.stdout) == (1, True)
    first = run(guardable, *words)
    assert (first.returncode, "3 of 3 tables guarded" in first.stdout) == (0, True), first.stderr
    triggers = rows(guardable, TRIGGERS)
    assert len(triggers) == 8
    assert {enabled for _, _, enabled, _ in triggers} == {"A"}
    again = run(guardable, *words, "--json")
    assert {table["outcome"] for table in json.loads(again.stdout)["tables"]} == {"already_guarded"}
    assert rows(guardable, TRIGGERS) == triggers
    status = run(guardable, "status", "--json")
    told = json.loads(status.stdout)
    assert (status.returncode, told["armed"], told["drops"]) == (0, True, True)
    assert {table["name"]: table["kind"] for table in told["tables"]} == {
        **{"station": "context", '"Odd ""name"""': "context", "measurement": "operational"}
    }


def test_another_kind_or_journal_is_taken_over(guardable: str) -> None:
    assert run(guardable, "install", "--tables", "station", "--journal", "5").returncode == 0
    assert run(guardable, "install", "--operational", "station", "--keep-literals").returncode == 0
    assert {name for _, name, _, _ in rows(guardable, TRIGGERS)} == {
        "flight_recorder_delete",
        "flight_recorder_truncate",
    }
    assert rows(guardable, "SELECT kind, keep_literals, journal_rows FROM flight_recorder.guarded") == [
        ("operational", True, 0)
    ]
    assert recorders.events(guardable) == []  # what an installation changes is no disarming


def test_installing_again_keeps_what_was_asked_before(guardable: str) -> None:
    words = ("install", "--tables", "station", "--keep-literals", "--journal", "5")
    assert run(guardable, *words).returncode == 0
    options = "SELECT kind, keep_literals, journal_rows FROM flight_recorder.guarded"
    assert run(guardable, "install", "--tables", "station").returncode == 0
    assert rows(guardable, options) == [("context", True, 5)]
    with psycopg.connect(guardable, autocommit=True) as owner:
        owner.execute("DROP TABLE station")
        owner.execute("CREATE TABLE station (id int)")
    assert run(guardable, "install", "--tables", "station").returncode == 0
    assert rows(guardable, options) == [("context", True, 5)]
    words = ("install", "--tables", "station", "--mask-literals", "--journal", "0")
    assert run(guardable, *words).returncode == 0
    assert rows(guardable, options) == [("context", False, 0)]


def test_giving_the_evidence_away_waits_for_nobody_for_long(guardable: str) -> None:
    waits: list[float] = []
    assert run(guardable, "install", "--tables", "station").returncode == 0
    with psycopg.connect(guardable, autocommit=True) as owner:
        owner.execute(
            "CREATE OR REPLACE FUNCTION flight_recorder.hand_over() RETURNS name LANGUAGE plpgsql AS $$ BEGIN"
            " LOCK TABLE flight_recorder.event IN ACCESS EXCLUSIVE MODE; RETURN current_user; END $$"
        )
    link = Link(guardable, timeout=30, application_name="installer")
    with psycopg.connect(guardable) as reader:
        reader.execute("SELECT FROM flight_recorder.event")

        def wait(seconds: float) -> None:
            waits.append(seconds)
            reader.rollback()

        done = install(link, [Wish(parse("station"))], reader=None, wait=wait, say=lambda _: None)
    link.drop()
    assert (done.holds, len(waits)) == (True, 1)


def test_without_tables_those_of_the_configuration_are_guarded(database: str) -> None:
    """The shipped profile's, in a migrated database, which has them guarded already."""
    done = run(database, "install", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert len(told["tables"]) == 11
    assert {table["outcome"] for table in told["tables"]} == {"already_guarded"}


def test_what_is_printed_is_what_is_installed(guardable: str) -> None:
    printed = run("", "install", "--tables", "station", "--operational", "measurement", "--sql")
    assert printed.returncode == 0, printed.stderr
    with psycopg.connect(guardable, autocommit=True) as owner:
        owner.execute(printed.stdout.encode())
    assert run(guardable, "status").returncode == 0
    triggers = rows(guardable, TRIGGERS)
    assert run(guardable, "install", "--tables", "station", "--operational", "measurement").returncode == 0
    assert rows(guardable, TRIGGERS) == triggers


def test_a_table_that_is_not_there_does_not_keep_the_others_from_being_guarded(guardable: str) -> None:
    done = run(guardable, "install", "--tables", "nowhere,station")
    assert done.returncode == 1
    assert "nowhere: NOT GUARDED, missing" in done.stdout
    assert "1 of 2 tables guarded" in done.stdout


def test_a_half_installed_recorder_is_finished(guardable: str) -> None:
    assert run(guardable, "install", "--tables", "station").returncode == 0
    with psycopg.connect(guardable, autocommit=True) as owner:
        owner.execute("DROP FUNCTION flight_recorder.masked")
        owner.execute("ALTER TABLE station DISABLE TRIGGER flight_recorder_delete")
        owner.execute("DROP EVENT TRIGGER flight_recorder_ddl")
    status = run(guardable, "status")
    assert status.returncode == 1
    assert "flight_recorder.masked is missing" in status.stdout
    assert "station: NOT RECORDED: DELETE not recorded" in status.stdout
    assert "DROP and disarming are not recorded" in status.stdout
    assert run(guardable, "install", "--tables", "station").returncode == 0
    assert run(guardable, "status").returncode == 0


def test_a_partition_that_came_later_is_told_and_guarded_by_installing_again(guardable: str) -> None:
    with psycopg.connect(guardable, autocommit=True) as owner:
        owner.execute("CREATE TABLE reading (id int) PARTITION BY RANGE (id)")
        assert run(guardable, "install", "--tables", "reading").returncode == 0
        owner.execute("CREATE TABLE late PARTITION OF reading FOR VALUES FROM (0) TO (9)")
    status = run(guardable, "status")
    assert (status.returncode, "late: NOT RECORDED: came after its parent" in status.stdout) == (1, True)
    assert run(guardable, "install", "--tables", "reading").returncode == 0
    assert run(guardable, "status").returncode == 0


def test_a_table_made_anew_is_told_and_guarded_by_installing_again(guardable: str) -> None:
    assert run(guardable, "install", "--tables", "station").returncode == 0
    with psycopg.connect(guardable, autocommit=True) as owner:
        owner.execute("DROP TABLE station")
        owner.execute("CREATE TABLE station (id int)")
    status = run(guardable, "status")
    assert (status.returncode, "public.station: NOT RECORDED: dropped" in status.stdout) == (1, True)
    assert run(guardable, "install", "--tables", "station").returncode == 0
    assert run(guardable, "status").returncode == 0


def test_a_busy_table_is_given_up_after_a_while_and_the_others_are_guarded(guardable: str) -> None:
    waits: list[float] = []
    said: list[str] = []
    wishes = [Wish(parse("station")), Wish(parse("measurement"))]
    link = Link(guardable, timeout=30, application_name="installer")
    with psycopg.connect(guardable) as writer:
        writer.execute("DELETE FROM station WHERE id = 1")
        with psycopg.connect(guardable, autocommit=True) as other:

            def wait(seconds: float) -> None:
                waits.append(seconds)
                # Nobody queues behind the installation while it pauses.
                other.execute("INSERT INTO station VALUES (99)")

            done = install(link, wishes, reader=None, wait=wait, say=said.append)
        writer.rollback()
    assert [table.outcome for table in done.tables] == [Outcome.BUSY, Outcome.GUARDED]
    assert "pg_stat_activity" in done.tables[0].detail
    assert len(waits) == ATTEMPTS - 1
    assert any("somebody holds its lock" in line for line in said)
    done = install(link, wishes, reader=None, wait=waits.append, say=said.append)
    link.drop()
    assert [table.outcome for table in done.tables] == [Outcome.GUARDED, Outcome.ALREADY]


def test_a_table_that_becomes_free_meanwhile_is_guarded(guardable: str) -> None:
    link = Link(guardable, timeout=30, application_name="installer")
    with psycopg.connect(guardable) as writer:
        writer.execute("DELETE FROM station WHERE id = 1")
        done = install(
            link,
            [Wish(parse("station"))],
            reader=None,
            wait=lambda _: writer.rollback(),
            say=lambda _: None,
        )
    link.drop()
    assert done.holds


def test_a_read_only_database_is_refused_with_what_to_do(guardable: str) -> None:
    with psycopg.connect(guardable, autocommit=True) as owner:
        owner.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(
                sql.Identifier(owner.info.dbname)
            )
        )
    link = Link(guardable, timeout=30, application_name="installer")
    with pytest.raises(Refused, match="install on the primary"):
        install(link, [], reader=None, wait=lambda _: None, say=lambda _: None)
    link.drop()
    refused = run(guardable, "install", "--tables", "station")
    assert (refused.returncode, "install on the primary" in refused.stderr) == (1, True)


def test_a_reader_is_let_in_and_one_that_does_not_exist_is_refused(guardable: str) -> None:
    refused = run(guardable, "install", "--tables", "station", "--reader", "nobody_of_that_name")
    assert (refused.returncode, "create the role first" in refused.stderr) == (1, True)
    with login_role(guardable) as role:
        assert run(guardable, "install", "--tables", "station", "--reader", role.name).returncode == 0
        status = run(
            guardable, "status", "--database-url-env", "WATCHDOG_DATABASE_URL", WATCHDOG_DATABASE_URL=role.url
        )
        assert (status.returncode, "0 events" in status.stdout) == (0, True)


def test_a_stranger_is_told_that_it_may_not_look(guardable: str) -> None:
    assert run(guardable, "install", "--tables", "station").returncode == 0
    with login_role(guardable) as role:
        status = run(role.url, "status")
    assert (status.returncode, "permission denied" in status.stderr) == (1, True)
    assert "Traceback" not in status.stderr


def test_removing_asks_first_and_keeps_the_evidence(guardable: str) -> None:
    assert run(guardable, "install", "--tables", "station", "--operational", "measurement").returncode == 0
    with psycopg.connect(guardable, autocommit=True) as owner:
        owner.execute("DELETE FROM station")
    asked = run(guardable, "remove")
    assert (asked.returncode, "--yes" in asked.stderr, "station" in asked.stderr) == (2, True, True)
    assert len(rows(guardable, TRIGGERS)) == 5
    one = run(guardable, "remove", "--tables", "measurement", "--yes", "--json")
    assert json.loads(one.stdout)["tables"][0]["outcome"] == "released"
    assert len(rows(guardable, TRIGGERS)) == 3
    assert run(guardable, "remove", "--yes").returncode == 0
    assert rows(guardable, TRIGGERS) == []
    assert rows(guardable, "SELECT count(*) FROM pg_event_trigger") == [(0,)]
    assert ("delete", "station", 7, 0) in recorders.brief(guardable)


def test_evidence_goes_only_when_that_is_said(guardable: str) -> None:
    assert run(guardable, "install", "--tables", "station").returncode == 0
    asked = run(guardable, "remove", "--drop-evidence")
    assert (asked.returncode, "lost for good" in asked.stderr) == (2, True)
    assert run(guardable, "remove", "--drop-evidence", "--tables", "station", "--yes").returncode == 2
    assert run(guardable, "remove", "--drop-evidence", "--yes").returncode == 0
    assert rows(guardable, "SELECT to_regnamespace('flight_recorder')::text") == [(None,)]
    assert run(guardable, "remove", "--yes").returncode == 1


def test_pruning_takes_old_events_with_their_rows_and_says_beforehand_how_many(guardable: str) -> None:
    assert run(guardable, "install", "--tables", "station", "--journal", "10").returncode == 0
    with psycopg.connect(guardable, autocommit=True) as owner:
        owner.execute("DELETE FROM station WHERE id < 4")
        owner.execute("UPDATE flight_recorder.event SET at = at - interval '31 days'")
        owner.execute("DELETE FROM station")
    dry = run(guardable, "prune", "--older-than", "30d", "--dry-run")
    assert (dry.returncode, "1 events older than 30d would be deleted" in dry.stdout) == (0, True)
    assert len(recorders.events(guardable)) == 2
    done = run(guardable, "prune", "--older-than", "30d", "--json")
    assert json.loads(done.stdout) == {"events": 1, "dry_run": False}
    assert recorders.brief(guardable) == [("delete", "station", 4, 0)]
    assert rows(guardable, "SELECT count(*) FROM flight_recorder.journal") == [(4,)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("prune", "--older-than", "a month"), "--older-than"),
        (("install", "--tables", "a b"), "not the name of a table"),
        (("install", "--journal", "-1"), "--journal"),
        (("install", "--tables", ""), "--tables names no table"),
        (("install", "--tables", "a", "--operational", " , "), "--operational names no table"),
        (("install", "--tables", "a", "--operational", "public.A"), "among --tables and --operational"),
        (("remove", "--tables", "", "--yes"), "--tables names no table"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(words: tuple[str, ...], said: str) -> None:
    refused = run("postgresql://owner:sesame@127.0.0.1:1/app", *words)
    assert (refused.returncode, said in refused.stderr, "sesame" in refused.stderr) == (2, True, False)


@pytest.mark.parametrize("word", ["install", "status", "remove"])
def test_without_a_database_it_says_what_to_set(word: str) -> None:
    unset = run("", word)
    assert (unset.returncode, "OWNER_DATABASE_URL" in unset.stderr) == (2, True)
    away = run("postgresql://owner:sesame@127.0.0.1:1/app", word)
    assert (away.returncode, "127.0.0.1:1" in away.stderr, "sesame" in away.stderr) == (5, True, False)
