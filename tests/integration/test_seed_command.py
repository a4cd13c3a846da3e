"""`alpimonitor seed` as a process: exit codes, machine output alone on stdout, no password anywhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from alpimonitor_rehearsal.processes import Processes
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_seed.fixtures import SHIPPED, TABLES, load
from tests.databases import PostgresForTests, name_of, url_of


def alpimonitor_seed(url: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    settings = {"SEED_DATABASE_URL": url} if url else {}
    return subprocess.run(
        [sys.executable, "-m", "alpimonitor_cli.main", "seed", *arguments],
        env={"PATH": os.environ["PATH"], **settings, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def password_of(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["password"])


def execute(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def production(seeded_database: str) -> str:
    """A seeded database that says it is production, with something missing."""
    execute(seeded_database, "UPDATE deployment SET environment = 'production'")
    execute(seeded_database, "DELETE FROM withdrawal")
    return seeded_database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped fixtures."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "fixtures"))


def test_a_seed_reports_its_counts_and_logs_one_line(database: str) -> None:
    done = alpimonitor_seed(database, ALLOW_PROD_SEED="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "applied: inserted 39 (catchment 1, station 7, sensor 14, threshold 7, glacier 2, station_glacier 6, "
        "withdrawal 2), updated 0, pruned 0\n"
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("INFO seed applied: mode=missing prune=false database=")
    assert name_of(database) in line
    assert password_of(database) not in done.stdout + done.stderr


def test_the_plan_for_programs_is_alone_on_stdout(database: str) -> None:
    before = alpimonitor_seed(database, "--mode", "missing", "--dry-run", "--json", ALLOW_PROD_SEED="1")
    assert before.returncode == 0, before.stderr
    planned = json.loads(before.stdout)
    assert planned == {
        "inserts": {table: [dict(row) for row in rows] for table, rows in load().rows.items()},
        "updates": {},
        "deletes": {},
    }
    alpimonitor_seed(database, ALLOW_PROD_SEED="1")
    after = alpimonitor_seed(database, "--dry-run", "--json", ALLOW_PROD_SEED="1")
    assert json.loads(after.stdout) == {"inserts": {}, "updates": {}, "deletes": {}}


def test_the_base_needs_no_database() -> None:
    done = alpimonitor_seed("", "--base", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        table: [dict(row) for row in rows] for table, rows in load().rows.items()
    }
    assert "Ferpècle" in done.stdout


def test_a_dry_run_for_people_has_a_line_a_row(production: str) -> None:
    execute(production, "UPDATE station SET altitude_m = 1 WHERE ofev_code = '2346'")
    arguments = ("--mode", "converge", "--dry-run", "--confirm-database", name_of(production))
    done = alpimonitor_seed(production, *arguments, ALLOW_PROD_SEED="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "+ withdrawal Station de pompage de Ferpècle",
        "+ withdrawal Station de pompage d'Arolla",
        "~ station 2346: altitude_m 1 -> 677",
        "dry run, nothing written: would insert 2 (withdrawal 2), update 1 (station 1), prune 0",
    ]


@pytest.mark.parametrize(
    ("arguments", "allowed", "code", "said"),
    [
        ([], {}, 3, "ALLOW_PROD_SEED=1 alpimonitor seed"),
        ([], {"ALLOW_PROD_SEED": "true"}, 3, "ALLOW_PROD_SEED=1 alpimonitor seed"),
        ([], {"ALLOW_PROD_SEED": "1"}, 0, "seed applied"),
        (["--mode", "converge"], {"ALLOW_PROD_SEED": "1"}, 3, "--confirm-database"),
        (["--prune"], {"ALLOW_PROD_SEED": "1"}, 3, "--confirm-database"),
        (["--confirm-database", "other"], {"ALLOW_PROD_SEED": "1"}, 3, "--confirm-database says other"),
        (["--dry-run"], {}, 3, "it would be refused"),
    ],
)
def test_production_is_seeded_only_on_purpose(
    production: str, arguments: list[str], allowed: dict[str, str], code: int, said: str
) -> None:
    done = alpimonitor_seed(production, *arguments, **allowed)
    assert done.returncode == code
    assert said in done.stderr
    assert execute(production, "SELECT count(*) FROM withdrawal") == [(2 if code == 0 else 0,)]
    outcome = {0: "applied", 3: "dry_run" if "--dry-run" in arguments else "refused"}[code]
    assert execute(production, "SELECT outcome FROM seed_run ORDER BY at DESC LIMIT 1") == [(outcome,)]


def test_the_incidents_own_hypothesis_exits_4_and_changes_nothing(seeded_database: str, folder: Path) -> None:
    execute(
        seeded_database,
        "INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at)"
        " SELECT id, now(), 1, now() FROM sensor",
    )
    for name in ("sensor", "threshold", "station_glacier", "withdrawal"):
        (folder / f"{name}.toml").write_text("")
    text = (folder / "station.toml").read_text()
    first_only = text[: text.index("[[station]]", text.index("[[station]]") + 1)]
    (folder / "station.toml").write_text(first_only.replace('"2346"', '"A-NEW-CODE"'))
    arguments = ("--mode", "converge", "--prune", "--max-prune", "1000", "--fixtures", str(folder))
    done = alpimonitor_seed(
        seeded_database, *arguments, "--confirm-database", name_of(seeded_database), ALLOW_PROD_SEED="1"
    )
    assert done.returncode == 4
    assert "rows of measurement refer to station 2009, station 2011, station 2346" in done.stderr
    assert execute(seeded_database, "SELECT count(*) FROM station") == [(7,)]
    assert execute(seeded_database, "SELECT count(*) FROM sensor") == [(14,)]
    assert execute(seeded_database, "SELECT outcome, mode FROM seed_run ORDER BY at DESC LIMIT 1") == [
        ("refused", "converge")
    ]


def test_a_bad_fixture_is_named_with_file_line_and_reason_and_nothing_is_written(
    database: str, folder: Path
) -> None:
    path = folder / "glacier.toml"
    path.write_text(path.read_text().replace("altitude_max_m = 3700", "altitude_max_m = 37000"))
    done = alpimonitor_seed(database, "--fixtures", str(folder), ALLOW_PROD_SEED="1")
    assert done.returncode == 2
    assert f"{path}:6: altitude_max_m: input should be less than or equal to 9000, not 37000" in done.stderr
    assert done.stdout == ""
    assert execute(database, "SELECT count(*) FROM glacier") == [(0,)]


def test_a_seed_that_fails_exits_1_with_the_servers_words(database: str) -> None:
    execute(database, "ALTER TABLE withdrawal ADD CONSTRAINT never CHECK (name IS NULL)")
    done = alpimonitor_seed(database, "--json", ALLOW_PROD_SEED="1")
    assert done.returncode == 1
    assert json.loads(done.stdout)["outcome"] == "failed"
    assert 'violates check constraint "never"' in done.stderr
    assert "ERROR seed failed" in done.stderr
    assert execute(database, "SELECT count(*) FROM station") == [(0,)]


@pytest.mark.parametrize(
    ("url", "arguments", "code", "said"),
    [
        ("", [], 2, "DATABASE_URL is not set, nor is SEED_DATABASE_URL"),
        ("mysql://u:s3cr3t@h/d", [], 2, "SEED_DATABASE_URL does not begin with postgresql://"),
        ("postgresql://u:s3cr3t@127.0.0.1:1/d", [], 5, "the database cannot be reached"),
        ("postgresql://h/d", ["--overwrite-tuned"], 2, "add --mode converge"),
        ("postgresql://h/d", ["--mode", "everything"], 2, "'everything' is not one of"),
        ("postgresql://h/d", ["--max-prune", "-1"], 2, "--max-prune"),
        ("postgresql://h/d", ["--fixtures", "no-such-folder"], 2, "there is no such folder of fixtures"),
    ],
)
def test_bad_options_and_settings_are_one_clear_line(
    url: str, arguments: list[str], code: int, said: str
) -> None:
    done = alpimonitor_seed(url, *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cr3t" not in done.stderr


def test_a_wrong_password_is_unreachable_and_not_shown(postgres_server: PostgresForTests) -> None:
    right = url_of(postgres_server, "postgres")
    wrong = right.replace(password_of(right), "s3cr3t")
    done = alpimonitor_seed(wrong)
    assert done.returncode == 5
    assert "password authentication failed" in done.stderr
    assert "s3cr3t" not in done.stderr


def test_a_connection_that_is_lost_exits_5(database: str, tmp_path: Path) -> None:
    settings = {"PATH": os.environ["PATH"], "SEED_DATABASE_URL": database, "ALLOW_PROD_SEED": "1"}
    with Processes(tmp_path) as processes, psycopg.connect(database) as somebody:
        somebody.execute("LOCK TABLE withdrawal IN EXCLUSIVE MODE")
        command = [sys.executable, "-m", "alpimonitor_cli.main", "seed"]
        seed = processes.start("seed", command, settings)
        killed = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database() AND application_name LIKE 'alpimonitor-seed%'"
        )
        seed.until("wait for the table", lambda: execute(database, killed), deadline=20)
        assert seed.process.wait(20) == 5
    assert "the connection to the database was lost" in seed.logged()


def test_the_log_follows_its_format(database: str) -> None:
    done = alpimonitor_seed(database, LOG_FORMAT="json", ALLOW_PROD_SEED="1")
    line = json.loads(done.stderr)
    assert (line["level"], line["action"], line["outcome"]) == ("INFO", "seed", "applied")
    assert line["at"].endswith("Z")
    assert line["message"].startswith("seed applied: mode=missing")
    refused = alpimonitor_seed(database, LOG_FORMAT="xml")
    assert (refused.returncode, "LOG_FORMAT is 'xml': set it to plain or json" in refused.stderr) == (2, True)


def test_an_unusable_log_level_is_named(database: str) -> None:
    done = alpimonitor_seed(database, LOG_LEVEL="chatty", ALLOW_PROD_SEED="1")
    assert done.returncode == 2
    assert "LOG_LEVEL is 'CHATTY'" in done.stderr


@pytest.mark.parametrize(
    ("sent", "code", "outcomes"),
    [
        (signal.SIGINT, 130, [("failed", "interrupted; nothing was written")]),
        (signal.SIGTERM, 130, [("failed", "interrupted; nothing was written")]),
        (signal.SIGKILL, -signal.SIGKILL, []),
    ],
    ids=["interrupt", "terminate", "kill"],
)
def test_a_seed_that_is_stopped_half_way_leaves_nothing_half_written(
    database: str, tmp_path: Path, sent: signal.Signals, code: int, outcomes: list[tuple[str, str]]
) -> None:
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        " AND application_name LIKE 'alpimonitor-seed%'"
    )
    seeding = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'alpimonitor-seed%'"
    )
    settings = {"PATH": os.environ["PATH"], "SEED_DATABASE_URL": database, "ALLOW_PROD_SEED": "1"}
    command = [sys.executable, "-m", "alpimonitor_cli.main", "seed"]
    with Processes(tmp_path) as processes:
        with psycopg.connect(database) as somebody:
            # The last table of the seed, so that all others are written and not committed.
            somebody.execute("LOCK TABLE withdrawal IN EXCLUSIVE MODE")
            seed = processes.start("seed", command, settings)
            seed.until("wait for the table", lambda: execute(database, waiting), deadline=20)
            seed.process.send_signal(sent)
            assert seed.process.wait(20) == code
        wait_until("the server noticing", lambda: not execute(database, seeding), deadline=20)
    assert [execute(database, f"SELECT count(*) FROM {table}") for table in TABLES] == [[(0,)]] * len(TABLES)
    assert execute(database, "SELECT outcome, reason FROM seed_run") == outcomes
    assert "Traceback" not in seed.logged()
