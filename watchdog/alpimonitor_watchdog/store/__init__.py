"""The sidecar's own store: SQLite in the state directory, outside the database it guards."""

from .chain import EvidenceKind, EvidenceRow, Head
from .copying import Copied, items_of, verdict_item
from .errors import NoStore, StoreError, StoreFull, StoreInUse
from .evidence import Item
from .outbox import SEVERITY, Outbox, Outgoing, Queued, Severity
from .store import Store
from .timeline import TimelineItem

__all__ = [
    "SEVERITY",
    "Copied",
    "EvidenceKind",
    "EvidenceRow",
    "Head",
    "Item",
    "NoStore",
    "Outbox",
    "Outgoing",
    "Queued",
    "Severity",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreInUse",
    "TimelineItem",
    "items_of",
    "verdict_item",
]
