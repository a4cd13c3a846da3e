"""The file that holds the tokens: read, checked, and written again whole.

A file and not a table: the database is what gets emptied here, and tokens have to survive that; and who has
stolen a credential of the database must not be able to make himself an operator with it.

Only hashes are kept. A token is 256 random bits, so that SHA-256 alone is right: there is nothing to guess,
and so nothing that a salt or a slow hash would make harder to guess.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

RANDOM_BYTES = 32
PREFIX = "alpimonitor_"
"""So that a token that got into a log or a repository is found by a search for it."""

LARGEST_FILE = 1_000_000  # bytes; a token takes some 200
NEW_MODE = 0o600
NAME = re.compile(r"\w(?:[\w .@+-]{0,61}\w)?")
NAME_SHAPE = "1 to 63 letters, digits and any of _ . @ + - or blanks inside, such as marie"


class TokenFileError(Exception):
    """The file cannot be used. The text names it, says why and what mends it; it shows no hash."""


class Scope(StrEnum):
    """What a token lets its bearer do."""

    OPERATOR = "operator"  # tune thresholds, read their audit
    AUDITOR = "auditor"  # read the audit of thresholds
    WATCHDOG = "watchdog"  # ask as often as it has to


class Entry(BaseModel):
    """One token. Its name stands in the audit and in the flight recorder: it holds no control character."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if NAME.fullmatch(name) is None:
            raise ValueError(f"a name is {NAME_SHAPE}")
        return name


class Entries(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[Entry, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for member in ("name", "sha256"):
            if len({getattr(entry, member) for entry in self.tokens}) < len(self.tokens):
                raise ValueError(f"two tokens have the same {member}")
        return self

    def named(self, name: str) -> Entry | None:
        return next((entry for entry in self.tokens if entry.name == name), None)


Stamp = tuple[int, ...]
"""What changes whenever the file does: device, number, size, times of writing and of any change, mode."""


@dataclass(frozen=True)
class Found:
    """The file as it was read."""

    entries: Entries
    stamp: Stamp
    exposed: bool  # anybody on the machine may read it; of hashes that gives nothing away but the names


def digest(token: str) -> bytes:
    """What is kept of a token: 32 bytes."""
    return sha256(token.encode()).digest()


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def stamp_of(path: Path) -> Stamp:
    """Raises TokenFileError also for what is no plain file, reading which might wait for ever."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise TokenFileError(f"{path} is not a file: name one that `alpimonitor token create` wrote")
    return _stamp(found)


def read(path: Path) -> Found:
    """Raises TokenFileError, also when others could have written tokens of their own into it."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise TokenFileError(
            f"{path} may be written by others than its owner (mode {mode:04o}), who could have made tokens: "
            f"chmod go-w {path}, and revoke what you do not know of `alpimonitor token list`"
        )
    if len(content) > LARGEST_FILE:
        raise TokenFileError(f"{path} is larger than {LARGEST_FILE} bytes: it is no file of tokens")
    try:
        entries = Entries.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise TokenFileError(
            f"{path} holds no tokens that can be understood ({where}: {first['msg']}): put its last good "
            "copy back, or move it away and make the tokens anew with `alpimonitor token create`"
        ) from None
    return Found(entries, _stamp(found), exposed=bool(mode & 0o004))


@contextlib.contextmanager
def turn(path: Path) -> Iterator[None]:
    """Of all who change the file only one at a time does: what one of them adds the next one finds.

    The folder is locked, not the file: that is another one after each change. Raises TokenFileError.
    """
    folder = path.resolve().parent
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TokenFileError(f"{folder} cannot be used ({error.strerror}): make this folder first") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # and with it the lock


def write(path: Path, entries: Entries) -> None:
    """Whole or not at all, with the owner and the mode that the file had; a new one is its owner's alone.

    Raises TokenFileError.
    """
    place = path.resolve()
    aside = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        before = place.stat() if place.exists() else None
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if before is not None:
                _keep_owner(file.fileno(), before)
            os.fchmod(file.fileno(), NEW_MODE if before is None else stat.S_IMODE(before.st_mode))
            file.write(entries.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(place)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise TokenFileError(
            f"{path} cannot be written ({error.strerror}) and is as it was: act as the user that owns it, "
            "where its folder can be written"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _keep_owner(descriptor: int, before: os.stat_result) -> None:
    """Whoever reads it now still can when root has changed it."""
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)


def _stamp(found: os.stat_result) -> Stamp:
    times = found.st_mtime_ns, found.st_ctime_ns
    return (found.st_dev, found.st_ino, found.st_size, *times, found.st_mode)


def _unreadable(path: Path, error: OSError) -> TokenFileError:
    if isinstance(error, FileNotFoundError):
        remedy = f"make it with `alpimonitor token create --file {path}`"
    else:
        remedy = "let it belong to the user of the API, or to a group of that user with mode 0640"
    return TokenFileError(f"{path} cannot be read ({error.strerror}): {remedy}")
