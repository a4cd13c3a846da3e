"""A store whose file is damaged, older or newer: it is opened all the same, and says what was lost."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import resources
from pathlib import Path

import pytest

from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.core.model import StartHeal, State
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase
from alpimonitor_watchdog.store import Store, StoreError
from alpimonitor_watchdog.store.connection import SCRIPTS, Connection
from tests.stored import AT, CHANNELS, INCIDENT, OPENED, opening, store_of_version_1

LATER = AT + timedelta(minutes=5)
QUEUED = 40  # notifications a channel: they fill several pages
HEALS = {"h0", "h1"}
PAGE = 4096
FRAME = 24 + PAGE


def filled(directory: Path) -> Store:
    """An open store with a history, a running heal and undelivered notifications."""
    store = Store.open(directory, AT, CHANNELS)
    for number in range(60):
        store.note(INCIDENT.id, AT, "event", "probe", f"{number} " + "x" * 300)
    store.save(opening(StartHeal("h0"), phase=Phase.HEALING), AT)
    store.finish_heal("h0", HealOutcome.FAILED, "exit code 1", AT)
    told = [replace(OPENED, message=Message(f"title {n}", "x" * 400)) for n in range(QUEUED)]
    store.save(opening(StartHeal("h1"), phase=Phase.HEALING), AT, told)
    return store


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a filled store that was closed: nothing is left in a log."""
    directory = tmp_path_factory.mktemp("closed")
    filled(directory).close()
    return (directory / "watchdog.sqlite").read_bytes()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The file and the log of a filled store as a kill leaves them."""
    directory = tmp_path_factory.mktemp("killed")
    with closing(filled(directory)):
        path = directory / "watchdog.sqlite"
        return path.read_bytes(), path.with_name("watchdog.sqlite-wal").read_bytes()


def lay(directory: Path, body: bytes, log: bytes = b"") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / "watchdog.sqlite"
    path.write_bytes(body)
    if log:
        path.with_name("watchdog.sqlite-wal").write_bytes(log)
    return path


def heals(store: Store) -> set[str]:
    return {row["id"] for row in store._connection.rows("SELECT id FROM heal")}


def titles(store: Store) -> set[str]:
    """Whatever waits for the channel `ops`."""
    return {queued.message.title for queued in store.outbox._waiting.values() if queued.channel == "ops"}


def works(store: Store, directory: Path) -> None:
    """What is saved now is there after another start, which has nothing to complain about."""
    store.save(
        replace(opening(), state=State(phase=Phase.OPEN, incident=INCIDENT, next_id=77)), LATER, [OPENED]
    )
    waiting = store.outbox.queue_length()
    store.close()
    again = Store.open(directory, LATER, CHANNELS)
    assert again.warnings == ()
    assert again.load().next_id == 77
    assert again.outbox.queue_length() == waiting
    again.close()


# ---- damaged ---


@dataclass(frozen=True)
class Damage:
    """What happens to the bytes of a closed store, and what is left of it."""

    does: Callable[[bytes], bytes]
    queued: bool  # every undelivered notification is taken over
    state: bool
    heals_unknown: bool


def scrambled(body: bytes, first: int, last: int) -> bytes:
    return body[:first] + random.Random(5).randbytes(last - first) + body[last:]


DAMAGES = {
    "no database at all": Damage(lambda body: b"this is no database", False, False, True),
    "emptied": Damage(lambda body: b"", False, False, True),
    "its first bytes only": Damage(lambda body: body[:50], False, False, True),
    "torn after its header": Damage(lambda body: body[:16] + b"\xff" * 4000, False, False, True),
    "a header that claims a version": Damage(
        lambda body: body[:16] + b"\x11" * 84 + body[100:], False, False, True
    ),
    "first page lost": Damage(lambda body: scrambled(body, 0, PAGE), False, False, True),
    "all but the first page lost": Damage(lambda body: scrambled(body, PAGE, len(body)), False, False, True),
    "another program's database": Damage(lambda body: foreign(), False, False, True),
    "the second half cut off": Damage(lambda body: body[: len(body) // 2], False, True, False),
    "the end cut off within a page": Damage(lambda body: body[: -PAGE - 17], False, True, False),
    "its last page zeroed": Damage(lambda body: body[:-PAGE] + bytes(PAGE), False, True, False),
}


def foreign() -> bytes:
    with closing(sqlite3.connect(":memory:")) as sqlite:
        sqlite.execute("CREATE TABLE theirs (id)")
        return sqlite.serialize()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_moved_aside_and_a_new_one_begun_with_what_can_be_read(
    tmp_path: Path, closed: bytes, damage: Damage
) -> None:
    damaged = damage.does(closed)
    lay(tmp_path, damaged)
    store = Store.open(tmp_path, LATER, CHANNELS)
    aside = tmp_path / "watchdog.sqlite.damaged-20260421T121500.000000Z"
    assert aside.read_bytes() == damaged
    (warning,) = store.warnings
    assert str(aside) in warning
    assert f"Taken over: {store.outbox.queue_length()} undelivered" in warning
    assert store.recordable
    assert (len(titles(store)) == QUEUED) is damage.queued
    assert (store.load().phase is Phase.HEALING) is damage.state
    assert store.heals_unknown is damage.heals_unknown
    assert ("none runs until" in warning) is damage.heals_unknown
    assert ("may be lost" in warning) is not damage.queued
    works(store, tmp_path)


def test_a_damaged_history_costs_no_notification_no_heal_and_no_state(tmp_path: Path, closed: bytes) -> None:
    at = closed.index(b"30 xxxxxxxx") // PAGE * PAGE
    lay(tmp_path, scrambled(closed, at, at + PAGE))
    store = Store.open(tmp_path, LATER, CHANNELS)
    assert titles(store) == {f"title {number}" for number in range(QUEUED)}
    assert heals(store) == HEALS
    assert store.load() == opening(phase=Phase.HEALING).state
    assert not store.heals_unknown
    assert "may be lost" not in store.warnings[0]
    works(store, tmp_path)


def test_notifications_before_and_behind_a_lost_page_are_taken_over(tmp_path: Path, closed: bytes) -> None:
    at = closed.index(b"title 20") // PAGE * PAGE
    lay(tmp_path, scrambled(closed, at, at + PAGE))
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as store:
        found = titles(store)
        assert {"title 0", f"title {QUEUED - 1}"} <= found
        assert "title 20" not in found


def test_whichever_page_is_lost_it_opens_and_what_it_does_not_miss_is_there(
    tmp_path: Path, closed: bytes
) -> None:
    missed = 0
    for page in range(len(closed) // PAGE):
        directory = tmp_path / str(page)
        lay(directory, scrambled(closed, page * PAGE, (page + 1) * PAGE))
        with closing(Store.open(directory, LATER, CHANNELS)) as store:
            said = " ".join(store.warnings)
            whole = len(titles(store)) == QUEUED
            assert "was damaged" in said, f"page {page} is in no table and no index"
            assert whole or "notifications may be lost" in said, f"page {page}: {said}"
            known = heals(store) == HEALS or store.load().incident is not None
            assert known or store.heals_unknown, f"page {page}: {said}"
            missed += not whole
    assert 0 < missed < len(closed) // PAGE / 2


def test_wherever_it_is_cut_off_it_opens(tmp_path: Path, closed: bytes) -> None:
    for page in range(len(closed) // PAGE):
        lay(tmp_path / str(page), closed[: page * PAGE])
        with closing(Store.open(tmp_path / str(page), LATER, CHANNELS)) as store:
            assert "was damaged" in store.warnings[0]
            assert heals(store) == HEALS or store.heals_unknown or store.load().incident is not None


def test_a_notification_that_makes_no_sense_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "watchdog.sqlite", isolation_level=None)) as sqlite:
        sqlite.execute("UPDATE outbox SET kind = 'levitation' WHERE title = 'title 3' AND channel = 'ops'")
    store = Store.open(tmp_path, LATER, CHANNELS)
    assert titles(store) == {f"title {number}" for number in range(QUEUED)} - {"title 3"}
    assert "Other undelivered notifications may be lost" in store.warnings[0]
    works(store, tmp_path)


def test_keys_and_attempts_of_notifications_survive_a_salvage(tmp_path: Path, closed: bytes) -> None:
    path = lay(tmp_path, closed)
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        before = set(sqlite.execute("SELECT key, channel, attempts, created_at FROM outbox"))
    at = closed.index(b"30 xxxxxxxx") // PAGE * PAGE
    lay(tmp_path, scrambled(closed, at, at + PAGE))
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as store:
        rows = store._connection.rows("SELECT key, channel, attempts, created_at FROM outbox ORDER BY id")
        assert {tuple(row.values()) for row in rows} == before
        ops = [queued.message.title for queued in store.outbox._waiting.values() if queued.channel == "ops"]
        assert ops == [f"title {number}" for number in range(QUEUED)], "in their order"


# ---- a damaged log ---


def test_a_log_that_a_kill_left_is_no_damage(tmp_path: Path, killed: tuple[bytes, bytes]) -> None:
    lay(tmp_path, *killed)
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as store:
        assert store.warnings == ()
        assert heals(store) == HEALS
        assert len(titles(store)) == QUEUED


def test_a_log_whose_last_commit_never_reached_the_disk_is_no_damage(
    tmp_path: Path, killed: tuple[bytes, bytes]
) -> None:
    body, log = killed
    lay(tmp_path, body, log[:-100])
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as store:
        assert store.warnings == ()
        assert heals(store) == {"h0"}


def test_a_log_that_cannot_be_read_in_the_middle_is_said_and_heals_count_as_unknown(
    tmp_path: Path, killed: tuple[bytes, bytes]
) -> None:
    """SQLite itself would go back to the last commit before the damage, and say nothing."""
    body, log = killed
    for frame in (0, 1, (len(log) - 32) // FRAME // 2, (len(log) - 32) // FRAME - 2):
        at = 32 + frame * FRAME + 24 + 100
        directory = tmp_path / str(frame)
        lay(directory, body, scrambled(log, at, at + 50))
        store = Store.open(directory, LATER, CHANNELS)
        assert "was damaged" in store.warnings[0]
        assert store.heals_unknown
        works(store, directory)


def test_a_log_without_its_header_is_said_and_heals_count_as_unknown(
    tmp_path: Path, killed: tuple[bytes, bytes]
) -> None:
    body, log = killed
    lay(tmp_path, body, scrambled(log, 0, 32))
    store = Store.open(tmp_path, LATER, CHANNELS)
    assert store.heals_unknown
    assert (tmp_path / "watchdog.sqlite.damaged-20260421T121500.000000Z-wal").exists()
    works(store, tmp_path)


def test_a_log_without_its_file_still_gives_what_it_has(tmp_path: Path, killed: tuple[bytes, bytes]) -> None:
    lay(tmp_path, *killed).unlink()
    store = Store.open(tmp_path, LATER, CHANNELS)
    assert "was damaged" in store.warnings[0]
    assert "h1" in heals(store)
    assert titles(store)
    works(store, tmp_path)


# ---- what is unknown stays unknown for a while ---


def test_unknown_heals_stay_unknown_over_restarts_and_for_a_day(tmp_path: Path, closed: bytes) -> None:
    lay(tmp_path, b"garbage")
    Store.open(tmp_path, AT, CHANNELS).close()
    for hours, unknown in ((0, True), (23, True), (25, False)):
        with closing(Store.open(tmp_path, AT + timedelta(hours=hours), CHANNELS)) as store:
            assert store.heals_unknown is unknown
            assert store.heals_unknown_since == (AT if unknown else None)


# ---- newer ---


def newer(directory: Path) -> Path:
    filled(directory).close()
    path = directory / "watchdog.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("PRAGMA user_version = 99")
    return path


def hashes(directory: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in directory.iterdir()
        if file.name != "lock"
    }


@pytest.mark.parametrize("left_by", ["a stop", "a kill"])
def test_a_newer_store_is_not_touched_and_the_sidecar_goes_on_in_memory(tmp_path: Path, left_by: str) -> None:
    directory = tmp_path / "state"
    if left_by == "a stop":
        newer(directory)
    else:
        original = tmp_path / "original"
        path = newer(original)
        with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
            sqlite.execute("PRAGMA user_version = 1")  # the newer version is in the log alone
            sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            sqlite.execute("PRAGMA user_version = 99")
            shutil.copytree(original, directory)
    before = hashes(directory)
    store = Store.open(directory, LATER, CHANNELS)
    assert not store.recordable
    (warning,) = store.warnings
    assert warning.startswith(store.trouble)
    assert "version 99" in warning
    assert "Run the newer sidecar" in warning
    assert "watches and notifies from memory, and heals nothing" in warning
    assert store.load() == State(), "a newer state would be misread"
    store.save(opening(), LATER, [OPENED])
    (queued,) = store.outbox.pending("ops")
    store.outbox.delivered(queued, LATER)
    assert store.incidents()[0]["id"] == INCIDENT.id
    with pytest.raises(StoreError, match="could not be recorded"):
        store.save(opening(StartHeal("h9"), phase=Phase.HEALING), LATER)
    assert store.unfinished_heal() is None
    store.close()
    assert hashes(directory) == before


# ---- older ---


def test_a_released_script_is_never_edited() -> None:
    folder = resources.files("alpimonitor_watchdog.store")
    found = {name: hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() for name in SCRIPTS}
    assert found == {
        "v1.sql": "7e598d40abc7e65a1dba27494c19127fc9be7cc9a4ccd828260fdb07378628c4",
        "v2.sql": "f9b2c0f6fac5c6a5bd2259223a1d05ae1b36333dc54a4680d125467c7bd3b2c4",
        "v3.sql": "1f4757b48c60282f8a9be73cf73cb59cec093ae9fd9046be36541b1abdd693c2",
    }


def test_a_store_of_version_1_is_upgraded_in_place_and_nothing_is_lost(tmp_path: Path) -> None:
    store_of_version_1(tmp_path)
    store = Store.open(tmp_path, AT, CHANNELS)
    assert store.warnings == ()
    assert store.recordable
    assert not store.heals_unknown
    state = store.load()
    assert (state.phase, state.lived, state.next_heal) == (Phase.OPEN, 1234.5, 2)
    assert [heal.undone for heal in state.heals] == [True]
    (incident,) = store.incidents()
    assert (incident["id"], incident["key"], incident["acknowledged_by"]) == (INCIDENT.id, "", None)
    found = store.incident(INCIDENT.id)
    assert found is not None
    assert [item["event"] for item in found["timeline"]] == ["open"]
    assert [heal["outcome"] for heal in found["heals"]] == ["succeeded"]
    assert store.outbox.counts() == {
        "ops": {"queued": 0, "delivered": 1, "dead": 0},
        "pager": {"queued": 1, "delivered": 0, "dead": 0},
    }
    (queued,) = store.outbox.pending("pager")
    assert (queued.key, queued.kind, queued.attempts) == ("k2", Kind.OPENED, 3)
    store.outbox.delivered(queued, LATER)
    works(store, tmp_path)


def test_before_an_upgrade_a_copy_is_kept_that_the_older_sidecar_can_use(tmp_path: Path) -> None:
    path = store_of_version_1(tmp_path)
    with closing(sqlite3.connect(path)) as sqlite:
        before = list(sqlite.iterdump())
    Store.open(tmp_path, AT, CHANNELS).close()
    copy = tmp_path / "watchdog.sqlite.v1"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as sqlite:
        assert list(sqlite.iterdump()) == before
        assert sqlite.execute("PRAGMA user_version").fetchone() == (1,)
    assert {file.name for file in tmp_path.iterdir()} == {"lock", "watchdog.sqlite", "watchdog.sqlite.v1"}


def test_no_copy_is_made_without_an_upgrade(tmp_path: Path) -> None:
    for _ in range(2):
        Store.open(tmp_path, AT, CHANNELS).close()
    assert {file.name for file in tmp_path.iterdir()} == {"lock", "watchdog.sqlite"}


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = store_of_version_1(tmp_path)
    with closing(Connection(path)) as connection, pytest.raises(StoreError, match="no such table"):
        connection.prepare(["never read", "DROP TABLE heal; ALTER TABLE nonsense ADD COLUMN x"])
    with closing(sqlite3.connect(path)) as sqlite:
        assert sqlite.execute("PRAGMA user_version").fetchone() == (1,)
        assert sqlite.execute("SELECT id FROM heal").fetchall() == [("h1",)]


def test_an_upgrade_that_cannot_be_written_goes_on_in_memory_with_what_there_is(tmp_path: Path) -> None:
    path = store_of_version_1(tmp_path)
    (tmp_path / "watchdog.sqlite.v1.new").mkdir()  # in the way of the copy
    (tmp_path / "watchdog.sqlite.v1.new" / "file").touch()
    before = path.read_bytes()
    store = Store.open(tmp_path, AT, CHANNELS)
    assert not store.recordable
    assert "watchdog.sqlite.v1.new" in store.trouble
    assert "perhaps again" in store.warnings[0]
    assert store.load().phase is Phase.OPEN
    (queued,) = store.outbox.pending("pager")
    assert (queued.key, queued.attempts) == ("k2", 3)
    store.outbox.delivered(queued, LATER)
    store.close()
    assert path.read_bytes() == before


# ---- in the way ---


@pytest.fixture
def another_holds_it(tmp_path: Path) -> Iterator[None]:
    """A program that never lets go of the store."""
    filled(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "watchdog.sqlite", isolation_level=None)) as sqlite:
        sqlite.execute("PRAGMA locking_mode = EXCLUSIVE")
        sqlite.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.usefixtures("another_holds_it")
def test_a_store_that_another_program_locks_is_replaced_by_one_in_memory(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path, LATER, CHANNELS)) as store:
        assert not store.recordable
        assert "locked" in store.trouble
        assert store.load().phase is Phase.HEALING
        assert len(titles(store)) == QUEUED
