"""What the flight recorder costs the application: bulk and single-row DELETE, and INSERT, beside no recorder.

On a server of its own with fsync on, its variants in turn, round by round, so that a slow moment of the
machine falls on all of them. `ratio` is the median of the ratios of each round to its own round without a
recorder. Single rows come from pgbench, prepared, by key out of a table too large for its rest to be counted.
Bulk statements run in sessions that have recorded before: a session's first event costs a few milliseconds,
in which PostgreSQL reads the functions.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import psycopg
from psycopg import sql

from alpimonitor_rehearsal.postgres import Origin, PostgresServer, find_binaries, running_postgres
from alpimonitor_watchdog.recorder.statements import recorder_sql
from tests.benchmarks.figures import Row, Say, Unmeasurable, figures
from tests.databases import chosen_database

SIZES = (1_000, 100_000, 1_000_000)
SINGLE = {1: 3000, 16: 1000}  # transactions of each client, by the number of clients
SINGLE_TABLE = 200_000  # rows
GOALS = {("DELETE", 1_000_000, 1): 1.8, ("DELETE", 1, 1): 2.2, ("DELETE", 1, 16): 2.2}
_LATENCY = re.compile(r"^tps = (?P<tps>[0-9.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Variant:
    """How a table is watched. `journal` None: not by the recorder. `options` are of its sessions."""

    name: str
    journal: int | None = None
    options: str = ""

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(self.name)


NONE = Variant("none")
RECORDED = (Variant("recorder", journal=0), Variant("recorder with journal", journal=1000))
PGAUDIT = Variant("pgaudit", options="-c pgaudit.log=write")
Timed = dict[tuple[str, int, int, str], list[float]]


def run(runs: int | None, say: Say) -> list[Row]:
    """Rows `{statement, rows, clients, variant, runs, median_ms, p99_ms, ratio, goal}`, for a transaction."""
    rounds = runs or 9
    choice = chosen_database()
    if choice not in ("embedded", "system"):
        raise Unmeasurable(
            "this needs a server of its own with fsync on: set TEST_DATABASE=embedded or system"
        )
    binaries = find_binaries(origins=(Origin.SYSTEM,) if choice == "system" else tuple(Origin))
    timed: Timed = {}
    with running_postgres(durable=True, binaries=binaries) as server:
        variants = (NONE, *RECORDED, *_with_pgaudit(server))
        say(f"{server.description}, fsync on, {rounds} rounds: {', '.join(v.name for v in variants)}")
        with psycopg.connect(server.url(), autocommit=True) as admin:
            # No checkpoint of the server's own in the middle of a figure.
            admin.execute("ALTER SYSTEM SET max_wal_size = '16GB'")
            admin.execute("ALTER SYSTEM SET checkpoint_timeout = '1h'")
            admin.execute("SELECT pg_reload_conf()")
            admin.execute(recorder_sql().encode())
            for variant in variants:
                _make_table(admin, variant)
            for number in range(rounds + 1):
                # The first round fills caches. Each begins with another variant.
                turn = [*variants[number % len(variants) :], *variants[: number % len(variants)]]
                found: Timed = {} if number == 0 else timed
                for variant in turn:
                    with psycopg.connect(server.url(), autocommit=True, options=variant.options) as session:
                        _bulk(session, variant, found)
                    _single(server, admin, variant, found)
                say(f"round {number} of {rounds}")
    return _rows(timed, variants)


def _with_pgaudit(server: PostgresServer) -> tuple[Variant, ...]:
    """pgaudit, loaded into the server, where its library is installed."""
    with psycopg.connect(server.url(), autocommit=True) as admin:
        if admin.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pgaudit'").fetchone() is None:
            return ()
        admin.execute("ALTER SYSTEM SET shared_preload_libraries = 'pgaudit'")
    server.restart()
    return (PGAUDIT,)


def _make_table(admin: psycopg.Connection, variant: Variant) -> None:
    admin.execute(
        sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, name text, value double precision)").format(
            variant.table
        )
    )
    if variant.journal is not None:
        admin.execute(
            "SELECT flight_recorder.guard(%s::regclass, 'context', true, %s)",
            (variant.table.as_string(admin), variant.journal),
        )


def _bulk(session: psycopg.Connection, variant: Variant, timed: Timed) -> None:
    _fill(session, variant, 1)
    session.execute(sql.SQL("DELETE FROM {}").format(variant.table))
    for rows in SIZES:
        session.execute("CHECKPOINT")
        began = perf_counter()
        _fill(session, variant, rows)
        filled = perf_counter()
        session.execute(sql.SQL("VACUUM ANALYZE {}").format(variant.table))
        session.execute("CHECKPOINT")
        deleting = perf_counter()
        session.execute(sql.SQL("DELETE FROM {}").format(variant.table))
        deleted = perf_counter()
        session.execute(sql.SQL("VACUUM {}").format(variant.table))
        timed.setdefault(("INSERT", rows, 1, variant.name), []).append(filled - began)
        timed.setdefault(("DELETE", rows, 1, variant.name), []).append(deleted - deleting)


def _single(server: PostgresServer, admin: psycopg.Connection, variant: Variant, timed: Timed) -> None:
    for clients, transactions in SINGLE.items():
        _fill(admin, variant, SINGLE_TABLE)
        admin.execute(sql.SQL("VACUUM ANALYZE {}").format(variant.table))
        admin.execute("CHECKPOINT")
        # Each client has keys of its own, and no key twice.
        name = variant.table.as_string(admin)
        script = f"\\set n :n + 1\nDELETE FROM {name} WHERE id = :client_id * 10000 + :n;\n"
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            done = subprocess.run(
                [
                    server.binaries.program("pgbench"),
                    *("--no-vacuum", "--protocol=prepared", "--define=n=0"),
                    *(f"--client={clients}", "--jobs=1", f"--transactions={transactions}"),
                    f"--file={file.name}",
                ],
                env={**os.environ, **server.environment(), "PGOPTIONS": variant.options},
                capture_output=True,
                text=True,
                check=False,
            )
        rate = _LATENCY.search(done.stdout)
        if rate is None:
            raise Unmeasurable(f"pgbench: {done.stderr.strip() or done.stdout.strip()}")
        timed.setdefault(("DELETE", 1, clients, variant.name), []).append(1 / float(rate["tps"]))
        admin.execute(sql.SQL("DELETE FROM {}").format(variant.table))
        admin.execute(sql.SQL("VACUUM {}").format(variant.table))


def _fill(session: psycopg.Connection, variant: Variant, rows: int) -> None:
    session.execute(
        sql.SQL("INSERT INTO {} SELECT n, 'name ' || n, n FROM generate_series(1, {}) AS n").format(
            variant.table, rows
        )
    )


def _rows(timed: Timed, variants: tuple[Variant, ...]) -> list[Row]:
    found: list[Row] = []
    for (statement, rows, clients, name), took in sorted(
        timed.items(), key=lambda item: (item[0][:3], [v.name for v in variants].index(item[0][3]))
    ):
        bare = timed[(statement, rows, clients, NONE.name)]
        row: Row = {
            **{"statement": statement, "rows": rows, "clients": clients, "variant": name},
            **figures(took),
            "ratio": round(median(mine / theirs for mine, theirs in zip(took, bare, strict=True)), 2),
        }
        goal = GOALS.get((statement, rows, clients))
        if goal is not None and name == RECORDED[0].name:
            row["goal"] = goal
        found.append(row)
    return found
