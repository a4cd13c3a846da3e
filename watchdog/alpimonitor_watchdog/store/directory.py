"""The state directory: who uses it, who may read it, and the moving of files in it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import StoreError, StoreInUse

REMEDY = "Give WATCHDOG_STATE_DIR a directory that the sidecar's user owns and can write."

COMPANIONS = ("", "-wal", "-shm", "-journal")  # a store and what SQLite puts beside it


@dataclass(frozen=True)
class Claim:
    """The state directory, held as far as it can be. `trouble`: why nothing can be written in it, or ""."""

    descriptors: tuple[int, ...] = ()
    trouble: str = ""

    def release(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


def claim(directory: Path) -> Claim:
    """Create `directory` (mode 0700) and lock it for this process.

    The kernel gives the locks back when the process ends, however it ends. Raises StoreInUse when another
    process holds one, StoreError when the path leads through a file: a mistake, not an outage.
    """
    held: list[int] = []
    try:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The directory itself, too: it can be locked when a full disk takes no new file.
            held.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            with suppress(OSError):  # a network file system may lock files only
                _lock(held[0], directory)
            held.append(os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            _lock(held[1], directory)
            with suppress(OSError):  # who holds it is a courtesy
                os.ftruncate(held[1], 0)
                os.pwrite(held[1], f"{os.getpid()}\n".encode(), 0)
        except (FileExistsError, NotADirectoryError) as error:
            raise StoreError(
                f"The state directory {directory} cannot be used: {error.strerror}. {REMEDY}"
            ) from error
        except OSError as error:
            return Claim(
                tuple(held), f"The state directory {directory} cannot be used: {error.strerror}. {REMEDY}"
            )
    except BaseException:
        Claim(tuple(held)).release()
        raise
    return Claim(tuple(held))


def _lock(descriptor: int, directory: Path) -> None:
    """Raises StoreInUse, OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        try:
            holder = (directory / "lock").read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            holder = ""
        raise StoreInUse(
            f"The state directory {directory} is used by another sidecar (process {holder or 'unknown'}). "
            "Stop that one, or give this one a WATCHDOG_STATE_DIR of its own."
        ) from error


def close_to_others(directory: Path) -> str:
    """Close `directory` to other users; a sentence when that is not ours to do (a volume), else ""."""
    if not directory.stat().st_mode & 0o077:
        return ""
    try:
        directory.chmod(0o700)
    except OSError:
        return (
            f"The state directory {directory} can be entered by other users. "
            f"Its owner can close it: chmod 700 {directory}"
        )
    return ""


def create_private(path: Path) -> None:
    """Create `path` with mode 0600 if it is absent; SQLite gives its companions the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(f"The store {path} cannot be opened: {error.strerror}. {REMEDY}") from error


def discard(store: Path) -> None:
    """Delete what was left of a store that was never finished. Raises StoreError."""
    try:
        for suffix in COMPANIONS:
            store.with_name(store.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"The file {store} cannot be deleted: {error.strerror}. {REMEDY}") from error


def move(store: Path, to: Path) -> None:
    """Rename a store with its companions: itself first, so that what is left tells of a move cut short.

    Raises StoreError when the directory does not allow it.
    """
    try:
        for suffix in COMPANIONS:
            found = store.with_name(store.name + suffix)
            if found.exists():
                _sync(found)
                found.rename(to.with_name(to.name + suffix))
        _sync(to.parent)
    except OSError as error:
        raise StoreError(
            f"The store {store} cannot be renamed to {to.name}: {error.strerror}. {REMEDY}"
        ) from error


def _sync(path: Path) -> None:
    """Make a file, or the names in a directory, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
