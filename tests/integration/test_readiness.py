"""Attribution readiness of a real database, and that its remedies remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from alpimonitor_cli.roles.names import API, OWNER, WATCHDOG
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.probe.rights import Right, Standing
from alpimonitor_watchdog.recorder.listener import Listener
from alpimonitor_watchdog.recorder.readiness import Readiness
from alpimonitor_watchdog.recorder.readiness_look import measure
from alpimonitor_watchdog.settings import Settings, load
from tests.composed import Database, prepared_database

NAME = "alpimonitor-watchdog 1.0 here 1"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with prepared_database() as prepared:
        yield prepared


def settings_of(url: str, folder: Path) -> Settings:
    return load({"WATCHDOG_DATABASE_URL": url, "WATCHDOG_STATE_DIR": str(folder)})


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    return settings_of(database.url(WATCHDOG), tmp_path)


def gaps(readiness: Readiness) -> dict[str, Right]:
    assert not readiness.unseen
    assert len(readiness.items) == 9
    return {item.subject: item for item in readiness.items if item.standing is not Standing.HOLDS}


def looked(settings: Settings) -> dict[str, Right]:
    return gaps(measure(settings, application_name=NAME))


def test_with_the_roles_and_a_listener_only_the_servers_log_is_wanting_and_its_remedy_works(
    database: Database, settings: Settings
) -> None:
    assert set(looked(settings)) == {"server log", "listening"}
    listener = Listener(
        settings.database_url.get_secret_value(), lambda: None, application_name=f"{NAME} listener"
    )
    listener.start()
    try:
        wait_until("a listener", lambda: listener.listening, deadline=30)
        (wanting,) = looked(settings).values()
        assert wanting.subject == "server log"
        with psycopg.connect(database.admin, autocommit=True) as admin:
            for statement in filter(None, map(str.strip, wanting.remedy.split(";"))):
                admin.execute(statement.encode())
        wait_until("the settings", lambda: looked(settings) == {}, deadline=30)
        readiness = measure(settings, application_name=NAME)
        assert readiness.ratio == 1.0
    finally:
        listener.stop()
        with psycopg.connect(database.admin, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM RESET ALL")
            admin.execute("SELECT pg_reload_conf()")


def test_the_sidecar_that_asks_says_itself_whether_it_listens(settings: Settings) -> None:
    assert "listening" not in gaps(measure(settings, application_name=NAME, listening=lambda: True))
    assert "listening" in gaps(measure(settings, application_name=NAME, listening=lambda: False))


def test_a_session_without_a_name_is_told_by_its_role(database: Database, settings: Settings) -> None:
    with psycopg.connect(database.url(API), application_name=""):
        right = looked(settings)["application_name"]
    assert right.said == f"1 session without one: {API}"


def test_another_session_of_ours_is_not_the_applications(database: Database, settings: Settings) -> None:
    with psycopg.connect(database.url(API), application_name="alpimonitor-api 1.0 web 3"):
        found = measure(settings, application_name=NAME)
    (address,) = [item for item in found.items if item.subject == "client address"]
    assert (address.standing, address.said) == (Standing.HOLDS, "other sessions come from 127.0.0.1")


@pytest.mark.parametrize(
    ("broken", "mended", "subject", "said"),
    [
        (
            "ALTER TABLE station DISABLE TRIGGER flight_recorder_delete",
            "ALTER TABLE station ENABLE ALWAYS TRIGGER flight_recorder_delete",
            "recorder",
            "not every statement is recorded on station",
        ),
        (
            "ALTER EVENT TRIGGER flight_recorder_drop DISABLE",
            "ALTER EVENT TRIGGER flight_recorder_drop ENABLE ALWAYS",
            "drops",
            "DROP, and disarming the recorder, are not recorded",
        ),
        (
            f"GRANT alpimonitor_recorder TO {OWNER}",
            f"REVOKE alpimonitor_recorder FROM {OWNER}",
            "evidence",
            f"{OWNER} could change or erase it",
        ),
        (
            f"GRANT {OWNER} TO {API}",
            f"REVOKE {OWNER} FROM {API}",
            "application",
            f"{API} can become {OWNER}",
        ),
        (
            f"ALTER TABLE station OWNER TO {API}",
            f"ALTER TABLE station OWNER TO {OWNER}",
            "application",
            f"{API} owns station",
        ),
        (
            f"ALTER ROLE {API} SUPERUSER",
            f"ALTER ROLE {API} NOSUPERUSER",
            "application",
            f"{API} is a superuser",
        ),
        (
            f"REVOKE SELECT ON flight_recorder.event FROM {WATCHDOG}",
            f"GRANT SELECT ON flight_recorder.event TO {WATCHDOG}",
            "recorder",
            "the sidecar's role may not read what is recorded",
        ),
        (
            f"REVOKE pg_monitor FROM {WATCHDOG}",
            f"GRANT pg_monitor TO {WATCHDOG}",
            "client address",
            "the sidecar's role does not see the addresses of other sessions",
        ),
    ],
)
def test_what_is_broken_is_named_until_it_is_mended(
    database: Database, settings: Settings, broken: str, mended: str, subject: str, said: str
) -> None:
    before = looked(settings)
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute(broken.encode())
        try:
            assert looked(settings)[subject].said == said
        finally:
            admin.execute(mended.encode())
    assert looked(settings) == before


def test_a_database_without_anything_is_judged_too(empty_database: str, tmp_path: Path) -> None:
    found = looked(settings_of(empty_database, tmp_path))
    assert {"recorder", "drops", "evidence", "application", "listening"} <= set(found)
    assert found["application"].said == f"there is no role {API}"


def test_a_server_that_is_not_there_is_no_ratio_and_no_error(tmp_path: Path) -> None:
    readiness = measure(settings_of("postgresql://u:hush@127.0.0.1:1/x", tmp_path), application_name=NAME)
    assert readiness.ratio is None
    assert "127.0.0.1:1 cannot be reached" in readiness.unseen
    assert "hush" not in repr(readiness)


def test_a_network_that_hangs_ends_the_look(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpimonitor_watchdog.recorder.readiness_look._STATEMENT_SECONDS", 0.1)
    with TcpProxy("127.0.0.1", database.server.port) as proxy:
        url = database.url(WATCHDOG).replace(f":{database.server.port}/", f":{proxy.port}/")
        proxy.hang()
        readiness = measure(settings_of(url, tmp_path), application_name=NAME)
    assert readiness.ratio is None
    assert readiness.unseen


def test_check_tells_it_under_one_heading_and_as_json(database: Database) -> None:
    _, environ = database.service("watchdog")
    environ = {name: value for name, value in environ.items() if value} | {
        "ALPIMONITOR_API_URL": "http://127.0.0.1:1"
    }
    told = database.run("watchdog", "check", **environ)
    heading = "Who did it, if rows were lost now: 7 of 9 things hold that naming a session rests on."
    assert heading in told.stdout, told.stderr
    after = told.stdout.partition(heading)[2]
    assert "warning  listening: no sidecar listens for the recorder\n         costs: " in after
    document = json.loads(database.run("watchdog", "check", "--json", **environ).stdout)
    assert document["readiness"]["ratio"] == pytest.approx(7 / 9)
    assert len(document["readiness"]["items"]) == 9
    assert document["holds"] is False, "the API is not there; readiness alone would stand in nobody's way"
