"""What a verdict is concluded from, and what one says. Re-exported by `verdict`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .evidence import Attribution, Event, Operation, RecorderSeen
from .fingerprint import Fingerprint, Identity
from .seen import DatabaseSeen, Expectation, Loss


class What(StrEnum):
    """What happened. The first that matches, in this order."""

    DATABASE_DROPPED = "database_dropped"
    CLUSTER_REINITIALISED = "cluster_reinitialised"
    BECAME_STANDBY = "became_standby"
    OLDER_BACKUP_RESTORED = "older_backup_restored"
    WRONG_DATABASE = "wrong_database"
    DATABASE_RECREATED = "database_recreated"
    SCHEMA_NOT_MIGRATED = "schema_not_migrated"
    TABLE_DROPPED = "table_dropped"  # or dropped and made anew
    PERMISSION_REVOKED = "permission_revoked"
    ROWS_HIDDEN = "rows_hidden"
    ROWS_DELETED_IN_PLACE = "rows_deleted_in_place"
    TABLE_TRUNCATED = "table_truncated"
    NEVER_SEEDED = "never_seeded"
    UNKNOWN = "unknown"


OF_THE_DATABASE = frozenset(
    {
        What.DATABASE_DROPPED,
        What.CLUSTER_REINITIALISED,
        What.BECAME_STANDBY,
        What.OLDER_BACKUP_RESTORED,
        What.WRONG_DATABASE,
        What.DATABASE_RECREATED,
        What.SCHEMA_NOT_MIGRATED,
    }
)
"""What concerns the database as a whole: wrong whether or not rows are lost."""


class Confidence(StrEnum):
    """How sure it is."""

    CERTAIN = "certain"  # recorded, or there is no other way to it
    LIKELY = "likely"  # what the physical signals say
    OPEN = "open"  # nothing speaks for one of several


class Circumstance(StrEnum):
    """What is true beside the verdict."""

    TIMELINE_CHANGED = "timeline_changed"  # a failover or a point-in-time recovery
    INTENDED = "intended"  # whoever did it stated a reason
    PARTLY_INTENDED = "partly_intended"  # a reason was stated for some of what is lost, not for all
    UNEXPLAINED = "unexplained"  # rows are missing that nothing took: no event, though all were recorded
    RECORDER_DISARMED = "recorder_disarmed"  # the recorder was changed since all was well
    STATISTICS_RESET = "statistics_reset"
    RESTARTED = "restarted"


@dataclass(frozen=True)
class Verdict:
    """What happened. `evidence`: sentences to quote, each with its figures, the strongest first."""

    what: What
    confidence: Confidence
    evidence: tuple[str, ...] = ()
    not_observable: tuple[str, ...] = ()
    circumstances: tuple[Circumstance, ...] = ()
    attribution: Attribution | None = None
    others: tuple[Attribution, ...] = ()  # further sessions that took rows, most first; no statements
    reason: str | None = None  # that was stated for all of the loss


@dataclass(frozen=True)
class Conclusion:
    """What one rule says, of the database or of one table."""

    what: What
    confidence: Confidence
    evidence: tuple[str, ...] = ()
    not_observable: tuple[str, ...] = ()
    unexplained: bool = False  # Circumstance.UNEXPLAINED


@dataclass(frozen=True)
class Case:
    """All that a verdict is concluded from."""

    seen: DatabaseSeen  # the look at what is wrong
    expected: Expectation
    losses: tuple[Loss, ...] = ()
    before: Fingerprint | None = None  # the last one while all was well
    after: Fingerprint | None = None  # the newest
    events: tuple[Event, ...] = ()  # recorded since all was well, in the order of their ids
    recorder: RecorderSeen | None = None
    arming_before: str | None = None  # RecorderSeen.arming while all was well; None: not known, "": not armed

    @property
    def now(self) -> Fingerprint | None:
        """The newest fingerprint, if it is no older than `before`."""
        taken = [found for found in (self.after, self.seen.fingerprint) if found is not None]
        newest = max(taken, key=lambda found: found.at, default=None)
        if newest is None or (self.before is not None and newest.at < self.before.at):
            return None
        return newest

    @property
    def clock(self) -> datetime | None:
        """The time of the look, by the database's clock; else that of the newest fingerprint."""
        if self.seen.clock is not None:
            return self.seen.clock
        return self.now.at if self.now is not None else None

    @property
    def identity(self) -> Identity | None:
        """Which database answers."""
        if self.seen.unseen is None and self.seen.identity is not None:
            return self.seen.identity
        return self.now.identity if self.now is not None else None

    @property
    def same_database(self) -> bool:
        """Nothing says that another database answers than while all was well."""
        was, now = self.before, self.identity
        return was is None or now is None or not {"system", "database_oid"} & _differing(was.identity, now)

    @property
    def disarmed(self) -> bool:
        """The recorder was changed since all was well: what was done meanwhile may have left no event."""
        if any(event.operation is Operation.DISARM for event in self.events):
            return True
        seen = self.recorder
        return bool(self.arming_before) and seen is not None and seen.arming != self.arming_before


def _differing(was: Identity, now: Identity) -> set[str]:
    pairs = (("system", was.system, now.system), ("database_oid", was.database_oid, now.database_oid))
    return {name for name, one, two in pairs if one is not None and two is not None and one != two}
