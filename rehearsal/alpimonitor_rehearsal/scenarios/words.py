"""The words of the catalogue. A test keeps them the same as the sidecar's: nothing of it is imported."""

from __future__ import annotations

from enum import StrEnum


class Symptom(StrEnum):
    """What the sidecar has to say is wrong."""

    CONTEXT_EMPTY = "context_empty"
    CONTEXT_MISSING = "context_missing"
    CONTEXT_SHRUNK = "context_shrunk"
    CONTEXT_UNSEEN = "context_unseen"
    DATABASE_UNREACHABLE = "database_unreachable"
    IDENTITY_CHANGED = "identity_changed"
    RECORDER_DISARMED = "recorder_disarmed"


class Verdict(StrEnum):
    """What an investigation has to conclude."""

    DATABASE_DROPPED = "database_dropped"
    CLUSTER_REINITIALISED = "cluster_reinitialised"
    BECAME_STANDBY = "became_standby"
    OLDER_BACKUP_RESTORED = "older_backup_restored"
    WRONG_DATABASE = "wrong_database"
    DATABASE_RECREATED = "database_recreated"
    TABLE_DROPPED = "table_dropped"
    PERMISSION_REVOKED = "permission_revoked"
    ROWS_HIDDEN = "rows_hidden"
    ROWS_DELETED_IN_PLACE = "rows_deleted_in_place"
    TABLE_TRUNCATED = "table_truncated"


class Circumstance(StrEnum):
    """What has to be said beside it."""

    INTENDED = "intended"
    RECORDER_DISARMED = "recorder_disarmed"
    TIMELINE_CHANGED = "timeline_changed"


class Heals(StrEnum):
    """What healing has to achieve."""

    NOTHING = "nothing"  # it must not run
    ONCE = "once"  # the context is put back and stays
    UNTIL_THE_CIRCUIT_OPENS = (
        "until_the_circuit_opens"  # broken again after each heal, until a person is needed
    )
    BY_ANOTHER = "by_another"  # the sidecar that leads is cut off meanwhile: another one heals, once
