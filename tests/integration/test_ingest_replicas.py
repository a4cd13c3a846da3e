"""Several processes with one schedule and one database: who asks LINDAS, and who takes over."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import psycopg
import pytest

from alpimonitor_api.ingest.outcome import Outcome
from alpimonitor_api.ingest.run import Ingestion
from alpimonitor_api.ingest.sharing import SharedPass
from alpimonitor_api.ingest.source import HttpSource, Payload
from alpimonitor_api.ingest.store import Store
from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.clock import utc_now
from alpimonitor_rehearsal.simulator import Fault, Simulator
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from tests.api_client import NOWHERE
from tests.passes import Bytes, execute, ingestion, rows, runs

EVERY = timedelta(minutes=10)
IN_STEP = pytest.approx(600, abs=60)
TURN = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def replica(url: str, simulator: Simulator) -> SharedPass:
    """One of those that share a schedule. The runs of others are judged by the database's clock."""
    source = HttpSource(simulator.url, jitter=lambda low, high: low)
    one = Ingestion(source, Store(url), archive_root=None, clock=utc_now, monotonic=lambda: 0.0)
    return SharedPass(one, EVERY, monotonic=lambda: 0.0, jitter=lambda low, high: low)


def an_interval_later(url: str) -> None:
    execute(url, "UPDATE ingestion_run SET started_at = started_at - interval '10 minutes'")


def test_three_replicas_ask_once_an_interval(seeded_database: str, simulator: Simulator) -> None:
    replicas = [replica(seeded_database, simulator) for _ in range(3)]
    for interval in (1, 2, 3):
        together = threading.Barrier(3)

        def pass_of(one: SharedPass, together: threading.Barrier = together) -> float | None:
            together.wait(20)
            return one()

        with ThreadPoolExecutor(3) as threads:
            waits = list(threads.map(pass_of, replicas))
        assert waits.count(None) == 1, "the one that asked goes on at its interval"
        # The others found it at it or done; those that found it at it look again.
        again = [one() for one, wait in zip(replicas, waits, strict=True) if wait == 60]
        assert [wait for wait in waits + again if wait not in (None, 60)] == [IN_STEP] * 2
        assert (simulator.queries, len(runs(seeded_database))) == (interval, interval)
        an_interval_later(seeded_database)


def test_a_replica_that_started_in_the_last_minute_spares_the_next_and_an_older_one_does_not(
    seeded_database: str, simulator: Simulator
) -> None:
    assert replica(seeded_database, simulator)() is None
    assert replica(seeded_database, simulator)() == IN_STEP
    execute(seeded_database, "UPDATE ingestion_run SET started_at = started_at - interval '1 minute'")
    assert replica(seeded_database, simulator)() is None
    assert simulator.queries == 2


@pytest.mark.parametrize(
    ("change", "spared"),
    [
        ("status = 'PARTIAL'", True),
        ("started_at = started_at - interval '8 minutes'", True),
        ("started_at = started_at - interval '9 minutes'", False),
        ("started_at = started_at + interval '8 minutes'", True),  # by a clock that runs ahead
        ("started_at = started_at + interval '10 minutes'", False),
        ("status = 'FAILURE'", False),
        ("status = 'FAILURE', http_status = 429", True),  # a pause that the service asked for
        ("http_status = NULL", False),  # it read a file
        ("stations_seen_count = 0", False),
    ],
)
def test_only_a_run_with_news_from_lindas_spares_a_pass(
    seeded_database: str, simulator: Simulator, change: str, spared: bool
) -> None:
    one, other = replica(seeded_database, simulator), replica(seeded_database, simulator)
    assert one() is None
    assert other() == IN_STEP  # its start
    execute(seeded_database, f"UPDATE ingestion_run SET {change}")
    other()
    assert simulator.queries == (1 if spared else 2)


def test_a_pass_that_somebody_asked_for_always_runs(seeded_database: str) -> None:
    for _ in range(2):
        assert ingestion(seeded_database, Bytes(hydrology.payload(utc_now())), now=utc_now()).run().recorded


def test_looking_for_a_run_of_others_leaves_no_table_locked(seeded_database: str) -> None:
    class Locking(Bytes):
        def fetch(self, clock: Callable[[], datetime]) -> Payload:
            execute(seeded_database, "SET lock_timeout = '2s'; LOCK TABLE ingestion_run, measurement")
            return super().fetch(clock)

    source = Locking(hydrology.payload(utc_now()))
    done = ingestion(seeded_database, source, now=utc_now()).run(unless_within=EVERY)
    assert done.outcome is Outcome.SUCCESS


def test_a_schema_that_is_not_there_is_told_by_the_pass_and_not_by_the_look(empty_database: str) -> None:
    done = ingestion(empty_database, Bytes(hydrology.payload(utc_now()))).run(unless_within=EVERY)
    assert done.outcome is Outcome.FAILURE
    assert done.run is not None
    assert "alpimonitor db upgrade" in str(done.run.error_message)


@pytest.mark.acceptance
def test_another_takes_over_from_a_process_that_was_killed_in_its_pass(
    seeded_database: str, simulator: Simulator
) -> None:
    simulator.fault(Fault.SLOW, times=1)
    killed = subprocess.Popen(
        [sys.executable, "-m", "alpimonitor_cli.main", "ingest", "run"],
        env={**os.environ, "DATABASE_URL": seeded_database, "LINDAS_ENDPOINT": simulator.url},
        stderr=subprocess.DEVNULL,
    )
    other = replica(seeded_database, simulator)
    with killed:
        wait_until("its request", lambda: simulator.queries == 1, deadline=60)
        assert other() == 60
        killed.kill()
    wait_until("its turn to end", lambda: not rows(seeded_database, TURN), deadline=20)
    assert other() is None
    assert [run["stations_seen_count"] for run in runs(seeded_database)] == [4]


def test_another_takes_over_from_one_whose_connection_was_cut_and_nothing_is_stored_twice(
    seeded_database: str,
) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(seeded_database)
    body = hydrology.payload(utc_now())
    takers: list[Outcome] = []
    with TcpProxy(str(parts["host"]), int(str(parts["port"]))) as proxy:
        through = psycopg.conninfo.make_conninfo(seeded_database, host=proxy.host, port=proxy.port)

        class Cutting(Bytes):
            def fetch(self, clock: Callable[[], datetime]) -> Payload:
                proxy.cut()
                wait_until("its turn to end", lambda: not rows(seeded_database, TURN), deadline=20)
                takers.append(ingestion(seeded_database, Bytes(body), now=utc_now()).run().outcome)
                return super().fetch(clock)

        lost = ingestion(through, Cutting(body), now=utc_now()).run()
    assert (takers, lost.outcome) == ([Outcome.SUCCESS], Outcome.DATABASE_UNREACHABLE)
    assert [run["measurements_created_count"] for run in runs(seeded_database)] == [8]


def test_a_database_that_comes_late_is_looked_for_each_minute_and_lindas_asked_once_an_interval(
    simulator: Simulator,
) -> None:
    moments = iter((0.0, 60.0, 120.0, 540.0, 600.0, 660.0))
    database = Store(NOWHERE)
    source = HttpSource(simulator.url)
    late = Ingestion(source, database, archive_root=None, clock=utc_now, monotonic=lambda: 0.0)
    one = SharedPass(late, EVERY, monotonic=lambda: next(moments), jitter=lambda low, high: low)
    asked = []
    for _ in range(6):
        assert one() == 60
        asked.append(simulator.queries)
    assert asked == [1, 1, 1, 1, 2, 2]
