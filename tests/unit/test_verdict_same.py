"""When two verdicts say the same, so that the second one is no news."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.seen import TableSeen
from alpimonitor_watchdog.core.verdict import Circumstance, Confidence, Verdict, What, conclude, same
from alpimonitor_watchdog.core.words import Unseen
from tests.unit.evidence_cases import BEFORE, SEEN, after, case, event, seen

ONE = conclude(case(events=(event(1),)))
SOMEBODY = ONE.attribution
OTHERWISE: dict[str, Any] = {
    "what": What.TABLE_TRUNCATED,
    "confidence": Confidence.LIKELY,
    "circumstances": (Circumstance.RESTARTED,),
    "attribution": None,
    "others": (SOMEBODY,),
    "reason": "closed",
}


def test_an_older_backup_whose_log_grows_is_no_other_verdict() -> None:
    found = [
        conclude(
            case(losses=(), after=after(at=SEEN + timedelta(seconds=n), lsn=1_000_000 + n, started=SEEN))
        )
        for n in range(5)
    ]
    assert found[0].what is What.OLDER_BACKUP_RESTORED
    assert len(set(found)) == 5
    assert all(same(found[0], other) for other in found)


def test_a_table_that_another_session_locks_is_no_other_verdict() -> None:
    one, other = (
        conclude(case(seen=seen(0, TableSeen("sensor", unseen=Unseen.LOCKED, locked_by=pid)), before=BEFORE))
        for pid in (98, 99)
    )
    assert one != other
    assert same(one, other)


@pytest.mark.parametrize("name", OTHERWISE)
def test_another_verdict_is_one_that_differs_in(name: str) -> None:
    assert not same(ONE, replace(ONE, **{name: OTHERWISE[name]}))


def test_all_but_the_sentences_is_compared() -> None:
    assert {field.name for field in fields(Verdict)} == {*OTHERWISE, "evidence", "not_observable"}


def test_no_verdict_is_the_same_only_as_none() -> None:
    assert same(None, None)
    assert not same(ONE, None)
    assert not same(None, ONE)
