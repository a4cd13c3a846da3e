"""A login role of its own for a test, with no right but to connect."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql


@dataclass(frozen=True)
class LoginRole:
    """A role and how it connects to one database."""

    name: str
    password: str
    url: str

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.name)


@contextlib.contextmanager
def login_role(database: str) -> Iterator[LoginRole]:
    """Make a role that may connect to the database of that URL, and drop it with all it was granted there."""
    name, password = f"role_{secrets.token_hex(6)}", secrets.token_hex(12)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password))
        )
    parts = urlsplit(database)
    place = parts.netloc.rpartition("@")[2]
    try:
        yield LoginRole(name, password, urlunsplit(parts._replace(netloc=f"{name}:{password}@{place}")))
    finally:
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,)
            )
            admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))
