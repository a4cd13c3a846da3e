"""The ledger of heals in a real database: one budget for all sidecars, whoever leads when."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from alpimonitor_rehearsal.postgres import running_postgres
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.seen import Attempt
from alpimonitor_watchdog.core.words import HealOutcome
from alpimonitor_watchdog.leadership.ledger import LEDGER_SQL, TABLE, check_ledger, grants
from alpimonitor_watchdog.probe.rights import Right, Standing
from tests.leading import DEADLINE, One, Starting, holder, leaderships
from tests.login_roles import LoginRole, login_role

SHORT = 1.0


@pytest.fixture
def starting() -> Iterator[Starting]:
    with leaderships() as start:
        yield start


@pytest.fixture
def kept(empty_database: str) -> str:
    """A database with the ledger and nothing else."""
    make_ledger(empty_database)
    return empty_database


@pytest.fixture
def role(empty_database: str) -> Iterator[LoginRole]:
    with login_role(empty_database) as role:
        yield role


def make_ledger(url: str) -> None:
    execute(url, LEDGER_SQL.read_text(encoding="utf-8"))


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def rows(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT id, incident, healer, outcome, sidecar FROM alpimonitor_watchdog.heal_attempt ORDER BY id"
        ).fetchall()


def attempts(one: One, count: int) -> tuple[Attempt, ...]:
    seen = one.until(
        f"{count} attempts", lambda seen: seen.attempts is not None and len(seen.attempts) == count
    )
    assert seen.attempts is not None
    return seen.attempts


def test_a_heal_is_recorded_before_it_begins_and_when_it_has_ended(kept: str, starting: Starting) -> None:
    first = starting(kept, "a", lease=SHORT)
    assert first.until_leads().attempts == ()
    assert first.reserve("h1") == ""
    assert rows(kept) == [("h1@a", "incident-1", "command", None, "a")]
    first.leadership.finish("h1", HealOutcome.SUCCEEDED)
    assert rows(kept) == [("h1@a", "incident-1", "command", "succeeded", "a")]
    first.leadership.finish("h1", HealOutcome.FAILED)  # how it ended is said once
    assert rows(kept)[0][3] == "succeeded"


def test_every_sidecar_sees_what_the_others_began_and_how_old_it_is(kept: str, starting: Starting) -> None:
    first = starting(kept, "a", lease=SHORT)
    first.until_leads()
    second = starting(kept, "b", lease=SHORT)
    second.until_follows()
    assert first.reserve("h1") == ""
    (ours,), (theirs,) = attempts(first, 1), attempts(second, 1)
    assert (ours.id, ours.ours, ours.outcome) == ("h1@a", True, None)
    assert (theirs.id, theirs.ours, theirs.outcome) == ("h1@a", False, None)
    execute(kept, f"UPDATE {TABLE} SET at = at - interval '10 minutes'")
    second.until("its age", lambda seen: seen.attempts and 600 <= seen.attempts[0].age < 630)
    assert second.seen.attempts is not None
    assert second.seen.attempts[0].ended is None
    first.leadership.finish("h1", HealOutcome.DEADLINE)
    second.until("its end", lambda seen: seen.attempts[0].outcome is HealOutcome.DEADLINE)
    execute(kept, f"UPDATE {TABLE} SET ended_at = now() - interval '5 minutes'")
    second.until("how long ago it ended", lambda seen: 300 <= seen.attempts[0].ended < 330)
    execute(kept, f"UPDATE {TABLE} SET at = at - interval '1 hour'")
    attempts(second, 0)


def test_only_the_leader_may_begin_a_heal(kept: str, starting: Starting) -> None:
    first = starting(kept, "a")
    first.until_leads()
    second = starting(kept, "b")
    second.until_follows()
    assert second.reserve("h1") == f"this sidecar does not lead: the session {holder(kept)} leads"
    assert rows(kept) == []


def test_however_many_ask_at_once_the_budget_is_never_exceeded(kept: str, starting: Starting) -> None:
    both = [starting(kept, name) for name in ("a", "b")]
    wait_until("one leading", lambda: any(one.seen.leads for one in both), deadline=DEADLINE)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: both[n % 2].reserve(f"h{n}", budget=4), range(24)))
    assert answers.count("") == 4
    assert len(rows(kept)) == 4
    assert any("4 heals within the window, by all sidecars, of 4 allowed" in answer for answer in answers)


def test_the_budget_outlives_the_leader_and_its_window_ends_it(kept: str, starting: Starting) -> None:
    first = starting(kept, "a", lease=SHORT)
    first.until_leads()
    assert first.reserve("h1", budget=2) == ""
    first.leadership.finish("h1", HealOutcome.SUCCEEDED)
    first.leadership.stop()
    second = starting(kept, "b", lease=SHORT)
    second.until_leads()
    assert second.reserve("h1", budget=2) == ""  # the same name, of another sidecar
    assert "2 heals within the window" in second.reserve("h2", budget=2)
    execute(kept, f"UPDATE {TABLE} SET at = at - interval '61 minutes' WHERE sidecar = 'a'")
    assert second.reserve("h2", budget=2) == ""


def test_a_heal_is_reserved_once(kept: str, starting: Starting) -> None:
    first = starting(kept, "a")
    first.until_leads()
    assert first.reserve("h1") == ""
    assert first.reserve("h1") == "the ledger has a heal h1 already"


def test_an_attempt_in_the_databases_future_counts_and_is_not_of_negative_age(
    kept: str, starting: Starting
) -> None:
    execute(
        kept,
        f"INSERT INTO {TABLE} (id, at, incident, healer, sidecar)"
        " VALUES ('h9@z', now() + '1 day', 'incident-9', 'command', 'z')",
    )
    first = starting(kept, "a")
    first.until_leads()
    assert attempts(first, 1)[0].age >= 0
    assert "1 heals within the window" in first.reserve("h1", budget=1)


def test_a_lost_session_neither_reserves_nor_forgets_an_end(kept: str, starting: Starting) -> None:
    first = starting(kept, "a", lease=SHORT)
    first.until_leads()
    assert first.reserve("h1") == ""
    execute(kept, f"SELECT pg_terminate_backend({holder(kept)}, 5000)")
    wait_until("the loss", lambda: first.lost, deadline=DEADLINE)
    first.leadership.finish("h1", HealOutcome.INTERRUPTED)
    assert rows(kept)[0][3] == "interrupted"


def test_the_end_of_a_heal_is_recorded_even_after_the_leadership_stopped(
    kept: str, starting: Starting
) -> None:
    first = starting(kept, "a")
    first.until_leads()
    assert first.reserve("h1") == ""
    first.leadership.stop()
    assert "stopping" in first.reserve("h2")
    first.leadership.finish("h1", HealOutcome.INTERRUPTED)
    assert rows(kept) == [("h1@a", "incident-1", "command", "interrupted", "a")]


def test_an_end_that_nobody_can_record_is_told_and_counts_as_an_attempt(
    kept: str, starting: Starting, caplog: pytest.LogCaptureFixture
) -> None:
    first = starting(kept, "a", lease=SHORT)
    first.until_leads()
    assert first.reserve("h1") == ""
    execute(kept, f"ALTER TABLE {TABLE} RENAME TO elsewhere")
    with caplog.at_level(logging.WARNING):
        first.leadership.finish("h1", HealOutcome.SUCCEEDED)
    assert "The end of heal h1 (succeeded) could not be recorded in the database" in caplog.text
    execute(kept, "ALTER TABLE alpimonitor_watchdog.elsewhere RENAME TO heal_attempt")
    assert attempts(first, 1)[0].outcome is None


def test_a_locked_ledger_refuses_a_heal_and_costs_no_leadership(kept: str, starting: Starting) -> None:
    first = starting(kept, "a", lease=2.0)
    first.until_leads()
    with psycopg.connect(kept) as somebody:
        somebody.execute(f"LOCK TABLE {TABLE}")  # type: ignore[call-overload]
        first.until("no attempts known", lambda seen: seen.leads and seen.attempts is None)
        assert "the ledger of heals could not be written: canceling statement due to lock timeout" in (
            first.reserve("h1")
        )
        assert first.seen.leads
    assert attempts(first, 0) == ()
    assert first.reserve("h1") == ""
    assert first.lost == []


def test_without_a_ledger_the_leader_may_heal_and_it_is_said_once(
    empty_database: str, starting: Starting, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        first = starting(empty_database, "a", lease=SHORT)
        assert first.until_leads().attempts is None
        assert first.reserve("h1") == ""
        first.leadership.finish("h1", HealOutcome.SUCCEEDED)
        assert first.reserve("h2") == ""
    told = [record.getMessage() for record in caplog.records if "ledger" in record.getMessage()]
    assert len(told) == 1
    assert f"there is no table {TABLE}" in told[0]
    make_ledger(empty_database)  # and from now on they count
    assert attempts(first, 0) == ()
    assert first.reserve("h3") == ""
    assert [row[0] for row in rows(empty_database)] == ["h3@a"]


def test_a_role_that_may_only_connect_leads_without_a_ledger(
    kept: str, role: LoginRole, starting: Starting
) -> None:
    first = starting(role.url, "a", lease=SHORT)
    assert first.until_leads().attempts is None
    assert first.reserve("h1") == ""
    assert rows(kept) == []
    first.leadership.stop()


def test_the_remedy_of_a_role_that_may_not_write_lets_it_keep_the_ledger_and_delete_nothing(
    kept: str, role: LoginRole, starting: Starting
) -> None:
    execute(
        kept,
        f"GRANT USAGE ON SCHEMA alpimonitor_watchdog TO {role.name}; GRANT SELECT ON {TABLE} TO {role.name}",
    )
    (gap,) = checked(role.url)
    assert gap.standing is Standing.WARNING
    assert gap.said == f"{role.name} lacks INSERT, UPDATE of {TABLE}"
    assert "two of them may spend the budget twice" in gap.costs
    assert gap.remedy == grants(role.name)
    execute(kept, gap.remedy)
    (holds,) = checked(role.url)
    assert holds.standing is Standing.HOLDS
    first = starting(role.url, "a", lease=SHORT)
    first.until_leads()
    assert first.reserve("h1") == ""
    first.leadership.finish("h1", HealOutcome.SUCCEEDED)
    assert rows(kept)[0][3] == "succeeded"
    for forbidden in (
        f"DELETE FROM {TABLE}",
        f"TRUNCATE {TABLE}",
        f"UPDATE {TABLE} SET at = at - interval '1 day'",
        f"UPDATE {TABLE} SET id = 'x'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(role.url, forbidden)
    first.leadership.stop()


def checked(url: str) -> tuple[Right, ...]:
    return check_ledger(url, application_name="checking")


def test_the_check_of_a_database_without_a_ledger_says_what_its_owner_runs(empty_database: str) -> None:
    (gap,) = checked(empty_database)
    assert (gap.subject, gap.standing) == ("heal ledger", Standing.WARNING)
    assert gap.said == f"there is no table {TABLE}"
    assert "alpimonitor watchdog ledger" in gap.remedy
    make_ledger(empty_database)
    make_ledger(empty_database)  # again is no harm
    assert [right.standing for right in checked(empty_database)] == [Standing.HOLDS]


def test_the_check_of_a_database_that_is_away_leaves_that_to_others() -> None:
    assert checked("postgresql://nobody@127.0.0.1:1/nowhere") == ()


def test_a_session_that_may_only_read_leads_and_reserves_nothing(kept: str, starting: Starting) -> None:
    name = psycopg.conninfo.conninfo_to_dict(kept)["dbname"]
    execute(kept, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    first = starting(kept, "a", lease=SHORT)
    assert first.until_leads().attempts == ()
    refused = first.reserve("h1")
    assert refused.startswith("the ledger of heals could not be written: cannot execute")
    assert refused.endswith("in a read-only transaction")
    assert first.seen.leads


def test_on_a_standby_somebody_leads_and_nobody_heals(starting: Starting, tmp_path: Path) -> None:
    with running_postgres() as server:
        make_ledger(server.url())
        server.stop()
        (server.server_log.parent / "cluster" / "standby.signal").touch()
        server.start()
        first = starting(server.url(), "a", lease=SHORT)
        assert first.until_leads().attempts == ()
        second = starting(server.url(), "b", lease=SHORT)
        second.until_follows()
        assert "the ledger of heals could not be written: cannot execute" in first.reserve("h1")
        for one in (first, second):
            one.leadership.stop()
