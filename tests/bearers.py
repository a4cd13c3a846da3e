"""A file of tokens for a test, as `alpimonitor token create` writes one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from alpimonitor_api.token_file import Entries, Entry, Scope, digest, new_token, write
from tests.api_client import NOW


class Bearers:
    """Makes tokens in one file, which is there from the beginning."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "tokens.json"
        self.entries: list[Entry] = []
        self._write()

    def add(self, name: str, *scopes: Scope, expires_at: datetime | None = None) -> dict[str, str]:
        """The header that shows a new token."""
        token = new_token()
        self.entries.append(
            Entry(name=name, scopes=scopes, sha256=digest(token).hex(), created_at=NOW, expires_at=expires_at)
        )
        self._write()
        return {"Authorization": f"Bearer {token}"}

    def remove(self, name: str) -> None:
        self.entries = [entry for entry in self.entries if entry.name != name]
        self._write()

    def _write(self) -> None:
        write(self.file, Entries(tokens=tuple(self.entries)))
