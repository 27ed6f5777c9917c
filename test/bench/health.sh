#!/usr/bin/env bash
# What ft.health_check() costs, as a whole and each check by itself, on a server
# with many tables and sessions.  Medians at the client, and the slowest.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, in a database of its
# own that it drops again.  FT_BENCH_TABLES and FT_BENCH_SESSIONS change the
# numbers of tables and of sessions that stand by, a tenth of them in a
# transaction.
set -euo pipefail

tables=${FT_BENCH_TABLES:-20000}
sessions=${FT_BENCH_SESSIONS:-500}
runs=${FT_BENCH_RUNS:-21}
database=ft_bench_health
folder=$(mktemp -d)
maintenance=${PGDATABASE:-postgres}
crowd=()

cleanup() {
    for pid in "${crowd[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$folder"
    psql -XqAt -d "$maintenance" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" >/dev/null 2>&1 || true
}
trap cleanup EXIT

export PGOPTIONS='-c client_min_messages=warning'
psql -XqAt -d "$maintenance" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" -c "CREATE DATABASE $database"
export PGDATABASE=$database

# In transactions of a few hundred tables: each takes a place in the lock table.
psql -XqAt -v ON_ERROR_STOP=1 >/dev/null <<SQL
CREATE EXTENSION fault_tolerance;
SET synchronous_commit = off;
SELECT format('DO \$\$BEGIN FOR i IN %s .. %s LOOP EXECUTE format(
    ''CREATE TABLE %%I (id serial PRIMARY KEY, t text) WITH (autovacuum_enabled = off)'',
    ''table_'' || i); EXECUTE format(''INSERT INTO %%I (t) VALUES (1)'', ''table_'' || i);
    END LOOP; END\$\$', n, least(n + 199, $tables))
  FROM generate_series(1, $tables, 200) AS n \gexec
SELECT pg_stat_force_next_flush();
VACUUM ANALYZE pg_class, pg_index, pg_namespace, pg_depend, pg_attribute, pg_sequence;
SQL

# pgbench holds the sessions: one statement each, or a transaction that waits.
cat >"$folder/idle.sql" <<'SQL'
SELECT 1;
\sleep 1000 s
SQL
cat >"$folder/open.sql" <<'SQL'
BEGIN;
SELECT count(*) FROM table_1;
\sleep 1000 s
SQL
PGAPPNAME=crowd pgbench -n -c $((sessions - sessions / 10)) -j 1 -t 1 -f "$folder/idle.sql" >/dev/null 2>&1 &
crowd+=($!)
PGAPPNAME=crowd pgbench -n -c $((sessions / 10)) -j 1 -t 1 -f "$folder/open.sql" >/dev/null 2>&1 &
crowd+=($!)
for ((i = 0; i < 300; i++)); do
    there=$(psql -XqAt -c "SELECT count(*) FROM pg_stat_activity WHERE datname = '$database' AND application_name = 'crowd' AND state LIKE 'idle%'")
    [ "$there" -ge "$sessions" ] && break
    psql -XqAt -c "SELECT pg_sleep(0.1)" >/dev/null
done

# Median latency in ms of a statement, in one session.
median() {
    rm -f "$folder"/log*
    printf '%s;\n' "$1" >"$folder/statement.sql"
    pgbench -n -t "$runs" -f "$folder/statement.sql" -l --log-prefix="$folder/log" >/dev/null 2>&1
    cat "$folder"/log* | awk '{print $3}' | sort -n |
        awk '{v[NR] = $1} END {printf "%.2f %.2f", v[int((NR + 1) / 2)] / 1000, v[NR] / 1000}'
}

printf 'health: %s tables with a sequence each, %s sessions, %s runs, in ms: median, slowest\n' "$tables" "$there" "$runs"
row() {
    printf '%-40s %10s %10s\n' "$1" "$2" "$3"
}
# shellcheck disable=SC2046
row 'ft.health_check()' $(median 'SELECT count(*) FROM ft.health_check()')
# shellcheck disable=SC2046
row 'ft.health()' $(median 'SELECT * FROM ft.health()')
# shellcheck disable=SC2046
row 'ft.check_fault_tolerance_alerts()' $(median 'SELECT count(*) FROM ft.check_fault_tolerance_alerts()')
# shellcheck disable=SC2046
row 'SELECT 1' $(median 'SELECT 1')
psql -XqAt -c "SELECT DISTINCT check_name FROM ft.health_check() ORDER BY 1" >"$folder/checks"
while read -r check; do
    # shellcheck disable=SC2046
    row "  $check" $(median "SELECT count(*) FROM ft.health_check('{$check}')")
done <"$folder/checks"
