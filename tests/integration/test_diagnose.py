"""`alpimonitor watchdog diagnose`: what happened to a real database, and who did it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner, Result

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.cli import app
from alpimonitor_watchdog.core.compared import initialised
from alpimonitor_watchdog.core.decide import decide
from alpimonitor_watchdog.core.model import State
from alpimonitor_watchdog.core.seen import Observation
from alpimonitor_watchdog.core.words import Phase
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from alpimonitor_watchdog.settings import load
from alpimonitor_watchdog.store import Store
from tests.databases import PostgresForTests, name_of
from tests.login_roles import login_role
from tests.sidecars import CONTEXT
from tests.stored import AT

DECLARED = "\n".join(f'[[table]]\nname = "{name}"\nexpected = {rows}' for name, rows in CONTEXT.items())
SHELL = "ops-shell"


@dataclass
class Watched:
    """A sidecar's looks at a database, one at a time, with the store that it keeps."""

    folder: Path
    url: str
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self.environ = {
            "WATCHDOG_CONFIG": str(self.folder / "watchdog.toml"),
            "WATCHDOG_DATABASE_URL": self.url,
            "WATCHDOG_STATE_DIR": str(self.folder / "state"),
        }
        (self.folder / "watchdog.toml").write_text(
            f'{DECLARED}\n[policy]\ntimeout = "5s"\n[healing]\nmode = "off"\n'
        )
        settings = load(self.environ)
        self._expected, self._policy = settings.expectation(), settings.core_policy()
        self._probe = DatabaseProbe.of(settings, "watching")
        self._probe.closely = True
        self._store = Store.open(settings.state_dir, AT, {})

    def look(self) -> Phase:
        seen = Observation(AT, 1.0, self._probe.look())
        decision = decide(self.state, seen, self._expected, self._policy)
        self._store.save(decision, seen.at)
        self.state = decision.state
        return self.state.phase

    def close(self) -> None:
        self._probe.close()
        self._store.close()


@pytest.fixture
def watched(tmp_path: Path, seeded_database: str) -> Iterator[Watched]:
    """A sidecar that has seen the database whole."""
    sidecar = Watched(tmp_path, seeded_database)
    assert sidecar.look() is Phase.HEALTHY
    yield sidecar
    sidecar.close()


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No sidecar's settings, and no state directory where one is looked for."""
    for name in ("WATCHDOG_CONFIG", "WATCHDOG_DATABASE_URL", "WATCHDOG_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def diagnose(*words: str, **environ: str) -> Result:
    return CliRunner().invoke(app, ["diagnose", *words], env=environ)


def answer(*words: str, code: int, **environ: str) -> dict[str, Any]:
    """The JSON of a run that has to end with that exit code."""
    done = diagnose(*words, "--json", **environ)
    assert done.exit_code == code, done.output
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def run_sql(url: str, *statements: str) -> int:
    """One transaction of an operator's shell; its backend's process id."""
    with psycopg.connect(url, application_name=SHELL) as shell:
        for statement in statements:
            shell.execute(statement.encode())
        return shell.info.backend_pid


def test_where_nothing_is_wrong_there_is_no_verdict(watched: Watched) -> None:
    said = answer(code=0, **watched.environ)
    assert (said["of"], said["verdict"], said["attribution"], said["incident"]) == (None, None, None, None)
    assert (said["symptoms"], said["losses"]) == ([], [])
    assert diagnose(**watched.environ).stdout.splitlines()[0].endswith(": nothing is wrong")


def test_a_delete_is_told_with_its_session_before_the_sidecar_saw_it(watched: Watched) -> None:
    pid = run_sql(watched.url, "DELETE FROM withdrawal")
    said = answer(code=1, **watched.environ)
    assert (said["of"], said["verdict"], said["confidence"]) == ("now", "rows_deleted_in_place", "certain")
    assert said["symptoms"] == ["context_empty"]
    assert said["losses"] == [{"table": "withdrawal", "rows": 0, "expected": 2}]
    named = said["attribution"]
    assert (named["application_name"], named["pid"], named["reason"]) == (SHELL, pid, None)
    assert named["statement"] == "DELETE FROM withdrawal"
    assert set(named) == {
        "role", "application_name", "client_addr", "pid", "transaction", "statement", "reason"
    }  # fmt: skip
    assert said["evidence"][0].startswith("recorded ")
    assert said["evidence"][1].startswith("withdrawal: 2 rows at ")
    assert said["incident"] is None


def test_beside_the_open_incident_of_a_sidecar_it_tells_both(watched: Watched) -> None:
    run_sql(watched.url, "SET LOCAL watchdog.reason = 'dismantled'", "TRUNCATE withdrawal")
    assert watched.look() is Phase.OPEN
    said = answer(code=1, **watched.environ)
    assert (said["of"], said["verdict"], said["reason"]) == ("now", "table_truncated", "dismantled")
    assert said["circumstances"] == ["intended"]
    assert watched.state.incident is not None
    assert said["incident"] == {
        "id": watched.state.incident.id,
        "key": watched.state.incident.key,
        "phase": "open",
        "opened_at": said["incident"]["opened_at"],
        "healed": False,
    }


def test_when_the_rows_are_back_it_tells_of_the_incident(watched: Watched) -> None:
    run_sql(watched.url, "CREATE TABLE kept AS TABLE withdrawal", "DELETE FROM withdrawal")
    assert watched.look() is Phase.OPEN
    run_sql(watched.url, "INSERT INTO withdrawal TABLE kept")
    said = answer(code=0, **watched.environ)
    assert (said["of"], said["verdict"]) == ("incident", "rows_deleted_in_place")
    assert said["attribution"]["application_name"] == SHELL
    assert said["symptoms"] == ["context_empty"]
    first, second, *_ = diagnose(**watched.environ).stdout.splitlines()
    assert "rows deleted in place (certain), by role " in first
    assert "application ops-shell" in first
    assert second.endswith("Nothing is wrong now.")


def test_the_state_directory_is_left_as_it_is(watched: Watched) -> None:
    run_sql(watched.url, "DELETE FROM withdrawal")
    watched.close()
    folder = watched.folder / "state"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert answer(code=1, **watched.environ)["verdict"] == "rows_deleted_in_place"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_nothing_that_is_asked_of_the_database_can_write(watched: Watched) -> None:
    run_sql(watched.url, "CREATE TABLE written (id int)")
    query = "WITH w AS (INSERT INTO written VALUES (1) RETURNING 1) TABLE w"
    with (watched.folder / "watchdog.toml").open("a") as file:
        file.write(f'[revision]\nquery = "{query}"\nallowed = ["1"]\n')
    answer(code=0, **watched.environ)
    with psycopg.connect(watched.url) as connection:
        assert connection.execute("SELECT count(*) FROM written").fetchone() == (0,)


def test_a_drop_leaves_a_table_gone(watched: Watched) -> None:
    run_sql(watched.url, "DROP TABLE withdrawal")
    said = answer(code=1, **watched.environ)
    assert (said["verdict"], said["confidence"]) == ("table_dropped", "certain")
    assert said["attribution"]["statement"] == "DROP TABLE withdrawal"
    assert said["losses"] == [{"table": "withdrawal", "rows": None, "expected": 2}]


def test_rights_taken_from_the_sidecar_are_told_from_lost_rows(watched: Watched) -> None:
    with login_role(watched.url) as role:
        run_sql(watched.url, f"GRANT pg_read_all_data TO {role.name}")
        mine = {**watched.environ, "WATCHDOG_DATABASE_URL": role.url}
        assert answer(code=0, **mine)["verdict"] is None
        run_sql(watched.url, f"REVOKE pg_read_all_data FROM {role.name}")
        said = answer(code=1, **mine)
    assert (said["verdict"], said["symptoms"]) == ("permission_revoked", ["context_unseen"])
    assert said["losses"] == []


def test_a_database_that_was_dropped_has_its_verdict(
    watched: Watched, postgres_server: PostgresForTests
) -> None:
    watched.close()
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name_of(watched.url))))
    said = answer(code=1, **watched.environ)
    assert (said["of"], said["verdict"]) == ("now", "database_dropped")
    assert said["symptoms"] == ["database_unreachable"]
    assert any("it was there at" in sentence for sentence in said["evidence"])
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name_of(watched.url))))
    said = answer(code=1, **watched.environ)
    assert (said["verdict"], said["confidence"]) == ("database_recreated", "certain")


def test_without_its_state_directory_it_goes_by_what_is_recorded(watched: Watched) -> None:
    run_sql(watched.url, "DELETE FROM withdrawal")
    elsewhere = {**watched.environ, "WATCHDOG_STATE_DIR": str(watched.folder / "none")}
    said = answer(code=1, **elsewhere)
    assert (said["verdict"], said["attribution"]["application_name"]) == ("rows_deleted_in_place", SHELL)
    assert any(sentence.startswith("what a sidecar saw before: ") for sentence in said["not_observable"])


@pytest.mark.usefixtures("lonely")
def test_of_a_strangers_database_the_recorder_names_the_tables(seeded_database: str) -> None:
    assert answer("--database-url-env", "THEIRS", code=0, THEIRS=seeded_database)["verdict"] is None
    run_sql(seeded_database, "DELETE FROM withdrawal")
    said = answer("--database-url-env", "THEIRS", code=1, THEIRS=seeded_database)
    assert (said["verdict"], said["attribution"]["application_name"]) == ("rows_deleted_in_place", SHELL)
    assert said["losses"] == [{"table": "public.withdrawal", "rows": 0, "expected": 2}]


@pytest.mark.usefixtures("lonely")
def test_of_a_database_without_a_recorder_the_counters_tell(empty_database: str) -> None:
    run_sql(empty_database, "CREATE TABLE customer AS SELECT generate_series(1, 9) AS id")
    run_sql(empty_database, "CREATE TABLE invoice (id int)")
    run_sql(empty_database, "DELETE FROM customer")
    theirs = ("--database-url-env", "THEIRS", "--table")

    def verdict(table: str) -> Any:
        return answer(*theirs, table, code=1, THEIRS=empty_database)["verdict"]

    # A session hands its counters over when it ends, and that is not quite when its client is told.
    wait_until("the counters", lambda: verdict("customer") == "rows_deleted_in_place", deadline=20)
    assert verdict("invoice") == "never_seeded"


@pytest.mark.usefixtures("lonely")
def test_what_cannot_be_used_is_refused_with_what_to_do(empty_database: str, tmp_path: Path) -> None:
    theirs = ("--database-url-env", "THEIRS")

    def refused(*words: str, url: str = empty_database) -> str:
        done = diagnose(*words, THEIRS=url)
        assert (done.exit_code, done.stdout) == (2, "")
        return done.stderr

    assert "name them with --table" in refused(*theirs)
    assert "not the name of a table" in refused(*theirs, "--table", "a.b.c")
    assert "no table nope, and nothing is recorded" in refused(*theirs, "--table", "nope")
    assert "NOBODY is not set" in refused("--database-url-env", "NOBODY", "--table", "customer")
    assert "There is no store" in refused(*theirs, "--table", "customer", "--state-dir", str(tmp_path))
    assert "--table and --config" in refused(*theirs, "--table", "customer", "--config", "watchdog.toml")
    assert "sesame" not in refused(*theirs, "--table", "customer", url="mysql://me:sesame@db/app")


@pytest.mark.usefixtures("lonely")
def test_nothing_to_reach_and_nothing_to_conclude_has_an_exit_code_of_its_own() -> None:
    away = "postgresql://owner:sesame@127.0.0.1:1/app"
    said = answer("--database-url-env", "THEIRS", "--table", "customer", code=5, THEIRS=away)
    assert (said["verdict"], said["symptoms"]) == ("unknown", ["database_unreachable"])
    done = diagnose("--database-url-env", "THEIRS", "--table", "customer", THEIRS=away)
    assert done.exit_code == 5
    assert "not reachable" in done.stdout.splitlines()[0]
    assert "sesame" not in done.output


def test_the_command_is_one_of_alpimonitors_own(watched: Watched) -> None:
    run_sql(watched.url, "DELETE FROM withdrawal")
    command = [sys.executable, "-m", "alpimonitor_cli.main", "watchdog", "diagnose"]
    done = subprocess.run(command, env=watched.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "What to do:" in done.stdout
    assert "DELETE FROM withdrawal" in done.stdout


def test_a_cluster_tells_when_it_was_made(postgres_server: PostgresForTests) -> None:
    with psycopg.connect(postgres_server.admin_url) as connection:
        row = connection.execute(
            "SELECT system_identifier::text, pg_postmaster_start_time(),"
            " (pg_stat_file('PG_VERSION')).modification FROM pg_control_system()"
        ).fetchone()
    assert row is not None
    system, started, written = row
    made = initialised(system)
    assert made is not None
    assert made <= started
    assert abs((made - written).total_seconds()) < 60  # initdb writes that file and no other program does
