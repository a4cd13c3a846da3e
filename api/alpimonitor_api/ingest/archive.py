"""Raw payloads, kept before anything is made of them, as `<root>/YYYY-MM-DD/<time>-<hash>.json.gz`.

The service keeps only the latest observation of a station: what was not kept here is gone. Days and times are
those of fetching, in UTC, so that the order of names is the order of payloads; the hash is the first 12
digits of the payload's SHA-256.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

KEPT_FOR = timedelta(days=30)
LARGEST_PAYLOAD = 4 * 2**20
"""Bytes, unpacked: a dozen times the payload of today. JSON can take thirty times as much once it is parsed,
and that memory is the API's."""

DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
NAME = re.compile(r"(?P<time>\d{6}\.\d{6}Z)-[0-9a-f]{12}\.json\.gz", re.ASCII)
UNFINISHED = ".unfinished-"


class ArchiveError(Exception):
    """A payload was not kept, or cannot be read. The text says where, why and what to do."""


def write(root: Path, body: bytes, fetched_at: datetime) -> Path:
    """Keep `body` and return where; after this it survives a loss of power. Raises ArchiveError."""
    moment = fetched_at.astimezone(UTC)
    folder = root / moment.strftime("%Y-%m-%d")
    path = folder / f"{moment.strftime('%H%M%S.%fZ')}-{sha256(body)[:12]}.json.gz"
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _sync(root)
        _replace(path, gzip.compress(body, compresslevel=6, mtime=0))
    except OSError as error:
        raise ArchiveError(_explained(path, "written", error)) from error
    return path


def read(path: Path) -> bytes:
    """The payload in an archived file, or in a plain one. Raises ArchiveError, also when it is too large."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    body = unpacked.read(LARGEST_PAYLOAD + 1)
            else:
                body = raw.read(LARGEST_PAYLOAD + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ArchiveError(_explained(path, "read", error)) from error
    if len(body) > LARGEST_PAYLOAD:
        raise ArchiveError(f"{path} holds more than {LARGEST_PAYLOAD} bytes: it is no payload of LINDAS")
    return body


def fetched_at(path: Path) -> datetime | None:
    """When an archived payload was fetched, by its name (aware UTC); None for a file of any other name."""
    name = NAME.fullmatch(path.name)
    if name is None or DAY.fullmatch(path.parent.name) is None:
        return None
    try:
        return datetime.strptime(f"{path.parent.name} {name['time']}", "%Y-%m-%d %H%M%S.%f%z")
    except ValueError:
        return None


def expire(root: Path, today: date) -> int:
    """Remove the days beyond KEPT_FOR, and from them only what was written here; returns how many payloads.

    Raises ArchiveError when something that has to go cannot be removed.
    """
    removed = 0
    for folder in _days_before(root, today - KEPT_FOR):
        try:
            for file in list(folder.iterdir()):
                if NAME.fullmatch(file.name):
                    file.unlink(missing_ok=True)
                    removed += 1
                elif file.name.startswith(UNFINISHED):
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise ArchiveError(_explained(folder, "removed", error)) from error
        # Not empty when somebody put a file of their own there; that one stays.
        with suppress(OSError):
            folder.rmdir()
    return removed


def check(root: Path) -> None:
    """Prove that something could be kept: write a few bytes and read them back. Raises ArchiveError."""
    path = root / f"{UNFINISHED}{secrets.token_hex(8)}"
    proof = secrets.token_bytes(16)
    try:
        root.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(proof)
            found = path.read_bytes()
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ArchiveError(_explained(path, "written", error)) from error
    if found != proof:
        raise ArchiveError(
            f"{path} reads back other bytes than were written: look at the volume behind {root}"
        )


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _days_before(root: Path, first_kept: date) -> Iterator[Path]:
    try:
        folders = [entry for entry in root.iterdir() if DAY.fullmatch(entry.name)]
    except OSError as error:
        raise ArchiveError(_explained(root, "read", error)) from error
    # Names of this form sort as the days do.
    return (folder for folder in sorted(folders) if folder.name < first_kept.isoformat())


def _replace(path: Path, content: bytes) -> None:
    """The whole file or none: written aside, forced to disk, renamed, and the renaming forced to disk."""
    unfinished = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(path: Path, what: str, error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    match number:
        case errno.EACCES | errno.EPERM:
            remedy = f"give the user that runs this (uid {os.geteuid()}) the right to it"
        case errno.ENOSPC | errno.EDQUOT:
            remedy = "free space on its volume, or set LINDAS_ARCHIVE_DIR to a folder on a larger one"
        case errno.EROFS:
            remedy = "mount the volume writable"
        case errno.ENOTDIR | errno.EEXIST:
            remedy = "a file is in the way: LINDAS_ARCHIVE_DIR has to be a folder, and its days too"
        case errno.ENOENT:
            remedy = "see that the path is right and its volume mounted"
        case _:
            remedy = "look at the file and the volume it is on"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path} could not be {what}: {reason}; {remedy}"
