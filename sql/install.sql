-- The extension installs, and its catalog entries keep the rules.
CREATE EXTENSION fault_tolerance;
SELECT extname, extrelocatable, n.nspname
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE extname = 'fault_tolerance';
