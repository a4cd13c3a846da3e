"""Booting under hardship, on real processes: several at once, a late database, failures half-way, signals.

The migrations that fail are in a checkout of their own: a copy of the API's package with another folder of
revisions, found in the manner in which every checkout finds its own.
"""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

import alpimonitor_api
from alpimonitor_cli.migrate import current, head, migrations_folder
from alpimonitor_rehearsal.postgres import running_postgres
from alpimonitor_rehearsal.processes import Child, Processes
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_seed.fixtures import TABLES
from tests import running
from tests.acceptance.test_early_interrupts import SITECUSTOMIZE
from tests.api_client import error_of
from tests.booting import LISTENS, PATIENCE, Boots, execute, said
from tests.running import is_running

pytestmark = pytest.mark.acceptance

MIGRATION_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('alpimonitor:migration', 0))"
TABLES_OF_OURS = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'alpimonitor-{}%' AND wait_event_type = 'Lock'"
)
SESSIONS = (
    "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'alpimonitor-{}%'"
)
REVISION = '''
"""A revision of a test's own."""

from alembic import op

revision = "9999"
down_revision = "{after}"
branch_labels = None
depends_on = None


def upgrade():
    op.execute("DROP TABLE seed_run")
    op.execute("CREATE TABLE half_way (id integer)")
    {last}
'''
HELD_UP = 'op.execute("SELECT pg_advisory_xact_lock(42)")'
HALF_WAY = "SELECT to_regclass('half_way') IS NOT NULL, to_regclass('seed_run') IS NULL"
OLD_STATE, NEW_STATE = [(False, False)], [(True, True)]


@pytest.fixture
def boots(tmp_path: Path) -> Iterator[Boots]:
    with Processes(tmp_path) as processes:
        yield Boots(processes, tmp_path)


class Checkout:
    """A checkout whose newest revision does what a test says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        package = Path(alpimonitor_api.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, folder / "api" / package.name, ignore=ignored)
        shutil.copytree(migrations_folder(), folder / "migrations", ignore=ignored)
        (folder / "pyproject.toml").touch()
        self.settings = {"PYTHONPATH": str(folder / "api")}

    def newest(self, last: str) -> None:
        """Drop a table, make another, and end with `last`."""
        path = self._folder / "migrations" / "versions" / "9999_newest.py"
        path.write_text(REVISION.format(after=head(), last=last))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@contextmanager
def held(url: str, statement: str) -> Iterator[psycopg.Connection]:
    """Somebody else's lock; asks over another connection, which is yielded."""
    with psycopg.connect(url, autocommit=True) as watcher, psycopg.connect(url) as somebody:
        somebody.execute(statement.encode())
        yield watcher
        somebody.rollback()


def waits(watcher: psycopg.Connection, part: str) -> int:
    """How many sessions of the migration (`migrate`) or the seed (`seed`) wait for a lock."""
    row = watcher.execute(WAITING.format(part).encode()).fetchone()
    assert row is not None
    return int(row[0])


def sessions(watcher: psycopg.Connection, part: str) -> list[str]:
    return [name for (name,) in watcher.execute(SESSIONS.format(part).encode()).fetchall()]


# Several at once.


def test_three_replicas_at_once_on_an_empty_database_make_one_deployment_and_one_set_of_fixtures(
    boots: Boots, empty_database: str
) -> None:
    settings = {"DATABASE_URL": empty_database, "SEED_ON_BOOT": "true"}
    with held(empty_database, MIGRATION_LOCK) as watcher:
        preparing = [boots.start("--prepare", **settings) for _ in range(2)]
        whole = boots.start(**settings)
        wait_until("three migrations waiting", lambda: waits(watcher, "migrate") == 3, deadline=PATIENCE)
    assert [boot.process.wait(PATIENCE) for boot in preparing] == [0, 0]
    served = whole.until("serve", lambda: LISTENS.search(whole.logged()), deadline=PATIENCE)[1]
    lines = [line for boot in (*preparing, whole) for line in said(boot)]
    assert len([line for line in lines if line.startswith("migrated from empty to ")]) == 1
    assert lines.count(f"schema is at {head()}, nothing to migrate") == 2
    assert len([line for line in lines if line.startswith("seed: applied: inserted 39 ")]) == 1
    assert lines.count("seed: nothing to do") == 2
    assert not [line for line in lines if line.startswith(("warning", "fatal"))]
    assert execute(empty_database, "SELECT environment FROM deployment") == [("test",)]
    assert execute(empty_database, "SELECT outcome FROM seed_run ORDER BY outcome") == [
        *([("applied",)]),
        *([("nothing_to_do",)] * 2),
    ]
    rows = sum(execute(empty_database, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES)
    assert rows == 39
    _, also = boots.until_it_serves("--serve", DATABASE_URL=empty_database)
    for api in (served, also):
        assert len(httpx.get(f"{api}/api/v1/stations").json()["data"]) == 7


# A database that is late.


def test_a_database_that_is_starting_up_is_waited_for(boots: Boots) -> None:
    # Recovery asks for a file of the archive, and the answer takes until the boot has been refused: 57P03.
    with running_postgres() as server:
        server.stop()
        release = server.root / "release"
        cluster = server.root / "cluster"
        with (cluster / "postgresql.conf").open("a") as file:
            file.write(
                f"restore_command = 'until test -e \"{release}\"; do sleep 0.05; done; exit 1'\n"
                "log_min_messages = info\n"
            )
        server.become_standby()
        (cluster / "standby.signal").rename(cluster / "recovery.signal")
        boot = boots.start("--prepare", DATABASE_URL=server.url(), SEED_ON_BOOT="true")
        refused = threading.Thread(target=once_refused, args=(boot, release.touch))
        refused.start()
        server.start()
        refused.join()
        assert boot.process.wait(PATIENCE) == 0, boot.logged()
        assert any(line.startswith("not yet: ") and "starting up" in line for line in said(boot))
        assert "the database answers" in said(boot)
        assert execute(server.url(), "SELECT count(*) FROM station") == [(7,)]


def once_refused(boot: Child, act: Callable[[], None]) -> None:
    """Act when the boot was told that the database starts up; or when it ended, lest all wait for ever."""
    try:
        boot.until("be refused", lambda: "starting up" in boot.logged(), deadline=PATIENCE)
    finally:
        act()


def test_serving_alone_begins_without_tables_says_the_remedy_and_finds_them_once_they_are_there(
    boots: Boots, empty_database: str
) -> None:
    _, api = boots.until_it_serves("--serve", DATABASE_URL=empty_database)
    stations = httpx.get(f"{api}/api/v1/stations")
    assert (stations.status_code, error_of(stations)["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert "an operator has to migrate it" in error_of(stations)["message"]
    assert int(stations.headers["retry-after"]) > 0
    assert httpx.get(f"{api}/api/v1/health").status_code == 200
    prepared = boots.until_it_ends("--prepare", DATABASE_URL=empty_database, SEED_ON_BOOT="true")
    assert prepared.exit_code == 0
    assert len(httpx.get(f"{api}/api/v1/stations").json()["data"]) == 7


# Migrations that fail half-way.


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ('op.execute("SELECT 1 / 0")', "division by zero"),
        ('raise KeyError("no such station")', "a revision failed: KeyError: 'no such station'"),
        ("op.execute(", "cannot be read: SyntaxError"),
    ],
    ids=["statement", "program", "unreadable"],
)
def test_a_migration_that_fails_half_way_leaves_the_old_state_and_the_mended_one_goes_through(
    boots: Boots, database: str, checkout: Checkout, last: str, told: str
) -> None:
    settings = {"DATABASE_URL": database, "SEED_ON_BOOT": "true", **checkout.settings}
    checkout.newest(last)
    broken = boots.until_it_ends(**settings)
    assert broken.exit_code == 6
    assert said(broken)[-1].startswith("fatal: migration failed, the database is as it was: ")
    assert told in said(broken)[-1]
    assert "Traceback" not in broken.logged()
    assert not any("seed" in line for line in said(broken))
    assert (current(database), execute(database, HALF_WAY)) == (head(), OLD_STATE)

    checkout.newest('op.execute("SELECT 1")')
    mended = boots.until_it_ends("--prepare", **{**settings, "SEED_ON_BOOT": ""})
    assert (mended.exit_code, f"migrated from {head()} to 9999" in said(mended)) == (0, True)
    assert (current(database), execute(database, HALF_WAY)) == ("9999", NEW_STATE)


def test_revisions_that_cannot_be_read_are_told_without_a_traceback(
    tmp_path: Path, database: str, checkout: Checkout
) -> None:
    checkout.newest("op.execute(")
    asked = running.run(tmp_path, "db current", {"DATABASE_URL": database, **checkout.settings})
    assert asked.code == 1
    assert "the newest revision cannot be told: the revisions in " in asked.said
    assert "Traceback" not in asked.said


def test_a_migration_that_is_killed_gives_its_lock_back_and_the_next_boot_goes_through(
    boots: Boots, database: str, checkout: Checkout
) -> None:
    settings = {"DATABASE_URL": database, **checkout.settings}
    checkout.newest(HELD_UP)
    with held(database, "SELECT pg_advisory_xact_lock(42)") as watcher:
        killed = boots.start("--prepare", **settings)
        killed.until("be held up", lambda: waits(watcher, "migrate") == 1, deadline=PATIENCE)
        killed.process.kill()
        wait_until("its session ending", lambda: not sessions(watcher, "migrate"), deadline=PATIENCE)
        assert (current(database), execute(database, HALF_WAY)) == (head(), OLD_STATE)
        checkout.newest('op.execute("SELECT 1")')
        again = boots.until_it_ends("--prepare", **settings)
    assert (again.exit_code, f"migrated from {head()} to 9999" in said(again)) == (0, True)


# Signals.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_it_waits_its_turn_to_migrate_it_changes_nothing(
    boots: Boots, empty_database: str, number: signal.Signals
) -> None:
    with held(empty_database, MIGRATION_LOCK) as watcher:
        boot = boots.start(DATABASE_URL=empty_database)
        boot.until("wait its turn", lambda: waits(watcher, "migrate") == 1, deadline=PATIENCE)
        boot.process.send_signal(number)
        assert boot.process.wait(PATIENCE) == 130
        assert said(boot)[-1] == f"stopped by {number.name}"
        assert "Traceback" not in boot.logged()
        assert execute(empty_database, TABLES_OF_OURS) == [(0,)]


def test_stopped_in_the_middle_of_a_migration_it_leaves_the_old_state(
    boots: Boots, database: str, checkout: Checkout
) -> None:
    checkout.newest(HELD_UP)
    with held(database, "SELECT pg_advisory_xact_lock(42)") as watcher:
        boot = boots.start(DATABASE_URL=database, **checkout.settings)
        boot.until("be held up", lambda: waits(watcher, "migrate") == 1, deadline=PATIENCE)
        boot.process.terminate()
        assert boot.process.wait(PATIENCE) == 130
        assert said(boot)[-1] == "stopped by SIGTERM"
        assert "Traceback" not in boot.logged()
        wait_until("its session ending", lambda: not sessions(watcher, "migrate"), deadline=PATIENCE)
        assert (current(database), execute(database, HALF_WAY)) == (head(), OLD_STATE)


def test_stopped_while_it_seeds_it_takes_the_seed_along_which_records_that_it_was_stopped(
    boots: Boots, database: str
) -> None:
    with held(database, "LOCK TABLE sensor IN SHARE MODE") as watcher:
        boot = boots.start(DATABASE_URL=database, SEED_ON_BOOT="true")
        boot.until("be held up", lambda: waits(watcher, "seed") == 1, deadline=PATIENCE)
        (name,) = sessions(watcher, "seed")
        boot.process.terminate()
        assert boot.process.wait(PATIENCE) == 130
        # The last word of the seed's application_name is its process id.
        assert not is_running(int(name.rpartition(" ")[2]))
        wait_until("its session ending", lambda: not sessions(watcher, "seed"), deadline=PATIENCE)
    assert said(boot)[-1] == "stopped by SIGTERM"
    assert "Traceback" not in boot.logged()
    assert execute(database, "SELECT outcome, reason FROM seed_run") == [
        ("failed", "interrupted; nothing was written")
    ]
    assert execute(database, "SELECT count(*) FROM station") == [(0,)]


@pytest.mark.parametrize("at", ["tenacity", "alembic", "sqlalchemy.engine", "alpimonitor_cli.seed_child"])
def test_stopped_while_a_step_is_being_loaded_it_ends_all_the_same(
    boots: Boots, tmp_path: Path, database: str, at: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    boot = boots.until_it_ends(
        "--prepare",
        DATABASE_URL=database,
        SEED_ON_BOOT="true",
        PYTHONPATH=str(tmp_path),
        INTERRUPT_AT=at,
        INTERRUPT_WITH=str(int(signal.SIGTERM)),
    )
    assert (boot.exit_code, said(boot)[-1]) == (130, "stopped by SIGTERM"), boot.logged()
    assert "Traceback" not in boot.logged()
    assert execute(database, "SELECT count(*) FROM station") == [(0,)]
