-- ft.help(): what it names exists, every diagnostic is named, and questions
-- find what they are about.  That its pages exist is in
-- test/tap/117_diagnose_replication.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE TEMPORARY VIEW named AS
SELECT DISTINCT m[1] AS name, m[2] = '(' AS is_function
  FROM ft.help() AS h, regexp_matches(h.type || ' ' || h.explanation, '\mft\.(\w+)(\(?)', 'g') AS m;

-- What it names exists.
SELECT name AS no_such_function FROM named
 WHERE is_function AND NOT EXISTS (SELECT FROM pg_proc WHERE proname = named.name AND pronamespace = 'ft'::regnamespace)
 ORDER BY 1;
SELECT name AS no_such_view FROM named
 WHERE NOT is_function AND to_regclass('ft.' || name) IS NULL
 ORDER BY 1;
SELECT DISTINCT m[1] AS no_such_setting
  FROM ft.help() AS h, regexp_matches(h.type || ' ' || h.explanation, '\m(fault_tolerance\.\w+)', 'g') AS m
 WHERE NOT EXISTS (SELECT FROM pg_settings WHERE name = m[1]);

-- Every diagnostic is named, but for those that only serve another one.
CREATE TEMPORARY TABLE only_serves (name text);
INSERT INTO only_serves VALUES
    ('archive_queue'), ('changed_tables'), ('client_connections'), ('held_locks'), ('index_facts'),
    ('lock_table_counts'), ('metric_rows'), ('recent_outcomes'), ('sequence_values'),
    ('session_outcome_counts'), ('severity'), ('size_on_disk'), ('slot_inactive_since'), ('terminate_sql'),
    ('threshold_list'), ('wal_activity'), ('wal_folder'), ('worst_severity');
SELECT DISTINCT proname AS function_without_entry FROM pg_proc
 WHERE pronamespace = 'ft'::regnamespace AND prokind = 'f' AND prorettype <> 'trigger'::regtype
   AND has_function_privilege('pg_monitor', oid, 'EXECUTE') AND NOT has_function_privilege('public', oid, 'EXECUTE')
   AND proname NOT IN (SELECT name FROM named) AND proname NOT IN (SELECT name FROM only_serves)
 ORDER BY 1;
SELECT relname AS view_without_entry FROM pg_class
 WHERE relnamespace = 'ft'::regnamespace AND relkind = 'v' AND relname NOT IN (SELECT name FROM named)
 ORDER BY 1;

-- What it says to type can be typed.
SELECT format('SELECT count(*) >= 0 AS works FROM (%s) AS typed', replace(type, 'SELECT ft.', 'SELECT * FROM ft.'))
  FROM (SELECT DISTINCT type FROM ft.help()) AS h WHERE type NOT LIKE '%history%' ORDER BY 1 \gexec

-- Questions, and the best answer to each.
SELECT q.question AS asked, h.question AS answered
  FROM (VALUES (1, 'blocked'), (2, 'Who is blocking me?'), (3, 'slow'), (4, 'disk full'),
               (5, 'why is vacuum not removing'), (6, 'oom'), (7, 'deadlock'), (8, 'too many connections'),
               (9, 'replica is behind'), (10, 'ERRORS!'), (11, 'wraparound'), (12, 'prometheus'),
               (13, 'help'), (14, 'everything is down'), (15, 'idle in transaction'), (16, 'bloat'),
               (17, 'who was blocked yesterday'), (18, 'archive_command fails'),
               (19, 'execution is stuck'), (20, 'dead letter'), (21, 'retry rules of steps'), (22, 'cancel an execution'),
               (23, 'restored, and no step runs'), (24, 'timeline of an execution'), (25, 'steps wait in the queue')) AS q (place, question),
       LATERAL (SELECT h.question FROM ft.help(q.question) AS h LIMIT 1) AS h
 ORDER BY q.place;

-- No match, no question, or nothing to look for: the whole index.
SELECT bool_and(entries = (SELECT count(*) FROM ft.help())) AS whole, min(entries) > 30 AS long
  FROM (VALUES ('xyzzy'), (''), (NULL), ('why is it so?'), ('???'), (repeat('zz ', 100000)), ('être où')) AS q (question),
       LATERAL (SELECT count(*) AS entries FROM ft.help(q.question)) AS h;
SELECT count(*) BETWEEN 1 AND 12 AS few FROM ft.help('lock');
