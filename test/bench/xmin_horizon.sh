#!/usr/bin/env bash
# Who holds vacuum back: ft.xmin_horizon() against the union of views that it is
# usually looked for in, with many open transactions.  Medians at the client,
# all in one run.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, in a database of
# its own that it drops again.  FT_BENCH_SESSIONS and FT_BENCH_RUNS change the
# number of sessions and of runs.
set -euo pipefail
# shellcheck source=test/bench/scene.bash
. "$(dirname "$0")/scene.bash"

sessions=${FT_BENCH_SESSIONS:-500}
runs=${FT_BENCH_RUNS:-51}

own_database ft_bench_xmin_horizon

# Open transactions, each with an id and a snapshot.
hold "$sessions" waiter 'BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_current_xact_id();
SELECT pg_sleep(3600);'
await "SELECT count(*) = $sessions FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_xid IS NOT NULL"

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

a=$(median ours)
b=$(median data)
c=$(median views)
printf 'who holds vacuum back: %s open transactions, %s runs, medians in ms\n' "$sessions" "$runs"
awk -v a="$a" -v b="$b" -v c="$c" 'BEGIN {
    printf "%-44s %8s\n", "all three horizons, with SQL to end each", a
    printf "%-44s %8s\n", "who holds the data horizon", b
    printf "%-44s %8s\n", "union of the views, for one answer to all", c
    printf "views / ours %.2f, views / data %.2f\n", c / a, c / b }'
