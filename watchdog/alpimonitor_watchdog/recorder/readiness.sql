-- What naming a session would rest on, if rows were lost now. Reads the catalog and the list of sessions only.

-- name: settings
-- What the server's log says of sessions, and what is in the way of NOTIFY.
SELECT
    current_setting('log_connections') AS log_connections,
    current_setting('log_line_prefix') AS log_line_prefix,
    current_setting('log_destination') AS log_destination,
    current_setting('log_statement') AS log_statement,
    current_setting('max_prepared_transactions')::integer AS max_prepared_transactions,
    pg_has_role('pg_read_all_stats', 'USAGE') AS sees_sessions,
    host(inet_client_addr()) AS own_address;

-- name: clients
-- Who is connected to this database beside this session. `own`: the sidecar's; `listens`: for the recorder.
SELECT
    coalesce(r.rolname, a.usesysid::text)::text AS role,
    coalesce(a.application_name, '') AS application_name,
    host(a.client_addr) AS client_addr,
    r.rolname = session_user
        AND split_part(a.application_name, ' ', 1) = split_part(current_setting('application_name'), ' ', 1) AS own,
    coalesce(a.query ~* '^\s*LISTEN\s+"?flight_recorder"?', false) AS listens
FROM pg_stat_activity AS a LEFT JOIN pg_roles AS r ON r.oid = a.usesysid
WHERE a.datname = current_database() AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()
  AND coalesce(a.backend_type, 'client backend') = 'client backend'
ORDER BY a.pid
LIMIT 1000;

-- name: applications
-- What these roles could do to the guarded tables beside their rights: which they own, and which roles they could
-- become that own one, or that may do everything.
SELECT
    r.rolname::text AS role,
    r.rolsuper AS superuser,
    ARRAY(
        SELECT c.relname::text FROM pg_class AS c WHERE c.oid = ANY (%(oids)s::oid[]) AND c.relowner = r.oid
        ORDER BY 1
    ) AS owns,
    ARRAY(
        SELECT o.rolname::text FROM pg_roles AS o
        WHERE o.oid <> r.oid AND NOT r.rolsuper AND pg_has_role(r.oid, o.oid, 'MEMBER')
          AND (o.rolsuper OR o.oid IN (SELECT relowner FROM pg_class WHERE oid = ANY (%(oids)s::oid[])))
        ORDER BY 1
    ) AS becomes
FROM pg_roles AS r WHERE r.rolname = ANY (%(roles)s::text[])
ORDER BY 1;

-- name: erasers
-- The roles that log in, superusers left out, and could change or erase what was recorded; no row where there is
-- no evidence.
SELECT ARRAY(
    SELECT r.rolname::text FROM pg_roles AS r
    WHERE r.rolcanlogin AND NOT r.rolsuper
      AND (
          pg_has_role(r.oid, e.relowner, 'MEMBER')
          OR (has_schema_privilege(r.oid, e.relnamespace, 'USAGE')
              AND has_table_privilege(r.oid, e.oid, 'UPDATE, DELETE, TRUNCATE'))
      )
    ORDER BY 1
) AS erasers
FROM pg_class AS e JOIN pg_namespace AS n ON n.oid = e.relnamespace
WHERE n.nspname = 'flight_recorder' AND e.relname = 'event';
