#!/usr/bin/env bash
# What ft.health_check() costs, as a whole and each check by itself, on a server
# with many tables and sessions.  Medians at the client, and the slowest.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, in a database of its
# own that it drops again.  FT_BENCH_TABLES and FT_BENCH_SESSIONS change the
# numbers of tables and of sessions that stand by, a tenth of them in a
# transaction.
set -euo pipefail
# shellcheck source=test/bench/scene.bash
. "$(dirname "$0")/scene.bash"

tables=${FT_BENCH_TABLES:-20000}
sessions=${FT_BENCH_SESSIONS:-500}
runs=${FT_BENCH_RUNS:-21}

own_database ft_bench_health
create_tables "$tables" 'CREATE TABLE NAME (id serial PRIMARY KEY, t text) WITH (autovacuum_enabled = off);
    INSERT INTO NAME (t) VALUES (1)'
psql -XqAt -c "SELECT pg_stat_force_next_flush()" \
    -c "VACUUM ANALYZE pg_class, pg_index, pg_namespace, pg_depend, pg_attribute, pg_sequence" > /dev/null

hold $((sessions - sessions / 10)) idle 'SELECT 1;
\sleep 1000 s'
hold $((sessions / 10)) open 'BEGIN;
SELECT count(*) FROM table_1;
\sleep 1000 s'
await "SELECT count(*) = $sessions FROM pg_stat_activity WHERE application_name IN ('idle', 'open') AND state LIKE 'idle%'"

printf 'health: %s tables with a sequence each, %s sessions, %s runs, in ms: median, slowest\n' "$tables" "$sessions" "$runs"
row() {
    # shellcheck disable=SC2046,SC2183
    printf '%-40s %10s %10s\n' "$1" $(median_and_slowest "$2")
}
row 'ft.health_check()' 'SELECT count(*) FROM ft.health_check()'
row 'ft.health()' 'SELECT * FROM ft.health()'
row 'ft.check_fault_tolerance_alerts()' 'SELECT count(*) FROM ft.check_fault_tolerance_alerts()'
row 'SELECT 1' 'SELECT 1'
psql -XqAt -c "SELECT DISTINCT check_name FROM ft.health_check() ORDER BY 1" >"$folder/checks"
while read -r check; do
    row "  $check" "SELECT count(*) FROM ft.health_check('{$check}')"
done <"$folder/checks"
