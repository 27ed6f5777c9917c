-- Definitions: their versions, what is refused and where, whose they are.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- Versions: a change makes a new one, the same again does not.
CREATE TEMP TABLE version AS
SELECT 1 AS n, ft.define_orchestration('trip', '[{"name": "book", "command": "SELECT 1"}]') AS id
UNION ALL
SELECT 2, ft.define_orchestration('trip', '[{"name": "book", "command": "SELECT 1"}]')
UNION ALL
SELECT 3, ft.define_orchestration('trip', '[{"command": "SELECT 1", "name": "book"}]', 'with a description')
UNION ALL
SELECT 4, ft.define_orchestration('trip', '[{"name": "book", "command": "SELECT 2"}]');
SELECT n, o.version, o.description, o.owner = current_user AS own
  FROM version JOIN ft.orchestrations AS o ON o.orchestration_id = version.id ORDER BY n;

-- What cannot be run is refused, with the place named.
CREATE FUNCTION pg_temp.try(tasks jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    context text;
    position text;
BEGIN
    PERFORM ft.define_orchestration('refused', tasks);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, context = PG_EXCEPTION_CONTEXT;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(E'\n  ' || nullif(detail, ''), E'\n  in ' || split_part(context, E'\n', 1));
END $$;
\pset format unaligned
\pset tuples_only on
SELECT pg_temp.try(tasks) FROM (VALUES
    (1, 'null'::jsonb),
    (2, '{}'),
    (3, '"text"'),
    (4, '[]'),
    (5, '[1]'),
    (6, '[{}]'),
    (7, '[{"name": ""}]'),
    (8, '[{"name": 5}]'),
    (9, jsonb_build_array(jsonb_build_object('name', repeat('x', 201)))),
    (10, '[{"name": "a", "comand": "SELECT 1"}]'),
    (11, '[{"name": "a", "command": ""}]'),
    (12, '[{"name": "a", "command": "-- nothing"}]'),
    (13, '[{"name": "a", "command": "SELEKT 1"}]'),
    (14, '[{"name": "a"}, {"name": "b", "compensation": "DELETE FORM x"}]'),
    (15, '[{"name": "a", "command": "COMMIT"}]'),
    (16, '[{"name": "a", "command": "SELECT 1; SAVEPOINT s"}]'),
    (17, '[{"name": "a", "condition": "SELECT true; SELECT false"}]'),
    (18, '[{"name": "a", "execution_mode": "non_transactional", "command": "VACUUM; VACUUM"}]'),
    (19, '[{"name": "a", "execution_mode": "non_transactional"}]'),
    (20, '[{"name": "a", "execution_mode": "sometimes"}]'),
    (21, '[{"name": "a", "execution_mode": "external", "short": true}]'),
    (22, '[{"name": "a"}, {"name": "a"}]'),
    (23, '[{"name": "a", "depends_on": ["b"]}]'),
    (24, '[{"name": "a", "depends_on": "b"}]'),
    (25, '[{"name": "a"}, {"name": "b", "depends_on": ["a", "a"]}]'),
    (26, '[{"name": "a", "depends_on": ["a"]}]'),
    (27, '[{"name": "z", "depends_on": ["a"]}, {"name": "a", "depends_on": ["c"]}, {"name": "b", "depends_on": ["a"]}, {"name": "c", "depends_on": ["b"]}]'),
    (28, '[{"name": "a", "critical": "yes"}]'),
    (29, '[{"name": "a", "max_attempts": 0}]'),
    (30, '[{"name": "a", "max_attempts": 1.5}]'),
    (31, '[{"name": "a", "max_attempts": 1e30}]'),
    (32, '[{"name": "a", "timeout": "soon"}]'),
    (33, '[{"name": "a", "timeout": "-1 s"}]'),
    (34, '[{"name": "a", "timeout": 5}]'),
    (35, '[{"name": "a", "priority": 40000}]'),
    (36, '[{"name": "a", "queue": ""}]'),
    (37, '[{"name": "a", "sleep": "1001 years"}]'),
    (38, '[{"name": "a", "timeout": "100000000 years"}]'),
    (39, '[{"name": "a", "command": "SELECT 1; VACUUM"}]'),
    (40, '[{"name": "a", "command": "CREATE INDEX CONCURRENTLY ON x (y)"}]'),
    (41, '[{"name": "a", "command": "DROP INDEX CONCURRENTLY x"}]'),
    (42, '[{"name": "a", "command": "REINDEX (CONCURRENTLY) TABLE x"}]'),
    (43, '[{"name": "a", "command": "REINDEX DATABASE x"}]'),
    (44, '[{"name": "a", "command": "SELECT 1", "compensation": "DROP DATABASE x"}]'),
    (45, '[{"name": "a", "command": "ALTER SYSTEM RESET ALL"}]'),
    (46, '[{"name": "a", "command": "COPY x FROM STDIN"}]'),
    (47, '[{"name": "a", "execution_mode": "non_transactional", "command": "COPY x TO STDOUT"}]'),
    (48, '[{"name": "a", "command": "ALTER TABLE x DETACH PARTITION y CONCURRENTLY"}]'),
    (49, '[{"name": "a", "command": "ALTER DATABASE x SET TABLESPACE y"}]'),
    (50, '[{"name": "a", "command": "CLUSTER"}]')) AS t (n, tasks) ORDER BY n;
\pset format aligned
\pset tuples_only off

-- A syntax error is shown in the command that it is in.
SELECT ft.define_orchestration('refused', '[{"name": "a", "command": "SELECT 1 FORM t"}]');
SELECT ft.define_orchestration(NULL, '[]');
SELECT ft.define_orchestration('', '[{"name": "a"}]');
SELECT count(*) FROM ft.orchestrations WHERE orchestration_name = 'refused';

-- What may be said; null says the same as nothing.
SELECT ft.define_orchestration('all', '[
    {"name": "a", "command": "SELECT 1", "compensation": "SELECT 2", "condition": "SELECT true",
     "critical": true, "execution_mode": "transactional", "short": false, "max_attempts": 3,
     "backoff": "200 ms", "timeout": "5 min", "priority": -5, "queue": "mail"},
    {"name": "b", "command": null, "depends_on": ["a"], "execution_mode": "external"},
    {"name": "c", "command": "VACUUM", "depends_on": [], "execution_mode": "non_transactional"},
    {"name": "d", "command": "ANALYZE; CREATE INDEX ON x (y); DROP INDEX x; REINDEX (CONCURRENTLY false) TABLE x; ALTER TABLE x DETACH PARTITION y; ALTER DATABASE x CONNECTION LIMIT 1; CLUSTER x; COPY x FROM ''/x''; COPY x TO PROGRAM ''x''"}]') IS NOT NULL AS accepted;

-- A duration is read in one way, whatever the session that starts it has: two
-- hours, and not more than two days ago.
SELECT ft.define_orchestration('duration', '[{"name": "a", "sleep": "-1 day 26 hours"}]') IS NOT NULL AS defined;
SET IntervalStyle = sql_standard;
SELECT ft.define_orchestration('duration', '[{"name": "a", "sleep": "-1 day 26 hours"}]') IS NOT NULL AS defined;
SELECT ft.start('duration', run_at => '2100-01-01') AS execution \gset
SHOW IntervalStyle;
RESET IntervalStyle;
SELECT sleep > '0' AS later FROM ft.orchestration_tasks WHERE execution_id = :'execution';
DELETE FROM ft.orchestration_executions;
SELECT ft.drop_orchestration('duration');

-- A name belongs to who defined it.
CREATE ROLE regress_ft_definer;
GRANT USAGE ON SCHEMA ft TO regress_ft_definer;
SET ROLE regress_ft_definer;
\set VERBOSITY terse
SELECT ft.define_orchestration('trip', '[{"name": "mine"}]');
SELECT ft.drop_orchestration('trip');
\set VERBOSITY default
SELECT count(*) FROM ft.orchestrations;
SELECT ft.define_orchestration('mine', '[{"name": "mine"}]') IS NOT NULL AS defined;
SELECT orchestration_name, version, owner FROM ft.orchestrations;
RESET ROLE;

SELECT ft.drop_orchestration('trip'), ft.drop_orchestration('all'), ft.drop_orchestration('mine');
SELECT ft.drop_orchestration('trip');
SELECT count(*) FROM ft.orchestrations;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_definer;
DROP ROLE regress_ft_definer;
