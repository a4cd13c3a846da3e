-- The ledger of heals, in the guarded database: each sidecar sees in it what the others began, and the budget is
-- counted over all of them. Never edited once released: a migration reads it. Safe to run again.

CREATE SCHEMA IF NOT EXISTS alpimonitor_watchdog;

CREATE TABLE IF NOT EXISTS alpimonitor_watchdog.heal_attempt (
    id TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    incident TEXT NOT NULL,
    healer TEXT NOT NULL,
    outcome TEXT,
    sidecar TEXT NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_heal_attempt PRIMARY KEY (id),
    CONSTRAINT ck_heal_attempt_ended_together CHECK ((outcome IS NULL) = (ended_at IS NULL))
);

CREATE INDEX IF NOT EXISTS ix_heal_attempt_at ON alpimonitor_watchdog.heal_attempt (at);
