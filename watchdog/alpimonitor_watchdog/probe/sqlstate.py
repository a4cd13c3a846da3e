"""The SQLSTATE with which a server refuses a connection: its words may be in any language.

libpq keeps that code to itself when a connection fails, and so psycopg's error has none; but libpq writes it
to the trace of its protocol. Only Linux has that trace in psycopg, and the memory file it goes to, which
nobody else can read and which ends with this call: a password sent in clear text would be in it.
"""

from __future__ import annotations

import os
import re
import select
import sys

from psycopg import pq

REFUSED = re.compile(rb'\tErrorResponse\t.* C "(?P<code>[0-9A-Z]{5})" ')


def sqlstate(conninfo: str, *, within: float) -> str | None:
    """Connect once and tell how the server refused; None when it did not, or not in words of PostgreSQL.

    `within` bounds each wait for the server, in seconds; looking its name up is libpq's and not bounded.
    """
    if sys.platform != "linux":
        return None
    connection = pq.PGconn.connect_start(conninfo.encode())
    trace = os.memfd_create("protocol")
    try:
        if connection.status != pq.ConnStatus.BAD:
            connection.trace(trace)
            _finish_connecting(connection, within)
            connection.untrace()
        refusals = REFUSED.findall(os.pread(trace, os.fstat(trace).st_size, 0))
    finally:
        connection.finish()
        os.close(trace)
    return refusals[-1].decode() if refusals else None


def _finish_connecting(connection: pq.abc.PGconn, within: float) -> None:
    wanted = pq.PollingStatus.WRITING
    while wanted in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
        waiting = select.poll()
        events = select.POLLIN if wanted is pq.PollingStatus.READING else select.POLLOUT
        waiting.register(connection.socket, events)
        if not waiting.poll(within * 1000):
            return
        wanted = pq.PollingStatus(connection.connect_poll())
