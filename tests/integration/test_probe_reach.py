"""DatabaseProbe when the server is away, silent, or lets nobody in: a bounded answer, and no secret."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.seen import DatabaseSeen
from alpimonitor_watchdog.core.words import Unseen
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.link import application_name
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from tests.databases import PostgresForTests
from tests.login_roles import login_role

BUSY = 3.0  # seconds that a busy machine may add to a bound

Probing = Callable[[str], DatabaseProbe]


@pytest.fixture
def probing() -> Iterator[Probing]:
    """Builds probes of one table, and closes them."""
    probes: list[DatabaseProbe] = []

    def build(url: str) -> DatabaseProbe:
        probe = DatabaseProbe(url, [Guarded("station")], application_name="reaching", timeout=0.2)
        probes.append(probe)
        return probe

    yield build
    for probe in probes:
        probe.close()


@pytest.fixture
def guarded(empty_database: str) -> str:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE station AS SELECT 1 AS id")
    return empty_database


@pytest.fixture
def proxy(guarded: str) -> Iterator[TcpProxy]:
    parts = urlsplit(guarded)
    assert parts.hostname is not None
    with TcpProxy(parts.hostname, parts.port or 5432) as proxy:
        yield proxy


def through(proxy: TcpProxy, url: str) -> str:
    return at(url, f"{proxy.host}:{proxy.port}")


def at(url: str, place: str, user: str | None = None) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user or parts.netloc.rpartition('@')[0]}@{place}"))


def place_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def one_row(seen: DatabaseSeen) -> bool:
    return seen.unseen is None and [table.rows for table in seen.tables] == [1]


def test_a_server_that_is_not_there_is_unreachable(guarded: str, probing: Probing) -> None:
    seen = probing(at(guarded, "127.0.0.1:1")).look()
    assert (seen.unseen, seen.tables) == (Unseen.UNREACHABLE, ())
    assert seen.detail == "127.0.0.1:1 cannot be reached: Connection refused"


def test_a_host_without_an_address_is_unreachable(guarded: str, probing: Probing) -> None:
    seen = probing(at(guarded, "no-such-host.invalid:5432")).look()
    assert seen.unseen is Unseen.UNREACHABLE
    assert "no-such-host.invalid" in seen.detail


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ("{role}:wrong-sesame", "password authentication failed"),
        ("nobody_of_that_name:wrong-sesame", "nobody_of_that_name"),
    ],
)
def test_a_server_that_lets_nobody_in_has_refused(
    guarded: str, probing: Probing, user: str, says: str
) -> None:
    with login_role(guarded) as role:
        url = at(guarded, place_of(guarded), user.format(role=role.name))
        seen = probing(url).look()
    assert (seen.unseen, seen.tables) == (Unseen.REFUSED, ())
    assert seen.detail.startswith(f"{place_of(guarded)} refused the sidecar: ")
    assert says in seen.detail
    assert "wrong-sesame" not in repr(seen)


def test_a_missing_password_is_said_to_be_missing(guarded: str, probing: Probing) -> None:
    with login_role(guarded) as role:
        seen = probing(at(guarded, place_of(guarded), role.name)).look()
    assert seen.unseen is Unseen.REFUSED
    assert seen.detail.endswith("asks for a password and the URL has none")


def test_a_database_that_is_gone_is_said_to_be_gone(
    postgres_server: PostgresForTests, guarded: str, probing: Probing
) -> None:
    probe = probing(guarded)
    assert one_row(probe.look())
    name = str(conninfo_to_dict(guarded)["dbname"])
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    seen = probe.look()
    assert (seen.unseen, seen.tables) == (Unseen.REFUSED, ())
    assert seen.detail.endswith(f'refused the sidecar: database "{name}" does not exist')


def test_a_connection_that_somebody_ended_costs_no_look(guarded: str, probing: Probing) -> None:
    probe = probing(guarded)
    assert one_row(probe.look())
    with psycopg.connect(guarded, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'reaching'"
        ).fetchall()
    assert ended == [(True,)]
    assert one_row(probe.look())


def test_a_server_that_falls_silent_ends_a_look_in_bounded_time(
    guarded: str, proxy: TcpProxy, probing: Probing
) -> None:
    probe = probing(through(proxy, guarded))
    assert one_row(probe.look())
    proxy.hang()
    for _ in range(2):  # with a connection, and without
        began = time.monotonic()
        seen = probe.look()
        assert (seen.unseen, seen.tables) == (Unseen.UNREACHABLE, ())
        assert time.monotonic() - began < probe.within + BUSY
        assert 0 < seen.duration < probe.within + BUSY
    proxy.heal()
    wait_until("a look that sees again", lambda: one_row(probe.look()), deadline=30)


def test_a_network_that_resets_everything_is_unreachable_until_it_is_back(
    guarded: str, proxy: TcpProxy, probing: Probing
) -> None:
    probe = probing(through(proxy, guarded))
    assert one_row(probe.look())
    proxy.cut()
    assert probe.look().unseen is Unseen.UNREACHABLE
    proxy.heal()
    assert one_row(probe.look())


def test_closing_while_the_server_is_silent_ends_in_bounded_time(
    guarded: str, proxy: TcpProxy, probing: Probing
) -> None:
    probe = probing(through(proxy, guarded))
    probe.look()
    proxy.hang()
    probe.look()
    began = time.monotonic()
    probe.close()
    assert time.monotonic() - began < probe.within + BUSY


def test_many_looks_keep_one_connection(guarded: str, probing: Probing) -> None:
    probe = probing(guarded)
    backends = set()
    with psycopg.connect(guarded, autocommit=True) as admin:
        for _ in range(5):
            assert one_row(probe.look())
            backends |= set(
                admin.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'reaching'"
                ).fetchall()
            )
    assert len(backends) == 1


def test_the_name_of_the_session_fits_and_keeps_the_process_id() -> None:
    assert application_name("0.1.0", "db-watch", 42) == "alpimonitor-watchdog 0.1.0 db-watch 42"
    long = application_name("0.1.0", "é" * 60, 4194304)
    assert len(long.encode()) <= 63
    assert long.endswith(" 4194304")
