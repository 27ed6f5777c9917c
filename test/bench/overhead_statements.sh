#!/usr/bin/env bash
# What slow statements and lock orders cost statements that are fast: CPU time
# of a backend for one transaction of pgbench -S and of TPC-B, with both on
# against both off.
#
# CPU time as the kernel counts it, rather than transactions a second, because
# it tells less of what else runs on the machine.  Each session changes between
# the variants every few hundred transactions, so that all meet the same
# conditions; the ratio is that of the medians of these portions.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, as a superuser, in
# a database of its own that it drops again.  FT_BENCH_PORTIONS,
# FT_BENCH_CLIENTS, FT_BENCH_SCRIPTS and FT_BENCH_PROTOCOLS change what is
# measured.
set -euo pipefail
# shellcheck source=test/bench/scene.bash
. "$(dirname "$0")/scene.bash"

portions=${FT_BENCH_PORTIONS:-400}
clients=${FT_BENCH_CLIENTS:-1}
protocols=${FT_BENCH_PROTOCOLS:-simple prepared}
scripts=${FT_BENCH_SCRIPTS:-select tpcb}
declare -A portion=([select]=500 [tpcb]=100)

own_database ft_bench_statements
export PGOPTIONS="$PGOPTIONS -c synchronous_commit=off"
pgbench -i -q -s 10 >/dev/null 2>&1
psql -XqAt -c 'CREATE TABLE cost (variant int, nanoseconds bigint)' -c 'VACUUM ANALYZE'

# Variants: bit 1 is slow statements, bit 2 lock orders.
cat >"$folder/switch" <<'SQL'
\if :n % :portion = 0
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1) AS now \gset
\if :n > 0
INSERT INTO cost VALUES (:variant, :now::bigint - :start::bigint);
\endif
\set variant (:variant + 1) % 4
SELECT set_config('fault_tolerance.slow_statement_threshold',
                  CASE WHEN :variant IN (1, 3) THEN '1000' ELSE '-1' END, false) AS slow,
       set_config('fault_tolerance.track_lock_order',
                  CASE WHEN :variant IN (2, 3) THEN 'on' ELSE 'off' END, false) AS "order" \gset
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1) AS start \gset
\endif
\set n :n + 1
SQL
cat "$folder/switch" - >"$folder/select.sql" <<'SQL'
\set aid random(1, 100000 * :scale)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SQL
cat "$folder/switch" - >"$folder/tpcb.sql" <<'SQL'
\set aid random(1, 100000 * :scale)
\set bid random(1, 1 * :scale)
\set tid random(1, 10 * :scale)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
SQL

printf 'CPU time of a backend per transaction, medians of %s portions each, %s client(s), and their ratio to both off\n' \
    "$portions" "$clients"
printf '%-18s %12s %20s %20s %20s\n' '' 'both off' 'slow statements' 'lock order' both
for script in $scripts; do
    for protocol in $protocols; do
        psql -XqAt -c 'TRUNCATE cost'
        pgbench -n -M "$protocol" -s 10 -c "$clients" -t $((portions * 4 * ${portion[$script]} / clients + 1)) \
            -D n=0 -D portion="${portion[$script]}" -D variant=3 \
            -f "$folder/$script.sql" >"$folder/log" 2>&1 || { tail -n 5 "$folder/log" >&2; exit 1; }
        psql -XqAt -F ' ' -v portion="${portion[$script]}" >"$folder/medians" <<'SQL'
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY nanoseconds) / :portion
  FROM cost GROUP BY variant ORDER BY variant;
SQL
        # shellcheck disable=SC2046
        set -- $(cat "$folder/medians")
        awk -v name="$script, $protocol" -v off="$1" -v slow="$2" -v order="$3" -v both="$4" 'BEGIN {
            printf "%-18s %9d ns %10d ns %.3f %10d ns %.3f %10d ns %.3f\n",
                name, off, slow, slow / off, order, order / off, both, both / off }'
    done
done
