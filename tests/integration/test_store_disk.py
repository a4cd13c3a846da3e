"""A store on a disk that is full or read-only, or in a directory that is somebody else's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from alpimonitor_watchdog.core.model import StartHeal
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase
from alpimonitor_watchdog.store import Store, StoreError, StoreFull, StoreInUse
from tests.small_disks import SmallDisk, mounted
from tests.stored import AT, CHANNELS, INCIDENT, OPENED, RESOLVED, opening, resolving, store_of_version_1

LATER = AT + timedelta(minutes=5)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "state", kilobytes=512) as disk:
        yield disk


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name not in ("lock", "ballast")}


def watches_and_notifies(store: Store) -> None:
    """What a store in memory is for, and what it refuses."""
    assert not store.recordable
    assert store.warnings[0].startswith(store.trouble)
    assert "heals nothing" in store.warnings[0]
    store.save(opening(), LATER, [OPENED])
    waiting = {queued.kind for queued in store.outbox.pending("ops")}
    assert waiting == {Kind.OPENED}
    assert store.incidents()[0]["id"] == INCIDENT.id
    with pytest.raises(StoreError, match="could not be recorded"):
        store.save(opening(StartHeal("h9"), phase=Phase.HEALING), LATER)


def test_a_full_disk_without_a_store_yet(disk: SmallDisk) -> None:
    disk.fill()
    with closing(Store.open(disk.folder, AT, CHANNELS)) as store:
        assert "watchdog.sqlite.new" in store.trouble
        watches_and_notifies(store)
    disk.make_room()
    with closing(Store.open(disk.folder, LATER, CHANNELS)) as again:
        assert again.warnings == ()
        assert again.recordable


def test_a_full_disk_with_a_store_goes_on_where_it_stood_and_leaves_it_as_it_is(disk: SmallDisk) -> None:
    with closing(Store.open(disk.folder, AT, CHANNELS)) as store:
        store.save(opening(), AT, [OPENED])
        keys = {queued.key for channel in CHANNELS for queued in store.outbox.pending(channel)}
    before = files(disk.folder)
    disk.fill()
    with closing(Store.open(disk.folder, LATER, CHANNELS)) as store:
        assert store.load() == opening().state
        pending = [queued for channel in CHANNELS for queued in store.outbox.pending(channel)]
        assert {queued.key for queued in pending} == keys
        watches_and_notifies(store)
        for queued in pending:
            store.outbox.delivered(queued, LATER)
        with pytest.raises(StoreInUse):
            Store.open(disk.folder, LATER, CHANNELS)
    disk.make_room()
    assert files(disk.folder)["watchdog.sqlite"] == before["watchdog.sqlite"]
    with closing(Store.open(disk.folder, LATER, CHANNELS)) as again:
        assert again.warnings == ()
        again_pending = [queued for channel in CHANNELS for queued in again.outbox.pending(channel)]
        assert {queued.key for queued in again_pending} == keys, "a repeat carries the same key"


def test_a_disk_that_fills_up_in_an_incident_keeps_everything_until_there_is_room(disk: SmallDisk) -> None:
    store = Store.open(disk.folder, AT, CHANNELS)
    store.save(opening(StartHeal("h1"), phase=Phase.HEALING), AT, [OPENED])
    disk.fill()
    with pytest.raises(StoreFull, match="Free some space"):
        store.finish_heal("h1", HealOutcome.SUCCEEDED, "exit code 0", LATER)
    with pytest.raises(StoreFull):
        store.save(resolving(), LATER, [RESOLVED])
    sent = []
    while pending := store.outbox.pending("ops"):
        sent.append(pending[0].kind)
        with pytest.raises(StoreFull):
            store.outbox.delivered(pending[0], LATER)
    assert sent == [Kind.OPENED, Kind.RESOLVED]
    assert store.recordable, "it may well be, soon"
    disk.make_room()
    store.save(resolving(), LATER)
    store.close()
    with closing(Store.open(disk.folder, LATER, CHANNELS)) as again:
        assert again.outbox.counts()["ops"] == {"queued": 0, "delivered": 2, "dead": 0}
        assert [queued.kind for queued in again.outbox.pending("pager")] == [Kind.OPENED]
        found = again.incident(INCIDENT.id)
        assert found is not None
        assert [heal["outcome"] for heal in found["heals"]] == ["succeeded"]


def test_an_upgrade_that_has_no_room_leaves_the_older_store_and_is_made_up_for(disk: SmallDisk) -> None:
    path = store_of_version_1(disk.folder)
    disk.fill()
    with closing(Store.open(disk.folder, AT, CHANNELS)) as store:
        assert not store.recordable
        assert store.load().phase is Phase.OPEN
        assert [queued.key for queued in store.outbox.pending("pager")] == ["k2"]
    disk.make_room()
    assert [name for name in files(disk.folder) if ".v1" in name] == []
    with closing(sqlite3.connect(path)) as sqlite:
        assert sqlite.execute("PRAGMA user_version").fetchone() == (1,)
    with closing(Store.open(disk.folder, AT, CHANNELS)) as store:
        assert store.recordable
        assert (disk.folder / "watchdog.sqlite.v1").exists()


def test_a_damaged_store_on_a_full_disk_is_read_and_salvaged_when_there_is_room(disk: SmallDisk) -> None:
    path = store_of_version_1(disk.folder)
    Store.open(disk.folder, AT, CHANNELS).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("UPDATE heal SET outcome = 'levitation'")
    disk.fill()
    for _ in range(2):
        with closing(Store.open(disk.folder, AT, CHANNELS)) as store:
            assert not store.recordable
            assert [queued.key for queued in store.outbox.pending("pager")] == ["k2"]
            assert store.load().phase is Phase.OPEN
    disk.make_room()
    with closing(Store.open(disk.folder, AT, CHANNELS)) as store:
        assert store.recordable
        assert "was damaged" in store.warnings[0]
        assert [queued.key for queued in store.outbox.pending("pager")] == ["k2"]


@pytest.mark.parametrize("lock_file", ["there", "absent"])
def test_a_read_only_file_system(disk: SmallDisk, lock_file: str) -> None:
    with closing(Store.open(disk.folder, AT, CHANNELS)) as store:
        store.save(opening(), AT, [OPENED])
    if lock_file == "absent":
        (disk.folder / "lock").unlink()
    before = files(disk.folder)
    disk.remount("ro")
    with closing(Store.open(disk.folder, LATER, CHANNELS)) as store:
        assert "Read-only file system" in store.trouble
        assert "WATCHDOG_STATE_DIR" in store.trouble
        assert store.load() == opening().state
        watches_and_notifies(store)
        with pytest.raises(StoreInUse):
            Store.open(disk.folder, LATER, CHANNELS)
    assert files(disk.folder) == before


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[Path]:
    """A directory of ours, while this process may do only what nobody may."""
    if os.geteuid() != 0:
        pytest.skip("a directory of another user: becoming somebody else takes root")
    os.seteuid(65534)
    try:
        yield tmp_path
    finally:
        os.seteuid(0)


def test_a_directory_that_belongs_to_somebody_else(as_nobody: Path) -> None:
    with closing(Store.open(as_nobody / "not" / "mine", AT, CHANNELS)) as store:
        assert "Permission denied" in store.trouble
        watches_and_notifies(store)


def test_a_path_that_leads_through_a_file_is_a_mistake_to_be_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"Not a directory.*WATCHDOG_STATE_DIR"):
        Store.open(tmp_path / "file" / "state", AT, CHANNELS)
