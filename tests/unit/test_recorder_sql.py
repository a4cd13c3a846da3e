"""The recorder's frozen SQL, and the statements that people get to run themselves."""

from __future__ import annotations

import hashlib

import pytest

from alpimonitor_watchdog.probe import names
from alpimonitor_watchdog.recorder.statements import RECORDER_SQL, functions, queries, relations
from alpimonitor_watchdog.recorder.status import Status, TableStatus
from alpimonitor_watchdog.recorder.tell import state
from alpimonitor_watchdog.recorder.wishes import Wish, script, spelled

FROZEN = "b9e43362a1c0c24d7d768bc34307f85506d8c0e1029e41ed52c5799a5836a44e"


def test_the_frozen_sql_was_not_edited() -> None:
    """A migration has read it: whatever changes is a v2.sql and another revision."""
    assert hashlib.sha256(RECORDER_SQL.read_bytes()).hexdigest() == FROZEN


def test_what_the_recorder_consists_of_is_read_out_of_it() -> None:
    assert relations() == ["act", "event", "guarded", "journal", "version"]
    assert {"guard", "release", "record_statement", "record_drop", "record_ddl"} <= set(functions())


def test_every_statement_has_a_name_and_a_description() -> None:
    assert {"installed", "guarded", "missing", "prune"} <= set(queries())


@pytest.mark.parametrize(
    ("declared", "as_written", "folded"),
    [
        ("station", '"station"', '"station"'),
        ("Public.Station", '"Public"."Station"', '"public"."station"'),
        ('"it\'s"."a""b"', '"it\'s"."a""b"', '"it\'s"."a""b"'),
    ],
)
def test_a_declared_name_is_spelled_for_postgresql(declared: str, as_written: str, folded: str) -> None:
    table = names.parse(declared)
    assert (spelled(table, exact=True), spelled(table)) == (as_written, folded)


def test_the_printed_script_guards_what_was_asked_and_names_the_reader() -> None:
    wishes = [
        Wish(names.parse("it''s.\"O'Table\""), keep_literals=False, journal_rows=5),
        Wish(names.parse("measurement"), context=False, keep_literals=True, journal_rows=0),
        Wish(names.parse("sensor")),
    ]
    printed = script(wishes, "The Watch")
    assert printed.startswith(RECORDER_SQL.read_text())
    assert "SELECT flight_recorder.guard('\"measurement\"'::regclass, 'operational', true, 0);" in printed
    assert """'"it''''s"."O''Table"'::regclass, 'context', false, 5);""" in printed
    assert "SELECT flight_recorder.guard('\"sensor\"'::regclass, 'context', NULL, NULL);" in printed
    assert printed.index("SET lock_timeout") < printed.index("SELECT flight_recorder.hand_over();")
    assert 'GRANT USAGE ON SCHEMA flight_recorder TO "The Watch";' in printed


ARMED = TableStatus("station", "context", True, 10, True, [], False)


def status(*tables: TableStatus, drops: bool = True, owner_may_log_in: bool = False) -> Status:
    return Status(1, "alpimonitor_recorder", owner_may_log_in, drops, tables)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (TableStatus("t", "context", False, 0, True, ["delete"], False), "DELETE not recorded"),
        (TableStatus("t", "context", False, 0, True, [], True), "session_replication_role"),
        (TableStatus("t", None, None, None, True, ["delete", "truncate"], False), "came after its parent"),
        (TableStatus("t", "context", False, 0, False, [], False), "guarded anew"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_and_the_recorder_is_not_armed(
    table: TableStatus, said: str
) -> None:
    found = status(ARMED, table)
    assert not found.armed
    assert any(said in line for line in state(found, "db:5432"))


def test_an_armed_recorder_says_what_is_out_of_its_reach_and_what_to_do() -> None:
    found = status(ARMED, drops=False, owner_may_log_in=True)
    assert found.armed
    told = "\n".join(state(found, "db:5432"))
    assert "db:5432: armed" in told
    assert "station: context, with literals, 10 rows kept" in told
    assert "flight_recorder.watch_drops()" in told
    assert "CREATE ROLE alpimonitor_recorder NOLOGIN" in told


def test_a_recorder_without_tables_is_not_armed() -> None:
    assert not status().armed
