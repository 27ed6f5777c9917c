# shellcheck shell=bash
#
# What the orchestration engine costs, each figure beside its floor from the
# same run: steps a second, the time of a chain of steps, commits and WAL a
# step, transactions when idle, claiming with much to do, and the time until
# work goes on after a crash.
#
# bench: own servers
#
# Executions are made beforehand, with the workers switched off; commits are
# synchronous, and go to the disk that holds the temporary folder (TMPDIR).
# The floor of a step is a commit of one row that is updated: a prepared
# statement of pgbench, by as many sessions as there are executors.
#
# Disks are not as fast in one minute as in the next: steps and their floor take
# turns, and the ratio is the median of the rounds' ratios.
#
# Settings: FT_BENCH_PARTS (default: all of "throughput chain idle claim crash
# churn"), FT_BENCH_STEPS (20000 of each kind), FT_BENCH_ROUNDS (5, into which
# these are divided), FT_BENCH_SECONDS (5, of each floor), FT_BENCH_CHAINS (200), FT_BENCH_PENDING (1000000), FT_BENCH_IDLE (60,
# seconds), FT_BENCH_CONF (more configuration, lines divided by semicolons).
#
ORCHESTRATION=$WORK/orchestration
STEPS=${FT_BENCH_STEPS:-20000}
ROUNDS=${FT_BENCH_ROUNDS:-5}

psql_orchestration()
{
    as_user PGHOST="$ORCHESTRATION/socket" PGPORT=5432 PGOPTIONS="-c client_min_messages=warning" psql -XAtq -v ON_ERROR_STOP=1 -U postgres "$@"
}

ask()
{
    psql_orchestration -d bench -c "$1"
}

# Wait until a query returns true.
await()
{
    local tries=${2:-3000}

    until [ "$(ask "$1")" = t ]; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ]; then
            echo "this did not become true: $1" >&2
            tail -n 20 "$ORCHESTRATION/server.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

workers_off()
{
    ask "ALTER DATABASE bench SET fault_tolerance.auto_recovery = off"
    ask "SELECT ft.wake_worker()" > /dev/null
    await "SELECT count(*) = 0 FROM ft.worker_status() WHERE worker = 'executor' OR worker = 'scheduler' AND state <> 'paused'"
}

workers_on()
{
    ask "ALTER DATABASE bench RESET fault_tolerance.auto_recovery"
}

# What is finished is of no more use.
forget_all()
{
    ask "TRUNCATE ft.orchestration_executions CASCADE"
}

await_all_done()
{
    await "SELECT NOT EXISTS (SELECT FROM ft.orchestration_tasks WHERE status IN ('PENDING', 'RUNNING'))"
}

restart_with()
{
    stop_server "$ORCHESTRATION"
    as_user tee -a "$ORCHESTRATION/data/postgresql.conf" > /dev/null <<< "$1"
    start_server "$ORCHESTRATION"
}

# Commits of one row a second, by so many sessions.
floor()
{
    as_user PGHOST="$ORCHESTRATION/socket" PGPORT=5432 pgbench -n -U postgres -M prepared -c "$1" -j "$1" \
        -T "${FT_BENCH_SECONDS:-5}" -f "$WORK/home/floor.sql" bench 2>&1 | awk '/^tps/ { print $3 }'
}

# Steps a second between the first fifth and the last twentieth: not while
# executors are still being started, nor when some have nothing to do any more.
rate()
{
    ask "WITH done AS (SELECT completed_at, row_number() OVER (ORDER BY completed_at) AS n, count(*) OVER () AS steps
                         FROM ft.orchestration_tasks WHERE completed_at IS NOT NULL $1)
         SELECT round((count(*) - 1) / extract(epoch FROM max(completed_at) - min(completed_at)))
           FROM done WHERE n BETWEEN steps * 0.2 AND steps * 0.95"
}

# One round: so many steps of one execution each; $2 is whether they are declared
# short.  Prints their rate, that of commits before, and commits and bytes of WAL
# for each step.
round_of_steps()
{
    local lsn commits floor steps=$((STEPS / ROUNDS))

    forget_all
    ask "SELECT count(ft.submit('SELECT 1', short => $2)) FROM generate_series(1, $steps)" > /dev/null
    ask "VACUUM ANALYZE ft.orchestration_executions, ft.orchestration_tasks" > /dev/null
    ask "CHECKPOINT"
    floor=$(floor "$1")
    read -r lsn commits <<< "$(ask "SELECT pg_current_wal_lsn(), xact_commit FROM pg_stat_database WHERE datname = 'bench'" | tr '|' ' ')"
    workers_on
    await_all_done
    # executors report their last commits when they leave
    workers_off
    ask "SELECT round((xact_commit - $commits)::numeric / $steps, 2), round((pg_current_wal_lsn() - '$lsn') / $steps)
           FROM pg_stat_database WHERE datname = 'bench'" | tr '|' ' '
    rate ""
    echo "$floor"
}

# Of numbers, one a line.
median()
{
    sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

steps_a_second()
{
    local round rounds last

    rounds=$(for ((round = 0; round < ROUNDS; round++)); do
        round_of_steps "$1" "$2" | tr '\n' ' '
        echo
    done)
    # a floor for what comes after the last round, too
    last=$(floor "$1")
    # each line now: commits and WAL a step, steps/s, commits/s around them, ratio
    rounds=$(awk -v last="$last" '{ per[NR] = $1 " " $2; rate[NR] = $3; floor[NR] = $4 }
        END { floor[NR + 1] = last
              for (i = 1; i <= NR; i++) {
                  around = (floor[i] + floor[i + 1]) / 2
                  print per[i], rate[i], around, rate[i] / around } }' <<< "$rounds")
    printf '  %d executor(s), %-14s %8.0f steps/s  %8.0f commits/s  ratio %.2f (%.2f to %.2f)  %5.2f commits and %5.0f bytes of WAL a step\n' \
        "$1" "$([ "$2" = true ] && echo 'group commit' || echo 'each its own')" \
        "$(awk '{ print $3 }' <<< "$rounds" | median)" "$(awk '{ print $4 }' <<< "$rounds" | median)" \
        "$(awk '{ print $5 }' <<< "$rounds" | median)" \
        "$(awk '{ print $5 }' <<< "$rounds" | sort -n | head -n 1)" "$(awk '{ print $5 }' <<< "$rounds" | sort -n | tail -n 1)" \
        "$(awk '{ print $1 }' <<< "$rounds" | median)" "$(awk '{ print $2 }' <<< "$rounds" | median)"
}

bench_throughput()
{
    local executors

    echo "steps of independent executions, $STEPS of each kind, in $ROUNDS rounds, against commits of one row by as many sessions"
    for executors in 1 8; do
        restart_with "fault_tolerance.max_executors = $executors"
        workers_off
        steps_a_second $executors false
        steps_a_second $executors true
    done
}

# From the commit of ft.start to that of the last step, by the server's own
# commit times; the row of the execution was written last by the last step, its
# checkpoint by ft.start.
chain_latency()
{
    ask "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY taken), percentile_cont(0.95) WITHIN GROUP (ORDER BY taken), count(*)
           FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(e.xmin) - pg_xact_commit_timestamp(c.xmin)) * 1000 AS taken
                   FROM ft.orchestration_executions AS e JOIN ft.orchestration_checkpoints AS c USING (execution_id)
                  WHERE e.status = 'COMPLETED') AS chain"
}

run_chains()
{
    local i

    forget_all
    for ((i = 0; i < $1; i++)); do
        echo "SELECT ft.start('chain') IS NULL AS started \\gset"
        echo "SELECT pg_sleep($2) IS NULL AS slept \\gset"
    done | as_user PGHOST="$ORCHESTRATION/socket" PGPORT=5432 PGOPTIONS="-c client_min_messages=warning" psql -XAtq -v ON_ERROR_STOP=1 -U postgres -d bench -f -
    await_all_done
}

# Five steps that depend on one another, declared short or not.
define_chain()
{
    ask "SELECT ft.define_orchestration('chain', (SELECT jsonb_agg(jsonb_build_object('name', 's' || i, 'command', 'SELECT ' || i, 'short', $1,
             'depends_on', CASE WHEN i = 1 THEN '[]'::jsonb ELSE jsonb_build_array('s' || i - 1) END)) FROM generate_series(1, 5) AS i))" > /dev/null
}

print_chain()
{
    awk -v commits="$2" -v what="$1" -v chain="$3" 'BEGIN {
        five = 5000 / commits
        split(chain, c, "|")
        printf "  %s: median %.2f ms, 95 %% %.2f ms, of %d: %.2f x five commits\n", what, c[1], c[2], c[3], c[1] / five }'
}

bench_chain()
{
    local chains=${FT_BENCH_CHAINS:-200} commits warm short cold

    echo "five steps, each depending on the one before, from the commit of ft.start to the last commit"
    define_chain false
    workers_on
    run_chains "$chains" 0.02
    warm=$(chain_latency)
    commits=$(floor 1)
    define_chain true
    run_chains "$chains" 0.02
    short=$(chain_latency)
    define_chain false
    ask "ALTER SYSTEM SET fault_tolerance.executor_idle_timeout = 0"
    ask "SELECT pg_reload_conf()" > /dev/null
    run_chains $((chains / 10)) 0.3
    cold=$(chain_latency)
    ask "ALTER SYSTEM RESET fault_tolerance.executor_idle_timeout"
    ask "SELECT pg_reload_conf()" > /dev/null
    awk -v commits="$commits" 'BEGIN { printf "  five commits %.2f ms\n", 5000 / commits }'
    print_chain "warm" "$commits" "$warm"
    print_chain "warm, declared short" "$commits" "$short"
    print_chain "cold (an executor has to start)" "$commits" "$cold"
    workers_off
}

# All transactions of the cluster while nothing is asked of it.
bench_idle()
{
    local seconds=${FT_BENCH_IDLE:-60} before after
    local transactions="SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database"

    echo "transactions while idle"
    forget_all
    ask "ALTER SYSTEM SET autovacuum = off"
    ask "SELECT pg_reload_conf()" > /dev/null
    workers_on
    ask "SELECT ft.submit('SELECT 1')" > /dev/null
    await_all_done
    await "SELECT count(*) = 0 FROM ft.worker_status() WHERE worker = 'executor'"
    # sessions that have just ended report late
    sleep 2
    before=$(ask "$transactions")
    sleep "$seconds"
    after=$(ask "$transactions")
    printf '  %d in %d s, in all databases, without autovacuum\n' $((after - before - 1)) "$seconds"
    ask "ALTER SYSTEM RESET autovacuum"
    ask "SELECT pg_reload_conf()" > /dev/null
    workers_off
}

# $1 steps that are due, with $2 behind them in the same lane.
steps_before_many()
{
    forget_all
    ask "SELECT count(ft.submit('SELECT 1')) FROM generate_series(1, $1)" > /dev/null
    ask "WITH execution AS (
             INSERT INTO ft.orchestration_executions
                    (execution_id, owner, owner_oid, managed, tasks_left, created_at, updated_at)
             SELECT ft.uuid_v7(), current_user, current_user::regrole, true, 1, now(), now() FROM generate_series(1, $2)
             RETURNING execution_id)
         INSERT INTO ft.orchestration_tasks (task_id, execution_id, task_name, command, owner_oid, created_at, due_at)
         SELECT ft.uuid_v7(), execution_id, 'behind', 'SELECT 1', current_user::regrole, now(), now() FROM execution"
    ask "CHECKPOINT"
    workers_on
    await "SELECT NOT EXISTS (SELECT FROM ft.orchestration_tasks WHERE task_name = 'command' AND status <> 'COMPLETED')"
    workers_off
    rate "AND task_name = 'command'"
}

bench_claim()
{
    local pending=${FT_BENCH_PENDING:-1000000} few many

    echo "steps a second with others due behind them; no ANALYZE in between"
    ask "ALTER TABLE ft.orchestration_tasks SET (autovacuum_enabled = off)"
    few=$(steps_before_many 4000 1000)
    many=$(steps_before_many 4000 "$pending")
    ask "ALTER TABLE ft.orchestration_tasks RESET (autovacuum_enabled)"
    awk -v few="$few" -v many="$many" -v pending="$pending" 'BEGIN {
        printf "  %.0f with 1000, %.0f with %d: %.2f x\n", few, many, pending, many / few }'
    forget_all
}

# The time at which the server was ready last, from its log.
ready_at()
{
    sed -n 's/^\([-0-9]* [:.0-9]* [A-Z]*\) .*database system is ready to accept connections.*/\1/p' "$ORCHESTRATION/server.log" | tail -n 1
}

bench_crash()
{
    local ready

    echo "kill -9 of the postmaster in the middle of 100 steps"
    forget_all
    ask "SELECT count(ft.submit('SELECT pg_sleep(0.05)')) FROM generate_series(1, 100)" > /dev/null
    workers_on
    await "SELECT count(*) BETWEEN 10 AND 90 FROM ft.orchestration_tasks WHERE status = 'COMPLETED'"
    kill -KILL "$SERVER_PID"
    wait "$SERVER_PID" 2> /dev/null || true
    start_server "$ORCHESTRATION"
    ready=$(ready_at)
    await_all_done
    ask "SELECT format('  next step after %s ms, all %s steps after %s ms, %s of them had been lost, completed %s',
                round(extract(epoch FROM min(completed_at) FILTER (WHERE completed_at > '$ready') - '$ready') * 1000),
                count(*) FILTER (WHERE completed_at > '$ready'),
                round(extract(epoch FROM max(completed_at) - '$ready') * 1000),
                count(*) FILTER (WHERE losses > 0), count(*) FILTER (WHERE status = 'COMPLETED'))
           FROM ft.orchestration_tasks"
    workers_off
}

bench_churn()
{
    local round

    echo "room taken while steps go through: $STEPS in a round, what is done stays"
    for round in 1 2 3 4; do
        workers_on
        ask "SELECT count(ft.submit('SELECT 1')) FROM generate_series(1, $STEPS)" > /dev/null
        await_all_done
        ask "SELECT format('  round %s: %s steps kept, %s dead, due index %s kB, running index %s kB, key %s kB', $round,
                    (SELECT count(*) FROM ft.orchestration_tasks), pg_stat_get_dead_tuples('ft.orchestration_tasks'::regclass),
                    pg_relation_size('ft.idx_tasks_due') / 1024, pg_relation_size('ft.idx_tasks_running') / 1024,
                    pg_relation_size('ft.orchestration_tasks_pkey') / 1024)"
    done
    workers_off
}

make_server "$ORCHESTRATION" 5432 << CONF
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.max_executors = 8
max_worker_processes = 24
max_connections = 50
shared_buffers = 512MB
max_wal_size = 4GB
synchronous_commit = on
track_commit_timestamp = on
autovacuum_naptime = 5s
jit = off
${FT_BENCH_CONF:+${FT_BENCH_CONF//;/$'\n'}}
CONF
start_server "$ORCHESTRATION"
psql_orchestration -d postgres -c "CREATE DATABASE bench"
ask "CREATE EXTENSION fault_tolerance"
ask "CREATE TABLE floor AS SELECT id, 0 AS n FROM generate_series(1, 100000) AS id"
ask "ALTER TABLE floor ADD PRIMARY KEY (id)"
printf '%s\n' '\set id random(1, 100000)' 'UPDATE floor SET n = n + 1 WHERE id = :id;' |
    as_user tee "$WORK/home/floor.sql" > /dev/null
workers_off
for part in ${FT_BENCH_PARTS:-throughput chain idle claim crash churn}; do
    "bench_$part"
done
stop_server "$ORCHESTRATION"
