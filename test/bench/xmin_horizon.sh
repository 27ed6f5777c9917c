#!/usr/bin/env bash
# Who holds vacuum back: ft.xmin_horizon() against the union of views that it is
# usually looked for in, with many open transactions.  Medians at the client,
# all in one run.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, in a database of
# its own that it drops again.  FT_BENCH_SESSIONS and FT_BENCH_RUNS change the
# number of sessions and of runs.
set -euo pipefail

sessions=${FT_BENCH_SESSIONS:-500}
runs=${FT_BENCH_RUNS:-51}
database=ft_bench_xmin_horizon
folder=$(mktemp -d)
maintenance=${PGDATABASE:-postgres}
holders=

cleanup() {
    if [ -n "$holders" ]; then
        kill "$holders" 2>/dev/null || true
        wait "$holders" 2>/dev/null || true
    fi
    psql -XqAt -d "$maintenance" -c "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '$database'" \
        -c "DROP DATABASE IF EXISTS $database" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT

export PGOPTIONS='-c client_min_messages=warning'
psql -XqAt -d "$maintenance" -c "DROP DATABASE IF EXISTS $database" -c "CREATE DATABASE $database"
export PGDATABASE=$database
psql -XqAt -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION fault_tolerance'

# Open transactions, each with an id and a snapshot.
cat >"$folder/hold.sql" <<'SQL'
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_current_xact_id();
SELECT pg_sleep(3600);
SQL
pgbench -n -c "$sessions" -j 1 -t 1 -f "$folder/hold.sql" >/dev/null 2>&1 &
holders=$!
for _ in $(seq 1 600); do
    held=$(psql -XqAt -c "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_xid IS NOT NULL")
    [ "$held" -ge "$sessions" ] && break
    sleep 0.2
done

cat >"$folder/ours.sql" <<'SQL'
SELECT horizon, kind, xmin, xid_age, pid, application_name, state, gid, slot_name, sql FROM ft.xmin_horizon();
SQL
cat >"$folder/data.sql" <<'SQL'
SELECT kind, xmin, xid_age, pid, gid, slot_name, sql FROM ft.xmin_horizon() WHERE horizon = 'data' AND holds;
SQL
cat >"$folder/views.sql" <<'SQL'
SELECT * FROM (
    SELECT 'backend' AS kind, greatest(age(backend_xid), age(backend_xmin)) AS xid_age, pid::text AS who,
           application_name, state, left(query, 50) AS query
      FROM pg_stat_activity WHERE backend_xid IS NOT NULL OR backend_xmin IS NOT NULL
    UNION ALL
    SELECT 'prepared transaction', age(transaction), gid, NULL, NULL, NULL FROM pg_prepared_xacts
    UNION ALL
    SELECT 'replication slot', greatest(age(xmin), age(catalog_xmin)), slot_name, NULL, NULL, NULL
      FROM pg_replication_slots WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
    UNION ALL
    SELECT 'standby feedback', age(backend_xmin), pid::text, application_name, state, NULL
      FROM pg_stat_replication WHERE backend_xmin IS NOT NULL) AS holder
 ORDER BY xid_age DESC;
SQL

# Both must see the same holders before it matters how fast.
ours=$(psql -XqAt -c "SELECT count(*) FROM ft.xmin_horizon() WHERE horizon = 'shared' AND pid <> pg_backend_pid()")
theirs=$(psql -XqAt -c "SELECT count(*) FROM pg_stat_activity WHERE (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'")
if [ "$ours" -lt "$theirs" ]; then
    echo "xmin_horizon: holders are missing: $ours of $theirs" >&2
    exit 1
fi

median() {
    rm -f "$folder"/log*
    pgbench -n -t "$runs" -f "$folder/$1.sql" -l --log-prefix="$folder/log" >/dev/null 2>&1
    cat "$folder"/log* | awk '{print $3}' | sort -n |
        awk '{v[NR] = $1} END {printf "%.2f", v[int((NR + 1) / 2)] / 1000}'
}

a=$(median ours)
b=$(median data)
c=$(median views)
printf 'who holds vacuum back: %s open transactions, %s runs, medians in ms\n' "$held" "$runs"
awk -v a="$a" -v b="$b" -v c="$c" 'BEGIN {
    printf "%-44s %8s\n", "all three horizons, with SQL to end each", a
    printf "%-44s %8s\n", "who holds the data horizon", b
    printf "%-44s %8s\n", "union of the views, for one answer to all", c
    printf "views / ours %.2f, views / data %.2f\n", c / a, c / b }'
