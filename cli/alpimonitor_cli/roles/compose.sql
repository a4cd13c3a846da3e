-- The roles of compose.yaml's database: run once by the postgres image, when the data volume is new.
--
-- Nobody works as superuser, and what nobody has to delete nobody can delete: the API and the seed insert and
-- update, the sidecar reads. TRUNCATE, DELETE and DROP take the owner, whose credentials only migrations get.
-- Beside that the sidecar keeps the ledger of heals, in a schema of its own: the migration that makes the table
-- grants that by this role's name, for it could not be granted here (a default privilege knows no columns).

\getenv owner_password OWNER_DATABASE_PASSWORD
\getenv api_password API_DATABASE_PASSWORD
\getenv seed_password SEED_DATABASE_PASSWORD
\getenv watchdog_password WATCHDOG_DATABASE_PASSWORD

BEGIN;

CREATE ROLE alpimonitor_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE alpimonitor_api LOGIN PASSWORD :'api_password';
CREATE ROLE alpimonitor_seed LOGIN PASSWORD :'seed_password';
CREATE ROLE alpimonitor_watchdog LOGIN PASSWORD :'watchdog_password' IN ROLE pg_monitor;

SELECT format('ALTER DATABASE %I OWNER TO alpimonitor_owner', current_database()) \gexec
ALTER SCHEMA public OWNER TO alpimonitor_owner;

-- Tables come later, with the migrations; these rights wait for them.
ALTER DEFAULT PRIVILEGES FOR ROLE alpimonitor_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE ON TABLES TO alpimonitor_api, alpimonitor_seed;
ALTER DEFAULT PRIVILEGES FOR ROLE alpimonitor_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO alpimonitor_api, alpimonitor_seed;
ALTER DEFAULT PRIVILEGES FOR ROLE alpimonitor_owner IN SCHEMA public
    GRANT SELECT ON TABLES TO alpimonitor_watchdog;

COMMIT;
