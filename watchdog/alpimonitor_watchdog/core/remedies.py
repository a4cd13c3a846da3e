"""What a person has to do: for each refusal what would change it, for each symptom where to look."""

from __future__ import annotations

from .words import Reason, Symptom

REFUSALS: dict[Reason, str] = {
    Reason.HELD: "an operator holds healing; `alpimonitor watchdog resume` lets it go on.",
    Reason.PAUSED: "an operator has paused healing; `alpimonitor watchdog resume` ends it before its time.",
    Reason.MAINTENANCE: "a maintenance window is open; the sidecar heals when it has ended.",
    Reason.NOT_LEADING: "another sidecar heals this database; look at its page, or stop it if it hangs.",
    Reason.NOT_QUIET: "rows are still being lost; find the session that deletes.",
    Reason.NOT_PROVEN_YET: "the loss comes and goes; find the session that writes.",
    Reason.PLANNING: "the healer's plan takes too long; run `alpimonitor watchdog check`.",
    Reason.VERDICT_PENDING: (
        "what happened cannot be looked into; run `alpimonitor watchdog diagnose`, then put the rows back."
    ),
    Reason.BACKING_OFF: "the sidecar waits before it heals again; stop what empties the tables.",
    Reason.CHANGE_IN_PROGRESS: "a migration or seed holds the change lock; end that session if it hangs.",
    Reason.NOT_VISIBLE: "a table cannot be read in time; look for the session that locks it.",
    Reason.UNREACHABLE: "bring the database back.",
    Reason.HEALING_OFF: "healing is off in watchdog.toml; put the rows back by hand, or switch it on.",
    Reason.DRY_RUN: 'healing is dry-run in watchdog.toml; put the rows back by hand, or set mode = "on".',
    Reason.NO_HEALER: "no healer is declared; put the rows back by hand, then declare [heal.command].",
    Reason.NOT_RECORDABLE: "the sidecar cannot write its state directory; make room or mend its rights.",
    Reason.OTHER_DATABASE: (
        "this is not the database that was last good; check the address, "
        "and if it is the right one: `alpimonitor watchdog adopt`."
    ),
    Reason.NOT_ADOPTED: (
        "this database was never seen whole, so it may be the wrong one; "
        "if it is the right one: `alpimonitor watchdog adopt`."
    ),
    Reason.TABLE_MISSING: "a guarded table is gone; restore the schema first, then the rows.",
    Reason.COLUMN_MISSING: "a declared column is gone; restore the schema first, then the rows.",
    Reason.REVISION_NOT_ALLOWED: "the schema is at another revision; migrate, or allow it under [revision].",
    Reason.IN_RECOVERY: "this is a standby; point the sidecar at the primary.",
    Reason.READ_ONLY: "the database is read-only; find out who made it so and why, then lift it.",
    Reason.SUBSCRIBED: "logical replication fills a guarded table; put the rows back at its source.",
    Reason.ROWS_HIDDEN: "row security hides the rows from the sidecar; lift it for its role.",
    Reason.FORBIDDEN: "the sidecar may not read a guarded table; `alpimonitor watchdog check` has the GRANT.",
    Reason.BUDGET_SPENT: (
        "the heals of this window are spent; stop what empties the tables, then put the rows back."
    ),
    Reason.CIRCUIT_OPEN: (
        "the tables are emptied again and again, so the sidecar has stopped healing: "
        "find and stop the session that does it, then put the rows back."
    ),
    Reason.PLAN_FAILED: (
        "the healer's plan fails; run `alpimonitor watchdog check`, mend it, or put the rows back by hand."
    ),
    Reason.PLAN_DELETES: "the healer's plan would delete rows; read it before anybody runs it.",
    Reason.PLAN_UPDATES: "the healer's plan would change rows; read it before anybody runs it.",
    Reason.PLAN_EMPTY: (
        "the healer has nothing to put back though rows are missing; compare its plan with watchdog.toml."
    ),
    Reason.LOSS_ACCEPTED: (
        "the healer would also put back rows that an operator accepted as gone; put the others back by hand."
    ),
    Reason.LOSS_INTENDED: (
        "whoever took the rows stated a reason. `alpimonitor watchdog accept` makes it the last good state; "
        "if it was not meant, put the rows back by hand."
    ),
    Reason.VERDICT_FORBIDS: (
        "rows alone do not mend this; `alpimonitor watchdog diagnose` says what happened and what to do."
    ),
}

# What a wait is for, before it has lasted so long that somebody has to look: then REFUSALS says for what.
WAITS_FOR: dict[Reason, str] = {
    Reason.NOT_PROVEN_YET: "the loss has to last; it passes by itself.",
    Reason.NOT_QUIET: "rows were lost a moment ago; it passes when no more are.",
    Reason.PLANNING: "the healer's plan is being made.",
    Reason.VERDICT_PENDING: "what happened is being looked into.",
    Reason.BACKING_OFF: "the last heal was a moment ago; it passes by itself.",
}

SYMPTOMS: dict[Symptom, str] = {
    Symptom.CONTEXT_EMPTY: "a context table is empty.",
    Symptom.CONTEXT_MISSING: "a context table is gone.",
    Symptom.CONTEXT_SHRUNK: "a context table has lost rows.",
    Symptom.CONTEXT_UNSEEN: (
        "a context table cannot be read, so nobody knows whether it has its rows; "
        "look for the session that locks it, or for a right that was revoked."
    ),
    Symptom.CONTEXT_CHANGED: "context rows changed; accept the change if it was meant.",
    Symptom.INGESTION_BLIND: "ingestion no longer sees its stations; look at its last run and its source.",
    Symptom.INGESTION_STALE: "ingestion has not succeeded for too long; look at its last run and its source.",
    Symptom.ARCHIVE_FAILING: "raw payloads are not archived; check the volume's owner and space.",
    Symptom.API_UNHEALTHY: "the API does not answer as expected; look at its log and restart it if needed.",
    Symptom.DATABASE_UNREACHABLE: "the database does not answer; look at server, network and credentials.",
    Symptom.SCHEMA_OUTDATED: "the schema is not at an allowed revision; migrate it, or allow the revision.",
    Symptom.IDENTITY_CHANGED: (
        "another database answers at this address; check where it points, "
        "and if it is the right one: `alpimonitor watchdog adopt`."
    ),
    Symptom.RECORDER_DISARMED: (
        "destructive statements are not recorded, or were not for a while; find out who changed the "
        "recorder, and install it again: `alpimonitor recorder install`."
    ),
}
