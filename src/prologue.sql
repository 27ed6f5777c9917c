/* fault_tolerance, install script.  Joined from the parts under src/. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION fault_tolerance" to load this file. \quit

CREATE SCHEMA ft;
COMMENT ON SCHEMA ft IS
'fault_tolerance: diagnose what goes wrong, recover what broke, operate unasked';

-- The schema is the one gate: applications need USAGE on it and nothing more
-- for their own orchestrations.  pg_monitor reads the diagnostics.
GRANT USAGE ON SCHEMA ft TO pg_monitor;

