"""The token of operators' actions: whoever can read this file of the state directory may act."""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

FILE_NAME = "token"
_RANDOM_BYTES = 32
_AT_MOST = 1024  # bytes of the file that are read
_SHAPE = re.compile(r"[A-Za-z0-9_-]{43,512}")


class TokenError(Exception):
    """The token cannot be made, read or trusted. The text says why and what mends it; it shows no token."""


@dataclass(frozen=True)
class Token:
    """What an operator has to show."""

    secret: str = field(repr=False)

    @property
    def header(self) -> dict[str, str]:
        """The header of a request that shows it."""
        return {"Authorization": f"Bearer {self.secret}"}

    def shown_in(self, authorization: str) -> bool:
        """Whether a request with this Authorization header may act. Takes as long for any wrong token."""
        scheme, _, given = authorization.partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self.secret.encode())
        return right and scheme.lower() == "bearer"


def kept_token(directory: Path) -> Token:
    """The token in `directory`, made there when there is none. It stays the same across restarts.

    Raises TokenError, also when other users could have read or written it.
    """
    path = directory / FILE_NAME
    if not os.path.lexists(path):
        _create(path)
    token = read_token(path)
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise TokenError(
            f"The token {path} belongs to another user (uid {owner}), not to the sidecar's: "
            "delete it, and the sidecar makes its own at the next start."
        )
    return token


def read_token(path: Path) -> Token:
    """The token in `path`. Raises TokenError."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            written = file.read(_AT_MOST) if stat.S_ISREG(found.st_mode) else b""
    except FileNotFoundError:
        raise TokenError(
            f"There is no token {path}: act on the sidecar's machine, with its WATCHDOG_STATE_DIR, "
            "or let WATCHDOG_TOKEN_FILE name a copy. The sidecar makes it when it starts."
        ) from None
    except OSError as error:
        raise TokenError(
            f"The token {path} cannot be read ({error.strerror}): act as the user that runs the sidecar."
        ) from None
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~0o600:
        raise TokenError(
            f"The token {path} is open to others (mode {mode:04o}), who may have read it: "
            "delete it and restart the sidecar, which makes a new one of mode 0600."
        )
    text = written.decode("ascii", "replace").strip()
    if not _SHAPE.fullmatch(text):
        raise TokenError(
            f"The token {path} holds no token: delete it and restart the sidecar, which makes a new one."
        )
    return Token(text)


def _create(path: Path) -> None:
    """Written aside and renamed: there is never half a token under its name."""
    aside = path.with_name(f"{path.name}.new")
    try:
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(f"{secrets.token_urlsafe(_RANDOM_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise TokenError(
            f"The token {path} cannot be written ({error.strerror}): "
            "make room, or give WATCHDOG_STATE_DIR a directory that the sidecar's user can write, "
            "and restart it."
        ) from None
