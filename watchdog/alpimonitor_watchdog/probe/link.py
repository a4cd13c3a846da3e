"""One kept connection to the guarded database: opened when needed, bounded, and severed from outside.

The server bounds statements and waits for locks; nothing there helps when the network or the whole server
hangs. So TCP gives up by itself after a few seconds, and `sever` ends a wait from another thread at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..core.words import Unseen
from .sqlstate import sqlstate

CONNECT_SECONDS = 2
REFUSAL_SECONDS = 1.0  # for each answer of a server that is asked why it refuses
_LONGEST_NAME = 63  # bytes: PostgreSQL cuts what is longer, and would cut the process id
_TCP = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 5000}
# A severity and two spaces is how libpq passes on what the server itself said, in whatever language.
_SERVER_SAID = re.compile(r"failed: \S+:  (?P<reason>.+)")
_CLIENT_SAID = re.compile(r".*failed: (?P<reason>.+)")
_NOT_NOW = re.compile(r"starting up|shutting down|recovery mode|not (yet )?accepting connections")
_BY_STATE = {"57014": Unseen.TIMEOUT, "55P03": Unseen.LOCKED, "42501": Unseen.FORBIDDEN}


def application_name(version: str, host: str, pid: int, part: str = "") -> str:
    """`alpimonitor-watchdog VERSION HOST PID`, in ASCII as the server wants it, the host cut to fit.

    `part` comes last: a connection of its own within the sidecar, such as listener, or another command.
    """
    before, after = f"alpimonitor-watchdog {version[:20]} ", f" {pid} {part}".rstrip()
    ascii_host = "".join(character if " " < character < "\x7f" else "?" for character in host)
    return before + ascii_host[: _LONGEST_NAME - len(before) - len(after)] + after


class Unseeable(Exception):
    """There is no connection. `unseen` and `detail` say why, without a password."""

    def __init__(self, unseen: Unseen, detail: str) -> None:
        super().__init__(detail)
        self.unseen = unseen
        self.detail = detail


class Link:
    """`open` and `drop` belong to the thread that looks; `sever` may be called from any other."""

    def __init__(self, url: str, *, timeout: float, application_name: str) -> None:
        """`timeout`, in seconds, is that of each statement and of each wait for a lock."""
        given = conninfo_to_dict(url)
        milliseconds = max(1, round(timeout * 1000))
        options = (
            f"{given.get('options') or ''} -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
            # Raises where row security would hide rows, instead of showing what is left.
            " -c row_security=off"
            # A plan of a thousand small counts looks expensive enough to compile, and never is.
            " -c jit=off -c max_parallel_workers_per_gather=0"
            # A database may be set to write times in a way that the driver does not read.
            " -c datestyle=ISO"
            # The same statements each second: planned once.
            " -c plan_cache_mode=force_generic_plan"
        )
        self.place = f"{given.get('host') or 'the local socket'}:{given.get('port') or 5432}"
        self._parameters = {
            **_TCP,
            **given,
            "options": options.strip(),
            "connect_timeout": CONNECT_SECONDS,
            "application_name": application_name,
            "client_encoding": "utf8",
        }
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._severed = False

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    @property
    def lost(self) -> bool:
        """Whether the kept connection ended, so that nothing more can be asked on it."""
        return self._connection is None or is_lost(self._connection)

    def allow(self) -> None:
        """A new look begins: what severed the last one no longer counts."""
        self._severed = False

    def open(self) -> psycopg.Connection:
        """The kept connection, or a new one. Raises Unseeable."""
        if self._severed:
            raise Unseeable(Unseen.UNREACHABLE, f"{self.place} did not answer in time")
        if self._connection is None:
            try:
                connection = psycopg.connect(**self._parameters, autocommit=True)  # type: ignore[arg-type]
            except psycopg.OperationalError as error:
                raise self._unseeable(str(error)) from None
            with self._lock:
                self._connection = connection
        return self._connection

    def refusal(self) -> str | None:
        """The SQLSTATE with which the server refuses a connection now; None: it does not, or it is not known.

        Connects once more for it. Never raises.
        """
        try:
            return sqlstate(make_conninfo(**self._parameters), within=REFUSAL_SECONDS)  # type: ignore[arg-type]
        except (OSError, psycopg.Error):
            return None

    def drop(self) -> None:
        """Close the connection, if there is one; the next `open` makes another."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def sever(self) -> None:
        """End whatever the looking thread waits for: its statement fails as if the network had been cut."""
        with self._lock, contextlib.suppress(psycopg.Error, OSError):
            self._severed = True
            if self._connection is not None:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as wire:
                    wire.shutdown(socket.SHUT_RDWR)

    def _unseeable(self, said: str) -> Unseeable:
        server = _SERVER_SAID.search(said)
        if server and not _NOT_NOW.search(server["reason"]):
            return Unseeable(Unseen.REFUSED, f"{self.place} refused the sidecar: {server['reason']}")
        if "no password supplied" in said:
            return Unseeable(Unseen.REFUSED, f"{self.place} asks for a password and the URL has none")
        client = server or _CLIENT_SAID.search(said)
        reason = client["reason"] if client else said.strip().splitlines()[0]
        return Unseeable(Unseen.UNREACHABLE, f"{self.place} cannot be reached: {reason}")


def is_lost(connection: psycopg.Connection) -> bool:
    """Whether a connection ended."""
    return connection.closed or connection.broken


def unseen(error: psycopg.Error) -> tuple[Unseen, str]:
    """Why a statement showed nothing, and the server's words for it."""
    said = error.diag.message_primary or (str(error).strip() or type(error).__name__).splitlines()[0]
    return _BY_STATE.get(error.sqlstate or "", Unseen.ERROR), said
