"""A standby: nobody listens there, and all the rest is seen."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import psycopg
import pytest

from alpimonitor_rehearsal.postgres import PostgresServer, running_postgres
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from alpimonitor_watchdog.recorder.listener import Listener
from tests.armed import arm


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute("CREATE TABLE station AS SELECT generate_series(1, 7) AS id")
            arm(admin, "station")
            admin.execute("DELETE FROM station WHERE id = 1")
        yield server


def test_on_a_standby_the_recorder_and_the_fingerprint_are_read_and_nobody_listens(
    server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    woken: list[None] = []
    probe = DatabaseProbe(
        server.url(), [Guarded("station", context=True)], application_name="following", timeout=5.0
    )
    listener = Listener(server.url(), lambda: woken.append(None), application_name="listening")
    try:
        before = probe.look()
        server.stop()
        server.become_standby()
        server.start()
        listener.start()
        seen = probe.look()
        assert seen.unseen is None, seen.detail
        assert (seen.in_recovery, seen.tables[0].rows) == (True, 6)
        assert seen.fingerprint is not None
        assert before.fingerprint is not None
        assert seen.fingerprint.in_recovery
        assert (seen.fingerprint.timeline, seen.fingerprint.identity) == (1, before.fingerprint.identity)
        assert seen.fingerprint.lsn is not None
        assert before.fingerprint.lsn is not None
        assert seen.fingerprint.lsn >= before.fingerprint.lsn
        assert seen.recorder is not None
        assert before.recorder is not None
        assert seen.recorder.armed
        assert (len(before.recorder.events), len(seen.recorder.events)) == (1, 0)
        wait_until("a refusal", lambda: "is a standby, where nobody can listen" in caplog.text, deadline=15)
        assert not listener.listening
        assert woken == []
    finally:
        listener.stop(10)
        probe.close()


def test_what_is_replayed_is_read_once_by_a_probe_of_the_standby(server: PostgresServer) -> None:
    """A snapshot of a standby does not list what is in progress: what it may have missed is read again."""
    server.stop()
    server.become_standby()
    server.start()
    probe = DatabaseProbe(
        server.url(), [Guarded("station", context=True)], application_name="following", timeout=5.0
    )
    try:
        found = [probe.look().recorder for _ in range(3)]
    finally:
        probe.close()
    assert [len(recorder.events) if recorder else None for recorder in found] == [1, 0, 0]
