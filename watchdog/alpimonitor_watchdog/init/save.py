"""Puts a file in its place: whole or not at all, and never over another one unasked."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def save(path: Path, text: str, *, replace: bool) -> None:
    """Written aside, forced to disk, then put in place under the name that a link leads to.

    Raises FileExistsError when there is a file and `replace` is not set, and any other OSError.
    """
    place = Path(os.path.realpath(path))
    aside = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        with aside.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            aside.replace(place)
        else:
            # Unlike renaming, linking does not replace what somebody put there meanwhile.
            os.link(aside, place)
    finally:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
