"""What each scenario does to a database, told by the database itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from alpimonitor_rehearsal.breaking import Site, carry_out
from alpimonitor_rehearsal.roles import API, OWNER, WATCHDOG
from alpimonitor_rehearsal.scenarios import CATALOGUE, Circumstance, Kind, Scenario, Symptom, Verdict
from alpimonitor_watchdog.probe import names
from tests.clusters import TABLES, Prepared, site_of

IDENTITY = """
SELECT (SELECT system_identifier FROM pg_control_system()) AS system,
       (SELECT oid FROM pg_database WHERE datname = current_database()) AS oid,
       pg_is_in_recovery() AS in_recovery,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
           - '0/0')::bigint AS lsn,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction,
       pg_postmaster_start_time()::text AS started
"""
EVENTS = """
SELECT application_name, role, statement, transaction, reason FROM flight_recorder.event
WHERE operation IN ('delete', 'truncate', 'drop') ORDER BY id
"""


@dataclass(frozen=True)
class Table:
    """A table that is there."""

    oid: int
    filenode: int
    rows: int


@dataclass(frozen=True)
class Facts:
    """A database as a superuser sees it at its address."""

    tables: Mapping[str, Table]
    system: int
    oid: int
    in_recovery: bool
    timeline: int
    lsn: int
    next_transaction: int
    started: str

    @property
    def rows(self) -> dict[str, int]:
        return {name: table.rows for name, table in self.tables.items()}


@dataclass(frozen=True)
class Case:
    """A scenario that was carried out."""

    scenario: Scenario
    site: Site
    before: Facts
    after: Facts | None  # None: there is no database of that name

    @property
    def now(self) -> Facts:
        assert self.after is not None
        return self.after

    @property
    def lost(self) -> set[str]:
        """The tables that have fewer rows, or are gone."""
        rows = self.after.rows if self.after else {}
        return {name for name, count in self.before.rows.items() if rows.get(name, -1) < count}

    def table(self, name: str) -> tuple[Table, Table | None]:
        return self.before.tables[name], self.now.tables.get(name)


@contextlib.contextmanager
def broken(scenario: Scenario, clusters: Prepared, folder: Path) -> Iterator[Case]:
    with site_of(scenario, clusters, folder) as site:
        before = facts(site)
        assert before is not None
        for step in scenario.steps:
            carry_out(step, site)
        yield Case(scenario, site, before, facts(site))


@pytest.fixture(scope="module", params=CATALOGUE.values(), ids=list(CATALOGUE))
def case(
    request: pytest.FixtureRequest, clusters: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    """Each scenario, carried out once for all the tests that only look."""
    scenario: Scenario = request.param
    with broken(scenario, clusters, tmp_path_factory.mktemp(scenario.name)) as case:
        yield case


@contextlib.contextmanager
def connected(site: Site) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """As a superuser, at the address where the sidecar sees the database."""
    as_superuser = site.server.environment(site.kind.value)
    with psycopg.connect(
        host=site.network.host,
        port=site.network.port,
        user=as_superuser["PGUSER"],
        password=as_superuser["PGPASSWORD"],
        dbname=site.kind.value,
        autocommit=True,
    ) as connection:
        yield connection


def facts(site: Site) -> Facts | None:
    try:
        with connected(site) as connection:
            row = connection.execute(IDENTITY).fetchone()
            assert row is not None
            tables = {name: table(connection, name) for name in TABLES[site.kind]}
            return Facts({name: found for name, found in tables.items() if found}, *row)
    except psycopg.OperationalError as error:
        if "does not exist" in str(error):
            return None
        raise


def table(connection: psycopg.Connection[tuple[Any, ...]], name: str) -> Table | None:
    found = connection.execute(
        "SELECT to_regclass(%s)::oid::bigint, pg_relation_filenode(to_regclass(%s))::bigint", [name, name]
    ).fetchone()
    if found is None or found[0] is None:
        return None
    parsed = names.parse(name)
    place = (parsed.schema.exact,) if parsed.schema else ()
    rows = connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*place, parsed.table.exact))
    ).fetchone()
    assert rows is not None
    return Table(found[0], found[1], rows[0])


def test_it_takes_rows_from_its_scope_and_from_no_other_table(case: Case) -> None:
    # What is inserted again is lost for a while only.
    assert case.lost == (set() if case.scenario.name == "reload" else set(case.scenario.scope))


def test_its_symptom_is_what_the_tables_show(case: Case) -> None:
    scenario = case.scenario
    found = case.after.rows if case.after else {}
    empty, gone = 0 in found.values(), len(found) < len(TABLES[scenario.kind])
    if scenario.symptom is Symptom.CONTEXT_EMPTY and scenario.name != "reload":
        assert (empty, gone) == (True, False)
    elif scenario.symptom is Symptom.CONTEXT_SHRUNK:
        assert (empty, gone, bool(case.lost)) == (False, False, True)
    elif scenario.symptom in (Symptom.CONTEXT_MISSING, Symptom.DATABASE_UNREACHABLE):
        assert gone
    elif scenario.symptom in (None, Symptom.CONTEXT_UNSEEN):
        assert not case.lost


def dropped(case: Case) -> None:
    assert case.after is None


def reinitialised(case: Case) -> None:
    assert case.now.system != case.before.system
    assert not case.now.tables
    for role in (OWNER, WATCHDOG):
        with psycopg.connect(case.site.seen_url(role)):
            pass  # the same password is good


def standby(case: Case) -> None:
    assert case.now.system == case.before.system
    assert (case.before.in_recovery, case.now.in_recovery) == (False, True)


def older(case: Case) -> None:
    assert (case.now.system, case.now.oid) == (case.before.system, case.before.oid)
    assert not case.now.in_recovery
    assert case.now.lsn < case.before.lsn
    assert case.now.next_transaction < case.before.next_transaction


def elsewhere(case: Case) -> None:
    assert case.now.system != case.before.system
    assert case.now.rows == case.before.rows


def recreated(case: Case) -> None:
    assert case.now.system == case.before.system
    assert case.now.oid != case.before.oid


def table_dropped(case: Case) -> None:
    for name in case.scenario.scope:
        was, now = case.table(name)
        assert now is None or now.oid != was.oid


def revoked(case: Case) -> None:
    role = API if case.scenario.name.endswith("application") else WATCHDOG
    with (
        psycopg.connect(case.site.seen_url(role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT 1 FROM station")


def hidden(case: Case) -> None:
    with psycopg.connect(case.site.seen_url(WATCHDOG)) as connection:
        assert connection.execute("SELECT count(*) FROM station").fetchone() == (0,)


def deleted(case: Case) -> None:
    for name in case.scenario.scope:
        was, now = case.table(name)
        assert now is not None
        assert (now.oid, now.filenode) == (was.oid, was.filenode)


def truncated(case: Case) -> None:
    for name in case.scenario.scope:
        was, now = case.table(name)
        assert now is not None
        assert now.oid == was.oid
        assert now.filenode != was.filenode


def nothing_lost(case: Case) -> None:
    assert (case.now.system, case.now.oid, case.now.rows) == (
        case.before.system,
        case.before.oid,
        case.before.rows,
    )
    assert not case.now.in_recovery


SHOWN: dict[Verdict | None, Callable[[Case], None]] = {
    None: nothing_lost,
    Verdict.DATABASE_DROPPED: dropped,
    Verdict.CLUSTER_REINITIALISED: reinitialised,
    Verdict.BECAME_STANDBY: standby,
    Verdict.OLDER_BACKUP_RESTORED: older,
    Verdict.WRONG_DATABASE: elsewhere,
    Verdict.DATABASE_RECREATED: recreated,
    Verdict.TABLE_DROPPED: table_dropped,
    Verdict.PERMISSION_REVOKED: revoked,
    Verdict.ROWS_HIDDEN: hidden,
    Verdict.ROWS_DELETED_IN_PLACE: deleted,
    Verdict.TABLE_TRUNCATED: truncated,
}


def test_its_verdict_is_what_the_server_shows(case: Case) -> None:
    SHOWN[case.scenario.verdict](case)


def test_the_recorder_names_whom_the_catalogue_names_and_nobody_else(case: Case) -> None:
    expected = case.scenario.attribution
    if case.after is None or not recorded(case):
        assert expected is None
        return
    with connected(case.site) as connection:
        events = connection.execute(EVENTS).fetchall()
    assert bool(events) == (expected is not None)
    for name, role, _, _, reason in events:
        assert expected is not None
        assert name.startswith(expected.application_name)
        assert role == expected.role
        assert (reason is not None) == (Circumstance.INTENDED in case.scenario.circumstances)
    if expected is not None:
        assert any(statement.startswith(expected.statement) for _, _, statement, _, _ in events)


def recorded(case: Case) -> bool:
    """Whether the database at the address has a recorder."""
    with connected(case.site) as connection:
        found = connection.execute("SELECT to_regclass('flight_recorder.event') IS NOT NULL").fetchone()
    assert found is not None
    return bool(found[0])


def test_row_by_row_is_a_transaction_for_each_row(clusters: Prepared, tmp_path: Path) -> None:
    with broken(CATALOGUE["row-by-row"], clusters, tmp_path) as case, connected(case.site) as connection:
        transactions = [transaction for *_, transaction, _ in connection.execute(EVENTS)]
    assert len(set(transactions)) == len(transactions) == 9


def test_a_cascade_is_one_act_of_one_statement(clusters: Prepared, tmp_path: Path) -> None:
    scenario = CATALOGUE["cascade"]
    with broken(scenario, clusters, tmp_path) as case, connected(case.site) as connection:
        events = connection.execute(EVENTS).fetchall()
    assert len(events) == len(scenario.scope)
    assert len({(statement, transaction) for _, _, statement, transaction, _ in events}) == 1


def test_who_disarms_the_recorder_leaves_it_armed_and_other_than_it_was(
    clusters: Prepared, tmp_path: Path
) -> None:
    arming = """
SELECT tgname::text, tgenabled::text, xmin::text FROM pg_trigger WHERE tgname LIKE 'flight_recorder%'
UNION ALL
SELECT evtname::text, evtenabled::text, xmin::text FROM pg_event_trigger WHERE evtname LIKE 'flight_recorder%'
"""
    scenario = CATALOGUE["disarmed"]
    with site_of(scenario, clusters, tmp_path) as site, connected(site) as connection:
        before = connection.execute(arming).fetchall()
        carry_out(scenario.steps[0], site)
        after = connection.execute(arming).fetchall()
        assert connection.execute("SELECT count(*) FROM flight_recorder.event").fetchone() == (0,)
    assert {enabled for _, enabled, _ in after} == {"A"}
    assert len(after) == len(before)
    assert set(after) != set(before)


@pytest.mark.parametrize("name", ["restart", "crash"])
def test_a_server_that_comes_back_says_when_it_started(name: str, clusters: Prepared, tmp_path: Path) -> None:
    with broken(CATALOGUE[name], clusters, tmp_path) as case:
        assert case.now.started != case.before.started
        recovered = "was not properly shut down" in case.site.server.server_log.read_text()
    assert recovered == (name == "crash")


def test_a_failover_begins_a_timeline(clusters: Prepared, tmp_path: Path) -> None:
    with broken(CATALOGUE["failover"], clusters, tmp_path) as case, connected(case.site) as connection:
        connection.execute("CHECKPOINT")
        after = facts(case.site)
    assert after is not None
    assert after.timeline == case.before.timeline + 1


def test_vacuum_full_rewrites_every_table(clusters: Prepared, tmp_path: Path) -> None:
    with broken(CATALOGUE["vacuum-full"], clusters, tmp_path) as case:
        for name in TABLES[Kind.ALPIMONITOR]:
            was, now = case.table(name)
            assert now is not None
            assert now.filenode != was.filenode


def test_a_migration_adds_a_column(clusters: Prepared, tmp_path: Path) -> None:
    with broken(CATALOGUE["migration"], clusters, tmp_path) as case, connected(case.site) as connection:
        assert connection.execute("SELECT count(note) FROM station").fetchone() == (0,)
