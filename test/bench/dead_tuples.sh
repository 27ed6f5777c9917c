#!/usr/bin/env bash
# Dead tuples over many tables: ft.dead_tuples() against pg_stat_user_tables as
# it is usually queried.  Medians at the client, all in one run.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, in a database of
# its own that it drops again.  FT_BENCH_TABLES and FT_BENCH_DEAD change the
# number of tables and of those to report.
set -euo pipefail

tables=${FT_BENCH_TABLES:-20000}
dead=${FT_BENCH_DEAD:-200}
runs=${FT_BENCH_RUNS:-51}
database=ft_bench_dead_tuples
folder=$(mktemp -d)
maintenance=${PGDATABASE:-postgres}

cleanup() {
    rm -rf "$folder"
    psql -XqAt -d "$maintenance" -c "DROP DATABASE IF EXISTS $database" >/dev/null 2>&1 || true
}
trap cleanup EXIT

export PGOPTIONS='-c client_min_messages=warning'
psql -XqAt -d "$maintenance" -c "DROP DATABASE IF EXISTS $database" -c "CREATE DATABASE $database"
export PGDATABASE=$database

# In transactions of a few hundred tables: each takes a place in the lock table.
psql -XqAt -v ON_ERROR_STOP=1 >/dev/null <<SQL
CREATE EXTENSION fault_tolerance;
SET synchronous_commit = off;
SELECT format('DO \$\$BEGIN FOR i IN %s .. %s LOOP EXECUTE format(
    ''CREATE TABLE %%I (id integer PRIMARY KEY, t text) WITH (autovacuum_enabled = off)'',
    ''table_'' || i); EXECUTE format(''INSERT INTO %%I VALUES (1)'', ''table_'' || i);
    END LOOP; END\$\$', n, least(n + 499, $tables))
  FROM generate_series(1, $tables, 500) AS n \gexec
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

# Median latency in ms of a script; more arguments go to pgbench.
median() {
    local script=$1
    shift
    rm -f "$folder"/log*
    pgbench -n -t "$runs" -f "$folder/$script.sql" -l --log-prefix="$folder/log" "$@" >/dev/null 2>&1
    cat "$folder"/log* | awk '{print $3}' | sort -n |
        awk '{v[NR] = $1} END {printf "%.2f", v[int((NR + 1) / 2)] / 1000}'
}

printf 'dead tuples: %s tables, %s to report, %s runs, medians in ms\n' "$tables" "${ours%%|*}" "$runs"
row() {
    awk -v name="$1" -v a="$2" -v b="$3" -v c="$4" 'BEGIN {
        printf "%-16s %10s %10s %12s %8.1f %8.1f\n", name, a, b, c, b / a, c / a }'
}
printf '%-16s %10s %10s %12s %8s %8s\n' '' ours view 'without size' 'view/ours' 'w/o/ours'
row 'warm connection' "$(median ours)" "$(median view)" "$(median view_without_size)"
printf 'of all databases, from this one: %s\n' "$(median everywhere)"
row 'new connection' "$(median ours -C)" "$(median view -C)" "$(median view_without_size -C)"
