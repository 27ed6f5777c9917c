-- What sessions did and who blocked whom, as it was sampled: by hand here, and
-- of other sessions, since the one that takes the sample is left out.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
CREATE EXTENSION dblink;
RESET client_min_messages;
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome
SELECT format('host=%s port=%s dbname=%L user=%L', split_part(current_setting('unix_socket_directories'), ',', 1),
              current_setting('port'), current_database(), session_user) AS connection \gset
SELECT count(dblink_connect(name, :'connection' || ' application_name=' || name))
  FROM unnest('{regress_holder,regress_waiter}'::text[]) AS name;
CREATE TABLE regress_account (id int PRIMARY KEY, balance int);
INSERT INTO regress_account VALUES (1, 100);
CREATE TEMPORARY TABLE mark AS SELECT clock_timestamp() AS at;
-- Polls, with a bound.
CREATE FUNCTION pg_temp.until(condition text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE done bool;
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXECUTE condition INTO done;
        PERFORM pg_stat_clear_snapshot();
        IF done THEN RETURN; END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RAISE 'not reached: %', condition;
END $$;
CREATE FUNCTION pg_temp.since() RETURNS timestamptz LANGUAGE sql AS 'SELECT max(at) FROM mark';

-- Idle sessions leave no trace, those in a transaction do, with their trace
-- and their statement as far as it is kept.
SELECT ft.sampler_tick('history');
SELECT count(*) FROM ft.session_history(pg_temp.since()) WHERE application_name LIKE 'regress_%';
SELECT dblink_exec('regress_holder', 'BEGIN');
SELECT dblink_exec('regress_holder', $$UPDATE regress_account SET balance = 1
 WHERE id = 1 /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/$$);
SELECT pg_temp.until($$SELECT wait_event = 'ClientRead' FROM pg_stat_activity WHERE application_name = 'regress_holder'$$);
SELECT count(ft.sampler_tick('history')::text) FROM generate_series(1, 3);
SELECT application_name, count(*) AS samples, count(DISTINCT sample_time) AS times, datname = current_database() AS datname,
       usename = session_user AS usename, backend_type, state, wait_event_type, wait_event, query, traceparent,
       bool_and(query_start < sample_time AND xact_start < query_start AND backend_start < xact_start) AS times,
       bool_and(backend_xid IS NOT NULL) AS xid, source
  FROM ft.session_history(pg_temp.since()) WHERE application_name LIKE 'regress_%'
 GROUP BY application_name, datname, usename, backend_type, state, wait_event_type, wait_event, query, traceparent, source;
-- The same as one run.
SELECT application_name, samples, last_seen > first_seen AS seen, state
  FROM ft.session_history_runs(pg_temp.since()) WHERE application_name LIKE 'regress_%';

-- A waiter, then a prepared transaction as the root.
SELECT dblink_send_query('regress_waiter', 'UPDATE regress_account SET balance = 2 WHERE id = 1');
SELECT pg_temp.until('SELECT count(*) = 1 FROM ft.blocking_edges() WHERE wait_start IS NOT NULL');
SELECT ft.sampler_tick('history');
SELECT dblink_exec('regress_holder', 'PREPARE TRANSACTION ''regress_payment''');
SELECT count(ft.sampler_tick('history')::text) FROM generate_series(1, 2);
SELECT ROLLBACK_PREPARED FROM (SELECT dblink_exec('regress_holder', 'ROLLBACK PREPARED ''regress_payment''')) AS r (ROLLBACK_PREPARED);
SELECT * FROM dblink_get_result('regress_waiter') AS r (done text);
SELECT * FROM dblink_get_result('regress_waiter') AS r (done text);
SELECT ft.sampler_tick('history');
SELECT episode, samples, level, cardinality(path) AS path, root_pid = 0 AS prepared_root, victims, application_name, state,
       block_kind, locktype, waited_mode, held_mode, prepared_gid, in_cycle, longest_wait > '0 s' AS waited,
       path[level + 1] = pid AS path_ends_with_it, blocker_pid = path[level] AS blocker, query
  FROM ft.blocking_history(pg_temp.since()) ORDER BY episode, level;
SELECT count(*) FILTER (WHERE source = 'lock manager') AS exact, max(prepared_gid) FILTER (WHERE pid = 0) AS gid,
       count(*) FILTER (WHERE blocker_pid = 0 AND prepared_gid = 'regress_payment') AS waited_for_it
  FROM ft.session_history(pg_temp.since()) WHERE pid = 0 OR application_name LIKE 'regress_%';

-- The severity is that of the thresholds, the root's that of its worst wait.
SELECT ft.set_threshold('lock_wait', 0.000001, 0.000001);
SELECT level, severity FROM ft.blocking_history(pg_temp.since()) ORDER BY episode, level;
SELECT ft.reset_threshold('lock_wait');

-- Times: open ends, none, and the wrong way round.
SELECT count(*) > 5 AS all_of_it FROM ft.session_history(NULL, NULL);
SELECT count(*) = 0 AS nothing FROM ft.session_history('infinity', NULL);
SELECT count(*) = 0 AS nothing FROM ft.session_history(NULL, '-infinity');
SELECT count(*) = 0 AS nothing FROM ft.session_history(clock_timestamp(), clock_timestamp() - interval '1 h');
SELECT count(*) = 0 AS nothing FROM ft.blocking_history('infinity', '-infinity');
SELECT count(*) = 0 AS nothing FROM ft.session_history_runs(NULL, '2000-01-01');

-- How much of a query is kept is a setting.
SET fault_tolerance.history_query_size = 9;
INSERT INTO mark VALUES (clock_timestamp());
SELECT dblink_exec('regress_holder', 'BEGIN');
SELECT dblink_exec('regress_holder', 'SET LOCAL search_path = public');
SELECT ft.sampler_tick('history');
SELECT query FROM ft.session_history(pg_temp.since()) WHERE application_name = 'regress_holder';
SELECT dblink_exec('regress_holder', 'COMMIT');
RESET fault_tolerance.history_query_size;

-- No password is kept.
INSERT INTO mark VALUES (clock_timestamp());
SELECT dblink_exec('regress_holder', 'BEGIN');
SELECT dblink_exec('regress_holder', $$CREATE ROLE regress_ft_secret PASSWORD 'hidden'$$);
SELECT ft.sampler_tick('history');
SELECT query FROM ft.session_history(pg_temp.since()) WHERE application_name = 'regress_holder';
SELECT dblink_exec('regress_holder', 'ROLLBACK');

-- Who may see what.
CREATE ROLE regress_ft_watch IN ROLE pg_monitor;
CREATE ROLE regress_ft_guest;
GRANT USAGE ON SCHEMA ft TO regress_ft_guest;
GRANT EXECUTE ON FUNCTION ft.session_history(timestamptz, timestamptz) TO regress_ft_guest;
SET ROLE regress_ft_watch;
SELECT count(*) > 0 AS seen FROM ft.session_history(NULL) WHERE query LIKE 'UPDATE regress_account%';
SELECT count(*) > 0 AS rows FROM ft.wait_history_summary;
SELECT count(*) > 0 AS rows FROM ft.blocking_history_summary;
SET ROLE regress_ft_guest;
SELECT count(*) > 0 AS rows, min(query) AS query, max(query) AS query, max(state) AS state, max(wait_event) AS wait_event, max(traceparent) AS trace
  FROM ft.session_history(NULL) WHERE application_name LIKE 'regress_%';
SELECT pg_temp.outcome('SELECT * FROM ft.blocking_history()');
SELECT pg_temp.outcome('SELECT * FROM ft.session_history_runs()');
SELECT pg_temp.outcome('SELECT * FROM ft.history_status()');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION ft.session_history(timestamptz, timestamptz) FROM regress_ft_guest;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_guest;
DROP ROLE regress_ft_watch, regress_ft_guest;

SELECT every, oldest <= newest AS times, samples BETWEEN 1 AND samples_limit AS samples, runs BETWEEN 1 AND runs_limit AS runs,
       text_bytes BETWEEN 1 AND text_bytes_limit AS texts, samples_taken >= samples AS taken, without_lock_table,
       last_duration > '0 s' AS last, longest_duration >= last_duration AS longest
  FROM ft.history_status();
\d ft.wait_history_summary
\d ft.blocking_history_summary
SELECT count(dblink_disconnect(name)) FROM unnest('{regress_holder,regress_waiter}'::text[]) AS name;
DROP TABLE regress_account;
DROP EXTENSION dblink;
