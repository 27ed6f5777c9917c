#!/usr/bin/env bash
# Dead tuples over many tables: ft.dead_tuples() against pg_stat_user_tables as
# it is usually queried.  Medians at the client, all in one run.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, in a database of
# its own that it drops again.  FT_BENCH_TABLES and FT_BENCH_DEAD change the
# number of tables and of those to report.
set -euo pipefail
# shellcheck source=test/bench/scene.bash
. "$(dirname "$0")/scene.bash"

tables=${FT_BENCH_TABLES:-20000}
dead=${FT_BENCH_DEAD:-200}
runs=${FT_BENCH_RUNS:-51}

own_database ft_bench_dead_tuples
create_tables "$tables" 'CREATE TABLE NAME (id integer PRIMARY KEY, t text) WITH (autovacuum_enabled = off);
    INSERT INTO NAME VALUES (1)'
psql -XqAt -v ON_ERROR_STOP=1 >/dev/null <<SQL
SET synchronous_commit = off;
SELECT format('INSERT INTO %I SELECT generate_series(2, 1501)', 'table_' || n),
       format('DELETE FROM %I WHERE id > 1', 'table_' || n)
  FROM generate_series(1, $tables, greatest($tables / $dead, 1)) AS n \gexec
SELECT pg_stat_force_next_flush();
VACUUM ANALYZE pg_class, pg_index, pg_namespace;
SQL

cat >"$folder/ours.sql" <<'SQL'
SELECT schemaname, relname, n_live_tup, n_dead_tup, dead_tuple_percent,
       total_size, last_vacuum, last_autovacuum
  FROM ft.dead_tuples();
SQL
cat >"$folder/everywhere.sql" <<'SQL'
SELECT datname, relid, schemaname, relname, n_live_tup, n_dead_tup, dead_tuple_percent,
       total_size, last_vacuum, last_autovacuum
  FROM ft.dead_tuples(all_databases => true);
SQL
cat >"$folder/view.sql" <<'SQL'
SELECT schemaname, relname, n_live_tup, n_dead_tup,
       round(100.0 * n_dead_tup / (n_live_tup + n_dead_tup), 2) AS dead_tuple_percent,
       pg_total_relation_size(relid) AS total_size, last_vacuum, last_autovacuum
  FROM pg_stat_user_tables
 WHERE n_dead_tup >= 1000
 ORDER BY n_dead_tup DESC;
SQL
cat >"$folder/view_without_size.sql" <<'SQL'
SELECT schemaname, relname, n_live_tup, n_dead_tup, last_vacuum, last_autovacuum
  FROM pg_stat_user_tables
 WHERE n_dead_tup >= 1000
 ORDER BY n_dead_tup DESC;
SQL

# Both must say the same before it matters how fast.
ours=$(psql -XqAt -c "SELECT count(*), sum(n_dead_tup), sum(total_size) FROM ft.dead_tuples() WHERE schemaname = 'public'")
theirs=$(psql -XqAt -c "SELECT count(*), sum(n_dead_tup), sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables WHERE n_dead_tup >= 1000")
if [ "$ours" != "$theirs" ]; then
    echo "dead_tuples: the answers differ: $ours and $theirs" >&2
    exit 1
fi

printf 'dead tuples: %s tables, %s to report, %s runs, medians in ms\n' "$tables" "${ours%%|*}" "$runs"
row() {
    awk -v name="$1" -v a="$2" -v b="$3" -v c="$4" 'BEGIN {
        printf "%-16s %10s %10s %12s %8.1f %8.1f\n", name, a, b, c, b / a, c / a }'
}
printf '%-16s %10s %10s %12s %8s %8s\n' '' ours view 'without size' 'view/ours' 'w/o/ours'
row 'warm connection' "$(median ours)" "$(median view)" "$(median view_without_size)"
printf 'of all databases, from this one: %s\n' "$(median everywhere)"
row 'new connection' "$(median ours -C)" "$(median view -C)" "$(median view_without_size -C)"
