"""Waits for a database to accept connections, and tells "not yet" from "never with these credentials"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import psycopg
import tenacity
from psycopg import pq
from psycopg.conninfo import make_conninfo

from alpimonitor_cli.application_name import application_name
from alpimonitor_seed.target import Target
from alpimonitor_watchdog.probe.sqlstate import sqlstate

LONGEST_ATTEMPT = 5  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds

# SQLSTATEs that time may cure: no place or no memory, shutting down or starting up.
NOT_NOW_CODES = ("53", "57P")

# The same in words, for a pooler (its codes say less) and for where libpq does not give the code away.
NOT_NOW = re.compile(
    r"too many (clients|connections)|connection slots are reserved|starting up|shutting down|recovery mode"
    r"|server (conn )?crashed|server login|cannot connect|could not open|out of memory|timeout expired",
    re.IGNORECASE,
)


class Refusal(Enum):
    """Why waiting is of no use, and what to do about it."""

    PASSWORD = "correct the role or its password in the URL"  # noqa: S105
    ROLE = "create the role, or correct the URL"
    DATABASE = "create the database, or correct the URL"
    ACCESS = "let this role in from here (pg_hba.conf, GRANT CONNECT), or correct sslmode in the URL"
    URL = "no connection was even tried: correct the URL"
    OTHER = "the server is up and refuses these credentials: correct the URL"


@dataclass(frozen=True)
class Refused(Exception):
    """The server is up and refuses: waiting would not help. The text holds no password."""

    refusal: Refusal
    said: str

    def __str__(self) -> str:
        return f"{self.said.rstrip('.')}. Remedy: {self.refusal.value}"


class TimedOut(Exception):
    """The database did not accept connections in time. The text is the last attempt's."""


class NotYet(Exception):
    """One attempt that failed in a way that waiting may cure."""


def wait_for(
    target: Target,
    *,
    seconds: float,
    pause: Callable[[float], None],
    on_waiting: Callable[[str], None],
) -> None:
    """Return once `target` answers a statement; begin no further attempt after `seconds`.

    `pause` waits so many seconds; `on_waiting` is told what stands in the way, once for each answer.
    Raises Refused at once when the server is there and refuses, else TimedOut.
    """
    told: set[str] = set()

    def tell(state: tenacity.RetryCallState) -> None:
        said = str(state.outcome.exception()) if state.outcome else ""
        if said not in told:
            told.add(said)
            on_waiting(said)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(NotYet),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
        sleep=pause,
        before_sleep=tell,
        reraise=True,
    )
    try:
        retrying(attempt, target)
    except NotYet as error:
        raise TimedOut(str(error)) from None


def attempt(target: Target) -> None:
    """Connect, and return if the database answers. Raises NotYet or Refused.

    A refusal counts when the server was there: libpq's ping, which needs no credentials, tells a server that
    accepts connections from one that starts up and from nobody. It takes two failures, each followed by
    such a ping: then the refusal is about what the URL says, and not about a server that came up in between.
    """
    for _ in range(2):
        said = _objection(target)
        if said is None:
            return
        ping = _ping(target)
        if ping is pq.Ping.NO_ATTEMPT:
            raise Refused(Refusal.URL, said)
        if NOT_NOW.search(said) or ping is not pq.Ping.OK:
            raise NotYet(said)
    code = sqlstate(target.url, within=LONGEST_ATTEMPT) or ""
    if code.startswith(NOT_NOW_CODES):
        raise NotYet(said or "")
    raise Refused(_meaning(code, said or ""), said or "")


def _objection(target: Target) -> str | None:
    """What keeps a connection from working, None if nothing does."""
    try:
        with psycopg.connect(
            target.url,
            connect_timeout=LONGEST_ATTEMPT,
            application_name=application_name("boot"),
            autocommit=True,
        ) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        return " ".join(str(error).split()).removeprefix("connection failed: ")
    return None


def _ping(target: Target) -> pq.Ping:
    """Whether a server accepts connections there, over TLS or not: a handshake that fails is no absence."""
    answer = pq.PGconn.ping(make_conninfo(target.url, connect_timeout=LONGEST_ATTEMPT).encode())
    if answer == pq.Ping.NO_RESPONSE:
        # Without TLS nothing is said that the URL holds but the address.
        plain = make_conninfo(
            target.url, connect_timeout=LONGEST_ATTEMPT, sslmode="disable", user="ping", dbname="ping"
        )
        if pq.PGconn.ping(plain.encode()) == pq.Ping.OK:
            return pq.Ping.OK
    return pq.Ping(answer)


def _meaning(code: str, said: str) -> Refusal:
    """The closest reason, by the server's SQLSTATE, else by its words where they are English."""
    if code == "28P01" or "password" in said:
        return Refusal.PASSWORD
    if re.search(r'role ".*" does not exist', said):
        return Refusal.ROLE
    if code == "3D000" or re.search(r'database ".*" does not exist', said):
        return Refusal.DATABASE
    if code in ("28000", "42501") or re.search(
        r"pg_hba\.conf|SSL|certificate|not permitted to log in|permission denied for database", said
    ):
        return Refusal.ACCESS
    return Refusal.OTHER
