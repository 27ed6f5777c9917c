-- Who blocks whom: the shape of what there is to call.  What it says of
-- blocked sessions is tested by the isolation specs and the TAP tests.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- nobody waits
SELECT count(*) FROM ft.blocking_edges();
SELECT count(*) FROM ft.blocking_edges(pg_backend_pid());
SELECT count(*) FROM ft.blocking_edges(pid => -1);
SELECT count(*) FROM ft.blocking_edges(0);
SELECT count(*) FROM ft.blocking_chains();
SELECT * FROM ft.lock_tree;
SELECT * FROM ft.blocked_statements;

-- the columns, with their types
SELECT p.proname, a.name, format_type(a.type, NULL) AS type
  FROM pg_proc p,
       unnest(p.proargnames, p.proallargtypes, p.proargmodes) WITH ORDINALITY a (name, type, mode, n)
 WHERE p.pronamespace = 'ft'::regnamespace AND p.proname IN ('blocking_edges', 'blocking_chains')
 ORDER BY p.proname DESC, a.n;

-- volatility, parallel safety, comment
SELECT proname, provolatile, proparallel, proisstrict, obj_description(oid, 'pg_proc') <> '' AS described
  FROM pg_proc WHERE pronamespace = 'ft'::regnamespace AND proname IN ('blocking_edges', 'blocking_chains')
 ORDER BY proname;
SELECT relname, obj_description(oid, 'pg_class') <> '' AS described
  FROM pg_class WHERE oid IN ('ft.lock_tree'::regclass, 'ft.blocked_statements'::regclass)
 ORDER BY relname;

-- members of pg_monitor may call all of it, others nothing
CREATE ROLE regress_blocking_anybody;
CREATE ROLE regress_blocking_monitor;
GRANT USAGE ON SCHEMA ft TO regress_blocking_anybody;
GRANT pg_monitor TO regress_blocking_monitor;
SET ROLE regress_blocking_anybody;
SELECT count(*) FROM ft.blocking_edges();
SELECT count(*) FROM ft.blocking_chains();
SELECT * FROM ft.lock_tree;
SELECT * FROM ft.blocked_statements;
SET ROLE regress_blocking_monitor;
SELECT count(*) FROM ft.blocking_edges();
SELECT count(*) FROM ft.blocking_chains();
SELECT * FROM ft.lock_tree;
SELECT * FROM ft.blocked_statements;
RESET ROLE;
REVOKE USAGE ON SCHEMA ft FROM regress_blocking_anybody;
DROP ROLE regress_blocking_anybody, regress_blocking_monitor;

-- how long it tries for the lock table
SELECT name, setting, unit, context, min_val, max_val
  FROM pg_settings WHERE name = 'fault_tolerance.lock_partition_timeout';
