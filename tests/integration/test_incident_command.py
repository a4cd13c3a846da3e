"""`alpimonitor incident`: what is kept is read beside a running sidecar and from a copy, and verified."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alpimonitor_watchdog.core.evidence import Attribution, Event, Operation
from alpimonitor_watchdog.core.fingerprint import Fingerprint, Identity, TablePrint
from alpimonitor_watchdog.core.seen import DatabaseSeen, RecorderSeen
from alpimonitor_watchdog.core.verdict import Confidence, Verdict, What
from alpimonitor_watchdog.store import Copied, EvidenceKind, Item, Store, items_of, verdict_item
from tests import running
from tests.running import Ended
from tests.stored import AT, CHANNELS, INCIDENT, OPENED, opening, resolving, store_of_version_1

SECOND = timedelta(seconds=1)
EVENT = Event(
    id=41, at=AT, operation=Operation.DELETE, table="station", rows=7, remaining=0, session_role="app",
    role="app", application_name="psql\x1b[2J", client_addr="192.0.2.7", pid=812, backend_start=AT,
    transaction=751, statement="DELETE\n  FROM station",
)  # fmt: skip
WHO = Attribution("app", "psql", None, 812, 751, "DELETE FROM station")
VERDICT = Verdict(
    What.ROWS_DELETED_IN_PLACE,
    Confidence.CERTAIN,
    ("7 rows were deleted",),
    ("who typed it",),
    attribution=WHO,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in use, of a sidecar that watched one loss from its beginning to its end."""
    opened = Store.open(tmp_path / "state", AT, CHANNELS)
    tables = (TablePrint("station", rows=0),)
    seen = DatabaseSeen(
        fingerprint=Fingerprint(AT, Identity(system="7", database_oid=5), tables=tables),
        recorder=RecorderSeen(installed=True, events=(EVENT,)),
    )
    opened.keep([Item(EvidenceKind.FINGERPRINT, None, AT - 60 * SECOND, {"timeline": 1})], AT)
    opened.keep(items_of(seen, Copied(), incident=None, at=AT)[0], AT)
    opened.save(replace(opening(), incident=replace(INCIDENT, verdict=VERDICT)), AT, [OPENED])
    opened.attach(INCIDENT.id, AT - SECOND)
    opened.keep([verdict_item(VERDICT, incident=INCIDENT.id, at=AT)], AT)
    end = resolving()
    assert end.incident is not None
    opened.save(replace(end, incident=replace(end.incident, verdict=VERDICT)), AT + 10 * SECOND)
    opened.keep([Item(EvidenceKind.FINGERPRINT, None, AT + 60 * SECOND, {"timeline": 1})], AT)
    yield opened
    opened.close()


def command(tmp_path: Path, words: str) -> Ended:
    return running.run(tmp_path, f"incident {words}", {"WATCHDOG_STATE_DIR": str(tmp_path / "state")})


def asked(tmp_path: Path, words: str) -> dict[str, Any]:
    ended = command(tmp_path, f"{words} --json")
    assert ended.code in (0, 1), ended.said
    found: dict[str, Any] = json.loads(ended.said)
    return found | {"code": ended.code}


def changed(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / "watchdog.sqlite", isolation_level=None)) as sqlite:
        for statement in statements:
            sqlite.execute(statement)


# ---- list, show ---


def test_incidents_are_listed_beside_a_running_sidecar(store: Store, tmp_path: Path) -> None:
    (line,) = command(tmp_path, "list").said.splitlines()
    assert line.split()[:2] == [INCIDENT.id, "resolved"]
    assert line.endswith("context_empty  rows_deleted_in_place")
    (found,) = asked(tmp_path, "list")["incidents"]
    assert found["losses"][0] == {"table": "station", "rows": 0, "expected": 7}


def test_an_incident_is_shown_with_who_did_it_and_its_evidence(store: Store, tmp_path: Path) -> None:
    said = command(tmp_path, f"show {INCIDENT.id}").said
    for expected in (
        f"Incident {INCIDENT.id}: resolved",
        "lost: station 0 rows of 7",
        "lost: glacier gone of 2",
        "verdict: rows_deleted_in_place (certain)",
        "who: role app, psql, from a local socket, process 812, transaction 751",
        "not observable: who typed it",
        "2026-04-21T12:10:00.000Z open: loss_confirmed: station 0 of 7",
        "Evidence: row, time, hash:",
        "event: delete station, 7 rows, 0 left by role app, psql�[2J, from 192.0.2.7, process 812",
        "DELETE FROM station",
        "fingerprint: system 7, database 5, timeline not seen, station 0",
        "opened to ops: queued: 7 rows lost",
    ):
        assert expected in said, said
    assert "\x1b" not in said
    shown = asked(tmp_path, f"show {INCIDENT.id}")
    assert [row["id"] for row in shown["evidence"]["rows"]] == [2, 3, 4]
    assert shown["evidence"]["head"] == shown["evidence"]["rows"][-1]["hash"]


@pytest.mark.parametrize("words", ["show nonsense", "verify nonsense", "export nonsense --output x"])
def test_an_incident_that_is_not_there_is_said(store: Store, tmp_path: Path, words: str) -> None:
    ended = command(tmp_path, words)
    assert ended.code == 2
    assert "there is no incident nonsense: `alpimonitor incident list` names them" in ended.said


# ---- verify ---


def test_a_chain_is_verified_beside_a_running_sidecar_and_its_files_stay_as_they_are(
    store: Store, tmp_path: Path
) -> None:
    before = {
        file.name: file.read_bytes() for file in (tmp_path / "state").iterdir() if "shm" not in file.name
    }
    found = asked(tmp_path, f"verify {INCIDENT.id} --head {store.evidence_head.hash}")
    assert (found["code"], found["holds"], found["rows"], found["broken"]) == (0, True, 5, [])
    assert found["head"] == {"hash": store.evidence_head.hash, "count": 5}
    assert found["incident"] == {"id": INCIDENT.id, "rows": 3}
    assert found["sought"] == {"hash": store.evidence_head.hash, "row": 5, "rows_after": 0}
    assert before == {
        file.name: file.read_bytes() for file in (tmp_path / "state").iterdir() if "shm" not in file.name
    }
    store.keep([Item(EvidenceKind.FINGERPRINT, None, AT, {})], AT)
    assert command(tmp_path, f"verify --head {found['head']['hash'][:12]}").said.splitlines() == [
        f"The chain of evidence holds: 6 rows, head {store.evidence_head.hash}.",
        f"The head {found['head']['hash'][:12]} is row 5; 1 came after it.",
    ]


@pytest.mark.parametrize("left", ["a stop", "a kill", "a kill, without -shm"])
def test_a_copy_is_verified_and_gets_no_file(store: Store, tmp_path: Path, left: str) -> None:
    if left == "a stop":
        store.close()
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "state", copy)
    if left.endswith("-shm"):
        (copy / "watchdog.sqlite-shm").unlink()
    names = {file.name for file in copy.iterdir()}
    ended = command(tmp_path, f"verify --state-dir {copy} --json")
    assert (ended.code, json.loads(ended.said)["rows"]) == (0, 5)
    assert {file.name for file in copy.iterdir()} == names


TAMPERED = {
    "an edit": ("UPDATE evidence SET body = replace(body, '812', '813')", 2, "hash"),
    "another hour": ("UPDATE evidence SET at = '2026-04-20T12:10:00.000Z' WHERE id = 2", 2, "hash"),
    "a deletion": ("DELETE FROM evidence WHERE id = 3", 4, "id"),
    "another order": ("UPDATE evidence SET id = CASE id WHEN 2 THEN 30 ELSE id END", 3, "id"),
    "a beginning that was cut off": ("DELETE FROM evidence WHERE id = 1", 2, "id"),
    "an anchor": ("INSERT INTO evidence_pruned VALUES (1, 0, 'forged', 0, NULL)", 1, "previous"),
    "bytes for text": ("UPDATE evidence SET body = x'ff' WHERE id = 5", 5, "hash"),
}


@pytest.mark.parametrize(("statement", "row", "what"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_done_to_the_evidence_is_said_with_the_first_row_that_shows_it(
    store: Store, tmp_path: Path, statement: str, row: int, what: str
) -> None:
    changed(tmp_path / "state", statement)
    found = asked(tmp_path, "verify")
    assert (found["code"], found["holds"]) == (1, False)
    assert [(found["broken"][0]["id"], found["broken"][0]["what"])] == [(row, what)]
    ended = command(tmp_path, "verify")
    assert ended.code == 1
    assert ended.said.startswith(f"The chain of evidence DOES NOT HOLD at row {row}: ")


def test_an_end_that_was_cut_off_shows_against_the_head_of_a_notification(
    store: Store, tmp_path: Path
) -> None:
    head = store.evidence_head.hash
    changed(tmp_path / "state", "DELETE FROM evidence WHERE id >= 4")
    assert command(tmp_path, "verify").code == 0
    ended = command(tmp_path, f"verify --head {head}")
    assert ended.code == 1
    assert f"The head {head} IS NOT IN IT: rows were taken from its end" in ended.said


def test_a_chain_left_by_kill_9_while_evidence_is_kept_holds(tmp_path: Path) -> None:
    """As it lies there, with a log and without a sidecar that tidies up first."""
    script = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from alpimonitor_watchdog.store import EvidenceKind, Item, Store
AT = datetime(2026, 4, 21, tzinfo=UTC)
store = Store.open(Path(sys.argv[1]), AT, {})
for number in range(10**9):
    store.keep([Item(EvidenceKind.EVENT, None, AT, {"id": number})], AT)
    print(store.evidence_head.hash, flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "state")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child, child.stdout:
        heads = [child.stdout.readline() for _ in range(25)]
        child.send_signal(signal.SIGKILL)
        heads += child.stdout.readlines()
    found = asked(tmp_path, f"verify --head {heads[-1].strip()}")
    assert (found["code"], found["holds"]) == (0, True)
    assert found["sought"]["rows_after"] in (0, 1)
    assert found["rows"] - len(heads) in (0, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("verify --head nonsense", "--head 'nonsense' is no hash: copy it from a notification"),
        ("verify --file missing.json", "the file missing.json cannot be read: No such file"),
        ("verify --file odd.json", "the file odd.json cannot be verified: it is no export of an incident"),
        ("verify 1 --file odd.json", "--file stands alone"),
        ("list --state-dir nowhere", "There is no store nowhere/watchdog.sqlite. Name the sidecar's state"),
        ("list --state-dir older", "The store older/watchdog.sqlite has version 1, and this command reads 3"),
    ],
)
def test_what_cannot_be_verified_says_what_to_do(tmp_path: Path, words: str, said: str) -> None:
    (tmp_path / "odd.json").write_text("{}")
    store_of_version_1(tmp_path / "older")
    ended = command(tmp_path, words)
    assert ended.code == 2
    assert said in ended.said
    assert "Traceback" not in ended.said


@pytest.mark.parametrize("words", ["list", "verify", "show 1", "export 1 --output x"])
def test_a_damaged_store_is_said(store: Store, tmp_path: Path, words: str) -> None:
    store.close()
    path = tmp_path / "state" / "watchdog.sqlite"
    path.write_bytes(path.read_bytes()[:4096].ljust(path.stat().st_size, b"x"))
    ended = command(tmp_path, words)
    assert ended.code == 1
    assert "The store" in ended.said
    assert "is damaged" in ended.said


# ---- export ---


def test_an_export_is_verified_without_the_store(store: Store, tmp_path: Path) -> None:
    ended = command(tmp_path, f"export {INCIDENT.id} --output incident.json")
    file = tmp_path / "incident.json"
    assert (
        ended.said == f"incident.json: incident {INCIDENT.id}, 3 pieces of evidence in 3 rows of the chain.\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    document = json.loads(file.read_text())
    assert document["incident"]["verdict"]["attribution"]["pid"] == 812
    store.close()
    shutil.rmtree(tmp_path / "state")
    head = document["chain"]["rows"][1]["hash"]
    found = asked(tmp_path, f"verify --file incident.json --head {head}")
    assert (found["code"], found["rows"], found["sought"]["rows_after"]) == (0, 3, 1)
    assert found["incident"] == {"id": INCIDENT.id, "rows": 3}
    assert command(tmp_path, f"export {INCIDENT.id} --output incident.json").code == 2


@pytest.mark.parametrize("harm", ["edit", "cut", "reorder"])
def test_an_export_that_was_changed_does_not_hold(store: Store, tmp_path: Path, harm: str) -> None:
    command(tmp_path, f"export {INCIDENT.id} --output incident.json")
    file = tmp_path / "incident.json"
    document = json.loads(file.read_text())
    rows = document["chain"]["rows"]
    if harm == "edit":
        rows[1]["body"] = rows[1]["body"].replace("2", "3")
    elif harm == "cut":
        del rows[1]
        document["chain"]["evidence"].remove(3)
    else:
        rows.reverse()
    file.write_text(json.dumps(document))
    assert command(tmp_path, "verify --file incident.json").code == 1
    del rows[0]
    file.write_text(json.dumps(document))
    ended = command(tmp_path, "verify --file incident.json")
    assert ended.code == 2
    assert "rows of the incident's evidence are missing" in ended.said


def test_an_export_after_a_salvage_has_the_row_that_names_what_was_lost(store: Store, tmp_path: Path) -> None:
    store.close()
    changed(
        tmp_path / "state",
        "UPDATE evidence SET body = '{}' WHERE id = 3",
        "INSERT INTO heal (id, reserved_at) VALUES ('h', 'levitation')",
    )
    with closing(Store.open(tmp_path / "state", AT, CHANNELS)) as salvaged:
        salvaged.save(opening(), AT)
        salvaged.keep([verdict_item(VERDICT, incident=INCIDENT.id, at=AT)], AT)
        salvaged.save(resolving(), AT + SECOND)
    assert command(tmp_path, f"export {INCIDENT.id} --output incident.json").code == 0
    found = asked(tmp_path, "verify --file incident.json")
    assert (found["code"], found["lost"]) == (0, [{"first": 3, "last": 3}])
