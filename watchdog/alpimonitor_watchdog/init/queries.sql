-- Every statement that `alpimonitor watchdog init` runs. All only read, in one READ ONLY transaction; only the
-- identifiers and literals in braces are composed, by psycopg.sql.

-- name: only_the_systems_functions
-- From here on names without a schema are PostgreSQL's own: a function or an operator that somebody put on the
-- search path never runs, and so never with the rights of whoever looks.
SELECT set_config('search_path', '', true);

-- name: session
-- Where and when the look is, and as whom.
SELECT
    now() AS at,
    current_database()::text AS database,
    current_user::text AS role,
    rolsuper AS superuser,
    current_setting('server_version') AS server_version
FROM pg_roles WHERE rolname = current_user;

-- name: tables
-- Every table of people's own schemas, partitions and inheriting tables left to their parents, whose rows
-- include theirs: shape, rights, and what the statistics say was written. Touches no table, waits for no lock:
-- pg_inherits is walked by hand because pg_partition_tree() locks what it lists.
WITH RECURSIVE tree AS (
    SELECT inhparent AS root, inhrelid AS member FROM pg_inherits
    UNION
    SELECT tree.root, below.inhrelid FROM tree JOIN pg_inherits AS below ON below.inhparent = tree.member
), family AS MATERIALIZED (
    SELECT root, member FROM tree UNION SELECT oid, oid FROM pg_class WHERE relkind IN ('r', 'p', 'f')
), written AS MATERIALIZED (
    SELECT
        root,
        count(*) - 1 AS parts,
        coalesce(sum(pg_stat_get_tuples_inserted(member)), 0)::bigint AS inserted,
        coalesce(sum(pg_stat_get_tuples_deleted(member)), 0)::bigint AS deleted
    FROM family GROUP BY root
)
SELECT
    c.oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    pg_get_userbyid(c.relowner)::text AS owner,
    c.relkind = 'f' AS is_foreign,
    c.relpersistence = 'u' AS unlogged,
    written.parts,
    written.inserted,
    written.deleted,
    (
        SELECT extname::text FROM pg_depend JOIN pg_extension AS e ON e.oid = refobjid
        WHERE classid = 'pg_class'::regclass AND objid = c.oid
          AND refclassid = 'pg_extension'::regclass AND deptype = 'e'
        LIMIT 1
    ) AS extension,
    has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT') AS readable,
    has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writable,
    c.relrowsecurity AS secured,
    row_security_active(c.oid) AS hidden,
    ARRAY(
        SELECT attname::text FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
    ) AS columns,
    ARRAY(
        SELECT attname::text FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attnotnull
          AND atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype)
        ORDER BY attnum
    ) AS moments,
    -- Of serial and identity columns, and whatever else a column owns.
    ARRAY(
        SELECT ARRAY[sn.nspname::text, s.relname::text]
        FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
          AND d.deptype IN ('a', 'i') AND s.relkind = 'S'
        ORDER BY sn.nspname, s.relname
    ) AS sequences
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN written ON written.root = c.oid
WHERE c.relkind IN ('r', 'p', 'f')
  AND c.relpersistence <> 't'
  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'alpimonitor_watchdog')
  AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)
ORDER BY n.nspname, c.relname;

-- name: foreign_keys
-- Which table's rows point to which other table's, and whether each of them has to.
SELECT
    con.conrelid AS referencing,
    con.confrelid AS referenced,
    NOT EXISTS (
        SELECT FROM unnest(con.conkey) AS key (attnum)
        JOIN pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = key.attnum
        WHERE NOT a.attnotnull
    ) AS required
FROM pg_constraint AS con
WHERE con.contype = 'f' AND con.conparentid = 0 AND con.conrelid <> con.confrelid;

-- name: rows
-- The rows of one table, at most a limit of them.
SELECT count(*) FROM (SELECT FROM {table} LIMIT {limit}) AS few;

-- name: revision_alembic
-- Alembic: a row for each head; the sidecar joins them.
SELECT version_num FROM {table};

-- name: revision_prisma
-- Prisma: the newest migration that was finished and not rolled back.
SELECT migration_name FROM {table} WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL
ORDER BY migration_name DESC LIMIT 1;

-- name: revision_django
-- Django: the migration that was applied last, of whichever application.
SELECT app || '.' || name FROM {table} ORDER BY id DESC LIMIT 1;

-- name: revision_flyway
-- Flyway: the newest version; repeatable migrations have none.
SELECT version FROM {table} WHERE success AND version IS NOT NULL ORDER BY installed_rank DESC LIMIT 1;

-- name: revision_golang
-- golang-migrate: its one row, unless the migration before failed half-way.
SELECT version FROM {table} WHERE NOT dirty;

-- name: revision_newest_version
-- Rails, Ecto, dbmate: the greatest version.
SELECT max(version) FROM {table};

-- name: revision_entity_framework
-- Entity Framework: its identifiers begin with the moment.
SELECT max("MigrationId") FROM {table};

-- name: revision_newest_name
-- Knex, TypeORM, MikroORM: the migration that was applied last.
SELECT name FROM {table} ORDER BY id DESC LIMIT 1;

-- name: revision_sequelize
-- Sequelize: names begin with the moment.
SELECT max(name) FROM {table};

-- name: revision_liquibase
-- Liquibase: the change set that was executed last.
SELECT id FROM {table} ORDER BY orderexecuted DESC LIMIT 1;

-- name: revision_goose
-- goose: the greatest version that is applied; a row says so, a later one may take it back.
SELECT max(version_id) FROM {table} WHERE is_applied;

-- name: revision_sqlx
-- sqlx: the greatest version that succeeded.
SELECT max(version) FROM {table} WHERE success;

-- name: revision_drizzle
-- Drizzle: the hash of the migration that was applied last.
SELECT hash FROM {table} ORDER BY created_at DESC LIMIT 1;
