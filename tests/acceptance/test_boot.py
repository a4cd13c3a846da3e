"""The boot contract, on real processes: what `alpimonitor boot` says, does, and hands on to the server."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from alpimonitor_rehearsal.postgres import running_postgres
from alpimonitor_rehearsal.postgres.launcher import free_port
from alpimonitor_rehearsal.processes import Child, Processes
from tests.booting import AT_ONCE, LISTENS, PATIENCE, Boots, execute, said

pytestmark = pytest.mark.acceptance


@pytest.fixture
def boots(tmp_path: Path) -> Iterator[Boots]:
    with Processes(tmp_path) as processes:
        yield Boots(processes, tmp_path)


def with_password(url: str, password: str) -> str:
    right = psycopg.conninfo.conninfo_to_dict(url)["password"]
    return url.replace(f":{right}@", f":{password}@")


def with_role(url: str, role: str) -> str:
    return url.replace("postgresql://", f"postgresql://{role}_", 1)


def ended_well(boot: Child) -> bool:
    boot.process.send_signal(signal.SIGTERM)
    return boot.process.wait(PATIENCE) == 0


# The three scenarios of the contract.


def test_with_seed_on_the_counts_are_reported_the_api_answers_and_sigterm_ends_it_cleanly(
    boots: Boots, empty_database: str
) -> None:
    boot, api = boots.until_it_serves(DATABASE_URL=empty_database, SEED_ON_BOOT="true")
    lines = said(boot)
    assert any(line.startswith("migrated from empty to ") for line in lines)
    assert (
        "seed: applied: inserted 39 (catchment 1, station 7, sensor 14, threshold 7, glacier 2, "
        "station_glacier 6, withdrawal 2), updated 0, pruned 0"
    ) in lines
    assert len(httpx.get(f"{api}/api/v1/stations").json()["data"]) == 7
    assert ended_well(boot)


def test_with_seed_off_it_is_skipped_and_says_so(boots: Boots, empty_database: str) -> None:
    boot, api = boots.until_it_serves(DATABASE_URL=empty_database)
    assert "seed skipped: SEED_ON_BOOT is not set, only true seeds" in said(boot)
    assert execute(empty_database, "SELECT count(*) FROM station") == [(0,)]
    assert httpx.get(f"{api}/api/v1/health").status_code == 200
    assert ended_well(boot)


@pytest.mark.parametrize("wrong", ["password", "role", "database"])
def test_refused_credentials_end_it_at_once_with_the_remedy(
    boots: Boots, empty_database: str, wrong: str
) -> None:
    url = {
        "password": with_password(empty_database, "s3cr3t"),
        "role": with_role(empty_database, "nobody"),
        "database": empty_database + "_elsewhere",
    }[wrong]
    began = time.monotonic()
    boot = boots.until_it_ends(DATABASE_URL=url, BOOT_WAIT_SECONDS="50")
    assert time.monotonic() - began < AT_ONCE
    assert boot.exit_code == 5
    assert not any(line.startswith("not yet") for line in said(boot))
    (fatal,) = (line for line in said(boot) if line.startswith("fatal: "))
    assert "Remedy: " in fatal
    assert "DATABASE_URL" in fatal
    assert "s3cr3t" not in boot.logged()
    assert "listens on" not in boot.logged()


# The order of things, and what may go wrong at each.


def test_it_waits_for_a_database_that_appears_late(boots: Boots) -> None:
    with running_postgres() as server:
        server.stop()
        boot = boots.start(DATABASE_URL=server.url(), SEED_ON_BOOT="true")
        boot.until("say that it waits", lambda: "[boot] not yet: " in boot.logged(), deadline=PATIENCE)
        server.start()
        boot.until("serve", lambda: LISTENS.search(boot.logged()), deadline=PATIENCE)
        assert "the database answers" in said(boot)
        assert ended_well(boot)


def test_a_database_that_never_appears_ends_it_with_the_remedy(boots: Boots) -> None:
    url = f"postgresql://role:s3cr3t@127.0.0.1:{free_port()}/name"
    boot = boots.until_it_ends(DATABASE_URL=url, BOOT_WAIT_SECONDS="0.5")
    assert boot.exit_code == 5
    assert "did not answer within 0.5 s" in said(boot)[-1]
    assert "raise BOOT_WAIT_SECONDS" in said(boot)[-1]
    assert "s3cr3t" not in boot.logged()


def test_a_failed_migration_is_fatal_and_changes_nothing(boots: Boots, empty_database: str) -> None:
    execute(empty_database, "CREATE TABLE glacier (left_by text)")
    boot = boots.until_it_ends(DATABASE_URL=empty_database, SEED_ON_BOOT="true")
    assert boot.exit_code == 6
    assert 'migration failed, the database is as it was: relation "glacier" already exists' in said(boot)[-1]
    assert not any("seed" in line for line in said(boot))
    assert execute(empty_database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [
        ("glacier",)
    ]


def test_a_failed_seed_is_a_warning_and_the_api_starts(boots: Boots, empty_database: str) -> None:
    boot, api = boots.until_it_serves(
        DATABASE_URL=empty_database,
        SEED_DATABASE_URL=with_password(empty_database, "s3cr3t"),
        SEED_ON_BOOT="true",
    )
    assert "warning: the seed failed (exit 5), see above; the API starts without it" in said(boot)
    assert any("password authentication failed" in line for line in said(boot))
    assert httpx.get(f"{api}/api/v1/stations").status_code == 503
    assert "s3cr3t" not in boot.logged()
    assert ended_well(boot)


def test_a_second_boot_finds_nothing_to_do(boots: Boots, seeded_database: str) -> None:
    boot = boots.until_it_ends("--prepare", DATABASE_URL=seeded_database, SEED_ON_BOOT="true")
    assert boot.exit_code == 0
    assert any(re.fullmatch(r"schema is at \w+, nothing to migrate", line) for line in said(boot))
    assert "seed: nothing to do" in said(boot)


def test_prepare_stops_before_the_server(boots: Boots, empty_database: str) -> None:
    boot = boots.until_it_ends("--prepare", OWNER_DATABASE_URL=empty_database, SEED_ON_BOOT="false")
    assert boot.exit_code == 0
    assert "seed skipped: SEED_ON_BOOT is 'false', only true seeds" in said(boot)
    assert "starting the server" not in said(boot)
    assert execute(empty_database, "SELECT environment FROM deployment") == [("test",)]


def test_serve_only_serves(boots: Boots, empty_database: str) -> None:
    boot, _ = boots.until_it_serves("--serve", DATABASE_URL=empty_database)
    assert said(boot) == ["starting the server"]
    assert execute(empty_database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert ended_well(boot)


def test_a_database_that_says_production_is_seeded_by_the_boots_own_child_only(
    boots: Boots, empty_database: str
) -> None:
    settings = {"DATABASE_URL": empty_database, "DEPLOYMENT_ENVIRONMENT": "production"}
    boot = boots.until_it_ends("--prepare", **settings, SEED_ON_BOOT="true")
    assert boot.exit_code == 0
    assert execute(empty_database, "SELECT mode, outcome FROM seed_run") == [("missing", "applied")]
    assert execute(empty_database, "SELECT count(*) FROM station") == [(7,)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the environment of a process from /proc")
def test_the_server_is_the_same_process_without_the_others_credentials(
    boots: Boots, empty_database: str
) -> None:
    boot, _ = boots.until_it_serves(
        DATABASE_URL=empty_database,
        OWNER_DATABASE_URL=empty_database,
        SEED_DATABASE_URL=empty_database,
        WATCHDOG_DATABASE_URL=empty_database,
        WATCHDOG_HEAL_DATABASE_URL=empty_database,
        WATCHDOG_API_TOKEN="s3cr3t",
        OWNER_DATABASE_PASSWORD="s3cr3t",
        API_DATABASE_PASSWORD="s3cr3t",
        ALLOW_PROD_SEED="1",
    )
    handed_on = Path(f"/proc/{boot.pid}/environ").read_text().split("\0")
    names = {entry.partition("=")[0] for entry in handed_on}
    assert [name for name in names if name.endswith("DATABASE_URL")] == ["DATABASE_URL"]
    assert "ALLOW_PROD_SEED" not in names
    assert "s3cr3t" not in "".join(handed_on) + boot.logged()
    # They were given for nothing: the owner sets no passwords, and says so.
    assert any("API_DATABASE_PASSWORD, OWNER_DATABASE_PASSWORD not used" in line for line in said(boot))
    assert "PORT" in names
    command = Path(f"/proc/{boot.pid}/cmdline").read_text().split("\0")
    assert command[1:3] == ["-m", "alpimonitor_api.server"]
    assert any(line.startswith("warning: ALLOW_PROD_SEED is set") for line in said(boot))
    assert ended_well(boot)


def test_sigterm_while_it_waits_ends_it(boots: Boots) -> None:
    boot = boots.start(DATABASE_URL=f"postgresql://role@127.0.0.1:{free_port()}/name")
    boot.until("say that it waits", lambda: "[boot] not yet: " in boot.logged(), deadline=PATIENCE)
    boot.process.send_signal(signal.SIGTERM)
    assert boot.process.wait(AT_ONCE) == 130
    assert said(boot)[-1] == "stopped by SIGTERM"


def test_the_servers_own_credentials_are_tried_before_anything_is_changed(
    boots: Boots, empty_database: str
) -> None:
    wrong = with_password(empty_database, "s3cr3t")
    boot = boots.until_it_ends(OWNER_DATABASE_URL=empty_database, DATABASE_URL=wrong)
    assert boot.exit_code == 5
    assert said(boot)[-1].startswith("fatal: DATABASE_URL: ")
    assert execute(empty_database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_another_environment_than_the_databases_own_is_a_warning(boots: Boots, database: str) -> None:
    boot = boots.until_it_ends("--prepare", DATABASE_URL=database, DEPLOYMENT_ENVIRONMENT="staging")
    assert boot.exit_code == 0
    assert (
        "warning: DEPLOYMENT_ENVIRONMENT is staging, but this database says: test. Is it the one you mean?"
        in said(boot)
    )


@pytest.mark.parametrize(
    ("arguments", "settings", "problem"),
    [
        ([], {}, "DATABASE_URL is not set"),
        ([], {"DATABASE_URL": "postgres:/role:s3cr3t@h/d"}, "DATABASE_URL does not begin with postgresql://"),
        (
            [],
            {"DATABASE_URL": "postgresql://h/d", "BOOT_WAIT_SECONDS": "a minute"},
            "BOOT_WAIT_SECONDS is 'a minute'",
        ),
        (
            [],
            {"OWNER_DATABASE_URL": "postgresql://h/d"},
            "DATABASE_URL is not set: set it to",
        ),
        (["--prepare", "--serve"], {"DATABASE_URL": "postgresql://h/d"}, "--prepare and --serve exclude"),
    ],
)
def test_bad_settings_are_one_fatal_line(
    boots: Boots, arguments: list[str], settings: dict[str, str], problem: str
) -> None:
    boot = boots.until_it_ends(*arguments, **settings)
    assert boot.exit_code == 2
    assert len(said(boot)) == 1
    assert said(boot)[0].startswith("fatal: ")
    assert problem in said(boot)[0]
    assert "s3cr3t" not in boot.logged()


def test_an_environment_is_asked_for_before_a_database_elsewhere_is_migrated(
    boots: Boots, empty_database: str
) -> None:
    # A second host that nobody can resolve: the first one answers, and yet not all addresses are loopback.
    parts = psycopg.conninfo.conninfo_to_dict(empty_database)
    userinfo = empty_database.removeprefix("postgresql://").rpartition("@")[0]
    url = f"postgresql://{userinfo}@{parts['host']}:{parts['port']},nowhere.invalid:1/{parts['dbname']}"
    boot = boots.until_it_ends("--prepare", DATABASE_URL=url, DEPLOYMENT_ENVIRONMENT="")
    assert boot.exit_code == 2
    assert "DEPLOYMENT_ENVIRONMENT is not set" in said(boot)[-1]
    assert any(line.startswith("warning: OWNER_DATABASE_URL is not set") for line in said(boot))
    assert execute(empty_database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
