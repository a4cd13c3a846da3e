-- Every statement that the probe runs, each under its name with what it is for. Values are bound; only the
-- identifiers and literals in braces are composed, by psycopg.sql.

-- name: catalog
-- The state of the server in one row, and beside it, in a row each, what the catalog knows of every relation
-- that may be one of the declared tables; which of them is one is decided by whoever reads. Touches no table and
-- waits for no lock on one. Of schemas without USAGE too: their tables are forbidden, not gone. The names are
-- literals and not bound, so that the planner knows how many there are.
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
        here.oid AS database_oid,
        path.schemas AS search_path,
        pg_is_in_recovery() AS in_recovery,
        -- New sessions would be read-only: by the server's configuration, or by ALTER DATABASE, which this
        -- session may be too old to have taken over. What only this role or connection set is its own affair.
        CASE WHEN current_setting('default_transaction_read_only') = 'on' THEN (
            SELECT source IN ('configuration file', 'command line')
            FROM pg_settings WHERE name = 'default_transaction_read_only'
        ) ELSE false END
        OR EXISTS (
            SELECT FROM pg_db_role_setting AS s, unnest(s.setconfig) AS item
            WHERE s.setrole = 0 AND s.setdatabase IN (0, here.oid)
              AND item ~* '^default_transaction_read_only=(on|true|yes|1)$'
        ) AS read_only,
        -- A 64-bit advisory key is split over two columns; objsubid 1 says that it is one.
        (
            SELECT held.pid
            FROM pg_locks AS held, unnest(ARRAY['migration', 'change']) AS lock_name,
                 hashtextextended({lock_prefix} || ':' || lock_name, 0) AS key
            WHERE held.locktype = 'advisory' AND held.objsubid = 1 AND held.granted
              AND held.database = here.oid AND held.pid <> pg_backend_pid()
              AND held.classid::bigint = (key >> 32) & 4294967295
              AND held.objid::bigint = key & 4294967295
            LIMIT 1
        ) AS change_held_by,
        -- Its size needs no right to read it, and is 0 wherever there was never a subscription.
        pg_relation_size('pg_subscription_rel') > 0
            AND has_table_privilege('pg_subscription_rel', 'SELECT') AS may_be_subscribed
    FROM here CROSS JOIN path
), relations AS (
    SELECT
        c.oid,
        n.nspname::text AS schema,
        c.relname::text AS name,
        c.relkind::text AS kind,
        has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT') AS readable,
        row_security_active(c.oid) AS hidden,
        CASE WHEN c.relname = ANY ({with_columns}::name[]) THEN ARRAY(
            SELECT attname::text FROM pg_attribute
            WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        ) END AS columns,
        CASE WHEN c.relname = ANY ({with_mark}::name[]) THEN concat_ws(
            ' ', c.oid, c.relfilenode,
            pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid),
            pg_stat_get_tuples_deleted(c.oid), pg_stat_get_tuples_hot_updated(c.oid)
        ) END AS mark
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = ANY ({names}::name[])
      AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
      AND c.relnamespace = ANY (ARRAY(
          SELECT found.oid FROM pg_namespace AS found, path
          WHERE found.nspname = ANY ({schemas}::name[]) OR found.nspname = ANY (path.schemas)
      ))
)
SELECT state.*, relations.* FROM state FULL JOIN relations ON false;

-- name: rows
-- The rows of one table, at most a limit of them: an element of the array that one statement over several tables
-- returns.
SELECT count(*) FROM (SELECT FROM {table} LIMIT {limit}) AS few;

-- name: all_rows
-- The same of a table that had far fewer rows than the limit, without the cost of one.
SELECT count(*) FROM {table};

-- name: briefly
-- Sent before another statement, in one string and so in one transaction: for that statement only, its own
-- time-out, and everything pinned that decides how a value is written.
SELECT
    set_config('statement_timeout', {milliseconds}, true),
    set_config('TimeZone', 'UTC', true),
    set_config('DateStyle', 'ISO, YMD', true),
    set_config('IntervalStyle', 'postgres', true),
    set_config('extra_float_digits', '1', true),
    set_config('bytea_output', 'hex', true),
    set_config('lc_monetary', 'C', true);

-- name: content
-- The number of rows of one table and a hash over all of them, whatever their order; rows that are equal to
-- PostgreSQL have equal hashes. t.* is the row, also where a column is called t.
SELECT count(*), coalesce(sum(pg_catalog.hash_record_extended(t.*, 0)::numeric), 0)::text, NULL
FROM {table} AS t;

-- name: content_as_text
-- The same of each row as it is written, for a table with a type that has no hash (json, xml, money, point); and
-- the types of its columns.
SELECT
    count(*),
    coalesce(sum(pg_catalog.hashtextextended(
        pg_catalog.textin(pg_catalog.record_out(t.*)) COLLATE "C", 0
    )::numeric), 0)::text,
    (
        SELECT string_agg(atttypid::text, ' ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped
    )
FROM {table} AS t;

-- name: system
-- Which cluster answers: written by initdb, the same on every standby and physical copy.
SELECT system_identifier::text FROM pg_control_system();

-- name: deployment
-- The rows of the `deployment` table, as far as is needed to know whether there is exactly one.
SELECT id::text, environment::text FROM {table} LIMIT 2;

-- name: keep_memory
-- Asked once a connection, for what it does to the memory of the server's process: glibc keeps as much free
-- memory as twice the largest piece that was ever given back. A statement over a hundred tables otherwise takes
-- megabytes from the operating system and gives them back, page by page, at each look: up to half of its cost.
SELECT octet_length(repeat(repeat(' ', 1024), 4096));

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

-- name: clock
-- The time by the database, which is the one that its rows were written by.
SELECT now();

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
