"""The shipped profile says what the fixtures, the tables and the migrations say."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from alpimonitor_api.tables import CONTEXT_TABLES, OPERATIONAL_TABLES
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_seed.fixtures import load as load_fixtures
from alpimonitor_watchdog.core.model import Policy
from alpimonitor_watchdog.core.words import Mode
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from alpimonitor_watchdog.settings import SHIPPED_PROFILE, Settings, load

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


@pytest.fixture(scope="module")
def profile() -> Settings:
    return load({"WATCHDOG_DATABASE_URL": "postgresql://watch@db/alpimonitor"})


def test_it_expects_of_each_context_table_the_rows_that_the_fixtures_declare(profile: Settings) -> None:
    declared = load_fixtures().rows
    context = [table for table in profile.expectation().tables if table.context]
    assert {table.name: table.expected for table in context} == {
        table.name: len(declared[table.name]) for table in CONTEXT_TABLES
    }
    # A declared row that is missing is a loss: nobody removes one on purpose without changing the fixtures.
    assert all(table.floor == table.expected for table in context)


def test_it_watches_every_operational_table_and_expects_nothing_of_it(profile: Settings) -> None:
    operational = [table for table in profile.expectation().tables if not table.context]
    assert {table.name for table in operational} == {table.name for table in OPERATIONAL_TABLES}
    assert {(table.floor, table.expected) for table in operational} == {(0, 0)}


def test_it_allows_the_newest_revision(profile: Settings) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert profile.expectation().revisions == {ScriptDirectory.from_config(config).get_current_head()}


def test_it_expects_the_stations_that_the_fixtures_declare(profile: Settings) -> None:
    stations = load_fixtures().rows["station"]
    assert profile.ingestion is not None
    assert profile.ingestion.expected == sum(1 for station in stations if station["data_source"] == "LIVE")
    by_path = {found.url.partition("/api/v1")[2]: found.expect for found in profile.health}
    assert by_path == {"/health": "ok", "/stations": len(stations)}


def test_its_policy_is_the_default_written_out_and_healing_is_on(profile: Settings) -> None:
    assert profile.core_policy() == Policy()
    assert profile.healing.mode is Mode.ON


def test_only_its_programs_may_seed_a_database_that_is_not_local(profile: Settings) -> None:
    assert profile.heal_command is not None
    assert profile.heal_command.environment == {"ALLOW_PROD_SEED": "1"}
    for program in (profile.heal_command.plan, profile.heal_command.run):
        assert program[:4] == ("alpimonitor", "seed", "--mode", "missing")
    assert set(profile.heal_command.plan[4:]) == {"--dry-run", "--json"}
    assert not {"--prune", "--overwrite-tuned"} & set(profile.heal_command.run)


def test_without_channels_it_runs_and_says_that_nobody_is_notified(profile: Settings) -> None:
    assert profile.channels == ()
    assert "no channel: nobody is notified of anything" in profile.warnings


def test_every_table_it_names_is_in_a_migrated_database_at_a_revision_it_allows(database: str) -> None:
    settings = load({"WATCHDOG_DATABASE_URL": database})
    probe = DatabaseProbe.of(settings, "profile")

    def everything_is_as_expected() -> bool:
        """In one look; a busy machine may need more than one to stay within the profile's 50 ms."""
        seen = probe.look()
        return (
            seen.unseen is None
            and {(table.exists, table.unseen) for table in seen.tables} == {(True, None)}
            and seen.revision in settings.expectation().revisions
        )

    try:
        wait_until("a look that finds every table", everything_is_as_expected, deadline=20)
    finally:
        probe.close()


def test_a_seeded_database_has_the_rows_that_it_expects(seeded_database: str) -> None:
    with psycopg.connect(seeded_database) as connection:
        for table in load({"WATCHDOG_DATABASE_URL": seeded_database}).expectation().tables:
            row = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()  # type: ignore[call-overload]
            assert row == (table.expected,)


def test_it_is_shipped_inside_the_package() -> None:
    assert SHIPPED_PROFILE.is_file()
    assert SHIPPED_PROFILE.parent.parent.name == "alpimonitor_watchdog"
