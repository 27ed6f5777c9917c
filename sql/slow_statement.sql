-- ft.slow_statements(): what took longer than the threshold, with how it
-- ended, for those who may see it, and without passwords.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
SET fault_tolerance.slow_statement_threshold = -1;
SELECT ft.reset_slow_statements();
CREATE TABLE slow (id integer PRIMARY KEY, t text);

-- With a threshold of 0 every statement is kept, by itself.
SET application_name = 'slow_test';
SET fault_tolerance.slow_statement_threshold = 0;
INSERT INTO slow SELECT i, 'x' FROM generate_series(1, 1000) AS i;
SELECT count(*) FROM slow WHERE t = 'x' \; SELECT 2 AS two;
COPY (SELECT * FROM slow LIMIT 3) TO STDOUT;
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, rows, failed, sqlstate, nested, datname = current_database() AS here,
       usename = current_user AS me, application_name, pid = pg_backend_pid() AS mine,
       duration > interval '0' AS took, query_end = query_start + duration AS ended
  FROM ft.slow_statements() ORDER BY number;
SELECT shared_blks_hit > 1000 AS hit, shared_blks_dirtied > 0 AS dirtied, wal_bytes > 50000 AS wal,
       temp_blks_written, commit_duration > interval '0' AS with_commit
  FROM ft.slow_statements() WHERE query LIKE 'INSERT%';
-- Nothing more now.
SELECT count(*) FROM ft.slow_statements() WHERE query LIKE '%ended%';

-- Only what is over the threshold.
SELECT ft.reset_slow_statements();
SELECT count(*) FROM ft.slow_statements();
SET fault_tolerance.slow_statement_threshold = '50ms';
SELECT pg_sleep(0.01);
SELECT pg_sleep(0.06);
DO 'BEGIN PERFORM pg_sleep(0.06); END';
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, duration BETWEEN '50 ms' AND '1 min' AS plausible FROM ft.slow_statements() ORDER BY number;

-- What fails: in the executor, by a timeout, in a subtransaction, in a
-- command, and with a savepoint behind which it goes on.
SELECT ft.reset_slow_statements();
SET fault_tolerance.slow_statement_threshold = '20ms';
SELECT pg_sleep(0.05), 1 / (id - 1) FROM slow WHERE id = 1;
SET statement_timeout = '50ms';
SELECT pg_sleep(60);
RESET statement_timeout;
BEGIN;
SAVEPOINT a;
DO 'BEGIN PERFORM pg_sleep(0.05); RAISE EXCEPTION SQLSTATE ''FT001''; END';
ROLLBACK TO a;
SELECT pg_sleep(0.05);
ROLLBACK;
DO 'BEGIN PERFORM pg_sleep(0.05); PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END';
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, failed, sqlstate, duration < '30 s' AS cancelled FROM ft.slow_statements() ORDER BY number;

-- What fails before it runs, and what fails at commit.
SELECT ft.reset_slow_statements();
CREATE FUNCTION slow_constant() RETURNS integer LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN PERFORM pg_sleep(0.05); RAISE EXCEPTION SQLSTATE ''FT002''; END';
CREATE FUNCTION slow_trigger() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(0.05); IF new.t = ''bad'' THEN RAISE EXCEPTION SQLSTATE ''FT003''; END IF; RETURN new; END';
CREATE CONSTRAINT TRIGGER slow_trigger AFTER INSERT ON slow
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_trigger();
SET fault_tolerance.slow_statement_threshold = '20ms';
SELECT slow_constant();
INSERT INTO slow VALUES (2001, 'bad');
INSERT INTO slow VALUES (2002, 'good');
BEGIN;
INSERT INTO slow VALUES (2003, 'good');
COMMIT;
BEGIN;
INSERT INTO slow VALUES (2004, 'bad');
COMMIT;
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, rows, failed, sqlstate, commit_duration > '40 ms' AS in_commit, duration < '30 s' AS plausible
  FROM ft.slow_statements() ORDER BY number;

-- What was prepared has its place in another text than what is slow at commit.
SELECT ft.reset_slow_statements();
SELECT 'this makes the message longer than that of EXECUTE' AS before \; PREPARE slow_insert(integer) AS INSERT INTO slow VALUES ($1, 'good');
SET fault_tolerance.slow_statement_threshold = '20ms';
EXECUTE slow_insert(2005);
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, rows, failed, commit_duration > '40 ms' AS in_commit FROM ft.slow_statements() ORDER BY number;
DEALLOCATE slow_insert;

-- What a trigger catches at commit, or a function while it is planned, is no
-- failure of the statement.
SELECT ft.reset_slow_statements();
CREATE OR REPLACE FUNCTION slow_trigger() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(0.05); RAISE EXCEPTION SQLSTATE ''FT004''; EXCEPTION WHEN SQLSTATE ''FT004'' THEN PERFORM pg_sleep(0.05); RETURN new; END';
CREATE FUNCTION slow_caught() RETURNS integer LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN PERFORM pg_sleep(0.05); RAISE EXCEPTION SQLSTATE ''FT004''; EXCEPTION WHEN SQLSTATE ''FT004'' THEN RETURN 1; END';
SET fault_tolerance.slow_statement_threshold = '20ms';
INSERT INTO slow VALUES (2006, 'good');
SELECT slow_caught();
BEGIN;
SAVEPOINT a;
SELECT slow_caught();
SELECT pg_sleep(0.05), 1 / (id - 1) FROM slow WHERE id = 1;
ROLLBACK TO a;
SELECT slow_constant();
ROLLBACK;
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, rows, failed, sqlstate, commit_duration > '90 ms' AS in_commit, duration > '40 ms' AS whole
  FROM ft.slow_statements() ORDER BY number;
DROP FUNCTION slow_caught();

-- A command that rolls several subtransactions back is one, and does not fail.
SELECT ft.reset_slow_statements();
SET fault_tolerance.slow_statement_threshold = 0;
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
SAVEPOINT c;
ROLLBACK TO b;
ROLLBACK;
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, failed FROM ft.slow_statements() ORDER BY number;
DROP TRIGGER slow_trigger ON slow;

-- What functions run while a statement is planned or started is part of it.
SELECT ft.reset_slow_statements();
CREATE FUNCTION slow_planned(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN PERFORM pg_sleep(0.05); RETURN $1; END';
CREATE FUNCTION slow_pruned(integer) RETURNS integer LANGUAGE plpgsql STABLE
    AS 'BEGIN PERFORM pg_sleep(0.05); RETURN $1; END';
CREATE TABLE slow_parted (id integer) PARTITION BY LIST (id);
CREATE TABLE slow_parted_1 PARTITION OF slow_parted FOR VALUES IN (1);
CREATE TABLE slow_parted_2 PARTITION OF slow_parted FOR VALUES IN (2);
PREPARE slow_plan(integer) AS SELECT slow_planned($1) AS planned;
SET fault_tolerance.slow_statement_threshold = '20ms';
EXECUTE slow_plan(1);
SELECT count(*) AS pruned FROM slow_parted WHERE id = slow_pruned(1);
SELECT count(*) AS failed FROM slow_parted WHERE id = 1 / (slow_pruned(1) - 1);
SELECT pg_sleep(0.05) AS next;
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, failed, duration > '40 ms' AS whole FROM ft.slow_statements() ORDER BY number;
DEALLOCATE slow_plan;
DROP TABLE slow_parted;
DROP FUNCTION slow_planned(integer), slow_pruned(integer);

-- Statements in functions only if they are wanted.
SELECT ft.reset_slow_statements();
SET fault_tolerance.slow_statement_threshold = '20ms';
SET fault_tolerance.slow_statement_nested = on;
DO 'BEGIN PERFORM pg_sleep(0.05); END';
SET fault_tolerance.slow_statement_threshold = -1;
RESET fault_tolerance.slow_statement_nested;
SELECT query, nested FROM ft.slow_statements() ORDER BY number;

-- The plan and the parameters, on request.
SELECT ft.reset_slow_statements();
PREPARE with_parameters(integer, text) AS SELECT t FROM slow WHERE id = $1 AND t = $2 AND pg_sleep(0.05) IS NOT NULL;
SET plan_cache_mode = force_generic_plan;
SET enable_bitmapscan = off;
SET fault_tolerance.slow_statement_threshold = '20ms';
EXECUTE with_parameters(7, 'x');
SET fault_tolerance.slow_statement_plan = on;
EXECUTE with_parameters(8, 'x');
SET fault_tolerance.slow_statement_parameters = on;
EXECUTE with_parameters(9, 'x');
SET fault_tolerance.slow_statement_threshold = -1;
RESET fault_tolerance.slow_statement_plan;
RESET fault_tolerance.slow_statement_parameters;
SELECT left(query, 34) AS query, rows, regexp_replace(plan, '\(cost[^)]*\)', '(...)') AS plan, parameters
  FROM ft.slow_statements() ORDER BY number;
DEALLOCATE with_parameters;

-- No passwords, whoever sends them, and however it ends.
SELECT ft.reset_slow_statements();
SET fault_tolerance.slow_statement_threshold = 0;
CREATE ROLE slow_role PASSWORD 'hidden';
ALTER ROLE slow_role PASSWORD /* what? */ E'hidden' VALID UNTIL '2030-01-01';
ALTER ROLE slow_no_role PASSWORD $x$hidden$x$;
SELECT 'host=here password=hidden user=x' AS conninfo;
SELECT '{"user": "x", "password": "hidden"}' AS json;
SELECT count(*) FROM slow AS password WHERE password.t = 'shown';
SELECT 1 AS password, 'shown' AS shown;
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, failed FROM ft.slow_statements() ORDER BY number;
SELECT count(*) AS unhidden FROM ft.slow_statements() WHERE query LIKE '%hidden%';

-- The trace, from a comment; the text is cut at a whole character.
SELECT ft.reset_slow_statements();
SET fault_tolerance.slow_statement_threshold = 0;
SELECT 3 AS three /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT repeat('ä', 2000) AS long \gset
SELECT :'long' = '' AS empty;
SET fault_tolerance.slow_statement_threshold = -1;
SELECT query, traceparent FROM ft.slow_statements() WHERE traceparent IS NOT NULL;
SELECT max(octet_length(query)) FROM ft.slow_statements();

-- In psql.
SELECT application_name, rows, error, query
  FROM ft.slow_statement_summary WHERE query LIKE '%three%';

-- Who may: the text is for those who may read all, and for the role itself.
CREATE ROLE slow_watcher;
GRANT pg_monitor TO slow_watcher;
CREATE ROLE slow_stranger;
GRANT USAGE ON SCHEMA ft TO slow_stranger;
GRANT EXECUTE ON FUNCTION ft.slow_statements() TO slow_stranger;
SET ROLE slow_watcher;
SELECT count(*) FROM ft.slow_statements() WHERE query LIKE '%three%';
SELECT count(*) > 0 AS readable FROM ft.slow_statement_summary;
SELECT ft.reset_slow_statements();
SET ROLE slow_stranger;
SELECT query, traceparent, rows FROM ft.slow_statements() WHERE query NOT LIKE '%insufficient%' OR traceparent IS NOT NULL;
SELECT DISTINCT query FROM ft.slow_statements();
SET fault_tolerance.slow_statement_threshold = 0;
RESET ROLE;

-- Bounded.
SET fault_tolerance.slow_statement_threshold = 0;
\set ECHO none
\o /dev/null
SELECT format('SELECT %s AS n', i) FROM generate_series(1, 300) AS i \gexec
\o
\set ECHO all
SET fault_tolerance.slow_statement_threshold = -1;
SELECT count(*) = current_setting('fault_tolerance.slow_statement_entries')::integer AS full,
       max(number) - min(number) + 1 = count(*) AS the_newest
  FROM ft.slow_statements();

SELECT ft.reset_slow_statements();
REVOKE ALL ON FUNCTION ft.slow_statements() FROM slow_stranger;
REVOKE ALL ON SCHEMA ft FROM slow_stranger;
DROP ROLE slow_role, slow_watcher, slow_stranger;
DROP FUNCTION slow_constant();
DROP TABLE slow;
DROP FUNCTION slow_trigger();
RESET fault_tolerance.slow_statement_threshold;
