"""The sidecar as a process whose state directory is on a disk that is full."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alpimonitor_rehearsal.pager import Pager, Receipt
from alpimonitor_rehearsal.waiting import wait_until
from tests.sidecars import CONTEXT, DEADLINE, SEED, Sidecar, rows, wipe
from tests.small_disks import fillable, mounted

pytestmark = pytest.mark.acceptance
ROOM = 1024  # kilobytes


def channels(pager: Pager) -> dict[str, str]:
    return {"NOTIFY": f"{pager.apprise_url}notify", "PAGE": f"{pager.apprise_url}page"}


def resolved(receipts: list[Receipt]) -> bool:
    return {"/notify", "/page"} <= {receipt.path for receipt in receipts if "resolved" in receipt.title}


def the_incident(sidecar: Sidecar) -> Any:
    (listed,) = sidecar.get("api/incidents")["incidents"]
    return sidecar.get(f"api/incidents/{listed['id']}")


def delivered_once(pager: Pager, incident: Any) -> None:
    """Each notification of the incident arrived; one that came twice carried the same key."""
    assert {each["status"] for each in incident["notifications"]} == {"delivered"}
    arrived = {receipt.idempotency_key for receipt in pager.receipts}
    assert len(arrived) == len(incident["notifications"])
    told = {(receipt.path, receipt.title) for receipt in pager.receipts}
    assert len(told) == len(arrived), "no two keys for one notification"


def test_an_incident_on_a_full_disk_is_notified_not_healed_and_healed_when_there_is_room(
    tmp_path: Path, seeded_database: str
) -> None:
    with (
        fillable(tmp_path / "state", kilobytes=ROOM) as disk,
        Pager() as pager,
        Sidecar(tmp_path, seeded_database, channels(pager)).running() as sidecar,
    ):
        assert sidecar.process is not None
        pid = sidecar.process.pid
        sidecar.until("healthy")
        disk.fill(pid)
        wipe(seeded_database)
        paged = pager.wait_for(lambda r: any(x.path == "/page" for x in r), deadline=DEADLINE)
        assert "empty" in paged[0].title
        refused = next(receipt for receipt in paged if receipt.path == "/page")
        assert "heal REFUSED: not_recordable" in refused.title
        assert "make room" in refused.body
        assert "cannot" in sidecar.state()["store_error"] or "failed" in sidecar.state()["store_error"]
        assert sidecar.get("api/incidents")["incidents"] == [], "nothing of it could be stored"
        assert rows(seeded_database)["station"] == 0
        disk.make_room(pid)
        pager.wait_for(resolved, deadline=DEADLINE)
        sidecar.until("healthy")
        assert rows(seeded_database) == CONTEXT
        incident = the_incident(sidecar)
        assert [heal["outcome"] for heal in incident["heals"]] == ["succeeded"]
        wait_until(
            "the last delivery's record",
            lambda: all(each["status"] == "delivered" for each in the_incident(sidecar)["notifications"]),
            deadline=DEADLINE,
        )
        delivered_once(pager, the_incident(sidecar))


def test_a_disk_that_fills_up_while_a_heal_runs_loses_neither_its_end_nor_the_news(
    tmp_path: Path, seeded_database: str
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    os.mkfifo(go)
    program = tmp_path / "heal.py"
    program.write_text(f"""
import pathlib, subprocess, sys
pathlib.Path({str(started)!r}).touch()
open({str(go)!r}).close()
sys.exit(subprocess.run({SEED!r}).returncode)
""")
    with fillable(tmp_path / "state", kilobytes=ROOM) as disk, Pager() as pager:
        sidecar = Sidecar(tmp_path, seeded_database, channels(pager), run=[sys.executable, str(program)])
        with sidecar.running():
            assert sidecar.process is not None
            pid = sidecar.process.pid
            sidecar.until("healthy")
            wipe(seeded_database)
            wait_until("the heal's start", started.exists, deadline=DEADLINE)
            disk.fill(pid)
            go.write_text("go")
            pager.wait_for(lambda r: any("resolved" in x.title for x in r), deadline=DEADLINE)
            assert rows(seeded_database) == CONTEXT
            assert [heal["outcome"] for heal in the_incident(sidecar)["heals"]] == [None], "not yet recorded"
            disk.make_room(pid)
            wait_until("the record", lambda: the_incident(sidecar)["phase"] == "resolved", deadline=DEADLINE)
        told = len(pager.receipts)
        with sidecar.running():
            sidecar.until("healthy")
            incident = the_incident(sidecar)
            assert [heal["outcome"] for heal in incident["heals"]] == ["succeeded"]
            delivered_once(pager, incident)
            assert len(pager.receipts) == told


def test_on_a_disk_that_is_full_at_the_start_it_watches_and_notifies_and_says_what_to_do(
    tmp_path: Path, seeded_database: str
) -> None:
    with mounted(tmp_path / "state", kilobytes=ROOM) as disk, Pager() as pager:
        sidecar = Sidecar(tmp_path, seeded_database, channels(pager))
        disk.fill()
        with sidecar.running():
            sidecar.until("healthy")
            (warning,) = [said for said in sidecar.state()["warnings"] if "heals nothing" in said]
            assert str(disk.folder) in warning
            assert "from memory" in warning
            assert warning in sidecar.log
            wipe(seeded_database)
            paged = pager.wait_for(lambda r: any(x.path == "/page" for x in r), deadline=DEADLINE)
            assert "empty" in paged[0].title
            assert "not_recordable" in next(r for r in paged if r.path == "/page").title
            assert rows(seeded_database)["station"] == 0
            second = sidecar.call("watchdog", "run")
            assert second.returncode == 2, "also without a store two are one too many"
        disk.make_room()
        with sidecar.running():
            pager.wait_for(lambda r: any("resolved" in x.title for x in r), deadline=DEADLINE)
            assert rows(seeded_database) == CONTEXT


def test_beside_a_newer_store_it_watches_and_notifies_and_heals_nothing(
    tmp_path: Path, seeded_database: str
) -> None:
    with Pager() as pager:
        sidecar = Sidecar(tmp_path, seeded_database, channels(pager))
        with sidecar.running():
            sidecar.until("healthy")
        store = tmp_path / "state" / "watchdog.sqlite"
        with closing(sqlite3.connect(store, isolation_level=None)) as sqlite:
            sqlite.execute("PRAGMA user_version = 99")
        before = store.read_bytes()
        with sidecar.running():
            assert any("version 99" in warning for warning in sidecar.state().get("warnings", [])) or (
                "version 99" in sidecar.log
            )
            sidecar.until("healthy")
            wipe(seeded_database)
            paged = pager.wait_for(lambda r: any(x.path == "/page" for x in r), deadline=DEADLINE)
            assert "not_recordable" in next(r for r in paged if r.path == "/page").title
            assert rows(seeded_database)["station"] == 0
        assert store.read_bytes() == before
