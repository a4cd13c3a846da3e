-- The sidecar's store, version 1. Never edited once released: the next change is v2.sql, applied on top of it.
-- Times are text, UTC, "2026-04-21T12:10:00.000Z": they sort as they are.

-- All that the next decision depends on: core.model.State as JSON.
CREATE TABLE state (
    one integer PRIMARY KEY CHECK (one = 1),
    saved_at text NOT NULL,
    body text NOT NULL
);

CREATE TABLE incident (
    id text PRIMARY KEY,
    opened_at text NOT NULL,
    restored_at text,
    resolved_at text,
    phase text NOT NULL,
    symptoms text NOT NULL,          -- JSON list of strings
    losses text NOT NULL,            -- JSON list of {table, rows, expected}, the worst seen
    repeated integer NOT NULL
);

-- What happened, in order. Without an incident: a suspicion that has not become one.
CREATE TABLE timeline (
    id integer PRIMARY KEY AUTOINCREMENT,
    incident text,
    at text NOT NULL,
    event text NOT NULL,
    source text NOT NULL,
    detail text NOT NULL
);
CREATE INDEX timeline_incident ON timeline (incident, id);

-- One row a notification and channel. `settled_at` is when it was delivered or given up.
CREATE TABLE outbox (
    id integer PRIMARY KEY AUTOINCREMENT,
    key text NOT NULL UNIQUE,        -- the idempotency key that every attempt carries
    incident text NOT NULL,
    channel text NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    created_at text NOT NULL,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    tried_at text,
    error text NOT NULL DEFAULT '',
    settled_at text
);
CREATE INDEX outbox_queued ON outbox (channel, incident, id) WHERE status = 'queued';

-- A heal is reserved here before it starts: its identifier can be used once.
CREATE TABLE heal (
    id text PRIMARY KEY,
    incident text,
    reserved_at text NOT NULL,
    ended_at text,
    outcome text,
    detail text NOT NULL DEFAULT ''
);
