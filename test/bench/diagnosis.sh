#!/usr/bin/env bash
# What ft.diagnose() costs on a server with many tables and sessions: while all
# is well, and while a queue waits behind a session that is idle in its
# transaction and dead rows pile up behind it.  Beside it ft.overview and
# ft.health_check(), and a bare look at the sessions and at the locks.  Medians
# at the client, and the slowest.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, as a superuser, in a
# database of its own that it drops again.  FT_BENCH_TABLES, FT_BENCH_SESSIONS
# and FT_BENCH_WAITERS change the numbers of tables, of sessions that stand by
# and of those that wait, FT_BENCH_RUNS how often each is asked.
set -euo pipefail
# shellcheck source=test/bench/scene.bash
. "$(dirname "$0")/scene.bash"

tables=${FT_BENCH_TABLES:-5000}
sessions=${FT_BENCH_SESSIONS:-500}
waiters=${FT_BENCH_WAITERS:-100}
runs=${FT_BENCH_RUNS:-21}

own_database ft_bench_diagnosis
create_tables "$tables" 'CREATE TABLE NAME (id integer PRIMARY KEY, n integer) WITH (autovacuum_enabled = off)'
psql -XqAt -c "INSERT INTO table_1 SELECT n, 0 FROM generate_series(1, 40000) AS n" -c "VACUUM ANALYZE"

row() {
    # shellcheck disable=SC2046,SC2183
    printf '%-40s %10s %10s\n' "$1" $(median_and_slowest "$2")
}

measure() {
    row 'ft.diagnose()' 'SELECT * FROM ft.diagnose()'
    row 'ft.diagnose(true)' 'SELECT * FROM ft.diagnose(true)'
    row 'ft.overview' 'SELECT * FROM ft.overview'
    row 'ft.health_check()' 'SELECT * FROM ft.health_check()'
    row 'pg_stat_activity' 'SELECT * FROM pg_stat_activity'
    row 'pg_locks' 'SELECT * FROM pg_locks'
    row 'SELECT 1' 'SELECT 1'
    psql -XqAt -c "SELECT 'findings: ' || coalesce(string_agg(format('%s %s', severity, finding)
                              || coalesce(' > ' || nullif(array_to_string(leads_to, ', '), ''), ''), '; '), 'none')
                     FROM ft.diagnose()"
}

hold "$sessions" crowd 'SELECT 1;
\sleep 1000 s'
await "SELECT count(*) = $sessions FROM pg_stat_activity WHERE datname = '$database' AND application_name = 'crowd' AND state = 'idle'"
psql -XqAt -c "SELECT count(ft.sampler_tick(task)) FROM ft.sampler_tasks()" >/dev/null

printf 'diagnosis: %s tables, %s idle sessions, %s runs, in ms: median, slowest\n' "$tables" "$sessions" "$runs"
measure

hold 1 holder 'BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM table_2;
\sleep 1000 s'
await "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'holder' AND state = 'idle in transaction' AND query LIKE 'SELECT%'"
psql -XqAt -c "UPDATE table_1 SET n = 1" -c "SELECT pg_stat_force_next_flush()" >/dev/null
hold 1 alter 'ALTER TABLE table_2 ADD COLUMN t text;'
await "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'alter' AND wait_event_type = 'Lock'"
hold "$waiters" reader 'SELECT count(*) FROM table_2;'
await "SELECT count(*) = $waiters FROM pg_stat_activity WHERE application_name = 'reader' AND wait_event_type = 'Lock'"
await "SELECT count(*) >= $waiters FROM ft.blocking_edges() WHERE wait_start < clock_timestamp() - interval '1 s'"

printf '\nthe same, with %s sessions behind an ALTER TABLE behind one that is idle in its transaction\n' "$waiters"
measure
