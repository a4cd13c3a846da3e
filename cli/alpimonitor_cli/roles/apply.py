"""Looks at a database's roles and, if asked, brings them to what is wanted: in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from alpimonitor_cli.application_name import application_name
from alpimonitor_cli.roles.facts import Facts, gather
from alpimonitor_cli.roles.names import ADMIN_URL, OWNER, ROLES
from alpimonitor_cli.roles.password import verifier
from alpimonitor_cli.roles.plan import Plan, plan

# One migration, or one change of the roles, at a time; what others hold is not waited for long.
TAKE_TURN = """
SELECT set_config('lock_timeout', '120s', true);
SELECT pg_advisory_xact_lock(hashtextextended('alpimonitor:migration', 0));
SELECT set_config('lock_timeout', '10s', true), set_config('statement_timeout', '60s', true)
"""
CONNECT_SECONDS = 10


class Unreachable(Exception):
    """The database cannot be reached with these credentials. The text is the server's, without a password."""


class RolesRefused(Exception):
    """The server refused a statement, and everything is as it was. The text says which and why."""


@dataclass(frozen=True)
class Done:
    """What was done, and the plan of what is left now."""

    before: Plan
    after: Plan


def passwords_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The passwords that the environment gives, by role."""
    return {
        role.name: environ[role.password_variable]
        for role in ROLES
        if role.password_variable is not None and environ.get(role.password_variable)
    }


def unused_passwords(environ: Mapping[str, str]) -> str | None:
    """What to say where passwords are set and only the owner, who may set none, is at work. None: nothing."""
    given = sorted(
        role.password_variable
        for role in ROLES
        if role.password_variable is not None and environ.get(role.password_variable)
    )
    if not given:
        return None
    return f"{', '.join(given)} not used: only {ADMIN_URL} sets passwords; see alpimonitor roles apply"


def planned(url: str, passwords: Mapping[str, str]) -> Plan:
    """What would be done. Only reads. Raises Unreachable or RolesRefused."""
    with _connected(url) as connection:
        connection.read_only = True
        with _refusing(), connection.transaction():
            return _plan(connection, gather(connection), passwords)


def apply(url: str, passwords: Mapping[str, str]) -> Done:
    """Take every step that this session may take, or none. Raises Unreachable or RolesRefused."""
    with _connected(url) as connection, _refusing(), connection.transaction():
        connection.execute(TAKE_TURN)
        return _taken(connection, gather(connection), passwords)


def refresh(owner_url: str) -> Done | None:
    """Give the roles their rights on what a migration made, as the owner. None where another role migrates.

    Raises Unreachable or RolesRefused.
    """
    with _connected(owner_url) as connection, _refusing(), connection.transaction():
        connection.execute(TAKE_TURN)
        facts = gather(connection)
        if facts.session.role != OWNER:
            return None  # these are not the roles of that database
        return _taken(connection, facts, {})


def _taken(connection: psycopg.Connection, facts: Facts, passwords: Mapping[str, str]) -> Done:
    before = _plan(connection, facts, passwords)
    for step in before.steps:
        try:
            connection.execute(step.sql)
        except psycopg.Error as error:
            # Not the statement: it may hold a verifier.
            raise RolesRefused(f"{step.why}: {_said(error)}") from None
    return Done(before, _plan(connection, gather(connection), passwords) if before.steps else before)


def _plan(connection: psycopg.Connection, facts: Facts, passwords: Mapping[str, str]) -> Plan:
    return plan(facts, passwords, {role: verifier(connection, role, passwords[role]) for role in passwords})


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    try:
        connection = psycopg.connect(
            url,
            connect_timeout=CONNECT_SECONDS,
            application_name=application_name("roles"),
            client_encoding="utf8",
            prepare_threshold=None,
        )
    except psycopg.OperationalError as error:
        raise Unreachable(" ".join(str(error).split())) from error
    with connection:
        yield connection


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise RolesRefused(_said(error)) from error


def _said(error: psycopg.Error) -> str:
    return error.diag.message_primary or " ".join(str(error).split())
