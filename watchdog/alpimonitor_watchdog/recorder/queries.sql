-- name: resolve
-- The table of a name, as written or else in lower case; null where there is none.
SELECT coalesce(to_regclass(%(exact)s), to_regclass(%(folded)s))::text;

-- name: installed
-- Version and owner of the recorder; no row where it is not installed, or not whole.
SELECT version.version, pg_get_userbyid(nspowner)::text AS owner,
    rolcanlogin AS owner_may_log_in
FROM flight_recorder.version, pg_namespace JOIN pg_roles ON pg_roles.oid = nspowner
WHERE nspname = 'flight_recorder';

-- name: missing
-- What the recorder consists of and is not there.
SELECT name FROM unnest(%(functions)s::text[]) AS name
WHERE NOT EXISTS (
    SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('flight_recorder') AND proname = name)
UNION ALL
SELECT name FROM unnest(%(relations)s::text[]) AS name
WHERE to_regclass('flight_recorder.' || name) IS NULL;

-- name: event_triggers
-- Whether DROP and disarming are recorded.
SELECT count(*) = 2 FROM pg_event_trigger
WHERE evtname IN ('flight_recorder_drop', 'flight_recorder_ddl') AND evtenabled = 'A';

-- name: guarded
-- The guarded tables, and their partitions and children that are not guarded (`kind` is null); of each which
-- triggers are missing or off, and which do not fire in replicas.
WITH RECURSIVE tree (root, relation) AS (
    SELECT relation, relation FROM flight_recorder.guarded
    UNION
    SELECT root, inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.relation
), member AS (
    SELECT DISTINCT relation FROM tree
)
SELECT coalesce(pg_class.oid::regclass::text, format('%I.%I', guarded.schema_name, guarded.table_name)) AS name,
    kind, keep_literals, journal_rows, pg_class.oid IS NOT NULL AS exists,
    ARRAY(
        SELECT operation FROM unnest(ARRAY['delete', 'truncate', 'update']) AS operation
        WHERE (operation <> 'update' OR kind = 'context') AND NOT EXISTS (
            SELECT FROM pg_trigger
            WHERE tgrelid = member.relation AND tgname = 'flight_recorder_' || operation
                AND tgenabled IN ('A', 'O')
                AND tgfoid = to_regprocedure('flight_recorder.record_statement()'))
    ) AS unrecorded,
    EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = member.relation AND tgname LIKE 'flight\_recorder\_%' AND tgenabled = 'O'
    ) AS not_in_replicas
FROM member LEFT JOIN flight_recorder.guarded USING (relation) LEFT JOIN pg_class ON pg_class.oid = relation
WHERE pg_class.oid IS NULL OR relkind IN ('r', 'p')
ORDER BY 1;

-- name: evidence
-- How many events there are, and of when the oldest one is.
SELECT count(*) AS events, min(at) AS oldest FROM flight_recorder.event;

-- name: become_owner
-- Work as the recorder's owner to the end of the transaction, where that is somebody else and this role may.
SELECT set_config('role', owner, true)
FROM (SELECT pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = 'flight_recorder') AS recorder
WHERE owner <> current_user AND pg_has_role(
    owner, CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END);

-- name: count_older
-- Events from before a moment.
SELECT count(*) FROM flight_recorder.event WHERE at < now() - make_interval(secs => %(seconds)s);

-- name: prune
-- Delete events from before a moment with their rows, a batch at a time; how many events.
WITH old AS (
    SELECT id FROM flight_recorder.event WHERE at < now() - make_interval(secs => %(seconds)s)
    ORDER BY id LIMIT %(batch)s
), rows AS (
    DELETE FROM flight_recorder.journal USING old WHERE journal.event = old.id
), gone AS (
    DELETE FROM flight_recorder.event USING old WHERE event.id = old.id RETURNING event.id
)
SELECT count(*) FROM gone;
