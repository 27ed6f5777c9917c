# shellcheck shell=bash
#
# What each diagnostic costs on a busy server, and what people run today for
# the same answer: time and rows of every function and view of schema ft that
# pg_monitor may call, found by the catalog.
#
# bench: own servers
#
# The scene: FT_BENCH_TABLES tables (default 5,000), FT_BENCH_IDLE idle
# sessions (500), FT_BENCH_ACTIVE sessions in a statement (50), of which ten
# wait for an eleventh that is idle in its transaction; the library preloaded,
# its workers at work.  Medians of FT_BENCH_RUNS (21) on one connection; what
# takes over half a second is run three times.
#
TABLES=${FT_BENCH_TABLES:-5000}
IDLE=${FT_BENCH_IDLE:-500}
ACTIVE=${FT_BENCH_ACTIVE:-50}
RUNS=${FT_BENCH_RUNS:-21}
SERVER=$WORK/diagnostics

psql_bench()
{
    as_user PGHOST="$SERVER/socket" PGPORT=5432 PGOPTIONS="-c statement_timeout=60s -c client_min_messages=error" \
        psql -XAtq -v ON_ERROR_STOP=1 -U postgres -d bench "$@"
}

# Sessions of a script; arguments: number, file, application_name.
sessions()
{
    as_user PGHOST="$SERVER/socket" PGPORT=5432 PGAPPNAME="$3" \
        pgbench -n -U postgres -c "$1" -j 2 -t 1 -f "$2" bench > /dev/null 2>&1 &
}

# Until a query says so, at most two minutes.
await()
{
    local tries=600

    until [ "$(psql_bench -c "$1")" = t ]; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "the scene does not come about: $1"
        sleep 0.2
    done
}

# Rows and median milliseconds of a query; "-" and the SQLSTATE if it fails.
measure()
{
    local rows runs=$RUNS script=$WORK/tmp/measure.sql begin

    begin=$(date +%s%N)
    if ! rows=$(psql_bench -v VERBOSITY=sqlstate -c "SELECT count(*) FROM $1 AS t" 2>&1); then
        echo "- ${rows##*: }"
        return
    fi
    [ $(($(date +%s%N) - begin)) -lt 500000000 ] || runs=3
    echo "SELECT count(t::text) FROM $1 AS t" > "$script"
    rm -f "$WORK/tmp/measure.log"*
    as_user PGHOST="$SERVER/socket" PGPORT=5432 PGOPTIONS="-c client_min_messages=error" \
        pgbench -n -U postgres -t "$runs" -f "$script" -l --log-prefix="$WORK/tmp/measure.log" bench > /dev/null 2>&1
    # The first makes the session's caches.
    cat "$WORK/tmp/measure.log"* | awk '$2 > 0 { print $3 }' | sort -n |
        awk -v rows="$rows" '{ v[NR] = $1 } END { printf "%s %.2f\n", rows, v[int((NR + 1) / 2)] / 1000 }'
}

# What people run today: the object, then the query.  Others stand in
# test/bench beside this file.
todays_way()
{
    cat << 'SQL'
ft.archiver()|SELECT * FROM pg_stat_archiver
ft.backend_memory()|SELECT * FROM pg_backend_memory_contexts
ft.deadlock_counts()|SELECT datname, deadlocks FROM pg_stat_database
ft.freeze_age()|SELECT datname, age(datfrozenxid), mxid_age(datminmxid) FROM pg_database
ft.idle_in_transaction()|SELECT pid, usename, now() - state_change AS idle, query FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' ORDER BY 3 DESC
ft.index_advice()|SELECT s.*, pg_relation_size(indexrelid) FROM pg_stat_user_indexes AS s JOIN pg_index AS i USING (indexrelid) WHERE idx_scan = 0 AND NOT indisunique
ft.lock_table()|SELECT mode, count(*) FROM pg_locks GROUP BY mode
ft.long_transactions(interval)|SELECT pid, usename, state, now() - xact_start AS age, query FROM pg_stat_activity WHERE xact_start < now() - interval '60 s' ORDER BY 4 DESC
ft.memory_contexts()|SELECT * FROM pg_backend_memory_contexts
ft.replication_lag()|SELECT application_name, replay_lag, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication UNION ALL SELECT slot_name, NULL, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots
ft.replication_slots()|SELECT slot_name, active, wal_status, safe_wal_size, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots
ft.sequences()|SELECT schemaname, sequencename, last_value, max_value FROM pg_sequences
ft.session_outcomes()|SELECT datname, xact_commit, xact_rollback, sessions_abandoned, sessions_fatal, sessions_killed FROM pg_stat_database
ft.standby_conflicts()|SELECT * FROM pg_stat_database_conflicts
ft.table_freeze_age(bigint,integer)|SELECT oid::regclass, age(relfrozenxid), mxid_age(relminmxid) FROM pg_class WHERE relkind IN ('r', 't', 'm') ORDER BY 2 DESC
ft.wal_rate()|SELECT * FROM pg_stat_wal
ft.worker_status()|SELECT * FROM pg_stat_activity WHERE backend_type LIKE 'fault_tolerance%'
ft.xmin_horizon()|SELECT pid::text, age(backend_xmin) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL UNION ALL SELECT slot_name, age(xmin) FROM pg_replication_slots WHERE xmin IS NOT NULL UNION ALL SELECT gid, age(transaction) FROM pg_prepared_xacts ORDER BY 2 DESC
SQL
}

make_server "$SERVER" 5432 << CONF
shared_preload_libraries = 'fault_tolerance'
max_connections = $((IDLE + ACTIVE + 50))
max_prepared_transactions = 10
max_locks_per_transaction = 128
shared_buffers = 512MB
max_wal_size = 4GB
autovacuum = off
jit = off
fault_tolerance.track_lock_order = on
CONF
start_server "$SERVER"
as_user PGHOST="$SERVER/socket" PGPORT=5432 psql -XAtq -U postgres -d postgres -c "CREATE DATABASE bench"

psql_bench > /dev/null << SQL
CREATE EXTENSION fault_tolerance;
SET synchronous_commit = off;
SELECT format('DO \$\$BEGIN FOR i IN %s .. %s LOOP EXECUTE format(
    ''CREATE TABLE %%I (id integer PRIMARY KEY, t text)'', ''table_'' || i);
    EXECUTE format(''INSERT INTO %%I VALUES (1)'', ''table_'' || i);
    END LOOP; END\$\$', n, least(n + 499, $TABLES))
  FROM generate_series(1, $TABLES, 500) AS n \gexec
INSERT INTO table_1 SELECT generate_series(2, 20001);
DELETE FROM table_1 WHERE id > 1;
SELECT pg_create_physical_replication_slot('unread', true);
BEGIN;
INSERT INTO table_2 VALUES (2);
PREPARE TRANSACTION 'prepared';
VACUUM ANALYZE;
SQL

say "starting $IDLE idle and $ACTIVE active sessions"
# The active ones run one statement for long; so do those that wait.
echo 'SELECT 1; \sleep 1800 s' > "$WORK/tmp/idle.sql"
echo 'SELECT pg_sleep(3600)' > "$WORK/tmp/active.sql"
echo 'UPDATE table_3 SET id = 1 WHERE id = 1' > "$WORK/tmp/waits.sql"
printf 'BEGIN;\nUPDATE table_3 SET id = 1 WHERE id = 1;\n\\sleep 1800 s\n' > "$WORK/tmp/holds.sql"
own "$WORK/tmp"
sessions "$IDLE" "$WORK/tmp/idle.sql" "idle one"
sessions 1 "$WORK/tmp/holds.sql" "holder"
await "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'holder' AND state = 'idle in transaction' AND query LIKE 'UPDATE%'"
sessions 10 "$WORK/tmp/waits.sql" "waiter"
sessions $((ACTIVE - 10)) "$WORK/tmp/active.sql" "active one"
await "SELECT count(*) = $IDLE FROM pg_stat_activity WHERE application_name = 'idle one' AND state = 'idle' AND query LIKE 'SELECT 1%'"
await "SELECT count(*) = $ACTIVE FROM pg_stat_activity WHERE application_name IN ('active one', 'waiter') AND state = 'active'"
await "SELECT bool_and(runs > 1) FROM ft.sampler_tasks() WHERE every > '0'"

psql_bench -F "$(printf '\t')" -f "$WORK/tree/test/sql/calls.sql" |
    awk -F '\t' '$1 == "diagnostic" && $3 == "default" { print $2 "\t" $4 }' > "$WORK/tmp/calls"
todays_way > "$WORK/tmp/todays"

printf '%s tables, %s idle and %s active sessions; medians of %s, ms in the server for all rows and columns\n\n' \
    "$TABLES" "$IDLE" "$ACTIVE" "$RUNS"
printf '| %-52s | %6s | %8s | %8s | %s\n' call rows ms today "today's query"
printf '|---|---:|---:|---:|---|\n'
while IFS=$'\t' read -r object call; do
    read -r rows ms <<< "$(measure "$call")"
    todays=
    query=$(awk -v o="$object|" 'index($0, o) == 1 { print substr($0, length(o) + 1) }' "$WORK/tmp/todays")
    if [ -n "$query" ]; then
        read -r _ todays <<< "$(measure "($query)")"
    fi
    printf '| %-52s | %6s | %8s | %8s | %s\n' "$call" "$rows" "$ms" "$todays" "${query:+\`$query\`}"
done < "$WORK/tmp/calls"
printf '\nms of what is not to be had: its SQLSTATE\n'
psql_bench -c "SELECT 'sampler: ' || task || ' every ' || every || ', last ' || last_duration || ', longest ' || longest_duration FROM ft.sampler_tasks()"
stop_server "$SERVER"
