"""How the API reaches PostgreSQL: few connections, one statement a request, every wait bounded.

Why not SQLAlchemy's engine or psycopg_pool. The statements are compiled at import (`queries.building`), so
an engine would only add its cost. psycopg_pool reconnects in the background, with pauses that grow to
minutes: while the database is away each request waits out its whole time, and after it is back the API may
still not have noticed. Here a request that finds no usable connection opens one itself: a refused connection
is an answer at once, and the first request after a restart finds the database again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from alpimonitor_api.bounded import ended
from alpimonitor_api.queries.building import Statement
from alpimonitor_api.slots import Slots, Usage

logger = logging.getLogger(__name__)

Row = tuple[bytes, ...]
"""The columns of a row as PostgreSQL wrote them, UTF-8; empty for NULL (no statement gives an empty text)."""

SESSION_SETTINGS = "-c jit=off -c statement_timeout=60s"
"""jit: compiling costs more than any statement here takes. The time-out is for a server whose client died; a
living client cancels its statement much earlier."""

Result = TypeVar("Result")

BEGIN = Statement(b"BEGIN")  # stands for all transactions where failures are noted by statement


class Reason(Enum):
    """Why there is no answer from the database."""

    UNREACHABLE = "unreachable"  # no connection, or it broke
    TOO_SLOW = "too_slow"  # busy, locked, stopped, or its packets are lost
    NO_SCHEMA = "no_schema"  # a table or column is missing: not migrated, or dropped
    NO_RIGHT = "no_right"  # the role may not read a table, or not write it
    READ_ONLY = "read_only"  # a standby, or told to take no changes
    OUTCOME_UNKNOWN = "outcome_unknown"  # the connection broke, or fell silent, at the commit


class DatabaseUnavailable(Exception):
    """The database cannot answer now. The text is the server's or driver's: for the log, not for clients."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Access:
    """Where the database is and how to behave there."""

    url: str
    application_name: str
    transaction_pooler: bool  # prepared statements and session settings are not to be had
    connect_timeout: float  # seconds

    def conninfo(self) -> str:
        """What libpq is told, beside the URL, whose own `options` are kept."""
        told: dict[str, str | int] = {
            "application_name": self.application_name,
            "client_encoding": "utf8",
            "connect_timeout": max(2, math.ceil(self.connect_timeout)),
            # Without it a connection whose peer has vanished is given up after a quarter of an hour.
            "tcp_user_timeout": math.ceil(self.connect_timeout * 1000),
        }
        if not self.transaction_pooler:
            own = conninfo_to_dict(self.url).get("options")
            told["options"] = f"{SESSION_SETTINGS} {own}" if own else SESSION_SETTINGS
        return make_conninfo(self.url, **told)


class Transaction:
    """What `Database.transaction` hands to its work."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection
        self.committing = False

    async def row(self, statement: Statement, parameters: Mapping[str, object]) -> Row:
        """The first row of a statement; an empty one when there is none. Raises DatabaseUnavailable, or
        another psycopg.Error when the statement itself is wrong or a constraint refuses what it writes."""
        try:
            return _first_row(await self._connection.execute(statement, parameters))
        except psycopg.Error as error:
            raise _translated(error) from error


class Database:
    """At most `size` connections, opened when needed and kept. Belongs to the event loop that uses it.

    Invariant: a connection is either idle, or used by exactly one statement or transaction, or closed.
    """

    def __init__(self, access: Access, *, size: int, name: str) -> None:
        self._access = access
        self._name = name
        self._slots = Slots(size)
        self._idle: deque[psycopg.AsyncConnection] = deque()
        self._running: set[asyncio.Task[Any]] = set()
        self._failing: dict[Statement, Reason] = {}
        self._failures = dict.fromkeys(Reason, 0)

    async def row(self, statement: Statement, parameters: Mapping[str, object], *, within: float) -> Row:
        """The first row of a statement that only reads; an empty one when there is none.

        Waits at most `within` seconds, connecting and queueing included, then cancels the statement and
        raises DatabaseUnavailable. Any other psycopg.Error means that the statement itself is wrong.
        """
        task = asyncio.create_task(self._row(statement, parameters))
        self._running.add(task)
        task.add_done_callback(self._finished)
        try:
            await ended(task, within=within)
            if not task.done():
                await self._drop_idle()
                raise DatabaseUnavailable(Reason.TOO_SLOW, f"no answer within {within:g} s")
            answer = task.result()
        except DatabaseUnavailable as failure:
            self._note_failure(statement, failure)
            raise
        finally:
            task.cancel()
        self._note_answer(statement)
        return answer

    def usage(self) -> Usage:
        """How this lane is used at the moment, and how often it has failed since the start."""
        failures = {reason.value: number for reason, number in self._failures.items()}
        slots = self._slots
        return Usage(self._name, slots.size, slots.taken, len(self._idle), slots.waiting, failures)

    async def transaction(self, work: Callable[[Transaction], Awaitable[Result]], *, within: float) -> Result:
        """What `work` returns, once what it wrote is committed; whatever it raises undoes all of it.

        Waits at most `within` seconds, connecting and queueing included. Raises DatabaseUnavailable: nothing
        was written, unless its reason is OUTCOME_UNKNOWN. Work that began is never begun again.
        """
        begun: list[Transaction] = []
        task = asyncio.create_task(self._transaction(work, begun))
        self._running.add(task)
        task.add_done_callback(self._finished)
        try:
            await ended(task, within=within)
            if not task.done():
                task.cancel()  # no await before it: what has not sent its commit by now never will
                committing = any(transaction.committing for transaction in begun)
                reason = Reason.OUTCOME_UNKNOWN if committing else Reason.TOO_SLOW
                await self._drop_idle()
                raise DatabaseUnavailable(reason, f"no answer within {within:g} s")
            result = task.result()
        except DatabaseUnavailable as failure:
            self._note_failure(BEGIN, failure)
            raise
        finally:
            if not task.cancelling():  # else it tells the server so: a second call would break that off
                task.cancel()
        self._note_answer(BEGIN)
        return result

    async def close(self, *, within: float = 1.0) -> None:
        """Close what is idle and cancel what runs, waiting at most `within` seconds for it."""
        running = tuple(self._running)
        for task in running:
            # One that is being cancelled tells the server so right now: a second call would break that off.
            if not task.cancelling():
                task.cancel()
        if running:
            await asyncio.wait(running, timeout=within)
        await self._drop_idle()

    async def _row(self, statement: Statement, parameters: Mapping[str, object]) -> Row:
        async with self._slots:
            while True:
                kept = bool(self._idle)
                connection = self._idle.pop() if kept else await self._connect()
                try:
                    return _first_row(await connection.execute(statement, parameters))
                except psycopg.Error as error:
                    # A kept connection may have died with the server it led to: the statement only reads,
                    # so it is safe to ask again, in the end over a new one.
                    if not (kept and connection.closed):
                        raise _translated(error) from error
                finally:
                    await self._give_back(connection)

    async def _transaction(
        self, work: Callable[[Transaction], Awaitable[Result]], begun: list[Transaction]
    ) -> Result:
        async with self._slots:
            while True:
                kept = bool(self._idle)
                connection = self._idle.pop() if kept else await self._connect()
                try:
                    async with connection.transaction():
                        transaction = Transaction(connection)
                        begun.append(transaction)
                        result = await work(transaction)
                        transaction.committing = True
                    return result
                except psycopg.Error as error:
                    if any(transaction.committing for transaction in begun) and connection.closed:
                        raise DatabaseUnavailable(Reason.OUTCOME_UNKNOWN, str(error)) from error
                    # A kept connection may have died with the server it led to: nothing has begun over it.
                    if begun or not (kept and connection.closed):
                        raise _translated(error) from error
                finally:
                    await self._give_back(connection)

    async def _connect(self) -> psycopg.AsyncConnection:
        try:
            return await psycopg.AsyncConnection.connect(
                self._access.conninfo(),
                autocommit=True,
                prepare_threshold=None if self._access.transaction_pooler else 0,
            )
        except psycopg.Error as error:
            raise DatabaseUnavailable(Reason.UNREACHABLE, str(error)) from error

    async def _give_back(self, connection: psycopg.AsyncConnection) -> None:
        # A connection that is closed or broken is never said to be idle.
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            await connection.close()

    async def _drop_idle(self) -> None:
        """After a silence none of the others is trusted: they lead to the same server."""
        while self._idle:
            await self._idle.pop().close()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # read, or asyncio complains of the failure of a statement nobody waits for

    def _note_failure(self, statement: Statement, failure: DatabaseUnavailable) -> None:
        """One line when it begins, not one a request; a missing table fails only some statements."""
        self._failures[failure.reason] += 1
        if self._failing.get(statement) is not failure.reason:
            self._failing[statement] = failure.reason
            told = {"action": "database_unavailable", "reason": failure.reason.value, "lane": self._name}
            logger.warning("The database does not answer: %s", failure, extra=told)

    def _note_answer(self, statement: Statement) -> None:
        if self._failing.pop(statement, None) is not None:
            told = {"action": "database_available", "lane": self._name}
            logger.info("The database answers again", extra=told)


def _first_row(cursor: psycopg.AsyncCursor[Any]) -> Row:
    result = cursor.pgresult
    if result is None or result.ntuples == 0:
        return ()
    return tuple(result.get_value(0, column) or b"" for column in range(result.nfields))


def _translated(error: psycopg.Error) -> Exception:
    match error:
        case (
            psycopg.errors.UndefinedTable()
            | psycopg.errors.UndefinedColumn()
            | psycopg.errors.UndefinedFunction()
        ):
            return DatabaseUnavailable(Reason.NO_SCHEMA, str(error))
        case psycopg.errors.InsufficientPrivilege():
            return DatabaseUnavailable(Reason.NO_RIGHT, str(error))
        case psycopg.errors.ReadOnlySqlTransaction():
            return DatabaseUnavailable(Reason.READ_ONLY, str(error))
        case psycopg.errors.QueryCanceled() | psycopg.errors.LockNotAvailable():
            return DatabaseUnavailable(Reason.TOO_SLOW, str(error))
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return DatabaseUnavailable(Reason.UNREACHABLE, str(error))
    return error
