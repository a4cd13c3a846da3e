"""The state directory: who uses it, who may read it, and what becomes of a damaged file in it."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path

from .errors import StoreError, StoreInUse

REMEDY = "Give WATCHDOG_STATE_DIR a directory that the sidecar's user owns and can write."


def claim(directory: Path) -> int:
    """Create `directory` (mode 0700) and lock it for this process; returns the lock's descriptor.

    The kernel gives the lock back when the process ends, however it ends. Raises StoreInUse when another
    process holds it, StoreError when the directory cannot be used.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"The state directory {directory} cannot be used: {error.strerror}. {REMEDY}"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise StoreInUse(
            f"The state directory {directory} is used by another sidecar (process {holder or 'unknown'}). "
            "Stop that one, or give this one a WATCHDOG_STATE_DIR of its own."
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


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


def move_aside(path: Path, now: datetime) -> Path:
    """Rename a damaged store and its companions, so that it can be examined; returns its new path.

    Raises StoreError when the directory does not allow it.
    """
    aside = path.with_name(f"{path.name}.damaged-{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}")
    try:
        for suffix in ("", "-wal", "-shm"):
            found = path.with_name(path.name + suffix)
            if found.exists():
                found.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise StoreError(
            f"The damaged store {path} cannot be moved aside: {error.strerror}. {REMEDY}"
        ) from error
    return aside
