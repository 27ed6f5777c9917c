-- What the machine has left.  Figures are the machine's, so what is shown is
-- how they relate.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome

SELECT total_bytes > 0 AS total, available_bytes BETWEEN 0 AND total_bytes AS available,
       abs(used_percent - 100.0 * (total_bytes - available_bytes) / total_bytes) < 0.1 AS used,
       swap_free_bytes <= swap_total_bytes AS swap, overcommit_memory BETWEEN 0 AND 2 AS overcommit,
       committed_bytes > 0 AND commit_limit_bytes > 0 AS committed,
       postmaster_oom_score_adj BETWEEN -1000 AND 1000 AND backend_oom_score_adj BETWEEN -1000 AND 1000 AS oom,
       (cgroup_limit_bytes IS NULL) = (cgroup_used_percent IS NULL) AS cgroup,
       sampled_at > now() - interval '1 min' AS fresh
  FROM ft.host_memory();

-- The threshold decides, and the reason says why.
SELECT ft.set_threshold('memory', 0, 100.1);
SELECT severity, reason ~ '% of .* is used; when it is used up the kernel kills' AS reason FROM ft.host_memory();
SELECT ft.set_threshold('memory', 0, 0);
SELECT severity, reason IS NOT NULL AS reason FROM ft.host_memory();
SELECT ft.set_threshold('memory', NULL, NULL);
SELECT severity, coalesce(reason ~ 'is used', false) AS reason FROM ft.host_memory();
SELECT ft.reset_threshold('memory');

SELECT load1 >= 0 AND load5 >= 0 AND load15 >= 0 AS load, cpus > 0 AS cpus,
       abs(load_per_cpu - load1 / least(cpus, cpu_quota)) < 0.02 AS per_cpu,
       coalesce(cpu_some_avg10 BETWEEN 0 AND 100, true) AS cpu_pressure,
       coalesce(io_full_avg60 BETWEEN 0 AND 100, true) AS io_pressure,
       (memory_some_avg10 IS NULL) = (memory_full_avg10 IS NULL) AS memory_pressure,
       host_uptime > '0 s' AS uptime
  FROM ft.host_load();
SELECT count(*) FROM ft.host_summary;

-- File systems: asked here and now while the sampler has nothing, and what it
-- has from its first look on.
CREATE TEMPORARY TABLE direct AS SELECT * FROM ft.disk_space();
SELECT name, kind, path IS NOT NULL AS path, total_bytes > 0 AS total, free_bytes <= total_bytes AS free,
       abs(used_percent - 100.0 * used_bytes / (used_bytes + free_bytes)) < 0.1 AS used,
       severity IN ('OK', 'WARNING', 'CRITICAL') AS severity, device ~ '^\d+:\d+$' AS device,
       sample_age < '10 s' AS fresh, note
  FROM direct WHERE kind <> 'tablespace';
SELECT path = current_setting('data_directory') AS data_directory FROM direct WHERE name = 'data directory';
SELECT ft.sampler_tick('disk');
CREATE TEMPORARY TABLE sampled AS SELECT * FROM ft.disk_space();
SELECT count(DISTINCT sampled_at) FROM (TABLE sampled UNION ALL SELECT * FROM ft.disk_space()) AS s
 WHERE name = 'pg_wal';

-- A tablespace in place of a file system of its own.
SET allow_in_place_tablespaces = true;
CREATE TABLESPACE regress_ft_space LOCATION '';
SELECT count(*) AS not_seen_yet FROM ft.disk_space() WHERE kind = 'tablespace' AND spcname = 'regress_ft_space';
SELECT ft.sampler_tick('disk');
SELECT name, spcname, total_bytes > 0 AS total, note FROM ft.disk_space() WHERE spcname = 'regress_ft_space';
DROP TABLESPACE regress_ft_space;
SELECT count(*) AS named_by_number FROM ft.disk_space() WHERE kind = 'tablespace' AND spcname IS NULL;
SELECT ft.sampler_tick('disk');
SELECT count(*) AS gone FROM ft.disk_space() WHERE kind = 'tablespace';

-- Thresholds, and who sees paths.
SELECT ft.set_threshold('disk', 0, 100.1);
SELECT name, severity FROM ft.disk_space();
SELECT ft.reset_threshold('disk');
\d ft.disk_space_summary
SELECT count(*) FROM ft.disk_space_summary;
CREATE ROLE regress_ft_watch IN ROLE pg_monitor;
CREATE ROLE regress_ft_guest;
GRANT USAGE ON SCHEMA ft TO regress_ft_guest;
GRANT EXECUTE ON FUNCTION ft.disk_space() TO regress_ft_guest;
SET ROLE regress_ft_watch;
SELECT name, path IS NOT NULL AS path FROM ft.disk_space();
SELECT count(*) FROM ft.host_summary;
SET ROLE regress_ft_guest;
SELECT name, path IS NOT NULL AS path FROM ft.disk_space();
SELECT pg_temp.outcome('SELECT * FROM ft.host_memory()');
SELECT pg_temp.outcome('SELECT * FROM ft.host_load()');
RESET ROLE;
REVOKE ALL ON FUNCTION ft.disk_space() FROM regress_ft_guest;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_guest;
DROP ROLE regress_ft_watch, regress_ft_guest;
