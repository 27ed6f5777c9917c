#!/usr/bin/env bash
# What a sample of the history costs with 500 sessions that are busy, and what
# it costs to ask for ten minutes of samples: against a bare look at
# pg_stat_activity, and against one at pg_stat_activity with
# pg_blocking_pids(), which is what is written into a table where nothing else
# is at hand.  All in one run.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE, as a superuser,
# with workers off and max_connections above the number of sessions; in a
# database of its own that it drops again.  FT_BENCH_SESSIONS,
# FT_BENCH_SAMPLES and FT_BENCH_SCENES change what is measured.
set -euo pipefail
# shellcheck source=test/bench/scene.bash
. "$(dirname "$0")/scene.bash"

sessions=${FT_BENCH_SESSIONS:-100 500 1000}
samples=${FT_BENCH_SAMPLES:-600}
scenes=${FT_BENCH_SCENES:-sleep row chain}
runs=11

own_database ft_bench_history
psql -XqAt -v ON_ERROR_STOP=1 > /dev/null << 'SQL'
CREATE TABLE account (id int PRIMARY KEY, balance int) WITH (autovacuum_enabled = off);
INSERT INTO account SELECT n, 100 FROM generate_series(0, 10000) AS n;
SQL
ulimit -n 4096 2>/dev/null || true

# What each of the sessions does; the first holds what all wait for.
declare -A does=(
    [sleep]='SELECT pg_sleep(3600);'
    [row]='UPDATE account SET balance = balance + 1 WHERE id = 0;'
    [chain]='BEGIN; UPDATE account SET balance = 0 WHERE id = :client_id + 1; UPDATE account SET balance = 1 WHERE id = :client_id; END;'
)
declare -A titles=(
    [sleep]='each computes, or waits for nothing that is locked'
    [row]='all wait for one row'
    [chain]='each waits for the one before it'
)

begin_scene() {
    local scene=$1 n=$2 query="wait_event = 'PgSleep'"

    [ "$scene" = sleep ] || query="wait_event_type = 'Lock'"
    open_holder
    tell "BEGIN; UPDATE account SET balance = balance + 1 WHERE id = 0;"
    hold "$n" waiter "${does[$scene]}"
    await "SELECT count(*) = $n FROM pg_stat_activity WHERE application_name = 'waiter' AND $query"
    # each checks for deadlocks once; what that costs is in test/tap/108_history_storm.pl
    psql -XqAt -c "SELECT pg_sleep(2 + extract(epoch FROM current_setting('deadlock_timeout')::interval))" >/dev/null
}

# Median in ms of the numbers that a query answers with.
median_of() {
    psql -XqAt -v ON_ERROR_STOP=1 -c "$1" | sort -n | awk '{v[NR] = $1} END {printf "%.3f", v[int((NR + 1) / 2)]}'
}

timed() {
    echo "$1" >"$folder/timed.sql"
    median timed
}

printf 'medians in ms; history: what is asked of %s samples\n' "$samples"
for scene in $scenes; do
    printf '\n%s\n' "${titles[$scene]}"
    printf '%8s | %8s %9s %9s | %9s %9s %11s %8s\n' sessions sample activity 'with pids' sessions. runs blocking 'runs kept'
    for n in $sessions; do
        begin_scene "$scene" "$n"
        start=$(psql -XqAt -c "SELECT clock_timestamp()")
        # one call a row, each with the duration that it noted
        sample=$(median_of "SELECT extract(epoch FROM s.last_duration) * 1000
            FROM generate_series(1, $samples) AS n, LATERAL (SELECT ft.sampler_tick('history'), n OFFSET 0) AS t,
                 LATERAL (SELECT last_duration, t.n FROM ft.history_status() OFFSET 0) AS s")
        activity=$(timed "SELECT count(*) FROM pg_stat_activity;")
        pids=$(timed "SELECT count(pg_blocking_pids(pid)) FROM pg_stat_activity;")
        all=$(timed "SELECT count(*) FROM ft.session_history('$start');")
        history_runs=$(timed "SELECT count(*) FROM ft.session_history_runs('$start');")
        blocking=$(timed "SELECT count(*) FROM ft.blocking_history('$start');")
        kept=$(psql -XqAt -c "SELECT count(*) FROM ft.session_history_runs('$start')")
        printf '%8s | %8s %9s %9s | %9s %9s %11s %8s\n' "$n" "$sample" "$activity" "$pids" "$all" "$history_runs" "$blocking" "$kept"
        end_scene
    done
done
printf '\nsample: one sample, as it notes its own duration; activity: pg_stat_activity; with pids: the same with\n'
printf 'pg_blocking_pids() of each; sessions.: ft.session_history(); runs: ft.session_history_runs();\n'
printf 'blocking: ft.blocking_history(); runs kept: entries in shared memory that the samples took\n'
