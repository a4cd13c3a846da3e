"""The closed enumerations: every symptom, phase, reason and kind of notification there is."""

from __future__ import annotations

from enum import StrEnum


class Symptom(StrEnum):
    """One named thing that is wrong."""

    CONTEXT_EMPTY = "context_empty"  # a context table expected to have rows has none
    CONTEXT_MISSING = "context_missing"  # a context table is gone from the catalog
    CONTEXT_SHRUNK = "context_shrunk"  # a context table is below its floor
    CONTEXT_UNSEEN = "context_unseen"  # a context table could not be read for a while: nobody knows its rows
    CONTEXT_CHANGED = "context_changed"  # informational: never heals, never pages
    INGESTION_BLIND = "ingestion_blind"  # the last run saw none, or two fewer, of the stations expected
    INGESTION_STALE = "ingestion_stale"  # no successful run for too long
    ARCHIVE_FAILING = "archive_failing"  # raw payloads are not being kept
    API_UNHEALTHY = "api_unhealthy"  # a health address does not answer as expected
    DATABASE_UNREACHABLE = "database_unreachable"  # no connection
    SCHEMA_OUTDATED = "schema_outdated"  # the revision is not an allowed one
    IDENTITY_CHANGED = "identity_changed"  # another database answers under this address
    RECORDER_DISARMED = "recorder_disarmed"  # destructive statements are not being recorded


CONTEXT_LOSS = frozenset({Symptom.CONTEXT_EMPTY, Symptom.CONTEXT_MISSING, Symptom.CONTEXT_SHRUNK})


class Phase(StrEnum):
    """Where an episode stands."""

    HEALTHY = "healthy"
    SUSPECTED = "suspected"
    OPEN = "open"
    HEALING = "healing"
    VERIFYING = "verifying"
    RESOLVED = "resolved"
    ESCALATED = "escalated"


OPEN_PHASES = frozenset({Phase.OPEN, Phase.HEALING, Phase.VERIFYING, Phase.ESCALATED})


class Reason(StrEnum):
    """Why a transition happened, or why a heal did not."""

    # transitions
    SYMPTOM_SEEN = "symptom_seen"
    SYMPTOMS_CLEARED = "symptoms_cleared"
    LOSS_CONFIRMED = "loss_confirmed"
    SYMPTOM_LASTED = "symptom_lasted"
    GUARDS_HOLD = "guards_hold"
    CONTEXT_RESTORED = "context_restored"
    HEAL_FAILED = "heal_failed"
    HEAL_INTERRUPTED = "heal_interrupted"
    PROOF_FAILED = "proof_failed"
    CONSUMERS_NOT_SERVED = "consumers_not_served"  # the rows are back; a health address does not show it
    LOST_AGAIN = "lost_again"
    INGESTION_COMPLETE = "ingestion_complete"
    VERIFICATION_LATE = "verification_late"
    NOT_RESTORED_IN_TIME = "not_restored_in_time"
    EPISODE_OVER = "episode_over"
    ACCEPTED = "accepted"  # an operator declared the present state intended

    # a heal waits: it goes ahead by itself when this has passed
    HELD = "held"  # enabled: by an operator, until `resume` or the end of the incident
    PAUSED = "paused"  # enabled: by an operator, until a time
    MAINTENANCE = "maintenance"  # enabled: a declared window
    NOT_LEADING = "not_leading"  # leads: another sidecar heals this database
    NOT_PROVEN_YET = "not_proven_yet"  # proven: too few probes, or not long enough
    NOT_QUIET = "not_quiet"  # quiet: rows were lost a moment ago, more may follow
    PLANNING = "planning"  # harmless: the plan is being made
    VERDICT_PENDING = "verdict_pending"  # verdict allows: what happened is not looked into yet
    BACKING_OFF = "backing_off"  # in budget: too soon after the last heal
    CHANGE_IN_PROGRESS = "change_in_progress"  # alone: a migration, seed or other heal holds the lock
    NOT_VISIBLE = "not_visible"  # visible: a context table could not be seen
    UNREACHABLE = "unreachable"  # visible: the database could not be reached

    # a heal is refused: a person has to change something
    HEALING_OFF = "healing_off"  # enabled
    DRY_RUN = "dry_run"  # enabled
    NO_HEALER = "no_healer"  # enabled: none is declared
    NOT_RECORDABLE = "not_recordable"  # in budget: the sidecar's store takes no record of a heal
    OTHER_DATABASE = "other_database"  # same database: not the one of the last good state
    NOT_ADOPTED = "not_adopted"  # same database: never seen whole, and nothing says that it is the right one
    TABLE_MISSING = "table_missing"  # right schema
    COLUMN_MISSING = "column_missing"  # right schema
    REVISION_NOT_ALLOWED = "revision_not_allowed"  # right schema
    IN_RECOVERY = "in_recovery"  # writable: a standby
    READ_ONLY = "read_only"  # writable
    SUBSCRIBED = "subscribed"  # writable: logical replication fills a guarded table
    ROWS_HIDDEN = "rows_hidden"  # visible: row security
    FORBIDDEN = "forbidden"  # visible: SELECT is not granted
    BUDGET_SPENT = "budget_spent"  # in budget
    CIRCUIT_OPEN = "circuit_open"  # in budget: repeated wipes or failures
    PLAN_FAILED = "plan_failed"  # harmless: the plan could not be made
    PLAN_DELETES = "plan_deletes"  # harmless
    PLAN_UPDATES = "plan_updates"  # harmless
    PLAN_EMPTY = "plan_empty"  # harmless: the healer has nothing to put back, though rows are missing
    LOSS_ACCEPTED = "loss_accepted"  # unintended: the plan puts back what an operator accepted as gone
    LOSS_INTENDED = "loss_intended"  # unintended: whoever took the rows stated a reason
    VERDICT_FORBIDS = "verdict_forbids"  # verdict allows: putting rows back would mend nothing, or do harm

    # an operator's act is refused
    NO_INCIDENT = "no_incident"  # there is nothing to hold or to acknowledge
    NOTHING_LOST = "nothing_lost"  # there is nothing to put back
    NOTHING_TO_RESUME = "nothing_to_resume"  # neither held nor paused, and the circuit is closed
    HEAL_RUNNING = "heal_running"  # its end comes first
    BAD_TIME = "bad_time"  # the end of a pause is past, or too far away


WAITS = frozenset(
    {
        Reason.HELD,
        Reason.PAUSED,
        Reason.MAINTENANCE,
        Reason.NOT_LEADING,
        Reason.NOT_PROVEN_YET,
        Reason.NOT_QUIET,
        Reason.PLANNING,
        Reason.VERDICT_PENDING,
        Reason.BACKING_OFF,
        Reason.CHANGE_IN_PROGRESS,
        Reason.NOT_VISIBLE,
        Reason.UNREACHABLE,
    }
)

ACT_REFUSALS = frozenset(
    {
        Reason.NO_INCIDENT,
        Reason.NOTHING_LOST,
        Reason.NOTHING_TO_RESUME,
        Reason.HEAL_RUNNING,
        Reason.BAD_TIME,
    }
)


class Unseen(StrEnum):
    """Why something could not be seen. None of these is ever "empty"."""

    TIMEOUT = "timeout"
    LOCKED = "locked"
    FORBIDDEN = "forbidden"
    ROW_SECURITY = "row_security"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"  # the server is there and does not let the sidecar in
    ERROR = "error"


class Kind(StrEnum):
    """What a notification is about."""

    OPENED = "opened"
    WORSENED = "worsened"
    HEAL_REFUSED = "heal_refused"
    HEAL_FAILED = "heal_failed"
    RESTORED = "restored"
    RESOLVED = "resolved"
    REMINDER = "reminder"
    ESCALATED = "escalated"
    DRILL = "drill"


class Tag(StrEnum):
    """Which channels a notification goes to."""

    NOTIFY = "notify"
    PAGE = "page"


class HealOutcome(StrEnum):
    """How a heal ended."""

    SUCCEEDED = "succeeded"  # and its plan is now empty
    FAILED = "failed"
    DEADLINE = "deadline"
    INTERRUPTED = "interrupted"  # the sidecar stopped or was killed while it ran


class Mode(StrEnum):
    """Whether heals run."""

    ON = "on"
    DRY_RUN = "dry-run"
    OFF = "off"
