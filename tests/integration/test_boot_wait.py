"""Waiting for a database tells what time may cure from what only a person can."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from alpimonitor_cli import wait
from alpimonitor_cli.wait import NotYet, Refusal, Refused, TimedOut, attempt, wait_for
from alpimonitor_rehearsal.postgres.launcher import free_port
from alpimonitor_seed.target import Target, parse
from alpimonitor_watchdog.probe.sqlstate import sqlstate
from tests.databases import name_of


def target(url: str) -> Target:
    return parse(url, variable="DATABASE_URL")


@pytest.fixture
def role(empty_database: str) -> Iterator[str]:
    """The name of a role that may log in, with the password `secret`."""
    name = f"role_{name_of(empty_database)}"
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'".encode())
        yield name
        admin.execute(f"DROP OWNED BY {name}".encode())
        admin.execute(f"DROP ROLE {name}".encode())


def as_role(url: str, role: str, password: str = "secret") -> Target:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    return target(f"postgresql://{role}:{password}@{parts['host']}:{parts['port']}/{parts['dbname']}")


def alter(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(statement.encode())


def test_a_database_that_answers_is_not_waited_for(empty_database: str, role: str) -> None:
    attempt(as_role(empty_database, role))


def test_a_wrong_password_is_refused(empty_database: str, role: str) -> None:
    with pytest.raises(Refused) as raised:
        attempt(as_role(empty_database, role, "s3cr3t"))
    assert raised.value.refusal is Refusal.PASSWORD
    assert "s3cr3t" not in str(raised.value)


def test_a_role_that_may_not_log_in_is_refused(empty_database: str, role: str) -> None:
    alter(empty_database, f"ALTER ROLE {role} NOLOGIN")
    with pytest.raises(Refused) as raised:
        attempt(as_role(empty_database, role))
    assert raised.value.refusal is Refusal.ACCESS


def test_a_database_that_is_not_open_to_the_role_is_refused(empty_database: str, role: str) -> None:
    alter(empty_database, f"REVOKE CONNECT ON DATABASE {name_of(empty_database)} FROM PUBLIC")
    with pytest.raises(Refused) as raised:
        attempt(as_role(empty_database, role))
    assert raised.value.refusal is Refusal.ACCESS


def test_a_server_without_a_free_place_is_waited_for(empty_database: str, role: str) -> None:
    alter(empty_database, f"ALTER ROLE {role} CONNECTION LIMIT 0")
    with pytest.raises(NotYet, match="too many connections"):
        attempt(as_role(empty_database, role))


def test_a_place_that_becomes_free_ends_the_waiting(empty_database: str, role: str) -> None:
    alter(empty_database, f"ALTER ROLE {role} CONNECTION LIMIT 0")
    told: list[str] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            alter(empty_database, f"ALTER ROLE {role} CONNECTION LIMIT 5")

    wait_for(as_role(empty_database, role), seconds=60, pause=pause, on_waiting=told.append)
    assert len(pauses) == 3
    assert pauses == sorted(pauses)
    assert len(told) == 1  # the same answer is not repeated


def in_german(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every refusal in words that nobody here knows, as from a server with another lc_messages."""
    english = wait._objection
    monkeypatch.setattr(wait, "_objection", lambda target: english(target) and "FATAL: Verbindung abgelehnt")


def test_a_server_that_speaks_another_language_is_understood_by_its_codes(
    empty_database: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_german(monkeypatch)
    with pytest.raises(Refused) as raised:
        attempt(as_role(empty_database, role, "s3cr3t"))
    assert raised.value.refusal is Refusal.PASSWORD
    alter(empty_database, f"ALTER ROLE {role} CONNECTION LIMIT 0")
    with pytest.raises(NotYet):
        attempt(as_role(empty_database, role))


@pytest.mark.parametrize("asked", ["sslmode=bogus", "target_session_attrs=nope"])
def test_a_url_that_libpq_cannot_use_is_not_waited_for(empty_database: str, asked: str) -> None:
    with pytest.raises(Refused, match="invalid") as raised:
        attempt(target(f"{empty_database}?{asked}"))
    assert raised.value.refusal is Refusal.URL


def test_a_server_without_the_tls_that_is_asked_for_is_not_waited_for(empty_database: str) -> None:
    with pytest.raises(Refused, match="does not support SSL") as raised:
        attempt(target(f"{empty_database}?sslmode=require"))
    assert raised.value.refusal is Refusal.ACCESS


def test_the_code_of_a_refusal_is_the_servers(empty_database: str, role: str) -> None:
    wrong = as_role(empty_database, role, "s3cr3t")
    assert sqlstate(wrong.url, within=5) == "28P01"
    assert sqlstate(as_role(empty_database, role).url, within=5) is None
    assert sqlstate(f"postgresql://role@127.0.0.1:{free_port()}/name", within=5) is None


def test_nobody_there_is_waited_for_until_the_time_is_over() -> None:
    nobody = target(f"postgresql://role@127.0.0.1:{free_port()}/name")
    with pytest.raises(NotYet, match="Connection refused"):
        attempt(nobody)
    with pytest.raises(TimedOut, match="Connection refused"):
        wait_for(nobody, seconds=0, pause=lambda _: pytest.fail("waited"), on_waiting=lambda _: None)
