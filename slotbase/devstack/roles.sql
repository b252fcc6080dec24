-- The database and its two roles. Run by psql as a superuser, again at every start of
-- the embedded server and once by the postgres image of docker-compose.yml; so it may
-- run any number of times. The passwords come from the environment.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
\getenv owner_password SLOTBASE_OWNER_PASSWORD
\getenv app_password SLOTBASE_APP_PASSWORD

-- slotbase_owner owns the tables and runs the migrations.
SELECT 'CREATE ROLE slotbase_owner' WHERE to_regrole('slotbase_owner') IS NULL \gexec
ALTER ROLE slotbase_owner LOGIN PASSWORD :'owner_password';

-- slotbase_app is what web, worker and beat are: it changes rows, never tables, and does
-- not wait for ever.
SELECT 'CREATE ROLE slotbase_app' WHERE to_regrole('slotbase_app') IS NULL \gexec
ALTER ROLE slotbase_app LOGIN PASSWORD :'app_password';
ALTER ROLE slotbase_app SET lock_timeout = '3s';
ALTER ROLE slotbase_app SET statement_timeout = '5s';
ALTER ROLE slotbase_app SET idle_in_transaction_session_timeout = '15s';

-- Every database made from here on, the tests' too, starts with what template1 says.
\connect template1
SET client_min_messages = warning;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE slotbase_owner
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO slotbase_app;
ALTER DEFAULT PRIVILEGES FOR ROLE slotbase_owner
    GRANT USAGE, SELECT ON SEQUENCES TO slotbase_app;
ALTER DEFAULT PRIVILEGES FOR ROLE slotbase_owner
    GRANT EXECUTE ON FUNCTIONS TO slotbase_app;

-- Its owner owns the schema public, too: PostgreSQL gives it to pg_database_owner.
\connect postgres
SELECT 'CREATE DATABASE slotbase OWNER slotbase_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'slotbase') \gexec
REVOKE TEMPORARY ON DATABASE slotbase FROM PUBLIC;
