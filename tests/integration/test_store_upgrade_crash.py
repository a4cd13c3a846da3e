"""kill -9 at every boundary of an upgrade, and of taking over what is left of a damaged store."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from alpimonitor_watchdog.core.words import Phase
from alpimonitor_watchdog.store import EvidenceKind, Item, Store, evidence
from alpimonitor_watchdog.store.chain import verify
from alpimonitor_watchdog.store.reading import reading
from tests.stored import AT, CHANNELS, store_of_version_1

# Opens copies of the directory argv[1] in argv[2], and dies by SIGKILL just before the n-th thing that the
# n-th of them does to its disk: a statement, or a call that names a file. Ends when one was killed nowhere.
OPENS = """
import os, shutil, signal, sqlite3, sys
from datetime import UTC, datetime
from pathlib import Path
from alpimonitor_watchdog.core.words import Tag
from alpimonitor_watchdog.store import Store

AT = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
CHANNELS = {"ops": frozenset({Tag.NOTIFY}), "pager": frozenset({Tag.NOTIFY, Tag.PAGE})}
connect = sqlite3.connect

def open_and_die(directory, left):
    def done(_what):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def audited(event, arguments):
        if event in ("open", "os.rename", "os.remove", "os.chmod") and str(directory) in str(arguments[0]):
            done(event)
    def traced(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_trace_callback(done)
        return connection
    sys.addaudithook(audited)
    sqlite3.connect = traced
    Store.open(directory, AT, CHANNELS).close()

boundary = 0
while True:
    boundary += 1
    directory = Path(sys.argv[2]) / f"{boundary:03}"
    shutil.copytree(sys.argv[1], directory)
    pid = os.fork()
    if pid == 0:
        open_and_die(directory, boundary)
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        break
"""


def killed_at_each_boundary(original: Path, folder: Path) -> list[Path]:
    """What is left of copies of `original` that were opened; the last was killed nowhere."""
    folder.mkdir()
    subprocess.run([sys.executable, "-c", OPENS, str(original), str(folder)], check=True)
    return sorted(folder.iterdir())


def test_an_upgrade_killed_anywhere_leaves_one_version_or_the_other_and_loses_nothing(tmp_path: Path) -> None:
    store_of_version_1(tmp_path / "original")
    left = killed_at_each_boundary(tmp_path / "original", tmp_path / "killed")
    versions = []
    for directory in left:
        with closing(sqlite3.connect(directory / "watchdog.sqlite")) as sqlite:
            (version,) = sqlite.execute("PRAGMA user_version").fetchone()
            columns = {row[1] for row in sqlite.execute("PRAGMA table_info(incident)")}
        assert (version == 3) is ("key" in columns) is ("verdict" in columns)
        versions.append(version)
        with closing(Store.open(directory, AT, CHANNELS)) as store:
            assert store.warnings == ()
            assert store.load().phase is Phase.OPEN
            assert [queued.key for queued in store.outbox.pending("pager")] == ["k2"]
            assert store.finished_heal("h1") is not None
        with closing(sqlite3.connect(directory / "watchdog.sqlite.v1")) as copy:
            assert copy.execute("SELECT count(*) FROM outbox").fetchone() == (2,)
        names = {file.name for file in directory.iterdir()}
        assert names == {"lock", "watchdog.sqlite", "watchdog.sqlite.v1"}
    assert versions == sorted(versions)
    assert min(versions.count(1), versions.count(3)) > 1, "it was killed before and after the upgrade"


def test_a_salvage_killed_anywhere_is_finished_by_the_next_start(tmp_path: Path) -> None:
    path = store_of_version_1(tmp_path / "original")
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("UPDATE outbox SET severity = 'levitation' WHERE key = 'k1'")
        sqlite.execute("UPDATE outbox SET status = 'queued'")
    left = killed_at_each_boundary(tmp_path / "original", tmp_path / "killed")
    unfinished = 0
    for directory in left:
        unfinished += (directory / "watchdog.sqlite.salvaging").exists()
        with closing(Store.open(directory, AT, CHANNELS)) as store:
            assert store.recordable
            assert store.load().phase is Phase.OPEN
            assert [queued.key for queued in store.outbox.pending("pager")] == ["k2"]
            assert store.finished_heal("h1") is not None
        (aside,) = [file for file in directory.iterdir() if "damaged" in file.name]
        with closing(sqlite3.connect(aside)) as sqlite:
            assert sqlite.execute("SELECT count(*) FROM outbox").fetchone() == (2,)
        with closing(Store.open(directory, AT, CHANNELS)) as again:
            assert again.warnings == ()
            assert again.outbox.queue_length() == 1
    assert unfinished > 10, "it was killed on the way"


def test_a_salvage_killed_anywhere_goes_on_with_the_chain_of_evidence_once(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path / "original", AT, CHANNELS)) as store:
        store.keep([Item(EvidenceKind.EVENT, None, AT, {"id": number}) for number in range(3)], AT)
        head = store.evidence_head
    with closing(sqlite3.connect(tmp_path / "original" / "watchdog.sqlite", isolation_level=None)) as sqlite:
        sqlite.execute("INSERT INTO heal (id, reserved_at) VALUES ('h', 'levitation')")  # which is damage
    for directory in killed_at_each_boundary(tmp_path / "original", tmp_path / "killed"):
        with closing(Store.open(directory, AT, CHANNELS)) as store:
            assert [row["kind"] for row in store.evidence()] == ["event", "event", "event", "gap"]
        with reading(directory) as connection:
            found = verify(evidence.anchor(connection), evidence.every(connection), head.hash)
        assert found.holds
        assert (found.sought_at, found.after_sought) == (3, 1)


def test_a_salvage_that_is_killed_keeps_the_log_with_its_file(tmp_path: Path) -> None:
    path = store_of_version_1(tmp_path / "live")
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("UPDATE outbox SET status = 'queued'")
        log = path.with_name("watchdog.sqlite-wal")
        kept = log.stat().st_size
        for detail in ("lost", "lost, too"):
            sqlite.execute("UPDATE heal SET detail = ?", (detail,))
        shutil.copytree(tmp_path / "live", tmp_path / "original")
    with (tmp_path / "original" / log.name).open("r+b") as damaged:
        damaged.seek(kept + 24 + 100)
        damaged.write(b"damage")
    for directory in killed_at_each_boundary(tmp_path / "original", tmp_path / "killed"):
        with closing(Store.open(directory, AT, CHANNELS)) as store:
            assert store.heals_unknown
            keys = {queued.key for channel in CHANNELS for queued in store.outbox.pending(channel)}
            assert keys == {"k1", "k2"}, "the first of them waits in the log alone"
