-- What a look asks beside the rows: the flight recorder, the fingerprint, who is connected. None of these
-- statements touches a guarded table or waits for a lock on one.

-- name: recorder
-- The state of the flight recorder in one row, and no row where there is none: which of the guarded tables lack
-- an always firing trigger for a kind of statement, they themselves or a partition or child of theirs; whether both event
-- triggers fire; and a digest of all that it consists of. Disabling and enabling again in one transaction leaves
-- other row versions behind, and so another digest. Functions are found by their dependency on the schema, for
-- which there is an index.
WITH RECURSIVE home AS MATERIALIZED (
    SELECT n.oid, e.oid AS event
    FROM pg_namespace AS n JOIN pg_class AS e ON e.relnamespace = n.oid AND e.relname = 'event'
    WHERE n.nspname = 'flight_recorder'
), functions AS MATERIALIZED (
    SELECT p.oid, p.xmin
    FROM home
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = home.oid
        AND d.classid = 'pg_proc'::regclass
    JOIN pg_proc AS p ON p.oid = d.objid
), triggers AS MATERIALIZED (
    SELECT oid, xmin, tgrelid, tgtype::integer AS fires, tgenabled = 'A' AS always
    FROM pg_trigger WHERE tgfoid = ANY (ARRAY(SELECT oid FROM functions))
), event_triggers AS MATERIALIZED (
    SELECT oid, xmin, evtname, evtenabled = 'A' AS always
    FROM pg_event_trigger WHERE evtfoid = ANY (ARRAY(SELECT oid FROM functions))
), tree (root, needs, member) AS (
    SELECT root, needs, root FROM home, unnest(%(oids)s::oid[], %(needs)s::integer[]) AS guarded (root, needs)
    UNION
    SELECT root, needs, inhrelid FROM pg_inherits JOIN tree ON inhparent = member
), armed AS MATERIALIZED (
    -- Of pg_trigger.tgtype: 1 is FOR EACH ROW, 8 DELETE, 16 UPDATE, 32 TRUNCATE.
    SELECT tgrelid, bit_or(fires) AS fires FROM triggers WHERE always AND fires & 1 = 0 GROUP BY tgrelid
)
SELECT
    has_schema_privilege(home.oid, 'USAGE') AND has_table_privilege(home.event, 'SELECT') AS readable,
    ARRAY(
        SELECT DISTINCT root FROM tree LEFT JOIN armed ON tgrelid = member
        WHERE coalesce(fires, 0) & needs <> needs
          -- The rows of a foreign part are elsewhere.
          AND (member = root OR (SELECT relkind <> 'f' FROM pg_class WHERE oid = member))
    ) AS unarmed,
    (
        SELECT count(*) = 2 FROM event_triggers
        WHERE always AND evtname IN ('flight_recorder_drop', 'flight_recorder_ddl')
    ) AS drops,
    (
        SELECT coalesce(sum(hashtextextended(concat_ws(' ', oid, xmin, always), 0)::numeric), 0)::text
        FROM (
            SELECT oid, xmin, always FROM triggers
            UNION ALL SELECT oid, xmin, always FROM event_triggers
            UNION ALL SELECT oid, xmin, NULL FROM functions
        ) AS parts
    ) AS arming
FROM home;

-- name: events
-- A page of the recorded events that were not read yet, in the order of transactions and ids, each beside the
-- snapshot of this statement; one row without an event where there is none. Each span is walked along its index for
-- a page at most, so that it does not matter how many events wait. A span of one transaction is left alone
-- while that is in progress.
WITH page AS MATERIALIZED (
    SELECT found.id, found.transaction
    FROM unnest(%(first)s::bigint[], %(last)s::bigint[], %(after)s::bigint[]) AS span (first, last, after)
    CROSS JOIN LATERAL (
        SELECT id, transaction FROM flight_recorder.event
        WHERE (transaction, id) > (span.first, span.after) AND transaction <= span.last
          AND (span.first < span.last OR pg_visible_in_snapshot(span.first::text::xid8, pg_current_snapshot()))
        ORDER BY transaction, id LIMIT {page}
    ) AS found
    ORDER BY found.transaction, found.id LIMIT {page}
)
SELECT pg_current_snapshot()::text AS snapshot, pg_is_in_recovery() AS in_recovery, told.*
FROM (SELECT) AS always LEFT JOIN LATERAL ({told} JOIN page ON page.id = e.id) AS told ON true
ORDER BY told.id;

-- name: snapshot
-- What is in progress now.
SELECT pg_current_snapshot()::text AS snapshot;

-- name: early_losses
-- While many events wait: the newest that took rows of context tables and were not read yet, told before their
-- turn. What was read is shown by the snapshot `known`, or stands in the walk through `reading` up to `after`.
WITH page AS MATERIALIZED (
    SELECT id FROM ({losses}) AS lost
    WHERE NOT pg_visible_in_snapshot(transaction::text::xid8, %(known)s::pg_snapshot)
      AND NOT (
          pg_visible_in_snapshot(transaction::text::xid8, %(reading)s::pg_snapshot)
          AND (transaction, id) <= (%(transaction)s, %(after)s)
      )
      AND id <> ALL (%(early)s::bigint[])
    ORDER BY id DESC LIMIT 100
)
{told} JOIN page ON page.id = e.id ORDER BY e.id;

-- name: recent_losses
-- Who took rows of context tables in the last minutes, for whoever did not read it: the newest of each backend.
SELECT pid, max(at) AS at FROM ({losses}) AS lost WHERE at > now() - interval '10 minutes' GROUP BY pid;

-- name: losses
-- What took rows of context tables, among the newest events: a part of the two statements above. A table that is
-- gone is known by its name.
SELECT id, at, pid, transaction
FROM (
    SELECT id, at, pid, transaction, operation, relation, table_name
    FROM flight_recorder.event ORDER BY id DESC LIMIT {newest}
) AS newest
WHERE operation IN ('delete', 'truncate', 'drop')
  AND (
      table_name = ANY (%(names)s)
      OR relation IN (
          SELECT unnest(%(oids)s::oid[])
          UNION ALL SELECT relid FROM unnest(%(oids)s::oid[]) AS root, pg_partition_tree(root::regclass)
      )
  );

-- name: newest_events
-- The same of the newest events of the last day, for whoever has read none before.
WITH page AS MATERIALIZED (
    SELECT id FROM (
        SELECT id, at FROM flight_recorder.event ORDER BY id DESC LIMIT {page}
    ) AS newest
    WHERE at > now() - interval '1 day'
)
SELECT pg_current_snapshot()::text AS snapshot, pg_is_in_recovery() AS in_recovery, told.*
FROM (SELECT) AS always LEFT JOIN LATERAL ({told} JOIN page ON page.id = e.id) AS told ON true
ORDER BY told.id;

-- name: told
-- An event as it is read, a part of the statements above. That of a partition is told of its root. Where the
-- recorder could not tell when the session began, the session itself may, if it is still the same one.
SELECT
    e.id, e.at, e.operation,
    coalesce(root_schema.nspname, e.schema_name)::text AS schema,
    coalesce(root.relname, e.table_name)::text AS name,
    e.rows, e.remaining, e.session_role, e.role, e.application_name, host(e.client_addr) AS client_addr, e.pid,
    coalesce(e.backend_start, session.backend_start) AS backend_start,
    e.transaction, e.statement, e.inner_context, e.reason
FROM flight_recorder.event AS e
LEFT JOIN pg_class AS root ON root.oid = pg_partition_root(e.relation::regclass)
LEFT JOIN pg_namespace AS root_schema ON root_schema.oid = root.relnamespace
LEFT JOIN LATERAL pg_stat_get_activity(e.pid) AS session
    ON e.backend_start IS NULL AND session.backend_start <= e.at;

-- name: sessions
-- What became of these backends. State and start are for roles with pg_read_all_stats.
SELECT pid, backend_start, state FROM pg_stat_get_activity(NULL) WHERE pid = ANY (%(pids)s);

-- name: activity
-- The clients of this database, those in a transaction first; without the sidecar's own connections, which are
-- its role's and begin with the same word as this one. Never what they run: it may hold data.
SELECT
    a.pid,
    coalesce(r.rolname, a.usesysid::text)::text AS role,
    coalesce(a.application_name, '') AS application_name,
    host(a.client_addr) AS client_addr,
    a.backend_start,
    a.xact_start AS transaction_start,
    a.state,
    a.wait_event_type || ': ' || a.wait_event AS waits_for
FROM pg_stat_get_activity(NULL) AS a LEFT JOIN pg_roles AS r ON r.oid = a.usesysid
WHERE a.datid = %(database)s::oid
  AND a.usesysid IS NOT NULL
  AND coalesce(a.backend_type, 'client backend') = 'client backend'
  AND a.pid <> pg_backend_pid()
  AND NOT (
      r.rolname = session_user
      AND split_part(a.application_name, ' ', 1) = split_part(current_setting('application_name'), ' ', 1)
  )
ORDER BY a.xact_start NULLS LAST, a.pid
LIMIT %(limit)s;

-- name: fingerprint
-- Physical signals of server and database. The timeline is that of the next record, where records are written: a
-- checkpoint tells of a new one only once it is done. A standby has what it received, at least what it replayed.
SELECT
    CASE WHEN recovers THEN (SELECT timeline_id FROM pg_control_checkpoint())
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer END AS timeline,
    (CASE WHEN recovers THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_lsn() END - '0/0')::bigint AS lsn,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction,
    pg_postmaster_start_time() AS started,
    pg_stat_get_db_stat_reset_time(%(database)s::oid) AS statistics_reset,
    current_setting('server_version_num')::integer AS server_version
FROM pg_is_in_recovery() AS recovers;

-- name: table_prints
-- Physical signals of tables. A partitioned table has the counters of its parts, and no file.
SELECT
    c.oid,
    pg_relation_filenode(c.oid) AS filenode,
    CASE WHEN c.relkind = 'p' THEN parts.inserted ELSE pg_stat_get_tuples_inserted(c.oid) END AS inserted,
    CASE WHEN c.relkind = 'p' THEN parts.updated ELSE pg_stat_get_tuples_updated(c.oid) END AS updated,
    CASE WHEN c.relkind = 'p' THEN parts.deleted ELSE pg_stat_get_tuples_deleted(c.oid) END AS deleted,
    c.relrowsecurity AS secured,
    has_schema_privilege(application.oid, c.relnamespace, 'USAGE')
        AND has_table_privilege(application.oid, c.oid, 'SELECT') AS application_reads
FROM pg_class AS c
LEFT JOIN pg_roles AS application ON application.rolname = %(application)s::text
LEFT JOIN LATERAL (
    SELECT
        sum(pg_stat_get_tuples_inserted(relid))::bigint AS inserted,
        sum(pg_stat_get_tuples_updated(relid))::bigint AS updated,
        sum(pg_stat_get_tuples_deleted(relid))::bigint AS deleted
    FROM pg_partition_tree(c.oid::regclass) WHERE isleaf
) AS parts ON c.relkind = 'p'
WHERE c.oid = ANY (%(oids)s::oid[]);

-- name: records
-- The rows of a declared query as JSON, a bounded number of bounded size.
SELECT body FROM (SELECT row_to_json(recorded)::text AS body FROM ({query}
) AS recorded LIMIT {limit}) AS found
WHERE octet_length(body) <= {bytes};

-- name: only_read
-- For the transaction that it begins.
SELECT set_config('transaction_read_only', 'on', true);
