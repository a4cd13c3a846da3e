"""The sidecar's own store: SQLite in the state directory, outside the database it guards."""

from .errors import StoreError, StoreFull, StoreInUse
from .outbox import SEVERITY, Outbox, Outgoing, Queued, Severity
from .store import Store
from .timeline import TimelineItem

__all__ = [
    "SEVERITY",
    "Outbox",
    "Outgoing",
    "Queued",
    "Severity",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreInUse",
    "TimelineItem",
]
