"""A store that is only read: beside a running sidecar, after one, or a copy of it on another machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from . import pages
from .connection import SCRIPTS, Connection
from .errors import NoStore, StoreError
from .store import FILE

_SINCE = 3  # the version that keeps evidence
_HOW = "Name the sidecar's state directory with --state-dir or WATCHDOG_STATE_DIR."


@contextmanager
def reading(state_dir: Path) -> Iterator[Connection]:
    """The store in `state_dir` as it is at one moment; no file in there is written or made.

    Raises NoStore when there is none that can be read, StoreError when it is damaged.
    """
    path = state_dir / FILE
    try:
        sqlite = (_beside(path) if path.with_name(f"{path.name}-shm").exists() else None) or _copied(path)
    except OSError as error:
        raise NoStore(f"The store {path} cannot be read: {error.strerror}. {_HOW}") from error
    try:
        sqlite.text_factory = lambda text: text.decode("utf-8", "replace")
        connection = Connection(path, sqlite)
        (row,) = connection.rows("PRAGMA user_version")
        version = row["user_version"]
        if not _SINCE <= version <= len(SCRIPTS):
            raise NoStore(
                f"The store {path} has version {version}, and this command reads {_SINCE} to {len(SCRIPTS)}: "
                "use the version of the sidecar that wrote it, or start the present one on it once."
            )
        yield connection
    finally:
        sqlite.close()


def _beside(path: Path) -> sqlite3.Connection | None:
    """One that agrees with the process that writes; None where SQLite may not, as on a read-only disk."""
    sqlite = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True, isolation_level=None, check_same_thread=False, timeout=2.0,
    )  # fmt: skip
    try:
        sqlite.execute("BEGIN")
        sqlite.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error:
        sqlite.close()
        return None
    return sqlite


def _copied(path: Path) -> sqlite3.Connection:
    """One in memory: SQLite would put files beside it. Raises OSError, StoreError."""
    if not path.exists():
        raise NoStore(f"There is no store {path}. {_HOW}")
    body, commits_lost = pages.image(path)
    if commits_lost:
        raise StoreError(f"The log of the store {path} is damaged: its last changes cannot be read.")
    sqlite = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with suppress(sqlite3.Error):  # what is no database has version 0
        sqlite.deserialize(body)
    return sqlite
