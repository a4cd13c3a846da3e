"""The lease: ours ends before the server frees the lock, for every lease there may be."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpimonitor_watchdog.leadership.lease import MARGIN, Lease
from alpimonitor_watchdog.leadership.ledger import LEDGER_SQL, grants
from alpimonitor_watchdog.leadership.statements import QUERIES, queries

SECONDS = st.floats(0.1, 86_400)


@given(SECONDS, st.floats(0, 1e6), st.floats(0, 1e3), st.floats(0, 1e3))
def test_ours_ends_a_margin_before_the_server_frees_the_lock(
    seconds: float, sent: float, under_way: float, answering: float
) -> None:
    lease = Lease(seconds)
    freed = sent + under_way + answering + lease.silence
    assert freed - lease.ends(sent) >= MARGIN - 1e-6


@given(SECONDS)
def test_no_bound_of_the_servers_session_is_below_the_silence_or_the_lease(seconds: float) -> None:
    lease = Lease(seconds)
    settings = lease.session_settings()
    silent, unacknowledged = int(settings["idle_session_timeout"]), int(settings["tcp_user_timeout"])
    assert min(silent, unacknowledged) / 1000 >= seconds + MARGIN - 1e-6
    kept_alive = int(settings["tcp_keepalives_idle"]) + int(settings["tcp_keepalives_interval"]) * int(
        settings["tcp_keepalives_count"]
    )
    assert kept_alive >= seconds + MARGIN


@given(SECONDS)
def test_a_lease_outlasts_three_questions_that_fail_and_two_locked_tables(seconds: float) -> None:
    lease = Lease(seconds)
    assert 4 * lease.ask_every <= seconds
    assert lease.ask_every + 2 * lease.lock_wait <= seconds


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.09, float("nan")])
def test_a_lease_that_nobody_can_keep_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="has to be at least"):
        Lease(seconds)


def test_every_statement_is_one_and_is_used() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in QUERIES.parent.glob("*.py"))
    for query in queries().values():
        assert ";" not in re.sub(r"--.*|'[^']*'", "", query.text), query.name
        assert f'queries()["{query.name}"]' in sources, query.name


def test_the_ledgers_statements_are_those_that_were_released() -> None:
    """A migration reads them: whoever needs others writes a second file, and a second migration."""
    assert (
        hashlib.sha256(LEDGER_SQL.read_bytes()).hexdigest()
        == "510c60ec9843cc11b3dbaa6f2b11aaa72d9e5cc70c5e97699d5600b2605c0528"
    )


def test_a_role_is_granted_what_a_ledger_needs_and_no_more() -> None:
    told = grants('odd "role"')
    assert told.count('TO "odd ""role""";') == 2
    assert "UPDATE (outcome, ended_at)" in told
    assert "DELETE" not in told
