"""Writes the `seed_run` row: who seeded what, from where, and how it ended."""

from __future__ import annotations

import importlib.metadata
import os
import socket
from dataclasses import dataclass

import psycopg
from psycopg.types.json import Jsonb

from alpimonitor_api.tables import SeedMode, SeedOutcome
from alpimonitor_seed.target import Target
from alpimonitor_seed.write import Counts

LONGEST_APPLICATION_NAME = 63  # bytes; PostgreSQL cuts what is longer, and would cut the process id


@dataclass(frozen=True)
class Client:
    """Who seeds, as the server and the records see it."""

    version: str
    application_name: str

    @classmethod
    def of_this_process(cls) -> Client:
        version = importlib.metadata.version("alpimonitor")
        return cls(version, application_name(version, socket.gethostname(), os.getpid()))


def application_name(version: str, host: str, pid: int) -> str:
    """`alpimonitor-seed VERSION HOST PID`, in ASCII as the server wants it, the host cut to fit."""
    begin, end = f"alpimonitor-seed {version[:20]} ", f" {pid}"
    room = LONGEST_APPLICATION_NAME - len(begin) - len(end)
    ascii_host = "".join(character if " " < character < "\x7f" else "?" for character in host)
    return begin + ascii_host[:room] + end


def record(
    connection: psycopg.Connection,
    *,
    target: Target,
    client: Client,
    mode: SeedMode,
    outcome: SeedOutcome,
    reason: str | None,
    counts: Counts,
) -> None:
    """Write one row, in the caller's transaction."""
    connection.execute(
        """
        INSERT INTO seed_run (mode, outcome, reason, role, application_name, client_addr, host, database,
                              version, inserted, updated, pruned)
        VALUES (%(mode)s, %(outcome)s, %(reason)s, session_user, %(application_name)s, inet_client_addr(),
                %(host)s, current_database(), %(version)s, %(inserted)s, %(updated)s, %(pruned)s)
        """,
        {
            "mode": mode.value,
            "outcome": outcome.value,
            "reason": reason,
            "application_name": client.application_name,
            "host": target.host,
            "version": client.version,
            "inserted": Jsonb(dict(counts.inserted)),
            "updated": Jsonb(dict(counts.updated)),
            "pruned": Jsonb(dict(counts.pruned)),
        },
    )
