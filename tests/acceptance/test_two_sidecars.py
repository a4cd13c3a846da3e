"""Several sidecars on one database: one heals, all tell, under one key, whoever dies or is cut off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from alpimonitor_rehearsal.pager import Pager
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from tests.databases import PostgresForTests, name_of
from tests.ordeals import DEADLINE
from tests.running import is_running
from tests.sidecars import CONTEXT, rows, wipe
from tests.teams import Member, Team, leading, team
from tests.warm_start import Warmth

pytestmark = pytest.mark.acceptance
SHORT = {"timeout": "200ms"}  # what hangs is given up after 3 s and four of these
INGESTION = """
[ingestion]
query = '''
SELECT stations_seen_count, started_at, completed_at FROM ingestion_run ORDER BY started_at DESC LIMIT 1'''
expected = 4
"""
A_RUN = """
INSERT INTO ingestion_run (source, status, started_at, completed_at, stations_seen_count)
VALUES ('LINDAS_HYDRO', 'SUCCESS', clock_timestamp(), clock_timestamp(), 4)
"""


@pytest.fixture
def sidecars(tmp_path: Path, seeded_database: str, warmth: Warmth) -> Iterator[Team]:
    with team(tmp_path, seeded_database, warmth) as begun:
        yield begun


@contextlib.contextmanager
def proxied(database: str) -> Iterator[tuple[TcpProxy, str]]:
    """A network of its own to the database, and the address there."""
    place = urlsplit(database)
    with TcpProxy(place.hostname or "", place.port or 0) as proxy:
        yield proxy, database.replace(f":{place.port}/", f":{proxy.port}/")


def unique(pager: Pager, kind: str) -> list[str]:
    """What a pager that knows keys by heart makes of it: each notification once."""
    return sorted({r.idempotency_key for r in pager.receipts if f"-{kind}-" in r.idempotency_key})


# ---- side by side ------------------------------------------------------------------------------------------


def test_one_heals_and_both_tell_under_one_key(sidecars: Team) -> None:
    first, second = sidecars.start("first"), sidecars.start("second")
    wipe(sidecars.database)
    for member in (first, second):
        member.until_told("resolved")
    sidecars.until_healthy(first, second)
    assert sidecars.events() == ["begin", "end"]
    assert sidecars.ledger() == [("first", "succeeded")]
    assert (first.heals(), second.heals()) == (["succeeded"], [])
    assert first.told("opened") == second.told("opened") == first.told("resolved") == second.told("resolved")
    assert (first.told("restored"), second.told("restored")) == (first.told("opened"), [])
    assert [len(unique(sidecars.pager, kind)) for kind in ("opened", "resolved")] == [1, 1]
    # The next incident goes under a number that both have agreed on again.
    wipe(sidecars.database)
    for member in (first, second):
        member.until_told("resolved", 2)
    assert first.told("opened") == second.told("opened")
    assert len(set(first.told("opened"))) == 2


def test_the_follower_says_that_another_heals_and_ends_with_ingestions_proof(sidecars: Team) -> None:
    policy = {"outside_interval": "500ms"}
    with psycopg.connect(sidecars.database) as connection:
        connection.execute(A_RUN)
    first = sidecars.start("first", policy=policy, extra=INGESTION, gated=True)
    second = sidecars.start("second", policy=policy, extra=INGESTION)
    wipe(sidecars.database)
    sidecars.until_a_heal_begins()
    state = second.sidecar.until("open")
    assert state["healing"]["refusal"] == "not_leading"
    assert state["leader"]["leads"] is False
    assert "another sidecar heals this database" in state["must_do"]
    second.until_told("opened")
    assert second.receipts()[0].title.endswith("; another sidecar heals")

    sidecars.gate.touch()
    first.sidecar.until("verifying")
    state = wait_until("rows seen by the follower", lambda: _awaiting(second), deadline=DEADLINE)
    looks = state["watched_seconds"]
    wait_until(
        "more looks", lambda: second.sidecar.state()["watched_seconds"] >= looks + 2, deadline=DEADLINE
    )
    assert second.sidecar.state()["phase"] == "open"
    assert first.told("resolved") + second.told("resolved") == []

    with psycopg.connect(sidecars.database) as connection:
        connection.execute(A_RUN)
    assert first.until_told("resolved") == second.until_told("resolved")
    sidecars.until_healthy(first, second)
    assert second.heals() == []


def _awaiting(follower: Member) -> Any:
    state = follower.sidecar.state()
    return state if "a run of ingestion has to see every station" in state["must_do"] else None


def test_a_database_that_is_gone_is_told_by_both_under_one_key(
    sidecars: Team, postgres_server: PostgresForTests
) -> None:
    policy = {"unreachable_after": "500ms"}
    first = sidecars.start("first", policy=policy)
    second = sidecars.start("second", policy=policy)
    admin = psycopg.connect(
        sidecars.database.replace(name_of(sidecars.database), "postgres"), autocommit=True
    )
    with contextlib.closing(admin):
        name = name_of(sidecars.database)
        admin.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        assert first.until_told("opened") == second.until_told("opened")
        assert "database unreachable" in first.receipts()[0].title
        admin.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
    assert first.until_told("resolved") == second.until_told("resolved") == first.told("opened")
    sidecars.until_healthy(first, second)
    assert sidecars.events() == []


# ---- somebody dies -----------------------------------------------------------------------------------------


def test_when_the_leader_is_killed_in_mid_incident_the_other_heals(sidecars: Team) -> None:
    policy = {"confirm_for": "2s"}
    first, second = sidecars.start("first", policy=policy), sidecars.start("second", policy=policy)
    wipe(sidecars.database)
    first.until_told("opened")
    first.sidecar.kill()
    assert second.until_told("resolved") == first.told("opened") == second.told("opened")
    assert sidecars.ledger() == [("second", "succeeded")]
    # Back again it follows, learns who healed, and ends its own incident under the same key.
    first.sidecar.start()
    assert first.until_told("resolved") == first.told("opened")
    wait_until("the former leader following", first.follows, deadline=DEADLINE)
    sidecars.until_healthy(first, second)
    assert sidecars.events() == ["begin", "end"]


def test_when_the_leader_is_killed_during_its_heal_that_ends_before_the_others_begins(sidecars: Team) -> None:
    first, second = sidecars.start("first", gated=True), sidecars.start("second")
    wipe(sidecars.database)
    sidecars.until_a_heal_begins()
    first.sidecar.kill()
    assert second.until_told("resolved") == first.told("opened") == second.told("opened")
    sidecars.until_healthy(second)
    (began, killed), *others = sidecars.heal_log
    assert began == "begin"
    assert [(event, pid == killed) for event, pid in others] == [("begin", False), ("end", False)]
    assert sidecars.ledger() == [("first", None), ("second", "succeeded")]


def test_the_budget_is_shared_beyond_a_death(sidecars: Team) -> None:
    policy = {"heal_budget": 1}
    first, second = sidecars.start("first", policy=policy), sidecars.start("second", policy=policy)
    wipe(sidecars.database)
    for member in (first, second):
        member.until_told("resolved")
    sidecars.until_healthy(first, second)
    first.sidecar.kill()
    leading(second)
    wipe(sidecars.database)
    second.until_told("heal_refused")
    assert "heal REFUSED: budget_spent" in second.receipts()[-1].title
    assert sidecars.events() == ["begin", "end"]
    assert rows(sidecars.database)["station"] == 0


def test_of_three_there_is_always_one_that_heals(sidecars: Team) -> None:
    three = [sidecars.start(name) for name in ("first", "second", "third")]
    for count in (3, 2, 1):
        leader = leading(*three)
        wipe(sidecars.database)
        keys = [member.until_told("resolved", 4 - count)[-1] for member in three]
        assert len(set(keys)) == 1
        sidecars.until_healthy(*three)
        assert sidecars.ledger()[-1] == (leader.name, "succeeded")
        leader.sidecar.kill()
        three.remove(leader)
    assert sidecars.events() == ["begin", "end"] * 3
    assert len(unique(sidecars.pager, "opened")) == 3


# ---- somebody is cut off -----------------------------------------------------------------------------------


def test_a_leader_that_is_cut_off_during_its_heal_has_it_killed_before_another_begins(sidecars: Team) -> None:
    with proxied(sidecars.database) as (network, through):
        first = sidecars.start("first", policy=SHORT, gated=True, through=through)
        second = sidecars.start("second", policy=SHORT)
        wipe(sidecars.database)
        healer = sidecars.until_a_heal_begins()  # it reaches the database: only the fence can end it
        network.hang()
        wait_until("the end of its heal", lambda: not is_running(healer), deadline=DEADLINE)
        assert second.until_told("resolved") == second.told("opened")
        assert [(event, pid == healer) for event, pid in sidecars.heal_log] == [
            ("begin", True), ("begin", False), ("end", False),
        ]  # fmt: skip
        assert first.until_told("heal_failed") == second.told("opened")
        assert first.told("resolved") == []
        network.heal()
        assert first.until_told("resolved") == second.told("resolved") == first.told("opened")
        wait_until("the former leader following", first.follows, deadline=DEADLINE)
        sidecars.until_healthy(first, second)
        assert first.heals() == ["interrupted"]
        assert sidecars.ledger()[1:] == [("second", "succeeded")]
        assert rows(sidecars.database) == CONTEXT


def test_a_leader_that_is_cut_off_before_it_heals_heals_nothing(sidecars: Team) -> None:
    with proxied(sidecars.database) as (network, through):
        policy = {**SHORT, "confirm_for": "1s"}
        first = sidecars.start("first", policy=policy, through=through)
        second = sidecars.start("second", policy=policy)
        wipe(sidecars.database)
        first.until_told("opened")
        network.hang()
        assert second.until_told("resolved") == second.told("opened") == first.told("opened")
        network.heal()
        assert first.until_told("resolved") == first.told("opened")
        sidecars.until_healthy(first, second)
        assert first.heals() == []
        assert sidecars.events() == ["begin", "end"]
        assert sidecars.ledger() == [("second", "succeeded")]
