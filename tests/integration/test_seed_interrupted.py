"""A seed that is stopped, killed or cut off, at each of its stages: all or nothing, and no lock is kept.

The stages are held up by real locks of somebody else, who keeps them until all has been looked at: what ends
the seed's session must not be that its statement ended.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from alpimonitor_rehearsal.processes import Child, Processes, environment, python_module
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_seed.fixtures import TABLES, load
from tests import running

SHIPPED = {table: len(rows) for table, rows in load().rows.items()}
NOTHING = dict.fromkeys(TABLES, 0)
STOPPED = [("failed", "interrupted; nothing was written")]
CHANGE_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('alpimonitor:change', 0))"
IS_FREE = "SELECT pg_try_advisory_xact_lock(hashtextextended('alpimonitor:change', 0))"
SLOW_COMMIT = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON catchment DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow();
"""
SESSIONS = (
    "SELECT wait_event_type FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'alpimonitor-seed%'"
)


class Stage(Enum):
    """Where a seed is, and what holds it up there."""

    QUEUE = CHANGE_LOCK  # nothing is written, another seed is at work
    TABLES = "LOCK TABLE sensor IN SHARE MODE"  # half of the tables are written
    COMMIT = "SELECT pg_advisory_xact_lock(42)"  # everything is written and recorded


def interrupt(seed: Child, _network: TcpProxy) -> None:
    seed.process.send_signal(signal.SIGINT)


def terminate(seed: Child, _network: TcpProxy) -> None:
    seed.process.send_signal(signal.SIGTERM)


def kill(seed: Child, _network: TcpProxy) -> None:
    seed.process.kill()


def cut_off(_seed: Child, network: TcpProxy) -> None:
    network.cut()


def counts(watcher: psycopg.Connection) -> dict[str, int]:
    found = {}
    for table in TABLES:
        row = watcher.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        found[table] = int(row[0])
    return found


def sessions(watcher: psycopg.Connection) -> list[str | None]:
    """What each session of a seed waits for."""
    return [row[0] for row in watcher.execute(SESSIONS).fetchall()]


def records(watcher: psycopg.Connection) -> list[tuple[str, str | None]]:
    found = watcher.execute("SELECT outcome, reason FROM seed_run ORDER BY at").fetchall()
    return [(outcome, reason) for outcome, reason in found]


@contextmanager
def held_up(url: str, stage: Stage) -> Iterator[psycopg.Connection]:
    """Somebody who holds what the stage needs; asks and answers over another connection."""
    with psycopg.connect(url, autocommit=True) as watcher, psycopg.connect(url) as somebody:
        if stage is Stage.COMMIT:
            watcher.execute(SLOW_COMMIT.encode())
        somebody.execute(stage.value.encode())
        yield watcher
        somebody.rollback()


@pytest.fixture
def network(database: str) -> Iterator[TcpProxy]:
    parts = conninfo_to_dict(database)
    with TcpProxy(str(parts["host"]), int(parts["port"] or 5432)) as proxy:
        yield proxy


@pytest.mark.parametrize(
    ("harm", "code", "recorded"),
    [
        (interrupt, 130, STOPPED),
        (terminate, 130, STOPPED),
        (kill, -signal.SIGKILL, []),
        (cut_off, 5, []),  # nor can it be recorded: the network is gone
    ],
)
@pytest.mark.parametrize("stage", Stage)
def test_whatever_ends_it_nothing_is_half_written_no_lock_is_kept_and_the_next_one_completes(
    database: str,
    tmp_path: Path,
    network: TcpProxy,
    stage: Stage,
    harm: Callable[[Child, TcpProxy], None],
    code: int,
    recorded: list[tuple[str, str]],
) -> None:
    address = urlsplit(database)
    netloc = f"{address.netloc.rpartition('@')[0]}@{network.host}:{network.port}"
    settings = {"ALLOW_PROD_SEED": "1", "SEED_DATABASE_URL": urlunsplit(address._replace(netloc=netloc))}
    with Processes(tmp_path) as processes, held_up(database, stage) as watcher:
        command = python_module("alpimonitor_cli.main", "seed")
        seed = processes.start("seed", command, {**environment(tmp_path, os.environ), **settings})
        seed.until("be held up", lambda: sessions(watcher) == ["Lock"], deadline=running.DEADLINE)
        harm(seed, network)
        assert seed.process.wait(running.DEADLINE) == code, seed.logged()
        wait_until("its session ending", lambda: not sessions(watcher), deadline=running.DEADLINE)
        assert counts(watcher) == NOTHING
        # What is stopped in its commit cannot know, so it does not say that it failed.
        assert records(watcher) == ([] if stage is Stage.COMMIT else recorded)
        if stage is not Stage.QUEUE:
            assert watcher.execute(IS_FREE).fetchone() == (True,)
        assert "Traceback" not in seed.logged()

    network.heal()
    done = running.run(tmp_path, "seed --json", {**settings, "LOG_LEVEL": "error"})
    assert done.code == 0, done.said
    with psycopg.connect(database) as watcher:
        assert counts(watcher) == SHIPPED
        assert records(watcher)[-1] == ("applied", None)
