-- What CREATE EXTENSION promises.
BEGIN;
SELECT plan(4);

SELECT has_extension('fault_tolerance');
SELECT has_schema('ft');
SELECT schema_privs_are('ft', 'pg_monitor', ARRAY['USAGE']);
SELECT is_empty(
    $$SELECT FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS a
       WHERE n.nspname = 'ft' AND a.grantee = 0$$,
    'PUBLIC has no privilege on the schema');

SELECT * FROM finish();
ROLLBACK;
