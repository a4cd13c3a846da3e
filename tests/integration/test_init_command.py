"""`alpimonitor watchdog init` as a command: what it writes, says and exits with."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from alpimonitor_watchdog.checks import check_all
from alpimonitor_watchdog.init.save import save
from alpimonitor_watchdog.init_cli import init
from alpimonitor_watchdog.probe.rights import Standing
from alpimonitor_watchdog.settings import load
from tests.databases import name_of
from tests.login_roles import login_role

app = typer.Typer()
app.command()(init)


@pytest.fixture
def station(empty_database: str) -> str:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute('CREATE TABLE "Station" AS SELECT generate_series(1, 7) AS id')
        connection.execute("CREATE TABLE audit_log AS SELECT 1 AS id")
    return empty_database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "watchdog.toml"


def called(*words: str | Path, url: str | None = None) -> Result:
    environ = {"WATCHDOG_DATABASE_URL": url, "WATCHDOG_DATABASE_URL_FILE": None}
    return CliRunner().invoke(app, [str(word) for word in words], env=environ)


def test_it_writes_the_file_and_says_what_to_read_to_grant_and_to_do_next(station: str, file: Path) -> None:
    ended = called("--output", file, url=station)
    assert ended.exit_code == 0
    assert [table["name"] for table in tomllib.loads(file.read_text())["table"]] == [
        'public."Station"',
        "public.audit_log",
    ]
    assert f"{file} describes {name_of(station)}@" in ended.stdout
    assert "1 context tables, 1 operational, 0 not seen, 0 passed over. Healing is dry-run." in ended.stdout
    assert "This is not a backup" in ended.stdout
    assert 'GRANT SELECT ON TABLE "public"."Station", "public"."audit_log" TO' in ended.stdout
    assert f"alpimonitor watchdog check --config {file}" in ended.stdout


def test_to_standard_output_goes_the_file_and_nothing_else(station: str) -> None:
    ended = called("--output", "-", url=station)
    assert ended.exit_code == 0
    assert tomllib.loads(ended.stdout)["healing"] == {"mode": "dry-run"}
    assert "This is not a backup" in ended.stderr
    assert "GRANT SELECT" in ended.stderr


def test_json_is_one_object_that_holds_the_file_where_none_is_written(station: str, file: Path) -> None:
    ended = called("--output", file, "--json", url=station)
    assert ended.exit_code == 0
    said = json.loads(ended.stdout)
    assert (said["file"], said["toml"]) == (str(file), None)
    again = json.loads(called("--output", "-", "--json", url=station).stdout)
    assert tomllib.loads(again["toml"]) == tomllib.loads(file.read_text())


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(station: str, file: Path) -> None:
    file.write_text("mine")
    ended = called("--output", file, url=station)
    assert ended.exit_code == 2
    assert f"{file} is there and is left as it is: replace it with --force" in ended.stderr
    assert file.read_text() == "mine"
    assert called("--output", file, "--force", url=station).exit_code == 0
    assert "public" in file.read_text()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_that_appears_meanwhile_is_kept(file: Path) -> None:
    file.write_text("mine")
    with pytest.raises(FileExistsError):
        save(file, "new", replace=False)
    assert file.read_text() == "mine"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path, file: Path) -> None:
    (tmp_path / "real.toml").write_text("old")
    file.symlink_to("real.toml")
    save(file, "new", replace=True)
    assert file.is_symlink()
    assert (tmp_path / "real.toml").read_text() == "new"


def test_a_place_that_cannot_be_written_is_named(station: str, tmp_path: Path) -> None:
    ended = called("--output", tmp_path / "nowhere" / "watchdog.toml", url=station)
    assert ended.exit_code == 2
    assert "cannot be written (No such file or directory): name another place with --output" in ended.stderr


def test_schemas_and_patterns_choose_and_what_matches_nothing_is_said(station: str) -> None:
    ended = called("--output", "-", "--json", "--exclude", "audit_*", "--exclude", "Audit*", url=station)
    said = json.loads(ended.stdout)
    assert [table["name"] for table in said["tables"]] == ['public."Station"']
    assert said["passed_over"] == [{"name": "public.audit_log", "reason": "excluded"}]
    assert any(warning.startswith("--exclude Audit*: no table matches") for warning in said["warnings"])


def test_a_password_in_the_option_is_warned_of_and_never_shown(station: str, file: Path) -> None:
    with login_role(station) as role:
        with psycopg.connect(station, autocommit=True) as connection:
            connection.execute(f'GRANT SELECT ON "Station", audit_log TO {role.name}')
        ended = called("--database-url", role.url, "--output", file)
        assert ended.exit_code == 0
        assert "WARNING: a password in --database-url shows in process lists" in ended.stderr
        assert "CREATE ROLE" not in ended.stdout.partition("2. name")[0]
        assert role.password not in ended.output + file.read_text()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (None, "WATCHDOG_DATABASE_URL is not set"),
        ("mysql://u:sesame@db/app", "WATCHDOG_DATABASE_URL does not begin with postgresql://"),
        ("postgresql://u:sesame@db", "WATCHDOG_DATABASE_URL names no database"),
    ],
)
def test_a_url_that_cannot_be_used_exits_2(file: Path, url: str | None, says: str) -> None:
    ended = called("--output", file, url=url)
    assert ended.exit_code == 2
    assert says in ended.stderr
    assert "sesame" not in ended.output
    assert not file.exists()


def test_an_empty_option_is_taken_for_a_variable_that_is_not_set() -> None:
    ended = called("--database-url", "")
    assert ended.exit_code == 2
    assert "--database-url is empty: is the variable that it was taken from set?" in ended.stderr


def test_a_database_that_cannot_be_reached_exits_5_and_writes_nothing(file: Path) -> None:
    ended = called("--output", file, url="postgresql://u:sesame@127.0.0.1:1/app")
    assert ended.exit_code == 5
    assert "127.0.0.1:1" in ended.stderr
    assert "sesame" not in ended.output
    assert not file.exists()


def test_a_database_without_tables_has_nothing_to_guard(empty_database: str, file: Path) -> None:
    ended = called("--output", file, url=empty_database)
    assert ended.exit_code == 2
    assert "has no table to guard (0 passed over): migrate it first" in ended.stderr
    assert not file.exists()


def test_where_nothing_can_be_seen_nothing_is_written_and_the_rights_are_said(
    station: str, file: Path
) -> None:
    with login_role(station) as role:
        ended = called("--output", file, url=role.url)
        assert ended.exit_code == 2
        assert "NOT SEEN, and so not guarded:" in ended.stderr
        assert (
            f'GRANT SELECT ON TABLE "public"."Station", "public"."audit_log" TO "{role.name}";'
            in ended.stderr
        )
        assert not file.exists()


@pytest.mark.parametrize(("mode", "standing"), [("dry-run", Standing.WARNING), ("on", Standing.GAP)])
def test_a_file_without_a_healer_is_complete_until_healing_is_switched_on(
    station: str, file: Path, mode: str, standing: Standing
) -> None:
    assert called("--output", file, url=station).exit_code == 0
    file.write_text(file.read_text().replace('mode = "dry-run"', f'mode = "{mode}"'))
    results = check_all(load({"WATCHDOG_DATABASE_URL": station}, file), {})
    assert [right.standing for right in results if right.subject == "healer"] == [standing]
    gaps = {right.subject for right in results if right.standing is Standing.GAP}
    assert gaps == ({"healer"} if standing is Standing.GAP else set())
