-- Every statement of the session that leads or would lead, each under its name with what it is for. Values are
-- bound.

-- name: bind
-- Sets the session's bounds, and tells after how many seconds of silence the server will now end it.
SELECT
    extract(epoch FROM set_config('idle_session_timeout', %(idle_session_timeout)s, false)::interval)::float8
        AS silence,
    set_config('tcp_user_timeout', %(tcp_user_timeout)s, false),
    set_config('tcp_keepalives_idle', %(tcp_keepalives_idle)s, false),
    set_config('tcp_keepalives_interval', %(tcp_keepalives_interval)s, false),
    set_config('tcp_keepalives_count', %(tcp_keepalives_count)s, false),
    set_config('lock_timeout', %(lock_timeout)s, false),
    set_config('synchronous_commit', %(synchronous_commit)s, false);

-- name: claim
-- Takes the leader lock if it is free, and says who has it: asked again and again, it renews the lease. The
-- leader's episode is an advisory lock of two 32-bit numbers that the leader shares with nobody; only numbers
-- held by the leader's own session count, the greatest while it changes from one to the next.
WITH held AS MATERIALIZED (
    SELECT pid, classid::bigint AS high, objid::bigint AS low, objsubid
    FROM pg_locks
    WHERE locktype = 'advisory' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), key AS MATERIALIZED (
    SELECT hashtextextended(%(lock_prefix)s || ':leader', 0) AS leader,
           hashtext(%(lock_prefix)s || ':episode')::bigint & 4294967295 AS episodes
), leader AS MATERIALIZED (
    -- A 64-bit advisory key is split over two columns; objsubid 1 says that it is one.
    SELECT held.pid FROM held, key
    WHERE held.objsubid = 1 AND held.high = (key.leader >> 32) & 4294967295
      AND held.low = key.leader & 4294967295
    LIMIT 1
)
SELECT
    pg_backend_pid() AS pid,
    leader.pid AS held_by,
    CASE WHEN leader.pid = pg_backend_pid() THEN true
         WHEN leader.pid IS NULL THEN pg_try_advisory_lock(key.leader)
         ELSE false END AS leads,
    (
        SELECT max(held.low) FROM held
        WHERE held.objsubid = 2 AND held.high = key.episodes AND held.pid = leader.pid
    ) AS episode
FROM key LEFT JOIN leader ON true;

-- name: show
-- Shows an episode instead of the one before: false when a stranger holds that very lock for itself.
SELECT
    pg_try_advisory_lock_shared(hashtext(%(lock_prefix)s || ':episode'), %(episode)s::integer),
    CASE WHEN %(before)s::integer IS NOT NULL
         THEN pg_advisory_unlock_shared(hashtext(%(lock_prefix)s || ':episode'), %(before)s::integer) END;

-- name: ledger
-- Whether there is a ledger (no row: there is none), and what this role lacks to keep it.
SELECT
    current_user::text AS role,
    array_remove(ARRAY[
        CASE WHEN NOT has_schema_privilege(n.oid, 'USAGE') THEN 'USAGE on its schema' END,
        CASE WHEN NOT has_table_privilege(c.oid, 'SELECT') THEN 'SELECT' END,
        CASE WHEN NOT has_table_privilege(c.oid, 'INSERT') THEN 'INSERT' END,
        CASE WHEN NOT has_any_column_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END
    ], NULL) AS lacking
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'alpimonitor_watchdog' AND c.relname = 'heal_attempt' AND c.relkind IN ('r', 'p');

-- name: attempts
-- The heals that sidecars began within the window, by the database's clock.
SELECT
    id,
    greatest(extract(epoch FROM now() - at), 0)::float8 AS age,
    outcome,
    sidecar = %(sidecar)s AS ours,
    CASE WHEN ended_at IS NOT NULL THEN greatest(extract(epoch FROM now() - ended_at), 0)::float8 END AS ended
FROM alpimonitor_watchdog.heal_attempt
WHERE at > now() - make_interval(secs => %(window)s)
ORDER BY at, id;

-- name: reserve
-- Records a heal before it begins, if this session holds the leader lock at this instant and the budget of the
-- window is not spent. The lock makes reservations take turns: whoever has it sees what the one before wrote.
WITH state AS MATERIALIZED (
    SELECT
        EXISTS (
            SELECT FROM pg_locks, hashtextextended(%(lock_prefix)s || ':leader', 0) AS key
            WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid = pg_backend_pid()
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND classid::bigint = (key >> 32) & 4294967295 AND objid::bigint = key & 4294967295
        ) AS leads,
        (
            SELECT count(*) FROM alpimonitor_watchdog.heal_attempt
            WHERE at > now() - make_interval(secs => %(window)s)
        ) AS spent
), added AS (
    INSERT INTO alpimonitor_watchdog.heal_attempt (id, incident, healer, sidecar)
    SELECT %(id)s, %(incident)s, %(healer)s, %(sidecar)s FROM state
    WHERE leads AND spent < %(budget)s
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
SELECT leads, spent, EXISTS (SELECT FROM added) AS reserved FROM state;

-- name: finish
-- Records how a heal ended, once.
UPDATE alpimonitor_watchdog.heal_attempt SET outcome = %(outcome)s, ended_at = now()
WHERE id = %(id)s AND outcome IS NULL;
