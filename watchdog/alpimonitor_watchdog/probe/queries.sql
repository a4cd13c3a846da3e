-- Every statement that the probe runs, each under its name with what it is for. Values are bound; only the
-- identifiers and literals in braces are composed, by psycopg.sql.

-- name: catalog
-- The state of the server, and what the catalog knows of each declared table: one row a table, in order.
-- Touches no table and waits for no lock on one. A name without a schema is looked for along the search path,
-- schemas without USAGE included: those are forbidden, not gone. As written wins over in lower case.
WITH path AS MATERIALIZED (
    SELECT array_agg(CASE folder WHEN '$user' THEN current_user ELSE folder END ORDER BY place) AS schemas
    FROM (
        SELECT btrim(btrim(item), '"') AS folder, place
        FROM unnest(string_to_array(current_setting('search_path'), ',')) WITH ORDINALITY AS p (item, place)
    ) AS folders
), here AS MATERIALIZED (
    SELECT oid FROM pg_database WHERE datname = current_database()
), state AS MATERIALIZED (
    SELECT
        now() AS clock,
        current_database()::text AS database,
        pg_is_in_recovery() AS in_recovery,
        -- New sessions would be read-only: by the server's configuration, or by ALTER DATABASE, which this
        -- session may be too old to have taken over. What only this role or connection set is its own affair.
        CASE WHEN current_setting('default_transaction_read_only') = 'on' THEN (
            SELECT source IN ('configuration file', 'command line')
            FROM pg_settings WHERE name = 'default_transaction_read_only'
        ) ELSE false END
        OR EXISTS (
            SELECT FROM pg_db_role_setting AS s, here, unnest(s.setconfig) AS item
            WHERE s.setrole = 0 AND s.setdatabase IN (0, here.oid)
              AND item ~* '^default_transaction_read_only=(on|true|yes|1)$'
        ) AS read_only,
        -- A 64-bit advisory key is split over two columns; objsubid 1 says that it is one.
        (
            SELECT held.pid
            FROM pg_locks AS held, here, unnest(ARRAY['migration', 'change']) AS lock_name,
                 hashtextextended(%(lock_prefix)s || ':' || lock_name, 0) AS key
            WHERE held.locktype = 'advisory' AND held.objsubid = 1 AND held.granted
              AND held.database = here.oid AND held.pid <> pg_backend_pid()
              AND held.classid::bigint = (key >> 32) & 4294967295
              AND held.objid::bigint = key & 4294967295
            LIMIT 1
        ) AS change_held_by,
        -- Its size needs no right to read it, and is 0 wherever there was never a subscription.
        pg_relation_size('pg_subscription_rel') > 0
            AND has_table_privilege('pg_subscription_rel', 'SELECT') AS may_be_subscribed
)
SELECT state.*, found.*
FROM state CROSS JOIN path
CROSS JOIN unnest(
    %(schemas)s::text[], %(folded_schemas)s::text[], %(tables)s::text[], %(folded_tables)s::text[],
    %(with_columns)s::boolean[]
) WITH ORDINALITY AS declared (schema, folded_schema, name, folded_name, with_columns, place)
LEFT JOIN LATERAL (
    SELECT
        c.oid,
        n.nspname::text AS schema,
        c.relname::text AS name,
        c.relkind::text AS kind,
        has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT') AS readable,
        row_security_active(c.oid) AS hidden,
        CASE WHEN declared.with_columns THEN ARRAY(
            SELECT attname::text FROM pg_attribute
            WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        ) END AS columns
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname IN (declared.name, declared.folded_name)
      AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
      AND CASE WHEN declared.schema IS NULL THEN n.nspname = ANY (path.schemas)
               ELSE n.nspname IN (declared.schema, declared.folded_schema) END
    ORDER BY array_position(path.schemas, n.nspname::text), n.nspname = declared.schema DESC,
             c.relname = declared.name DESC
    LIMIT 1
) AS found ON true
ORDER BY declared.place;

-- name: rows
-- The rows of one table, at most a limit of them; several tables are joined to one statement by UNION ALL.
SELECT {place} AS place, (SELECT count(*) FROM (SELECT FROM {table} LIMIT {limit}) AS few) AS rows;

-- name: in_the_way
-- The session that holds, or stands in front of us in the queue for, a lock on a table that even reading waits
-- for.
SELECT pid FROM pg_locks
WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND relation = %(oid)s
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pid <> pg_backend_pid()
ORDER BY granted DESC
LIMIT 1;

-- name: subscribed
-- Which of these tables a subscription writes to.
SELECT DISTINCT srrelid FROM pg_subscription_rel WHERE srrelid = ANY (%(oids)s::oid[]);

-- name: session
-- Which backend answers, and what the role is; asked twice, by `check`.
SELECT
    pg_backend_pid() AS pid,
    current_user::text AS role,
    current_setting('server_version') AS server_version,
    current_setting('server_version_num')::integer AS server_version_num,
    rolsuper AS superuser,
    has_table_privilege('pg_subscription_rel', 'SELECT') AS sees_subscriptions
FROM pg_roles WHERE rolname = current_user;

-- name: writable
-- Which of these tables the role could write to, and by which right.
SELECT c.oid, array_agg(right_name ORDER BY right_name) AS rights
FROM unnest(%(oids)s::oid[]) AS c (oid), unnest(ARRAY['DELETE', 'INSERT', 'TRUNCATE', 'UPDATE']) AS right_name
WHERE has_table_privilege(c.oid, right_name)
GROUP BY c.oid;
