-- The sidecar's store, version 3. Never edited once released: the next change is v4.sql, applied on top of it.

ALTER TABLE incident ADD COLUMN verdict text;   -- core.verdict.Verdict as JSON; null: none was concluded

-- What was copied out of the guarded database, in the order of copying. Rows are added and, the oldest first,
-- pruned; none is changed. `hash` is over every other column, `previous` the hash of the row before:
-- chain.py says how.
CREATE TABLE evidence (
    id integer PRIMARY KEY,          -- 1, 2, 3 …; one that is missing was lost or taken away
    at text NOT NULL,                -- when it was seen, by the sidecar's clock
    kind text NOT NULL,
    incident text,                   -- that was open then
    key text,                        -- of what may be read twice, and is kept once
    body text NOT NULL,              -- canonical JSON
    previous text NOT NULL,
    hash text NOT NULL
);
CREATE INDEX evidence_key ON evidence (key) WHERE key IS NOT NULL;
CREATE INDEX evidence_incident ON evidence (incident, at);

-- Where the chain begins since its oldest rows were pruned: at the row after `id`, whose hash was `hash`.
CREATE TABLE evidence_pruned (
    one integer PRIMARY KEY CHECK (one = 1),
    id integer NOT NULL,
    hash text NOT NULL,
    pieces integer NOT NULL,         -- rows pruned so far
    until text                       -- `at` of the last of them
);

-- Evidence that was copied before its incident had an identifier. Not in the chain, which says when.
CREATE TABLE evidence_of_incident (
    evidence integer PRIMARY KEY,
    incident text NOT NULL
);
CREATE INDEX evidence_of_incident_incident ON evidence_of_incident (incident);

CREATE VIEW belonging AS
SELECT id AS evidence, incident FROM evidence WHERE incident IS NOT NULL
UNION ALL
SELECT evidence, incident FROM evidence_of_incident;
