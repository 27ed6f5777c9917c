#!/usr/bin/env bash
# Who blocks whom, with 50 to 1,000 sessions waiting: ft.blocking_chains()
# against pg_blocking_pids() for each waiter, the usual self-join of pg_locks,
# and a bare look at pg_locks and at pg_stat_activity.  Medians at the client,
# all in one run.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, as a superuser,
# with max_connections above the largest number of sessions; in a database of
# its own that it drops again.  FT_BENCH_SESSIONS, FT_BENCH_SCENES and
# FT_BENCH_ROUNDS change what is measured.
set -euo pipefail
# shellcheck source=test/bench/scene.bash
. "$(dirname "$0")/scene.bash"

sessions=${FT_BENCH_SESSIONS:-50 200 500 1000}
scenes=${FT_BENCH_SCENES:-row relation chain}
rounds=${FT_BENCH_ROUNDS:-5}

own_database ft_bench_blocking
psql -XqAt -v ON_ERROR_STOP=1 > /dev/null << 'SQL'
CREATE TABLE account (id int PRIMARY KEY, balance int) WITH (autovacuum_enabled = off);
INSERT INTO account SELECT n, 100 FROM generate_series(0, 10000) AS n;
SQL
ulimit -n 4096 2>/dev/null || true

# What the first session holds, and what each of the others then does.
declare -A holds=(
    [row]='UPDATE account SET balance = balance + 1 WHERE id = 0;'
    [relation]='LOCK TABLE account IN ACCESS EXCLUSIVE MODE;'
    # the advisory lock holds them until each has its own row
    [chain]='UPDATE account SET balance = balance + 1 WHERE id = 0; SELECT pg_advisory_lock(1);'
)
declare -A waits=(
    [row]='UPDATE account SET balance = balance + 1 WHERE id = 0;'
    [relation]='SELECT count(*) FROM account;'
    [chain]='BEGIN;
UPDATE account SET balance = balance + 1 WHERE id = :client_id + 1;
SELECT pg_advisory_xact_lock_shared(1);
UPDATE account SET balance = balance + 1 WHERE id = :client_id;'
)
declare -A titles=(
    [row]='all on one row'
    [relation]='all on one relation'
    [chain]='each on the one before'
)

# Until so many sessions wait for a lock of a type.
await_waiters() {
    await "SELECT count(*) = $1 FROM pg_stat_activity
            WHERE application_name = 'waiter' AND wait_event_type = 'Lock' AND wait_event ~ '$2'"
}

# Nobody may check for deadlocks while time is taken: see the storm's test.
begin_scene() {
    local scene=$1 n=$2
    open_holder
    tell "BEGIN; ${holds[$scene]}"
    await "SELECT count(*) >= 1 FROM pg_locks WHERE mode IN ('AccessExclusiveLock', 'RowExclusiveLock')
              AND relation = 'account'::regclass AND granted"
    PGOPTIONS="$PGOPTIONS -c deadlock_timeout=1h" hold "$n" waiter "${waits[$scene]}"
    if [ "$scene" = chain ]; then
        await_waiters "$n" advisory
        tell 'SELECT pg_advisory_unlock(1);'
    fi
    await_waiters "$n" 'tuple|transactionid|relation'
}

cat >"$folder/chains.sql" <<'SQL'
SELECT * FROM ft.blocking_chains();
SQL
cat >"$folder/locks.sql" <<'SQL'
SELECT * FROM pg_locks;
SQL
cat >"$folder/activity.sql" <<'SQL'
SELECT * FROM pg_stat_activity;
SQL
cat >"$folder/each.sql" <<'SQL'
SELECT pid, pg_blocking_pids(pid) FROM pg_locks WHERE NOT granted;
SQL
# As the PostgreSQL wiki has it.
cat >"$folder/self_join.sql" <<'SQL'
SELECT blocked_locks.pid AS blocked_pid, blocked_activity.usename AS blocked_user,
       blocking_locks.pid AS blocking_pid, blocking_activity.usename AS blocking_user,
       blocked_activity.query AS blocked_statement, blocking_activity.query AS blocking_statement
  FROM pg_locks blocked_locks
  JOIN pg_stat_activity blocked_activity ON blocked_activity.pid = blocked_locks.pid
  JOIN pg_locks blocking_locks
    ON blocking_locks.locktype = blocked_locks.locktype
   AND blocking_locks.database IS NOT DISTINCT FROM blocked_locks.database
   AND blocking_locks.relation IS NOT DISTINCT FROM blocked_locks.relation
   AND blocking_locks.page IS NOT DISTINCT FROM blocked_locks.page
   AND blocking_locks.tuple IS NOT DISTINCT FROM blocked_locks.tuple
   AND blocking_locks.virtualxid IS NOT DISTINCT FROM blocked_locks.virtualxid
   AND blocking_locks.transactionid IS NOT DISTINCT FROM blocked_locks.transactionid
   AND blocking_locks.classid IS NOT DISTINCT FROM blocked_locks.classid
   AND blocking_locks.objid IS NOT DISTINCT FROM blocked_locks.objid
   AND blocking_locks.objsubid IS NOT DISTINCT FROM blocked_locks.objsubid
   AND blocking_locks.pid <> blocked_locks.pid
  JOIN pg_stat_activity blocking_activity ON blocking_activity.pid = blocking_locks.pid
 WHERE NOT blocked_locks.granted;
SQL
for name in chains locks activity; do
    sed 's/SELECT \*/SELECT count(*)/' "$folder/$name.sql" >"$folder/${name}_count.sql"
done

# Both must say the same before it matters how fast.
check() {
    local wrong
    wrong=$(psql -XqAt <<'SQL'
WITH ours AS (
    SELECT pid, array_agg(DISTINCT blocker_pid ORDER BY blocker_pid) AS blockers
      FROM ft.blocking_edges() GROUP BY pid),
server AS (
    SELECT pid, ARRAY(SELECT DISTINCT unnest(pg_blocking_pids(pid)) ORDER BY 1) AS blockers
      FROM pg_locks WHERE NOT granted)
SELECT count(*) FROM ours FULL JOIN server USING (pid)
 WHERE ours.blockers IS DISTINCT FROM server.blockers;
SQL
    )
    if [ "$wrong" != 0 ]; then
        echo "blocking: of $wrong sessions the blockers are not those of pg_blocking_pids()" >&2
        exit 1
    fi
}

# Median latencies in ms of several scripts.  They take turns, in rounds, so that what
# else runs on the machine meets them alike.
medians() {
    local rounds=$1 times=$2 script
    shift 2
    rm -f "$folder"/log*
    for round in $(seq "$rounds"); do
        for script in "$@"; do
            pgbench -n -t "$times" -f "$folder/$script.sql" \
                -l --log-prefix="$folder/log.$script.$round" >/dev/null 2>&1
        done
    done
    for script in "$@"; do
        # the first of several makes the session's caches
        cat "$folder/log.$script".* | awk -v times="$times" '$2 > 0 || times == 1 {print $3}' | sort -n |
            awk '{v[NR] = $1} END {printf "%.2f ", v[int((NR + 1) / 2)] / 1000}'
    done
    echo
}

printf 'who blocks whom: medians in ms of %s runs (each and self-join: of %s)\n' $((rounds * 10)) "$rounds"
printf 'sent: all rows with all columns; made: SELECT count(*) of them\n'
for scene in $scenes; do
    printf '\n%s\n' "${titles[$scene]}"
    printf '%7s | %-24s | %-24s | %-18s | %s\n' '' '      sent' '      made' '     sent' \
        'times ft.blocking_chains() sent/made'
    printf '%7s | %8s %7s %7s | %8s %7s %7s | %8s %9s | %11s %11s %11s\n' waiting \
        chains locks activ. chains locks activ. each self-join 'locks+act.' each self-join
    for n in $sessions; do
        begin_scene "$scene" "$n"
        check
        read -r chains locks activity chains_made locks_made activity_made < <(
            medians "$rounds" 11 chains locks activity chains_count locks_count activity_count)
        read -r each join < <(medians "$rounds" 1 each self_join)
        awk -v n="$n" -v c="$chains" -v l="$locks" -v a="$activity" \
            -v cm="$chains_made" -v lm="$locks_made" -v am="$activity_made" -v e="$each" -v j="$join" 'BEGIN {
            printf "%7s | %8s %7s %7s | %8s %7s %7s | %8s %9s | %5.1f/%-5.1f %5.0f/%-5.0f %5.0f/%-5.0f\n",
                n, c, l, a, cm, lm, am, e, j, (l + a) / c, (lm + am) / cm, e / c, e / cm, j / c, j / cm }'
        end_scene
    done
done
printf '\nlocks: pg_locks; activ.: pg_stat_activity; each: pg_blocking_pids() of each waiter\n'
