-- ft.deadlocks(), ft.deadlock_counts(): what one session alone can show.  Real
-- deadlocks are in the isolation spec of that name, those that are reported in
-- other languages in test/tap/091_deadlock_languages.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT coalesce(max(deadlock_id), 0) AS before FROM ft.deadlocks() \gset
SELECT reported AS reported_before, counted AS counted_before
  FROM ft.deadlock_counts() WHERE datname = current_database() \gset

-- An error with the SQLSTATE of a deadlock is none, even with its words.
DO $$BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01',
    DETAIL = 'Process 1 waits for ShareLock on transaction 2; blocked by process 3.'; END$$;
SELECT count(*) FROM ft.deadlocks() WHERE deadlock_id > :before;

-- Each database that has statistics has one row.
SELECT reported - :reported_before AS reported, counted - :counted_before AS counted,
       not_reported = counted - reported AS adds_up, deadlocks >= counted AS of_all,
       compared_since <= clock_timestamp() AS since, datid = (SELECT oid FROM pg_database WHERE datname = current_database()) AS here
  FROM ft.deadlock_counts() WHERE datname = current_database();
SELECT count(*) - count(DISTINCT datid) AS doubled FROM ft.deadlock_counts();
SELECT d.deadlocks - c.deadlocks AS difference
  FROM pg_stat_database AS d JOIN ft.deadlock_counts() AS c USING (datname)
 WHERE datname = current_database();

-- When the server's statistics are reset, the comparison begins anew.
SELECT compared_since AS since FROM ft.deadlock_counts() WHERE datname = current_database() \gset
SELECT pg_stat_reset();
SELECT reported, counted, not_reported, compared_since > :'since' AS anew
  FROM ft.deadlock_counts() WHERE datname = current_database();

-- The sampler looks, too.
SELECT ft.sampler_tick('deadlock counts');
SELECT reported, counted FROM ft.deadlock_counts() WHERE datname = current_database();

-- Who may ask.
CREATE ROLE deadlock_app;
CREATE ROLE deadlock_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO deadlock_app, deadlock_monitor;
SET ROLE deadlock_app;
SELECT * FROM ft.deadlocks();
SELECT * FROM ft.deadlock_counts();
SELECT * FROM ft.deadlock_summary;
RESET ROLE;
SET ROLE deadlock_monitor;
SELECT count(*) >= 0 AS answered FROM ft.deadlocks();
SELECT count(*) > 0 AS answered FROM ft.deadlock_counts();
SELECT count(*) >= 0 AS answered FROM ft.deadlock_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM deadlock_app, deadlock_monitor;
DROP ROLE deadlock_app, deadlock_monitor;
