-- The sidecar's store, version 2. Never edited once released: the next change is v3.sql, applied on top of it.

-- `key` is the same in every sidecar that watches this database; '' in incidents older than it.
ALTER TABLE incident ADD COLUMN key text NOT NULL DEFAULT '';
ALTER TABLE incident ADD COLUMN acknowledged_at text;
ALTER TABLE incident ADD COLUMN acknowledged_by text;

-- The row is there when this store was begun because the one before it was damaged.
CREATE TABLE salvage (
    one integer PRIMARY KEY CHECK (one = 1),
    at text NOT NULL,
    heals_unknown integer NOT NULL   -- 1: heals of the time before `at` may be missing here
);
