"""Two fingerprints of one database: what differs, and what grew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from alpimonitor_watchdog.core.compared import Compared, Grown, initialised
from tests.unit.evidence_cases import BEFORE, BOOT, DONE, HERE, NEW_CLUSTER, SEEN, STATION, after


@pytest.mark.parametrize(
    "differs",
    [
        pytest.param(after(identity=replace(HERE, system=NEW_CLUSTER)), id="another cluster"),
        pytest.param(after(identity=replace(HERE, deployment="d-2")), id="another deployment row"),
        pytest.param(after(in_recovery=True), id="a standby"),
        pytest.param(after(timeline=2), id="another timeline"),
        pytest.param(after(lsn=9_000_000), id="an earlier log"),
        pytest.param(after(next_transaction=500), id="earlier transactions"),
        pytest.param(after({"application_reads": False}), id="a right taken away"),
        pytest.param(after({"secured": True}), id="row security on"),
        pytest.param(after({"hidden": True}), id="row security for the sidecar"),
        pytest.param(after({"oid": 20000}), id="a table made anew"),
    ],
)
def test_it_is_remarkable_when_there_is(differs: Any) -> None:
    assert Compared(BEFORE, differs).remarkable
    assert not Compared(differs, differs).remarkable


@pytest.mark.parametrize(
    "differs",
    [
        pytest.param(after({"rows": 9, "inserted": 9, "filenode": 20001}), id="rows and files"),
        pytest.param(after(started=SEEN), id="a restart"),
        pytest.param(after(next_transaction=738, started=SEEN), id="a crash"),
        pytest.param(after(statistics_reset=SEEN), id="a reset"),
        pytest.param(after({"application_reads": None}), id="a right that is not told any more"),
        pytest.param(None, id="nothing to compare with"),
    ],
)
def test_it_is_not_remarkable_when_there_is(differs: Any) -> None:
    assert not Compared(BEFORE, differs).remarkable


@pytest.mark.parametrize(
    ("fields", "grown"),
    [
        pytest.param({"deleted": 12}, Grown(7), id="by the difference"),
        pytest.param({"deleted": 3}, Grown(3, whole=True), id="backwards, it was reset"),
        pytest.param({"deleted": 12, "inserted": 1}, Grown(12, whole=True), id="another one was reset"),
        pytest.param({"deleted": None}, None, id="not to be seen"),
    ],
)
def test_a_counter_grows(fields: dict[str, Any], grown: Grown | None) -> None:
    before = replace(BEFORE, tables=(replace(STATION, deleted=5),))
    assert Compared(before, after(fields)).deleted("station") == grown


def test_after_a_reset_with_its_date_a_counter_counts_from_there() -> None:
    before = replace(BEFORE, statistics_reset=BOOT, tables=(replace(STATION, deleted=5),))
    now = after({"deleted": 9}, statistics_reset=DONE)
    assert Compared(before, now).deleted("station") == Grown(9, whole=True)
    assert Compared(None, now).deleted("station") == Grown(9, whole=True)


def test_a_system_identifier_tells_when_its_cluster_was_made() -> None:
    assert initialised("7012345678901234567") == datetime(2021, 9, 26, 20, 42, 37, tzinfo=UTC)
    assert [initialised(text) for text in (None, "", "x", "-7", "0", "9" * 40)] == [None] * 6
