-- What the machine has left: memory, load, space of file systems.

CREATE FUNCTION ft.host_memory(
    OUT total_bytes bigint,
    OUT available_bytes bigint,
    OUT used_percent double precision,
    OUT swap_total_bytes bigint,
    OUT swap_free_bytes bigint,
    OUT cgroup_limit_bytes bigint,
    OUT cgroup_used_bytes bigint,
    OUT cgroup_used_percent double precision,
    OUT overcommit_memory int,
    OUT commit_limit_bytes bigint,
    OUT committed_bytes bigint,
    OUT committed_percent double precision,
    OUT postmaster_oom_score_adj int,
    OUT backend_oom_score_adj int,
    OUT oom_kills bigint,
    OUT huge_pages_total bigint,
    OUT huge_pages_free bigint,
    OUT huge_page_bytes bigint,
    OUT severity text,
    OUT reason text,
    OUT sampled_at timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'ft_host_memory';

CREATE FUNCTION ft.host_load(
    OUT load1 double precision,
    OUT load5 double precision,
    OUT load15 double precision,
    OUT cpus int,
    OUT cpu_quota double precision,
    OUT load_per_cpu double precision,
    OUT cpu_some_avg10 double precision,
    OUT cpu_some_avg60 double precision,
    OUT memory_some_avg10 double precision,
    OUT memory_some_avg60 double precision,
    OUT memory_full_avg10 double precision,
    OUT memory_full_avg60 double precision,
    OUT io_some_avg10 double precision,
    OUT io_some_avg60 double precision,
    OUT io_full_avg10 double precision,
    OUT io_full_avg60 double precision,
    OUT host_uptime interval,
    OUT sampled_at timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'ft_host_load';

CREATE FUNCTION ft.disk_space(
    OUT name text,
    OUT path text,
    OUT total_bytes bigint,
    OUT free_bytes bigint,
    OUT used_bytes bigint,
    OUT used_percent double precision,
    OUT severity text,
    OUT inodes bigint,
    OUT inodes_free bigint,
    OUT inodes_used_percent double precision,
    OUT device text,
    OUT kind text,
    OUT spcname name,
    OUT sampled_at timestamptz,
    OUT sample_age interval,
    OUT note text)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 4
AS 'MODULE_PATHNAME', 'ft_disk_space';

CREATE VIEW ft.disk_space_summary AS
SELECT left(d.name, 30) AS name,
       pg_catalog.pg_size_pretty(d.total_bytes) AS total,
       pg_catalog.pg_size_pretty(d.free_bytes) AS free,
       d.used_percent AS "used %",
       d.inodes_used_percent AS "inodes %",
       d.severity,
       date_trunc('second', d.sample_age) AS age,
       left(d.note, 40) AS note
  FROM ft.disk_space() AS d;

CREATE VIEW ft.host_summary AS
SELECT m.severity,
       pg_catalog.pg_size_pretty(m.total_bytes) AS memory,
       m.used_percent AS "used %",
       pg_catalog.pg_size_pretty(m.cgroup_limit_bytes) AS "group limit",
       m.cgroup_used_percent AS "group used %",
       pg_catalog.pg_size_pretty(m.swap_total_bytes - m.swap_free_bytes) AS "swap used",
       l.load1, l.cpus,
       l.cpu_some_avg10 AS "cpu wait %",
       l.io_some_avg10 AS "io wait %",
       date_trunc('minute', l.host_uptime) AS uptime
  FROM ft.host_memory() AS m CROSS JOIN ft.host_load() AS l;

COMMENT ON FUNCTION ft.host_memory() IS
'memory of the host and of the control group, and how near the kernel is to killing a process';
COMMENT ON FUNCTION ft.host_load() IS
'load, CPUs, and the share of time that something waited for CPU, memory and disks';
COMMENT ON FUNCTION ft.disk_space() IS
'space and inodes of the file systems of the data directory, pg_wal, the log and each tablespace, as the sampler saw them last';
COMMENT ON VIEW ft.disk_space_summary IS
'ft.disk_space() for reading in psql';
COMMENT ON VIEW ft.host_summary IS
'ft.host_memory() and ft.host_load() in one row, for reading in psql';

REVOKE ALL ON FUNCTION ft.host_memory(), ft.host_load(), ft.disk_space() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.host_memory(), ft.host_load(), ft.disk_space() TO pg_monitor;
GRANT SELECT ON ft.disk_space_summary, ft.host_summary TO pg_monitor;

