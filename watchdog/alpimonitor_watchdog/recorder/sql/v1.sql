-- The flight recorder: who took rows, in the transaction that took them. Never edited once released: a migration
-- reads it, and a test pins its hash. Safe to run again.
--
-- It must not hurt the application. It records after the fact and metadata only, waits 50 ms for a lock at most,
-- and whatever goes wrong in it is a WARNING to the client and in the server's log, never an error.
--
-- It must not be an application's to change. The functions run as their owner, which is the NOLOGIN role
-- alpimonitor_recorder where that exists; nobody else may write here. What an application can set (search path,
-- string syntax, time-outs, the settings below) must not keep a statement from being recorded: so names are
-- qualified, patterns are dollar-quoted, and no setting is cast.
--
-- It must not be a way to become its owner. What runs as the owner runs nothing that anybody but a superuser can
-- define: no cast or operator of a type, no policy, no foreign table. So a row is kept as its type's output functions
-- write it, and never turned into JSON, which would call casts that the owner of a type has made.
--
-- Settings that sessions may make:
--   watchdog.reason          why the next statements are meant; recorded with them
--   flight_recorder.notify   off: no NOTIFY, for sessions that use PREPARE TRANSACTION, which it would make fail

CREATE SCHEMA IF NOT EXISTS flight_recorder;

-- One destructive statement on one table. A cascade, a script or a function leaves several, of one transaction.
CREATE TABLE IF NOT EXISTS flight_recorder.event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamp with time zone NOT NULL,
    operation text NOT NULL,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    relation oid NOT NULL,
    rows bigint,                                -- that it took or changed; null: not counted
    remaining bigint,                           -- after it, of context tables; null: not counted, or above 10,000
    session_role text NOT NULL,                 -- who logged in
    role text NOT NULL,                         -- whom it had become by SET ROLE
    application_name text NOT NULL,
    client_addr inet,                           -- null: a local socket
    pid integer NOT NULL,
    backend_start timestamp with time zone,     -- null: the owner of the functions may not see it
    transaction bigint NOT NULL,
    statement text NOT NULL,                    -- what the client sent
    inner_context text NOT NULL,                -- what ran it, where a function or a cascade did
    reason text,
    CONSTRAINT pk_event PRIMARY KEY (id),
    CONSTRAINT ck_event_operation CHECK (operation IN ('delete', 'truncate', 'update', 'drop', 'disarm'))
);
CREATE INDEX IF NOT EXISTS ix_event_transaction ON flight_recorder.event (transaction, id);

-- The tables that are guarded, each partition and child for itself.
CREATE TABLE IF NOT EXISTS flight_recorder.guarded (
    relation oid NOT NULL,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    kind text NOT NULL,
    keep_literals boolean NOT NULL,
    journal_rows integer NOT NULL,
    CONSTRAINT pk_guarded PRIMARY KEY (relation),
    CONSTRAINT ck_guarded_kind CHECK (kind IN ('context', 'operational')),
    CONSTRAINT ck_guarded_journal_rows CHECK (journal_rows BETWEEN 0 AND 100000)
);

-- The rows themselves, as many of each event as its table's journal_rows allows.
CREATE TABLE IF NOT EXISTS flight_recorder.journal (
    event bigint NOT NULL,
    before text NOT NULL,                       -- a row, as PostgreSQL writes one: (1,"a name",)
    after text,                                 -- of an update
    columns text[]                              -- the names, in that order: with the first row of each event only
);
CREATE INDEX IF NOT EXISTS ix_journal_event ON flight_recorder.journal (event);

CREATE OR REPLACE VIEW flight_recorder.version AS SELECT 1 AS version;


-- A statement without its literals: strings, numbers, dollar quotes and comments, which can hold any of them.
-- Quoted identifiers stay. What cannot be told apart for sure is left out to the end of the statement: what
-- follows a tagged dollar quote, a nested comment, or a string of doubtful syntax.
CREATE OR REPLACE FUNCTION flight_recorder.masked(statement text) RETURNS text
LANGUAGE plpgsql STABLE AS $body$
BEGIN
    IF current_setting('standard_conforming_strings') <> 'on' THEN
        RETURN regexp_replace(statement, $re$['"$0-9].*$re$, '…');
    END IF;
    -- Group 1 is a quoted identifier; what stands for a literal comes behind it too, and is taken away again.
    RETURN replace(replace(regexp_replace(statement, $re$(?x)
          ( "[^"]*"? )
        | \m[eE]' (?: [^'\\] | \\. | '' )* '?
        | ' (?: [^'] | '' )* '?
        | (?<![[:alnum:]_$]) \$\$ (?: [^$] | \$[^$] )* (?: \$\$ )?
        | (?<![[:alnum:]_$]) \$ [[:alpha:]_] [[:alnum:]_]* \$ .*
        | --[^\n]*
        | /\* (?: [^*/] | \*+[^*/] | /+[^*/] )* \*+/
        | /\* (?! (?: [^*/] | \*+[^*/] | /+[^*/] )* \*+/ ) .*
        | (?<!\$) \m [0-9] [[:alnum:]_.]*
        $re$, $re$\1$re$ || chr(1), 'g'), '"' || chr(1), '"'), chr(1), '…');
END
$body$;


-- A text without what follows the word PASSWORD.
CREATE OR REPLACE FUNCTION flight_recorder.without_password(said text) RETURNS text
LANGUAGE sql IMMUTABLE AS $body$
    SELECT regexp_replace(said, $re$(\mpassword\M\s*).*$re$, $re$\1…$re$, 'i')
$body$;

-- What is recorded of a statement.
CREATE OR REPLACE FUNCTION flight_recorder.told(statement text, keep_literals boolean) RETURNS text
LANGUAGE plpgsql STABLE AS $body$
BEGIN
    IF NOT keep_literals THEN
        statement := flight_recorder.masked(statement);
    END IF;
    RETURN flight_recorder.without_password(statement);
END
$body$;


-- What PostgreSQL says of the functions and statements that ran a statement, without the recorder's own line.
-- Masked: from its first quote on, a statement is left out up to the next function.
CREATE OR REPLACE FUNCTION flight_recorder.inner_context(stack text, keep_literals boolean) RETURNS text
LANGUAGE plpgsql STABLE AS $body$
DECLARE
    outside text := left(substr(stack, nullif(strpos(stack, chr(10)), 0) + 1), 2000);
BEGIN
    IF outside IS NULL OR outside = '' THEN
        RETURN '';
    END IF;
    IF NOT keep_literals THEN
        outside := regexp_replace(
            regexp_replace(outside, $re$['$].*?(\nPL/pgSQL function |$)$re$, $re$…\1$re$, 'g'),
            $re$(?<!\$|line )\m[0-9][[:alnum:]_.]*$re$, '…', 'g');
    END IF;
    RETURN flight_recorder.without_password(outside);
END
$body$;


-- How many rows are left in a table and what inherits from it; null where telling would cost more than the
-- statement did, would show only some of them, or would make a serializable transaction depend on all of them.
CREATE OR REPLACE FUNCTION flight_recorder.remaining(relation regclass, taken bigint) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
    blocks bigint;
    elsewhere boolean;
    counted bigint;
BEGIN
    IF NOT flight_recorder.visible(relation) THEN
        RETURN NULL;
    END IF;
    WITH RECURSIVE tree (member) AS (
        SELECT relation::oid
        UNION
        SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = member
    )
    SELECT sum(pg_relation_size(member)) / current_setting('block_size')::integer, bool_or(relkind = 'f')
    INTO blocks, elsewhere FROM tree JOIN pg_class ON oid = member;
    IF elsewhere OR blocks > 64 AND taken < blocks THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %s LIMIT 10001) AS few', relation) INTO counted;
    RETURN CASE WHEN counted <= 10000 THEN counted END;
END
$body$;

-- Whether the owner of these functions may read all of a table, and reading it has no consequence.
CREATE OR REPLACE FUNCTION flight_recorder.visible(relation regclass) RETURNS boolean
LANGUAGE sql STABLE AS $body$
    SELECT current_setting('transaction_isolation') <> 'serializable'
        AND has_table_privilege(relation, 'SELECT')
        AND has_schema_privilege(relnamespace, 'USAGE')
        AND NOT row_security_active(relation)
    FROM pg_class WHERE oid = relation
$body$;


-- The session and the transaction that are at it, as an event has them.
CREATE OR REPLACE VIEW flight_recorder.act AS
SELECT clock_timestamp() AS at,
    session_user::text AS session_role,
    coalesce(nullif(current_setting('role'), 'none'), session_user::text) AS role,
    current_setting('application_name') AS application_name,
    inet_client_addr() AS client_addr,
    pg_backend_pid() AS pid,
    pg_current_xact_id()::text::bigint AS transaction,
    left(coalesce(current_query(), ''), 2000) AS statement,
    left(nullif(current_setting('watchdog.reason', true), ''), 2000) AS reason,
    coalesce(current_setting('flight_recorder.notify', true), '') NOT IN ('off', 'false', '0') AS notifies;

-- When this session began; null where the owner of these functions may not see it.
CREATE OR REPLACE FUNCTION flight_recorder.backend_start() RETURNS timestamp with time zone
LANGUAGE sql VOLATILE AS $body$
    SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())
$body$;


-- The trigger of every guarded table. Arguments: kind, keep_literals, journal_rows.
--
-- PL/pgSQL prepares each of its expressions anew in each transaction, which for a single row costs more than all
-- else. So there are few here, and what DELETE and UPDATE leave is counted, written and returned by one statement.
CREATE OR REPLACE FUNCTION flight_recorder.record_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET lock_timeout = '50ms'
AS $body$
#variable_conflict use_variable
DECLARE
    event bigint;
    tells boolean;
    taken bigint;
    stack text;
    failed text;
    failure text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    BEGIN
        IF current_setting('flight_recorder.locked_at', true) <> '' THEN
            PERFORM flight_recorder.wait_no_more();
        END IF;
        IF TG_OP = 'TRUNCATE' THEN
            event := flight_recorder.record_truncate(TG_RELID, TG_ARGV[0] = 'context', TG_ARGV[1] = 'true', stack);
        ELSE
            INSERT INTO flight_recorder.event (
                at, operation, schema_name, table_name, relation, rows, remaining, session_role, role,
                application_name, client_addr, pid, backend_start, transaction, statement, inner_context, reason
            )
            SELECT act.at, lower(TG_OP), TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_RELID, counted.rows, counted.remaining,
                act.session_role, act.role, act.application_name, act.client_addr, act.pid,
                CASE WHEN counted.remaining <= 1000 OR counted.remaining < counted.rows
                    THEN flight_recorder.backend_start() END,
                act.transaction,
                CASE WHEN TG_ARGV[1] = 'true' AND strpos(lower(act.statement), 'password') = 0 THEN act.statement
                    ELSE flight_recorder.told(act.statement, TG_ARGV[1] = 'true') END,
                CASE WHEN strpos(stack, chr(10)) = 0 THEN ''
                    ELSE flight_recorder.inner_context(stack, TG_ARGV[1] = 'true') END,
                act.reason
            FROM flight_recorder.act, LATERAL (
                SELECT count(*) AS rows,
                    CASE WHEN TG_ARGV[0] = 'context' AND TG_OP = 'DELETE' AND pg_relation_size(TG_RELID)
                            <= greatest(count(*), 64) * current_setting('block_size')::integer
                        THEN flight_recorder.remaining(TG_RELID, count(*)) END AS remaining
                FROM old_rows
                HAVING count(*) > 0
            ) AS counted
            RETURNING id, rows, remaining <= 1000 OR remaining < rows INTO event, taken, tells;
            IF tells THEN
                PERFORM flight_recorder.tell();
            END IF;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS failed = RETURNED_SQLSTATE, failure = MESSAGE_TEXT;
        IF failed = '55P03' THEN
            PERFORM set_config('flight_recorder.locked_at', extract(epoch FROM clock_timestamp())::bigint::text, false);
        END IF;
        IF TG_OP <> 'TRUNCATE' THEN
            BEGIN
                SELECT count(*) INTO taken FROM old_rows;
            EXCEPTION WHEN OTHERS THEN
                taken := NULL;
            END;
        END IF;
        IF taken IS DISTINCT FROM 0 THEN
            RAISE WARNING 'flight recorder: % of %.% was not recorded: %',
                TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, failure
                USING DETAIL = format('%s row(s) by %s as %s (%s), pid %s, transaction %s', coalesce(taken::text, '?'),
                        session_user, current_setting('role'), current_setting('application_name'), pg_backend_pid(),
                        pg_current_xact_id()),
                    HINT = 'The statement itself was carried out. See: alpimonitor recorder status';
        END IF;
        RETURN NULL;
    END;
    IF TG_ARGV[2] <> '0' AND event IS NOT NULL THEN
        BEGIN
            IF TG_OP = 'DELETE' THEN
                INSERT INTO flight_recorder.journal (event, before, columns)
                SELECT event, before.body, CASE WHEN row_number() OVER () = 1 THEN flight_recorder.columns(TG_RELID) END
                FROM (SELECT pg_catalog.textin(pg_catalog.record_out(old_rows.*)) AS body FROM old_rows
                        LIMIT TG_ARGV[2]::integer) AS before;
            ELSIF TG_OP = 'UPDATE' THEN
                -- Both are filled row by row, in the same order.
                INSERT INTO flight_recorder.journal (event, before, after, columns)
                SELECT event, before.body, after.body,
                    CASE WHEN row_number() OVER () = 1 THEN flight_recorder.columns(TG_RELID) END
                FROM (SELECT row_number() OVER () AS n, pg_catalog.textin(pg_catalog.record_out(old_rows.*)) AS body
                        FROM old_rows LIMIT TG_ARGV[2]::integer) AS before
                JOIN (SELECT row_number() OVER () AS n, pg_catalog.textin(pg_catalog.record_out(new_rows.*)) AS body
                        FROM new_rows LIMIT TG_ARGV[2]::integer) AS after USING (n)
                WHERE before.body <> after.body;
            ELSIF flight_recorder.visible(TG_RELID) THEN
                EXECUTE format('INSERT INTO flight_recorder.journal (event, before, columns)'
                    ' SELECT $1, before.body, CASE WHEN row_number() OVER () = 1 THEN $3 END'
                    ' FROM (SELECT pg_catalog.textin(pg_catalog.record_out(gone.*)) AS body FROM ONLY %s AS gone'
                    ' LIMIT $2) AS before', TG_RELID::regclass)
                    USING event, TG_ARGV[2]::integer, flight_recorder.columns(TG_RELID);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS failure = MESSAGE_TEXT;
            RAISE WARNING 'flight recorder: the rows of event % are not in the journal: %', event, failure;
        END;
    END IF;
    RETURN NULL;
END
$body$;

-- The names of a table's columns, in the order in which a row of it is written.
CREATE OR REPLACE FUNCTION flight_recorder.columns(relation oid) RETURNS text[]
LANGUAGE sql STABLE AS $body$
    SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
$body$;

-- Somebody held the evidence in the last seconds: do not wait for it with each of a thousand statements.
CREATE OR REPLACE FUNCTION flight_recorder.wait_no_more() RETURNS void
LANGUAGE plpgsql AS $body$
BEGIN
    -- As text, which an application cannot set to something that fails.
    IF current_setting('flight_recorder.locked_at') > (extract(epoch FROM clock_timestamp()) - 5)::bigint::text THEN
        PERFORM set_config('lock_timeout', '1ms', true);
    END IF;
END
$body$;

-- Wake whoever listens. Equal payloads of one transaction arrive as one.
CREATE OR REPLACE FUNCTION flight_recorder.tell() RETURNS void
LANGUAGE sql AS $body$
    SELECT pg_notify('flight_recorder', act.transaction::text) FROM flight_recorder.act WHERE act.notifies
$body$;

-- Before a TRUNCATE, under its lock: each partition and child has this trigger, too. Null: there is nothing to take.
CREATE OR REPLACE FUNCTION flight_recorder.record_truncate(
    relation regclass, context boolean, keep_literals boolean, stack text
) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
    blocks CONSTANT bigint := pg_relation_size(relation) / current_setting('block_size')::integer;
    taken bigint;
BEGIN
    IF blocks = 0 THEN
        RETURN NULL;
    END IF;
    IF blocks <= 1024 AND flight_recorder.visible(relation) THEN
        EXECUTE format('SELECT count(*) FROM (SELECT FROM ONLY %s LIMIT 10001) AS few', relation) INTO taken;
        -- An older snapshot may not show what is there.
        IF taken = 0 AND current_setting('transaction_isolation') = 'read committed' THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN flight_recorder.record(
        'truncate', relation, keep_literals, CASE WHEN taken <= 10000 THEN taken END,
        CASE WHEN context THEN 0 END, stack, context);
END
$body$;

-- Write one event down, and tell whoever listens if `tells`. The id of the event.
CREATE OR REPLACE FUNCTION flight_recorder.record(
    operation text, relation oid, keep_literals boolean, taken bigint, remaining bigint, stack text, tells boolean,
    schema_name text DEFAULT NULL, table_name text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $body$
#variable_conflict use_variable
DECLARE
    event bigint;
BEGIN
    IF table_name IS NULL THEN  -- it is still there
        SELECT nspname, relname INTO schema_name, table_name
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = relation;
    END IF;
    INSERT INTO flight_recorder.event (
        at, operation, schema_name, table_name, relation, rows, remaining, session_role, role,
        application_name, client_addr, pid, backend_start, transaction, statement, inner_context, reason
    )
    SELECT act.at, operation, schema_name, table_name, relation, taken, remaining,
        act.session_role, act.role, act.application_name, act.client_addr, act.pid, flight_recorder.backend_start(),
        act.transaction, flight_recorder.told(act.statement, keep_literals),
        flight_recorder.inner_context(stack, keep_literals), act.reason
    FROM flight_recorder.act
    RETURNING id INTO event;
    IF tells THEN
        PERFORM flight_recorder.tell();
    END IF;
    RETURN event;
END
$body$;


-- Of sql_drop: a guarded table, or a trigger of the recorder while its table stays.
CREATE OR REPLACE FUNCTION flight_recorder.record_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET lock_timeout = '50ms'
AS $body$
DECLARE
    gone record;
    stack text;
    failure text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    FOR gone IN
        SELECT 'drop' AS operation, guarded.relation, guarded.kind, guarded.keep_literals,
            dropped.schema_name AS in_schema, dropped.object_name AS named
        FROM pg_event_trigger_dropped_objects() AS dropped
        JOIN flight_recorder.guarded ON guarded.relation = dropped.objid
        WHERE dropped.classid = 'pg_class'::regclass AND dropped.objsubid = 0
        UNION ALL
        SELECT DISTINCT 'disarm', pg_class.oid, coalesce(guarded.kind, 'context'),
            coalesce(guarded.keep_literals, false), nspname::text, relname::text
        FROM pg_event_trigger_dropped_objects() AS dropped
        JOIN pg_class ON relname = dropped.address_names[2]
        JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = dropped.address_names[1]
        LEFT JOIN flight_recorder.guarded ON guarded.relation = pg_class.oid
        WHERE dropped.classid = 'pg_trigger'::regclass
            AND (dropped.address_names[3] IN ('flight_recorder_delete', 'flight_recorder_truncate')
                OR dropped.address_names[3] = 'flight_recorder_update' AND guarded.kind IS DISTINCT FROM 'operational')
    LOOP
        PERFORM flight_recorder.record(
            gone.operation, gone.relation, gone.keep_literals, NULL,
            CASE WHEN gone.operation = 'drop' AND gone.kind = 'context' THEN 0 END, stack,
            gone.kind = 'context', gone.in_schema, gone.named);
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS failure = MESSAGE_TEXT;
    RAISE WARNING 'flight recorder: a % was not looked at: %', TG_TAG, failure
        USING DETAIL = format('by %s as %s (%s), pid %s, transaction %s', session_user, current_setting('role'),
                current_setting('application_name'), pg_backend_pid(), pg_current_xact_id()),
            HINT = 'The statement itself was carried out. See: alpimonitor recorder status';
END
$body$;

-- Of ddl_command_end after ALTER TABLE: a trigger of the recorder that no longer fires always.
CREATE OR REPLACE FUNCTION flight_recorder.record_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET lock_timeout = '50ms'
AS $body$
DECLARE
    unarmed record;
    stack text;
    failure text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    FOR unarmed IN
        -- By what the triggers are, whatever is said of the table in `guarded`.
        SELECT DISTINCT tgrelid AS relation, coalesce(guarded.kind, 'context') AS kind,
            coalesce(guarded.keep_literals, false) AS keep_literals
        FROM pg_event_trigger_ddl_commands() AS command
        JOIN pg_trigger ON tgrelid = command.objid AND tgfoid = 'flight_recorder.record_statement()'::regprocedure
        LEFT JOIN flight_recorder.guarded ON guarded.relation = tgrelid
        WHERE command.classid = 'pg_class'::regclass AND tgenabled <> 'A'
    LOOP
        PERFORM flight_recorder.record(
            'disarm', unarmed.relation, unarmed.keep_literals, NULL, NULL, stack, unarmed.kind = 'context');
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS failure = MESSAGE_TEXT;
    RAISE WARNING 'flight recorder: a % was not looked at: %', TG_TAG, failure
        USING DETAIL = format('by %s as %s (%s), pid %s, transaction %s', session_user, current_setting('role'),
                current_setting('application_name'), pg_backend_pid(), pg_current_xact_id()),
            HINT = 'The statement itself was carried out. See: alpimonitor recorder status';
END
$body$;


-- Whether the session's role may say what is guarded: of its own tables, and whoever the recorder belongs to of all.
-- Called by functions that run as their owner.
CREATE OR REPLACE FUNCTION flight_recorder.check_right(relation oid) RETURNS void
LANGUAGE plpgsql AS $body$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class, flight_recorder.act
        WHERE pg_class.oid = relation
            AND (pg_has_role(act.role::name, relowner, 'USAGE') OR pg_has_role(act.role::name, current_user, 'USAGE'))
    ) THEN
        RAISE EXCEPTION 'must be owner of table %', relation::regclass USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$body$;

-- Note that a table is guarded; nobody else writes to the list.
CREATE OR REPLACE FUNCTION flight_recorder.remember(
    relation regclass, kind text, keep_literals boolean, journal_rows integer
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
BEGIN
    PERFORM flight_recorder.check_right(remember.relation);
    -- One of its name was dropped.
    DELETE FROM flight_recorder.guarded AS old
    WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = old.relation)
        AND to_regclass(format('%I.%I', old.schema_name, old.table_name)) = remember.relation;
    INSERT INTO flight_recorder.guarded AS known
    SELECT pg_class.oid, nspname, relname, remember.kind, remember.keep_literals, remember.journal_rows
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = remember.relation
    ON CONFLICT (relation) DO UPDATE SET schema_name = excluded.schema_name, table_name = excluded.table_name,
        kind = excluded.kind, keep_literals = excluded.keep_literals, journal_rows = excluded.journal_rows
    WHERE known.* IS DISTINCT FROM excluded.*;
END
$body$;

-- Note that a table is guarded no longer; it has to be true.
CREATE OR REPLACE FUNCTION flight_recorder.forget(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    PERFORM flight_recorder.check_right(relation);
    IF EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = relation AND tgfoid = 'flight_recorder.record_statement()'::regprocedure
    ) THEN
        RAISE EXCEPTION '% is guarded', relation
            USING ERRCODE = 'object_in_use', HINT = 'SELECT flight_recorder.release(…) takes the triggers away, too.';
    END IF;
    DELETE FROM flight_recorder.guarded AS known WHERE known.relation = forget.relation;
END
$body$;

-- Guard a table and each partition and child that it has now: its triggers, and the right to count its rows if they
-- are to stay. Null is for what it is guarded by already, or was before it was made anew; else context, masked, no
-- journal. What is as it should be stays untouched. How many tables were changed.
CREATE OR REPLACE FUNCTION flight_recorder.guard(
    relation regclass, kind text, keep_literals boolean, journal_rows integer
) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
DECLARE
    keeper CONSTANT name := (
        SELECT pg_get_userbyid(proowner) FROM pg_proc
        WHERE oid = 'flight_recorder.record_statement()'::regprocedure);
    known flight_recorder.guarded;
    wanted_kind text;
    wanted_literals boolean;
    wanted_rows integer;
    member record;
    changed integer := 0;
BEGIN
    SELECT * INTO known FROM flight_recorder.guarded AS old
    WHERE old.relation = guard.relation
        OR to_regclass(format('%I.%I', old.schema_name, old.table_name)) = guard.relation
    ORDER BY old.relation = guard.relation DESC, old.relation DESC LIMIT 1;
    wanted_kind := coalesce(guard.kind, known.kind, 'context');
    wanted_literals := coalesce(guard.keep_literals, known.keep_literals, false);
    wanted_rows := CASE WHEN wanted_kind = 'context' THEN coalesce(guard.journal_rows, known.journal_rows, 0) ELSE 0 END;
    FOR member IN
        WITH RECURSIVE tree (oid) AS (
            SELECT guard.relation::oid
            UNION
            SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.oid
        )
        SELECT pg_class.oid::regclass AS name, pg_class.oid, relkind, relowner, relname, nspname, relnamespace
        FROM tree JOIN pg_class USING (oid) JOIN pg_namespace ON pg_namespace.oid = relnamespace
        ORDER BY pg_class.oid
    LOOP
        IF member.relkind NOT IN ('r', 'p') OR member.nspname = 'flight_recorder' THEN
            IF member.oid = guard.relation THEN
                RAISE EXCEPTION '% cannot be guarded: it is no table of an application', member.name
                    USING ERRCODE = 'wrong_object_type';
            END IF;
            RAISE WARNING '% is not guarded: its rows are elsewhere', member.name;
            CONTINUE;
        END IF;
        PERFORM flight_recorder.remember(member.name, wanted_kind, wanted_literals, wanted_rows);
        changed := changed + flight_recorder.arm(member.name, wanted_kind, wanted_literals, wanted_rows)::integer;
        CONTINUE WHEN wanted_kind <> 'context';
        IF NOT has_schema_privilege(keeper, member.relnamespace, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', member.nspname, keeper);
        END IF;
        IF NOT has_table_privilege(keeper, member.oid, 'SELECT') THEN
            EXECUTE format('GRANT SELECT ON %s TO %I', member.name, keeper);
        END IF;
    END LOOP;
    RETURN changed;
END
$body$;

-- Make the triggers of one table, unless they are there. Whether anything was changed.
CREATE OR REPLACE FUNCTION flight_recorder.arm(
    relation regclass, kind text, keep_literals boolean, journal_rows integer
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    context CONSTANT boolean := kind = 'context';
    -- Only an owner may have them fire under session_replication_role = replica, too.
    owned CONSTANT boolean := (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = relation);
    calling CONSTANT text := format(
        'FOR EACH STATEMENT EXECUTE FUNCTION flight_recorder.record_statement(%L, %L, %L)',
        kind, keep_literals::text, journal_rows);
    wanted text[] := ARRAY[
        format('AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows ', relation) || calling,
        format('BEFORE TRUNCATE ON %s ', relation) || calling,
        format('AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows ', relation)
            || CASE WHEN journal_rows > 0 THEN 'NEW TABLE AS new_rows ' ELSE '' END || calling];
    names CONSTANT text[] := ARRAY['flight_recorder_delete', 'flight_recorder_truncate', 'flight_recorder_update'];
    enabling text;
    changed boolean := false;
BEGIN
    IF NOT context THEN
        wanted := wanted[1:2];
        IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = names[3]) THEN
            EXECUTE format('DROP TRIGGER %I ON %s', names[3], relation);
            changed := true;
        END IF;
    END IF;
    FOR n IN 1 .. array_length(wanted, 1) LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_trigger
            WHERE tgrelid = relation AND tgname = names[n] AND (tgenabled = 'A' OR tgenabled = 'O' AND NOT owned)
                AND regexp_replace(pg_get_triggerdef(oid), '^CREATE TRIGGER [a-z_]+ ', '') = wanted[n]);
        EXECUTE format('CREATE OR REPLACE TRIGGER %I %s', names[n], wanted[n]);
        enabling := concat_ws(', ', enabling, format('ENABLE ALWAYS TRIGGER %I', names[n]));
        changed := true;
    END LOOP;
    IF enabling IS NOT NULL AND NOT owned THEN
        RAISE WARNING 'the triggers of % do not fire in replicas: % does not own it', relation, current_user
            USING HINT = format('Let the owner run: ALTER TABLE ONLY %s %s', relation, enabling);
    ELSIF enabling IS NOT NULL THEN
        EXECUTE format('ALTER TABLE ONLY %s %s', relation, enabling);
    END IF;
    RETURN changed;
END
$body$;

-- Guard a table, its partitions and children no longer. How many tables were changed.
CREATE OR REPLACE FUNCTION flight_recorder.release(relation regclass) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
DECLARE
    member record;
    changed integer := 0;
BEGIN
    FOR member IN
        WITH RECURSIVE tree (oid) AS (
            SELECT release.relation::oid
            UNION
            SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.oid
        )
        SELECT tree.oid::regclass AS name, array_agg(tgname) AS triggers
        FROM tree JOIN pg_trigger ON tgrelid = tree.oid
        WHERE tgfoid = 'flight_recorder.record_statement()'::regprocedure
        GROUP BY tree.oid ORDER BY tree.oid
    LOOP
        FOR n IN 1 .. array_length(member.triggers, 1) LOOP
            EXECUTE format('DROP TRIGGER %I ON %s', member.triggers[n], member.name);
        END LOOP;
        PERFORM flight_recorder.forget(member.name);
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END
$body$;

-- Have DROP and disarming recorded, too. False: this role may not make event triggers.
CREATE OR REPLACE FUNCTION flight_recorder.watch_drops() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'flight_recorder_drop') THEN
        CREATE EVENT TRIGGER flight_recorder_drop ON sql_drop EXECUTE FUNCTION flight_recorder.record_drop();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'flight_recorder_ddl') THEN
        CREATE EVENT TRIGGER flight_recorder_ddl ON ddl_command_end WHEN TAG IN ('ALTER TABLE')
            EXECUTE FUNCTION flight_recorder.record_ddl();
    END IF;
    IF EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'flight_recorder_drop' AND evtenabled <> 'A') THEN
        ALTER EVENT TRIGGER flight_recorder_drop ENABLE ALWAYS;
    END IF;
    IF EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'flight_recorder_ddl' AND evtenabled <> 'A') THEN
        ALTER EVENT TRIGGER flight_recorder_ddl ENABLE ALWAYS;
    END IF;
    RETURN true;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$body$;

-- Give the recorder to the role alpimonitor_recorder, if there is one and whoever calls this may; the caller goes
-- on guarding tables. Who owns it then.
CREATE OR REPLACE FUNCTION flight_recorder.hand_over() RETURNS name
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    keeper CONSTANT name := 'alpimonitor_recorder';
    owner CONSTANT name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'flight_recorder');
    installer CONSTANT name := current_user;
    becoming CONSTANT text :=
        CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END;
    was CONSTANT text := current_setting('role');
    thing text;
BEGIN
    IF owner = keeper OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = keeper)
        OR NOT pg_has_role(keeper, becoming) OR NOT pg_has_role(owner, 'USAGE') THEN
        RETURN owner;
    END IF;
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA flight_recorder TO %I', keeper);
    FOR thing IN
        SELECT format('TABLE %s', oid::regclass) FROM pg_class
        WHERE relnamespace = 'flight_recorder'::regnamespace AND relkind IN ('r', 'v')
        UNION ALL
        SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = 'flight_recorder'::regnamespace
    LOOP
        EXECUTE format('ALTER %s OWNER TO %I', thing, keeper);
    END LOOP;
    EXECUTE format('ALTER SCHEMA flight_recorder OWNER TO %I', keeper);
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = installer) THEN
        PERFORM set_config('role', keeper, true);
        EXECUTE format('GRANT USAGE ON SCHEMA flight_recorder TO %I', installer);
        EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA flight_recorder TO %I', installer);
        EXECUTE format('GRANT SELECT ON flight_recorder.guarded, flight_recorder.version TO %I', installer);
        PERFORM set_config('role', was, true);
    END IF;
    RETURN keeper;
END
$body$;


-- Whatever the default privileges of this database give away, evidence is nobody's but the owner's.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA flight_recorder FROM PUBLIC;
REVOKE ALL ON flight_recorder.event, flight_recorder.journal, flight_recorder.guarded, flight_recorder.version
    FROM PUBLIC;
DO $body$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT pg_class.oid::regclass AS named, rolname
        FROM pg_class, aclexplode(relacl) AS acl JOIN pg_roles ON pg_roles.oid = acl.grantee
        WHERE pg_class.oid IN ('flight_recorder.event'::regclass, 'flight_recorder.journal'::regclass,
                'flight_recorder.guarded'::regclass, 'flight_recorder.version'::regclass)
            AND acl.grantee <> relowner AND privilege_type <> 'SELECT'
    LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON %s FROM %I',
            given.named, given.rolname);
    END LOOP;
END
$body$;
