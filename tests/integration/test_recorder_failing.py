"""The flight recorder must not hurt the application: whatever goes wrong in it, the statement runs."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests import recorders
from tests.databases import PostgresForTests
from tests.small_disks import mounted


@pytest.fixture
def recorded(empty_database: str) -> str:
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute("CREATE TABLE station AS SELECT n AS id FROM generate_series(1, 50) AS n")
    recorders.install(empty_database, "station", journal=10)
    return empty_database


def deleted(url: str, statement: str = "DELETE FROM station WHERE id <= 7") -> list[str]:
    """Run it; what the server warned of."""
    warnings: list[str] = []
    with psycopg.connect(url, autocommit=True) as session:
        session.add_notice_handler(
            lambda notice: warnings.append(f"{notice.message_primary} {notice.message_detail}")
        )
        session.execute(statement.encode())
    return warnings


def left(url: str) -> int:
    with psycopg.connect(url) as owner:
        row = owner.execute("SELECT count(*) FROM station").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param("DROP TABLE flight_recorder.event CASCADE", id="the evidence is gone"),
        pytest.param("ALTER TABLE flight_recorder.event DROP reason", id="it is another table"),
        pytest.param(
            "ALTER TABLE flight_recorder.event ADD CHECK (rows < 0) NOT VALID", id="it refuses the row"
        ),
        pytest.param("DROP VIEW flight_recorder.act", id="a part of the recorder is gone"),
        pytest.param("DROP FUNCTION flight_recorder.visible", id="another part is gone"),
        pytest.param(
            "CREATE ROLE nobody_here NOLOGIN; GRANT CREATE, USAGE ON SCHEMA flight_recorder TO nobody_here;"
            "ALTER FUNCTION flight_recorder.record_statement() OWNER TO nobody_here",
            id="its owner may not write",
        ),
    ],
)
def test_a_delete_goes_through_and_the_loss_of_evidence_is_loud(recorded: str, harm: str) -> None:
    with psycopg.connect(recorded) as owner:
        # The role of the last case ends with the transaction, which is why the rest is in it, too.
        warnings: list[str] = []
        owner.add_notice_handler(
            lambda notice: warnings.append(f"{notice.message_primary} {notice.message_detail}")
        )
        owner.execute(harm.encode())
        warnings.clear()
        assert owner.execute("DELETE FROM station WHERE id <= 7").rowcount == 7
        (warning,) = warnings
        assert "DELETE of public.station was not recorded: " in warning
        assert f"7 row(s) by {owner.info.user}" in warning
        warnings.clear()
        owner.execute("DELETE FROM station WHERE id = 99")
        owner.execute("UPDATE station SET id = id WHERE id = 99")
        assert warnings == []
        owner.execute("TRUNCATE station")
        assert len(warnings) == 1
        owner.rollback()


def test_a_journal_that_fails_costs_the_rows_and_not_the_event(recorded: str) -> None:
    with psycopg.connect(recorded) as owner:
        owner.execute("DROP TABLE flight_recorder.journal")
    (warning,) = deleted(recorded)
    assert "not in the journal" in warning
    assert recorders.brief(recorded) == [("delete", "station", 7, 43)]


def test_somebody_who_holds_the_evidence_is_waited_for_a_moment_and_then_no_more(recorded: str) -> None:
    with psycopg.connect(recorded) as holder, psycopg.connect(recorded, autocommit=True) as session:
        warnings: list[str] = []
        session.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
        holder.execute("LOCK TABLE flight_recorder.event IN ACCESS EXCLUSIVE MODE")
        for number in range(1, 21):
            assert session.execute("DELETE FROM station WHERE id = %s", (number,)).rowcount == 1
        assert len(warnings) == 20
        assert "canceling statement due to lock timeout" in warnings[-1]
        assert the_next_wait(session) == "1ms"
        assert session.execute("SHOW lock_timeout").fetchone() == ("0",)
        holder.rollback()
        session.execute("DELETE FROM station WHERE id = 21")
        session.execute("SELECT set_config('flight_recorder.locked_at', '1000000000', false)")  # years ago
        assert the_next_wait(session) == "0"
    assert recorders.brief(recorded) == [("delete", "station", 1, 29)]


def the_next_wait(session: psycopg.Connection) -> str:
    """How long a record would wait for a lock after what this session has seen; 0: as always."""
    with session.transaction(force_rollback=True):
        session.execute("SELECT flight_recorder.wait_no_more()")
        row = session.execute("SHOW lock_timeout").fetchone()
    assert row is not None
    return str(row[0])


def test_a_session_cannot_keep_its_statements_out_of_the_record_by_its_settings(recorded: str) -> None:
    with psycopg.connect(recorded, autocommit=True) as session:
        session.execute("CREATE SCHEMA mine")
        session.execute(
            "CREATE FUNCTION mine.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'"
        )
        session.execute("CREATE TEMP TABLE event (id int)")
        session.execute("CREATE TEMP TABLE old_rows (id int)")
        for setting in (
            "search_path = mine, pg_temp, pg_catalog",
            "standard_conforming_strings = off",
            "flight_recorder.locked_at = 'zzz'",
            "watchdog.reason = ''",
            "lock_timeout = '1ms'",
            "client_min_messages = error",
            "datestyle = 'SQL, DMY'",
            "timezone = 'Pacific/Apia'",
            "row_security = off",
            "flight_recorder.notify = 'no such word'",
        ):
            session.execute(f"SET {setting}".encode())
        session.execute("DELETE FROM public.station WHERE id <= 7")
    assert recorders.brief(recorded) == [("delete", "station", 7, 43)]


def test_a_full_disk_costs_the_evidence_and_not_the_statement(
    postgres_server: PostgresForTests, recorded: str
) -> None:
    if not postgres_server.description.startswith(("embedded", "system")):
        pytest.skip("a full disk of the server: it has to be on this machine")
    with psycopg.connect(recorded, autocommit=True) as session:
        row = session.execute("SHOW data_directory").fetchone()
        assert row is not None
        cluster = Path(row[0])
        with mounted(cluster.parent / "small-disk", kilobytes=256) as disk:
            os.chown(disk.folder, cluster.stat().st_uid, cluster.stat().st_gid)
            name = sql.Identifier(f"small_{session.info.dbname}")
            session.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(name, str(disk.folder)))
            session.execute(sql.SQL("ALTER TABLE flight_recorder.event SET TABLESPACE {}").format(name))
            disk.fill()
            (warning,) = deleted(recorded)
            disk.make_room()
            assert deleted(recorded, "DELETE FROM station WHERE id = 8") == []
            session.execute("ALTER TABLE flight_recorder.event SET TABLESPACE pg_default")
            session.execute(sql.SQL("DROP TABLESPACE {}").format(name))
    assert "No space left on device" in warning
    assert left(recorded) == 42
    assert recorders.brief(recorded) == [("delete", "station", 1, 42)]
