"""One look of the sidecar at 9 and at 1,000 tables, beside `SELECT 1` and counting every table in full.

The flight recorder is armed on all of them, so that a look reads its state and its events, too.

The three are measured in turn, round by round, on connections to one server, so that a slow moment of the
machine falls on all of them. `database_ms` is what a look costs the database: the processor time of the
server's process that answers, over all looks, with what they take anew now and then. It is read from /proc,
and left out where there is none.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import psycopg
from psycopg import sql

from alpimonitor_watchdog.core.seen import DatabaseSeen
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from tests.armed import arm
from tests.benchmarks.figures import Row, Say, figures
from tests.databases import chosen_database, new_database, postgres_for_tests

ROWS_EACH = 100


def run(runs: int | None, say: Say) -> list[Row]:
    rounds = runs or 300
    rows: list[Row] = []
    choice = chosen_database()
    with postgres_for_tests(choice) as server:
        say(f"PostgreSQL {server.version}, {rounds} rounds, {ROWS_EACH} rows a table")
        for tables in (9, 1000):
            with new_database(server) as url:
                rows += _measure(url, tables, rounds)
    return rows


def _measure(url: str, tables: int, rounds: int) -> list[Row]:
    names = [f"guarded_{number}" for number in range(tables)]
    with psycopg.connect(url, autocommit=True) as plain:
        plain.execute("SET max_parallel_workers_per_gather = 0")
        for name in names:
            plain.execute(
                sql.SQL("CREATE TABLE {} AS SELECT g AS id FROM generate_series(1, {}) g").format(
                    sql.Identifier(name), ROWS_EACH
                )
            )
        arm(plain, *names)
        plain.execute("VACUUM ANALYZE")
        counting = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)) for name in names
        )
        probe = DatabaseProbe(
            url,
            [Guarded(name, context=True) for name in names],
            application_name="benchmark",
            timeout=5.0,
        )
        timed: dict[str, list[float]] = {
            "the sidecar's look": [],
            "SELECT 1": [],
            "count(*) of every table": [],
        }
        try:
            while not all(table.content for table in probe.look().tables):
                pass  # a few at each look, until the content of all is known
            process = _process(plain)
            spent = 0.0
            for number in range(rounds + 10):
                if number == 10:
                    spent = _processor_seconds(process)
                began = perf_counter()
                seen = probe.look()
                looked = perf_counter()
                plain.execute("SELECT 1", prepare=True).fetchall()
                one = perf_counter()
                plain.execute(counting, prepare=True).fetchall()
                counted = perf_counter()
                if [t.rows for t in seen.tables] != [ROWS_EACH] * tables or not _armed(seen):
                    raise RuntimeError(f"the look went wrong: {seen.detail or seen.tables[:3]}")
                if number >= 10:  # the first rounds prepare statements and fill caches
                    timed["the sidecar's look"].append(looked - began)
                    timed["SELECT 1"].append(one - looked)
                    timed["count(*) of every table"].append(counted - one)
            spent = _processor_seconds(process) - spent
        finally:
            probe.close()
    rows: list[Row] = [{"what": what, "tables": tables, **figures(took)} for what, took in timed.items()]
    if spent:
        rows[0]["database_ms"] = round(spent / rounds * 1000, 3)
    return rows


def _armed(seen: DatabaseSeen) -> bool:
    return seen.recorder is not None and seen.recorder.armed and seen.recorder.readable


def _process(plain: psycopg.Connection) -> Path:
    row = plain.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'benchmark'").fetchone()
    assert row is not None
    return Path(f"/proc/{row[0]}/schedstat")


def _processor_seconds(process: Path) -> float:
    """What a process has had of a processor; 0 where that cannot be told, or the server is elsewhere."""
    try:
        return int(process.read_text().split()[0]) / 1e9
    except OSError:
        return 0.0
