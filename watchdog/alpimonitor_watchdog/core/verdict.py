"""What happened, concluded from fingerprints and recorded events. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .evidence import Attribution, Event, RecorderSeen
from .fingerprint import Fingerprint
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


class Confidence(StrEnum):
    """How sure it is."""

    CERTAIN = "certain"  # recorded, or there is no other way to it
    LIKELY = "likely"  # what the physical signals say
    OPEN = "open"  # nothing speaks for one of several


class Circumstance(StrEnum):
    """What is true beside the verdict."""

    TIMELINE_CHANGED = "timeline_changed"  # a failover or a point-in-time recovery
    INTENDED = "intended"  # whoever did it stated a reason
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
    others: tuple[Attribution, ...] = ()  # further sessions that took rows, the one that took most first
    reason: str | None = None  # that was stated for all of the loss


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
    arming_before: str | None = None  # RecorderSeen.arming while all was well; None: not known


def conclude(case: Case) -> Verdict:
    """The verdict. Never raises; `unknown` where nothing speaks for anything."""
    unseen = case.seen.detail if case.seen.unseen is not None else ""
    return Verdict(What.UNKNOWN, Confidence.OPEN, not_observable=(unseen,) if unseen else ())
