"""What can go wrong with the sidecar's own store. No sqlite3 exception leaves this package."""

from __future__ import annotations


class StoreError(Exception):
    """The sidecar's store cannot be read or written."""


class StoreFull(StoreError):
    """The file system that holds the store has no room left."""


class StoreInUse(StoreError):
    """Another sidecar uses the state directory."""


class StoreTooNew(StoreError):
    """The store was written by a newer sidecar, whose state this one must not misread. Never leaves here."""


class NoStore(StoreError):
    """There is no store to be read, or none that this version can read."""


class Damaged(Exception):
    """The file is not, or no longer, a sound store. Never leaves this package."""
