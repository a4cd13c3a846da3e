"""One SQLite connection that several threads share: its upgrade, its transactions, its errors translated."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any

from . import directory
from .errors import Damaged, StoreError, StoreFull

SCRIPTS = ("v1.sql", "v2.sql", "v3.sql")  # the n-th upgrades a store of version n - 1 to n
_DAMAGE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class Connection:
    """Statements from any thread, one transaction at a time; a committed one survives a power cut."""

    def __init__(self, path: Path, sqlite: sqlite3.Connection | None = None) -> None:
        """`sqlite`: how the file is opened, where it is not to be written."""
        self.path = path
        self.lock = threading.RLock()
        self._sqlite = sqlite or sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=2.0
        )

    def prepare(self, scripts: Sequence[str] | None = None) -> None:
        """Check the file, bring its schema up to date in place, and see that it takes a write.

        An older store is copied first, so that the older sidecar can be gone back to. Raises Damaged, or
        StoreError when the file cannot be read or written; then it is as it was.
        """
        if scripts is None:
            folder = resources.files(__package__)
            scripts = [folder.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS]
        try:
            self._sqlite.execute("PRAGMA journal_mode = WAL")
            self._sqlite.execute("PRAGMA synchronous = FULL")
            (verdict,) = self._sqlite.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise Damaged(verdict)
            (version,) = self._sqlite.execute("PRAGMA user_version").fetchone()
            if 0 < version < len(scripts):
                self._keep_copy(version)
            # One transaction, also when there is nothing to upgrade: a store that takes no write says so now.
            missing = "\n;\n".join(scripts[version:])
            self._sqlite.executescript(
                f"BEGIN IMMEDIATE;\n{missing}\n;PRAGMA user_version = {len(scripts)};\nCOMMIT;"
            )
        except sqlite3.Error as error:
            if _code(error) in _DAMAGE:
                raise Damaged(str(error)) from error
            raise self._translated(error) from error

    def _keep_copy(self, version: int) -> None:
        """Copy the store to `<name>.v<version>`, complete or not at all. Raises sqlite3.Error, StoreError."""
        copy = self.path.with_name(f"{self.path.name}.v{version}")
        unfinished = copy.with_name(f"{copy.name}.new")
        try:
            directory.discard(unfinished)
            directory.create_private(unfinished)
            with closing(sqlite3.connect(unfinished, isolation_level=None)) as target:
                target.execute("PRAGMA journal_mode = OFF")  # what is not finished is thrown away
                self._sqlite.backup(target)
            directory.move(unfinished, copy)
        except BaseException:
            with suppress(StoreError):
                directory.discard(unfinished)
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that happens inside is stored, or nothing of it. Raises StoreFull or StoreError."""
        with self.lock:
            try:
                self._sqlite.execute("BEGIN IMMEDIATE")
                yield self._sqlite
                self._sqlite.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                    self._sqlite.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._translated(error) from error
                if isinstance(error, ValueError | OverflowError):  # half a character, a number beyond 64 bits
                    raise StoreError(
                        f"The store {self.path} cannot hold what it was given: {error}"
                    ) from error
                raise

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """The rows of one SELECT, by column name. Raises StoreError."""
        with self.lock:
            try:
                cursor = self._sqlite.execute(statement, values)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor]
            except sqlite3.Error as error:
                raise self._translated(error) from error

    def close(self) -> None:
        with self.lock:
            self._sqlite.close()

    def _translated(self, error: sqlite3.Error) -> StoreError:
        if _code(error) == sqlite3.SQLITE_FULL:
            return StoreFull(
                f"The store {self.path} cannot grow: the disk is full. Free some space; the sidecar watches "
                "on and heals nothing until it can record what it does."
            )
        if _code(error) in _DAMAGE:
            return StoreError(
                f"The store {self.path} is damaged: {error}. Check its disk, then restart the sidecar: it "
                "moves the file aside and takes over what can be read."
            )
        return StoreError(f"The store {self.path} failed: {error}. Check its disk and its permissions.")


def _code(error: sqlite3.Error) -> int | None:
    """The primary result code: the low byte of the extended one."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
