"""The listener: wakes the loop when the recorder says something, and is nobody's weak point."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.recorder.listener import Listener
from tests.armed import arm
from tests.login_roles import login_role

NAME = "sidecar listener"


class Loop:
    """What the listener wakes: counts how often."""

    def __init__(self) -> None:
        self.woken = 0
        self._changed = threading.Condition()

    def wake(self) -> None:
        with self._changed:
            self.woken += 1
            self._changed.notify_all()

    def wait_for(self, woken: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.woken >= woken, timeout=15), (
                f"woken {self.woken} times"
            )


@contextlib.contextmanager
def listening(url: str, loop: Loop) -> Iterator[Listener]:
    listener = Listener(url, loop.wake, application_name=NAME)
    listener.start()
    try:
        wait_until("listening", lambda: listener.listening, deadline=15)
        loop.wait_for(1)
        yield listener
    finally:
        listener.stop(10)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def admin(empty_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE station AS SELECT generate_series(1, 7) AS id")
        yield connection


def notify(admin: psycopg.Connection) -> None:
    admin.execute("SELECT pg_notify('flight_recorder', '4711')")


def test_a_recorded_statement_wakes_the_loop_when_it_is_committed(
    admin: psycopg.Connection, empty_database: str, loop: Loop
) -> None:
    arm(admin, "station")
    with listening(empty_database, loop), psycopg.connect(empty_database) as deleting:
        deleting.execute("DELETE FROM station")
        notify(admin)  # somebody else's, by which to know that the one before was not heard
        loop.wait_for(2)
        assert loop.woken == 2
        deleting.commit()
        loop.wait_for(3)


def test_a_role_without_any_right_may_listen(
    admin: psycopg.Connection, empty_database: str, loop: Loop
) -> None:
    with login_role(empty_database) as role, listening(role.url, loop):
        notify(admin)
        loop.wait_for(2)


def test_its_connection_can_be_told_from_others(
    admin: psycopg.Connection, empty_database: str, loop: Loop
) -> None:
    with listening(empty_database, loop):
        found = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (NAME,)
        ).fetchone()
        assert found == (1,)


def test_when_its_session_is_ended_it_listens_again_and_wakes_the_loop_for_what_it_missed(
    admin: psycopg.Connection, empty_database: str, loop: Loop
) -> None:
    with listening(empty_database, loop) as listener:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (NAME,)
        )
        loop.wait_for(2)
        wait_until("listening again", lambda: listener.listening, deadline=15)
        notify(admin)
        loop.wait_for(3)


def test_a_network_that_fails_is_a_reason_to_try_again_and_not_to_be_believed(
    admin: psycopg.Connection, empty_database: str, loop: Loop
) -> None:
    parts = urlsplit(empty_database)
    assert parts.hostname is not None
    with TcpProxy(parts.hostname, parts.port or 5432) as proxy:
        place = f"{parts.netloc.rpartition('@')[0]}@{proxy.host}:{proxy.port}"
        with listening(urlunsplit(parts._replace(netloc=place)), loop) as listener:
            proxy.cut()
            wait_until("hearing nothing", lambda: not listener.listening, deadline=15)
            proxy.heal()
            wait_until("listening again", lambda: listener.listening, deadline=15)
            heard = loop.woken
            notify(admin)
            loop.wait_for(heard + 1)


def test_a_flood_of_forged_notifications_wakes_the_loop_at_most_twenty_times_a_second(
    admin: psycopg.Connection, empty_database: str, loop: Loop
) -> None:
    with listening(empty_database, loop):
        began = time.monotonic()
        for number in range(2000):
            admin.execute("SELECT pg_notify('flight_recorder', %s)", (f"{number} {'x' * 7000}",))
        heard, lasted = loop.woken, time.monotonic() - began
        assert 2 <= heard <= 2 + lasted / 0.05
        # What came last is not lost among the others.
        admin.execute("SELECT 1")
        loop.wait_for(heard + 1)


def test_a_session_that_may_not_be_idle_for_long_is_kept_all_the_same(
    admin: psycopg.Connection, empty_database: str, loop: Loop
) -> None:
    name = sql.Identifier(admin.info.dbname)
    admin.execute(sql.SQL("ALTER DATABASE {} SET idle_session_timeout = '50ms'").format(name))
    with listening(empty_database, loop) as listener:
        with psycopg.connect(empty_database) as idle:
            # Another one is ended by then.
            wait_until("the end of another session", lambda: not _alive(admin, idle), deadline=15)
        assert listener.listening
        assert loop.woken == 1


def _alive(admin: psycopg.Connection, other: psycopg.Connection) -> bool:
    pid = other.pgconn.backend_pid
    row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return row == (1,)


def test_on_a_database_that_is_not_there_it_goes_on_trying(
    admin: psycopg.Connection, empty_database: str, loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    missing = f"{admin.info.dbname}_later"
    url = urlunsplit(urlsplit(empty_database)._replace(path=f"/{missing}"))
    listener = Listener(url, loop.wake, application_name=NAME)
    listener.start()
    try:
        wait_until("a refusal", lambda: "does not exist" in caplog.text, deadline=15)
        assert not listener.listening
        assert loop.woken == 0
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(missing)))
        loop.wait_for(1)
        assert listener.listening
        assert caplog.text.count("does not exist") == 1
    finally:
        listener.stop(10)
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(missing)))


def test_stopping_ends_its_thread_and_its_session(
    admin: psycopg.Connection, empty_database: str, loop: Loop
) -> None:
    with listening(empty_database, loop) as listener:
        listener.stop(10)
        assert not listener.listening
        assert "listener" not in {thread.name for thread in threading.enumerate()}
    wait_until(
        "the end of its session",
        lambda: (
            admin.execute(
                "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = %s", (NAME,)
            ).fetchone()
            == (True,)
        ),
        deadline=15,
    )


def test_stopping_does_not_wait_for_a_network_that_hangs(empty_database: str, loop: Loop) -> None:
    parts = urlsplit(empty_database)
    assert parts.hostname is not None
    with TcpProxy(parts.hostname, parts.port or 5432) as proxy:
        proxy.hang()
        place = f"{parts.netloc.rpartition('@')[0]}@{proxy.host}:{proxy.port}"
        listener = Listener(urlunsplit(parts._replace(netloc=place)), loop.wake, application_name=NAME)
        listener.start()
        wait_until("a connection", lambda: proxy.connections == 1, deadline=15)
        listener.stop()
        assert loop.woken == 0


def test_one_that_was_never_started_can_be_stopped(loop: Loop) -> None:
    listener = Listener("postgresql://127.0.0.1:1/nowhere", loop.wake, application_name=NAME)
    listener.stop()
    assert not listener.listening
