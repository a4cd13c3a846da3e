"""Several sidecars on one real database: one leads, whatever happens to it, its session or the network."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from alpimonitor_rehearsal.postgres import running_postgres
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.leadership.lease import Lease
from alpimonitor_watchdog.leadership.session import NotBound, Session
from tests.leading import DEADLINE, LEASE, Starting, holder, leaderships
from tests.login_roles import login_role

CHECKOUT = Path(__file__).resolve().parents[2]
SHORT = 1.0  # seconds, of a lease that a test waits for


@pytest.fixture
def starting() -> Iterator[Starting]:
    with leaderships() as start:
        yield start


@pytest.fixture
def proxy(empty_database: str) -> Iterator[TcpProxy]:
    parts = urlsplit(empty_database)
    assert parts.hostname is not None
    with TcpProxy(parts.hostname, parts.port or 5432) as proxy:
        yield proxy


def through(proxy: TcpProxy, url: str) -> str:
    parts = urlsplit(url)
    place = f"{parts.netloc.rpartition('@')[0]}@{proxy.host}:{proxy.port}"
    return urlunsplit(parts._replace(netloc=place))


@contextlib.contextmanager
def in_a_process(url: str, lease: float) -> Iterator[subprocess.Popen[str]]:
    """A leadership in a process of its own, which leads when this begins."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.leading", "leading", "elsewhere", str(lease)],
        env={**os.environ, "LEADING_URL": url},
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "leads\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_one_leads_and_the_others_know_its_session(empty_database: str, starting: Starting) -> None:
    first = starting(empty_database, "a")
    assert first.until_leads().other is None
    second = starting(empty_database, "b")
    seen = second.until_follows()
    assert seen.other == holder(empty_database)
    assert first.seen.leads
    assert (first.lost, second.lost) == ([], [])


def test_stopping_gives_the_lock_back_and_the_next_one_leads(empty_database: str, starting: Starting) -> None:
    first = starting(empty_database, "a")
    first.until_leads()
    second = starting(empty_database, "b")
    second.until_follows()
    first.leadership.stop()
    assert not first.seen.leads
    assert first.lost == []
    second.until_leads()


def test_a_leader_that_is_killed_is_followed_at_the_next_try(empty_database: str, starting: Starting) -> None:
    with in_a_process(empty_database, LEASE) as process:
        second = starting(empty_database, "b")
        second.until_follows()
        process.kill()
        process.wait()
        # The kernel closed its connection: nobody waits for the lease or for the server's patience.
        wait_until("the lock becoming another's", lambda: second.seen.leads, deadline=DEADLINE)


def test_a_leader_behind_a_partition_gives_up_before_the_server_frees_the_lock(
    empty_database: str, proxy: TcpProxy, starting: Starting
) -> None:
    held_when_lost: list[int | None] = []
    far = starting(
        through(proxy, empty_database),
        "far",
        lease=SHORT,
        on_lost=lambda: held_when_lost.append(holder(empty_database)),
    )
    far.until_leads()
    session = holder(empty_database)
    near = starting(empty_database, "near", lease=SHORT)
    near.until_follows()
    proxy.hang()
    wait_until("the end of the far lease", lambda: not far.seen.leads, deadline=DEADLINE)
    near.until_leads()
    began = time.monotonic()
    # The strongest form of the invariant: when our heals had to end, the lock was still ours on the server.
    assert held_when_lost == [session]
    assert far.lost[0] < began
    assert far.reserve("h1") != ""
    proxy.heal()
    assert far.until_follows().other == holder(empty_database) != session
    assert len(far.lost) == 1


def test_a_network_that_is_cut_ends_the_leadership_at_once(
    empty_database: str, proxy: TcpProxy, starting: Starting
) -> None:
    far = starting(through(proxy, empty_database), "far", lease=60.0)
    far.until_leads()
    proxy.cut()
    wait_until("the loss", lambda: far.lost, deadline=DEADLINE)
    assert not far.seen.leads
    assert far.seen.attempts is None


def test_a_server_that_lost_its_connections_silently_is_noticed_by_the_end_of_the_lease(
    empty_database: str, proxy: TcpProxy, starting: Starting
) -> None:
    far = starting(through(proxy, empty_database), "far", lease=SHORT)
    far.until_leads()
    proxy.half_open()
    wait_until("the loss", lambda: far.lost, deadline=DEADLINE)
    near = starting(empty_database, "near", lease=SHORT)
    near.until_leads()
    assert not far.seen.leads
    proxy.heal()
    far.until_follows()
    assert len(far.lost) == 1


def test_a_session_that_somebody_ends_is_lost_at_once_and_once(
    empty_database: str, starting: Starting
) -> None:
    first = starting(empty_database, "a", lease=60.0)  # the next question would come much too late
    first.until_leads()
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (holder(empty_database),))
    wait_until("the loss", lambda: first.lost, deadline=DEADLINE)
    assert not first.seen.leads
    second = starting(empty_database, "b")
    second.until_leads()
    assert len(first.lost) == 1


def test_a_lone_sidecar_leads_again_after_its_session_ended(empty_database: str, starting: Starting) -> None:
    first = starting(empty_database, "a", lease=SHORT)
    first.until_leads()
    session = holder(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (session,))
    wait_until("the loss", lambda: first.lost, deadline=DEADLINE)
    first.until_leads()
    assert holder(empty_database) not in (None, session)


def test_a_restart_of_the_database_leaves_one_leader(starting: Starting) -> None:
    with running_postgres() as server:
        both = [starting(server.url(), name, lease=SHORT) for name in ("a", "b")]
        wait_until("one leading", lambda: sum(one.seen.leads for one in both) == 1, deadline=DEADLINE)
        server.stop()
        wait_until("nobody leading", lambda: not any(one.seen.leads for one in both), deadline=DEADLINE)
        assert sum(len(one.lost) for one in both) == 1
        server.start()
        wait_until(
            "one leading and one following",
            lambda: (
                sorted((one.seen.leads, bool(one.seen.other)) for one in both)
                == [(False, True), (True, False)]
            ),
            deadline=DEADLINE,
        )
        for one in both:
            one.leadership.stop()


def test_a_stranger_that_holds_the_lock_is_named_and_nobody_leads_before_it_lets_go(
    empty_database: str, starting: Starting
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(hashtextextended('leading:leader', 0))")
        first = starting(empty_database, "a", lease=SHORT)
        assert first.until_follows().other == stranger.info.backend_pid
        assert "does not lead" in first.reserve("h1")
        stranger.execute("SELECT pg_advisory_unlock_all()")
        first.until_leads()


def test_another_prefix_is_another_registry_and_so_is_another_database(
    empty_database: str, database: str, starting: Starting
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(hashtextextended('other:leader', 0))")
        first = starting(empty_database, "a")
        second = starting(database, "b")
        first.until_leads()
        second.until_leads()


def test_a_process_that_was_stopped_has_lost_when_it_goes_on(empty_database: str, starting: Starting) -> None:
    with in_a_process(empty_database, SHORT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.send_signal(signal.SIGSTOP)
        second = starting(empty_database, "b", lease=SHORT)
        second.until_leads()  # the server lost its patience, and freed the lock
        process.stdin.write("h1\n")
        process.stdin.flush()
        process.send_signal(signal.SIGCONT)
        told = {process.stdout.readline().strip() for _ in range(2)}
        assert "lost" in told
        assert "reserved" not in told
        assert second.seen.leads


def test_by_its_own_clock_a_lease_ends_without_asking_anybody(
    empty_database: str, starting: Starting
) -> None:
    ahead = [0.0]
    first = starting(empty_database, "a", lease=60.0, monotonic=lambda: time.monotonic() + ahead[0])
    first.until_leads()
    ahead[0] = 61.0
    assert not first.seen.leads


def test_the_leaders_episode_is_seen_by_a_role_that_may_only_connect(
    empty_database: str, starting: Starting
) -> None:
    first = starting(empty_database, "a", lease=SHORT)
    first.until_leads()
    with login_role(empty_database) as role:
        second = starting(role.url, "b", lease=SHORT)
        assert second.until_follows().episode is None
        for number in (41, 2**31 - 1, 7):
            first.leadership.announce(number)
            second.until(f"episode {number}", lambda seen, number=number: seen.episode == number)
            first.until(f"its own {number}", lambda seen, number=number: seen.episode == number)
        second.leadership.announce(8)  # shown from the moment in which it leads
        first.leadership.stop()
        assert second.until_leads().episode == 8
        second.leadership.stop()


def test_a_number_that_a_stranger_holds_is_not_an_episode(empty_database: str, starting: Starting) -> None:
    with psycopg.connect(empty_database, autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(hashtext('leading:episode'), 99)")
        first = starting(empty_database, "a", lease=SHORT)
        first.leadership.announce(5)
        first.until_leads()
        second = starting(empty_database, "b", lease=SHORT)
        second.until("the episode", lambda seen: seen.episode == 5)
        first.leadership.announce(99)  # which the stranger has for itself
        second.until("no episode", lambda seen: seen.episode is None)
        stranger.execute("SELECT pg_advisory_unlock_all()")
        second.until("the episode", lambda seen: seen.episode == 99)


@pytest.mark.parametrize("number", [-1, 2**31])
def test_an_episode_is_a_number_of_31_bits(empty_database: str, starting: Starting, number: int) -> None:
    with pytest.raises(ValueError, match="not a number of 31 bits"):
        starting(empty_database, "a").leadership.announce(number)


def test_a_session_whose_silence_the_server_does_not_bound_may_not_lead(empty_database: str) -> None:
    class Deaf(Lease):
        def session_settings(self) -> dict[str, str]:
            return {**super().session_settings(), "idle_session_timeout": "0"}

    session = Session(
        empty_database,
        lock_prefix="leading",
        sidecar="a",
        application_name="leading a",
        lease=Deaf(LEASE),
        window=60,
    )
    with pytest.raises(NotBound, match="idle_session_timeout"):
        session.converse(None, [])
    session.close()
    assert holder(empty_database) is None


def test_a_database_that_is_away_is_waited_for_and_stopping_is_quick(
    empty_database: str, proxy: TcpProxy, starting: Starting
) -> None:
    proxy.hang()
    first = starting(through(proxy, empty_database), "a", lease=SHORT)
    assert first.reserve("h1") != ""
    first.leadership.stop()
    assert [thread for thread in threading.enumerate() if thread.name == "leadership"] == []
    second = starting(through(proxy, empty_database), "b", lease=SHORT)
    assert not second.seen.leads
    proxy.heal()
    second.until_leads()
    assert (first.lost, second.lost) == ([], [])
