#!/bin/bash
#
# make bench-peers: the orchestration engine beside others that keep their work
# in PostgreSQL: graphile-worker, pg-boss, DBOS.
#
# One private server, the same for all, each with a database of its own, in
# rounds that alternate; test/bench/peers has what is run of each, and says how
# to read the figures.  Figures never fail this command; a peer that cannot be
# run to its end does, and so does a step that took effect twice or not at all
# where nothing was killed.
#
# The peers come from the npm registry, in the versions of
# test/bench/peers/package-lock.json, into a folder beside the roots of
# roots.sh where that can be written, else for this run only.
#
# Settings: FT_BENCH_PARTS (default: all of "throughput chain crash"),
# FT_BENCH_ROUNDS (3), FT_BENCH_STEPS (10000; a fifth of them for what is slow),
# FT_BENCH_CHAINS (40, a round), FT_BENCH_WAIT (30, seconds that a peer is given
# to go on after a kill).
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/suite.sh
. "$(dirname "$0")/suite.sh"
# shellcheck source=test/run/cluster.sh
. "$(dirname "$0")/cluster.sh"

STEPS=${FT_BENCH_STEPS:-10000}
FEW=$((STEPS / 5))
CHAINS=${FT_BENCH_CHAINS:-40}
ROUNDS=${FT_BENCH_ROUNDS:-3}
WAIT=${FT_BENCH_WAIT:-30}
EXECUTORS=8
PEERS=(graphile-worker pg-boss "pg-boss, transactional" DBOS)

# --- the peers -------------------------------------------------------------

# Sets NODE and NODE_MODULES.  The lock file names node itself as well, which
# Debian's may be too old for; scripts of packages are not run.
need_peers()
{
    local dir lock

    command -v npm > /dev/null || need_packages nodejs npm
    lock=$(cat "$TOP/test/bench/peers/package-lock.json" "$TOP/test/bench/peers/package.json" | sha256sum | cut -c 1-16)
    dir=$(dirname "$ROOTS")/peers
    if ! mkdir -p "$dir" 2> /dev/null || [ ! -w "$dir" ]; then
        dir=$WORK/peers.installed
    fi
    dir=$dir/$lock
    NODE_MODULES=$dir/node_modules
    if [ ! -e "$dir/complete" ]; then
        say "fetching the peers (once; about 60 MB)"
        rm -rf "$dir"
        mkdir -p "$dir"
        cp "$TOP/test/bench/peers/package.json" "$TOP/test/bench/peers/package-lock.json" "$dir"
        npm ci --prefix "$dir" --cache "$WORK/npm" --ignore-scripts --no-audit --no-fund > "$WORK/npm.log" 2>&1 || {
            tail -n 20 "$WORK/npm.log" >&2
            die "npm could not install the peers"
        }
        chmod -R a+rX "$dir"
        touch "$dir/complete"
    fi
    NODE=$(find "$NODE_MODULES"/node-linux-*/bin/node 2> /dev/null | head -n 1 || true)
    [ -n "$NODE" ] || NODE=$(command -v node) || die "there is no node for this machine in the packages, nor on the PATH"
}

# "name version" of each package.
peer_versions()
{
    "$NODE" -e '
        const { readFileSync } = require("fs");
        const { dependencies } = JSON.parse(readFileSync(process.argv[1], "utf8"));
        console.log(Object.entries(dependencies).map((pair) => pair.join(" ")).join(", "));' \
        "$TOP/test/bench/peers/package.json"
}

# Goes on as node, at a verb of a peer; further arguments are settings, then
# the verb and its arguments.
become_peer()
{
    local peer=$1 settings=()

    shift
    while [[ $1 == *=* ]]; do
        settings+=("$1")
        shift
    done
    cd "$WORK/peers"
    become_user PGHOST="$SERVER/socket" PGPORT=5432 PGUSER=postgres PGDATABASE="${peer//-/_}" "${settings[@]}" \
        "$NODE" peer.mjs "$peer" "$@" >> "$WORK/peers.log" 2>&1
}

peer()
{
    (become_peer "$@")
}

# --- the server ------------------------------------------------------------

psql_in()
{
    local database=$1

    shift
    as_user PGHOST="$SERVER/socket" PGPORT=5432 PGOPTIONS="-c client_min_messages=warning" psql -XAtq -v ON_ERROR_STOP=1 \
        -U postgres -d "$database" "$@"
}

ask()
{
    psql_in "$1" -c "$2"
}

# Wait until a query is true; fails, and says nothing, after so many seconds.
awaited()
{
    local until=$((SECONDS + $3))

    until [ "$(ask "$1" "$2" 2> /dev/null)" = t ]; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.1
    done
}

await()
{
    awaited "$1" "$2" 300 || {
        echo "this did not become true in $1: $2" >&2
        tail -n 20 "$WORK/peers.log" "$SERVER/server.log" >&2
        return 1
    }
}

TABLES="CREATE TABLE effect (execution int NOT NULL, step int NOT NULL, session int, began timestamptz);
        CREATE TABLE started (execution int NOT NULL)"

fresh_database()
{
    ask postgres "DROP DATABASE IF EXISTS $1 WITH (FORCE)"
    ask postgres "CREATE DATABASE $1"
    ask "$1" "$TABLES"
}

restart_with()
{
    stop_server "$SERVER"
    as_user tee -a "$SERVER/data/postgresql.conf" > /dev/null <<< "$1"
    start_server "$SERVER"
}

# --- ours ------------------------------------------------------------------

workers_off()
{
    ask ours "ALTER DATABASE ours SET fault_tolerance.auto_recovery = off"
    ask ours "SELECT ft.wake_worker()" > /dev/null
    await ours "SELECT count(*) = 0 FROM ft.worker_status() WHERE worker = 'executor' OR worker = 'scheduler' AND state <> 'paused'"
}

workers_on()
{
    ask ours "ALTER DATABASE ours RESET fault_tolerance.auto_recovery"
}

# Arguments: how many, whether they are short, the statement.
submit()
{
    ask ours "TRUNCATE ft.orchestration_executions CASCADE"
    ask ours "TRUNCATE effect, started"
    psql_in ours -v step="$3" > /dev/null << SQL
SELECT count(ft.submit(:'step', jsonb_build_object('execution', n), short => $2)) FROM generate_series(1, $1) AS n
SQL
}

EFFECT="INSERT INTO effect (execution, step) VALUES ((\$1 ->> 'execution')::int, 1)"
SLOW="INSERT INTO effect (execution, step, session, began) SELECT (\$1 ->> 'execution')::int, 1, pg_backend_pid(), now() FROM pg_sleep(0.3)"

# --- what is measured ------------------------------------------------------

# What is left to do as a database itself has it recorded: a query for the count.
left()
{
    case $1 in
        ours) echo "SELECT count(*) FROM ft.orchestration_tasks WHERE status <> 'COMPLETED'" ;;
        graphile_worker) echo "SELECT count(*) FROM graphile_worker._private_jobs" ;;
        pg_boss) echo "SELECT count(*) FROM pgboss.job WHERE name IN ('step', 'slow') AND state <> 'completed'" ;;
        dbos) echo "SELECT count(*) FROM dbos.workflow_status WHERE status <> 'SUCCESS'" ;;
    esac
}

nothing_left()
{
    echo "SELECT 0 = ($(left "$1"))"
}

# Each step has taken effect once.  Arguments: database, executions, steps.
once_each()
{
    [ "$(ask "$1" "SELECT count(*) = $2 * $3 AND count(DISTINCT (execution, step)) = $2 * $3 FROM effect")" = t ] || {
        echo "$1: $(ask "$1" "SELECT count(*), count(DISTINCT (execution, step)) FROM effect") effects and different ones, not $2 * $3" >&2
        return 1
    }
}

# Effects a second by their commit times, between the first fifth and the last
# twentieth: neither while workers start, nor when some have nothing left to do.
rate()
{
    ask "$1" "WITH done AS (SELECT at, row_number() OVER (ORDER BY at) AS n, count(*) OVER () AS steps
                              FROM (SELECT pg_xact_commit_timestamp(xmin) AS at FROM effect) AS effect)
              SELECT round((count(*) - 1) / extract(epoch FROM max(at) - min(at))) FROM done WHERE n BETWEEN steps * 0.2 AND steps * 0.95"
}

# Wait until nothing is left; in one session, because each new one takes time
# of the CPU that is measured.
finished()
{
    psql_in "$1" << SQL
DO \$\$
BEGIN
    FOR i IN 1 .. 1200 LOOP
        IF ($(nothing_left "$1")) THEN RETURN; END IF;
        COMMIT;
        PERFORM pg_sleep(0.25);
    END LOOP;
    RAISE 'there is still work to do';
END \$\$
SQL
}

# Time of the CPU in ms: of one process, and of all that the server has run.
cpu_of()
{
    local pid

    for pid in "$@"; do
        sed 's/.*) //' "/proc/$pid/stat" 2> /dev/null || true
    done | awk -v ticks="$(getconf CLK_TCK)" '{ sum += $12 + $13 + $14 + $15 } END { printf "%.0f\n", sum * 1000 / ticks }'
}

server_cpu()
{
    # shellcheck disable=SC2046
    cpu_of $(processes_in "$SERVER/data")
}

# Where WAL, transactions and CPU time of the server are: wal|transactions|ms.
# A session that ends reports what it has not.
counters()
{
    ask "$1" "SELECT pg_current_wal_lsn(), xact_commit + xact_rollback, $(server_cpu) FROM pg_stat_database WHERE datname = current_database()"
}

# Arguments: database, steps, counters before, CPU time of the client.  Prints
# a line for the results: steps a second, and for each step transactions, WAL,
# and the ms of CPU time of server and client.
costs()
{
    local lsn transactions cpu

    IFS='|' read -r lsn transactions cpu <<< "$3"
    ask "$1" "SELECT $(rate "$1"), round((xact_commit + xact_rollback - $transactions)::numeric / $2, 2), round((pg_current_wal_lsn() - '$lsn') / $2),
                     round(($(server_cpu) - $cpu)::numeric / $2, 3), round($4::numeric / $2, 3)
                FROM pg_stat_database WHERE datname = current_database()"
}

# Results are lines in a file of the part and of whose they are.
record()
{
    mkdir -p "$WORK/results/$1"
    echo "$3" >> "$WORK/results/$1/$2"
}

median()
{
    cut -d '|' -f "$3" "$WORK/results/$1/$2" | sort -n | awk '{ value[NR] = $1 } END { print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'
}

# --- (a) independent steps -------------------------------------------------

# Commits of one row a second, by so many sessions.
floor()
{
    as_user PGHOST="$SERVER/socket" PGPORT=5432 pgbench -n -U postgres -M prepared -c "$1" -j 2 -T 2 -f "$WORK/home/floor.sql" floor 2>&1 |
        awk '/^tps/ { printf "%.0f\n", $3 }'
}

# Arguments: name, how many steps, whether they are short.
ours_throughput()
{
    local before

    submit "$2" "$3" "$EFFECT"
    ask ours "VACUUM ANALYZE ft.orchestration_executions, ft.orchestration_tasks"
    ask ours "CHECKPOINT"
    before=$(counters ours)
    workers_on
    finished ours
    # executors report their last commits when they leave
    workers_off
    once_each ours "$2" 1
    record throughput "$1" "$(costs ours "$2" "$before" 0)"
}

# Arguments: name, peer, how many steps, settings.
peer_throughput()
{
    local name=$1 peer=$2 steps=$3 database=${2//-/_} before worker client

    shift 3
    fresh_database "$database"
    peer "$peer" "$@" enqueue "$steps"
    ask "$database" "VACUUM ANALYZE"
    ask "$database" "CHECKPOINT"
    before=$(counters "$database")
    become_peer "$peer" "$@" work &
    worker=$!
    finished "$database"
    client=$(cpu_of $worker)
    kill -KILL $worker
    wait $worker 2> /dev/null || true
    await "$database" "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    once_each "$database" "$steps" 1
    record throughput "$name" "$(costs "$database" "$steps" "$before" "$client")"
}

round_throughput()
{
    restart_with "fault_tolerance.max_executors = 1"
    workers_off
    ours_throughput "1 executor" $FEW false
    ours_throughput "1 executor, short" "$STEPS" true
    restart_with "fault_tolerance.max_executors = $EXECUTORS"
    workers_off
    record throughput "commits by 8" "$(floor 8)"
    ours_throughput "8 executors" $((FEW * 2)) false
    ours_throughput "8 executors, short" "$STEPS" true
    peer_throughput "graphile-worker" graphile-worker "$STEPS"
    peer_throughput "pg-boss" pg-boss "$STEPS"
    peer_throughput "pg-boss, transactional" pg-boss "$STEPS" FT_BENCH_TRANSACTIONAL=on
    peer_throughput "DBOS" dbos $FEW
    record throughput "commits by 24" "$(floor 24)"
}

# The best median of the peers: the most, or the least.  Arguments: part, and
# "sort" options.
best_peer()
{
    local name

    for name in "${PEERS[@]}"; do
        [ ! -e "$WORK/results/$1/$name" ] || echo "$(median "$1" "$name" 1)|$name"
    done | sort -t '|' "${@:2}" | head -n 1
}

throughput_line()
{
    local column columns=()

    for column in 1 2 3 4 5; do
        columns+=("$(median throughput "$2" $column)")
    done
    printf '  %-26s %8s %10s %9s %9s ms %9s ms\n' "$1" "${columns[@]}"
}

report_throughput()
{
    local best name

    echo
    echo "(a) independent executions of one step, made beforehand; medians of $ROUNDS rounds"
    printf '  %-26s %8s %10s %9s %12s %12s\n' "" "" "commits" "WAL bytes" "CPU a step" "CPU a step" \
        "" "steps/s" "a step" "a step" "server" "client"
    for name in "1 executor" "1 executor, short" "8 executors" "8 executors, short"; do
        throughput_line "ours, $name" "$name"
    done
    for name in "${PEERS[@]}"; do
        throughput_line "$name" "$name"
    done
    for name in "commits by 8" "commits by 24"; do
        printf '  %-26s %8s\n' "one row, $name" "$(median throughput "$name" 1)"
    done
    best=$(best_peer throughput -k 1,1nr)
    for name in "1 executor" "1 executor, short" "8 executors" "8 executors, short"; do
        awk -v ours="$(median throughput "$name" 1)" -v best="$best" -v name="$name" 'BEGIN {
            split(best, peer, "|")
            printf "  ours, %s: %.2f x the fastest peer, %s (wanted: 5)\n", name, ours / peer[1], peer[2] }'
    done
}

# --- (b) a chain of five steps ---------------------------------------------

# From the commit of the start to that of the fifth effect, in ms; what a peer
# records after that does not count.
chain_times()
{
    ask "$1" "SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY taken)::numeric, 2), round(percentile_cont(0.95) WITHIN GROUP (ORDER BY taken)::numeric, 2)
                FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(e.xmin) - pg_xact_commit_timestamp(s.xmin)) * 1000 AS taken
                        FROM started AS s JOIN effect AS e ON e.execution = s.execution AND e.step = 5) AS chain"
}

ours_chain()
{
    local i

    ask ours "TRUNCATE ft.orchestration_executions CASCADE"
    ask ours "TRUNCATE effect, started"
    ask ours "SELECT ft.define_orchestration('chain', (SELECT jsonb_agg(jsonb_build_object('name', 's' || i,
                  'command', format('INSERT INTO effect (execution, step) VALUES ((\$1 ->> ''execution'')::int, %s)', i),
                  'depends_on', CASE WHEN i = 1 THEN '[]'::jsonb ELSE jsonb_build_array('s' || i - 1) END)) FROM generate_series(1, 5) AS i))" > /dev/null
    workers_on
    # an executor that waits, as the peers' workers do
    ask ours "SELECT ft.submit('SELECT 1')" > /dev/null
    await ours "$(nothing_left ours)"
    for ((i = 1; i <= CHAINS; i++)); do
        echo "BEGIN;
              INSERT INTO started (execution) VALUES ($i);
              SELECT ft.start('chain', '{\"execution\": $i}') AS execution_id \\gset
              COMMIT;
              SELECT ft.wait(:'execution_id', '60 s') AS status, pg_sleep(0.02) \\gset"
    done | as_user PGHOST="$SERVER/socket" PGPORT=5432 PGOPTIONS="-c client_min_messages=warning" psql -XAtq -v ON_ERROR_STOP=1 \
        -U postgres -d ours -f -
    workers_off
    once_each ours "$CHAINS" 5
    record chain ours "$(chain_times ours)"
}

# Arguments: name, peer, settings.
peer_chain()
{
    local name=$1 peer=$2 database=${2//-/_}

    shift 2
    fresh_database "$database"
    peer "$peer" "$@" chain "$CHAINS"
    once_each "$database" "$CHAINS" 5
    record chain "$name" "$(chain_times "$database")"
}

round_chain()
{
    ours_chain
    peer_chain graphile-worker graphile-worker
    peer_chain pg-boss pg-boss
    peer_chain DBOS dbos
    record chain "one commit" "$(awk -v rate="$(floor 1)" 'BEGIN { printf "%.2f\n", 1000 / rate }')"
}

report_chain()
{
    local name

    echo
    echo "(b) five dependent steps, from the commit of the start to that of the fifth effect; medians of $ROUNDS rounds of $CHAINS"
    for name in ours graphile-worker pg-boss DBOS; do
        printf '  %-38s median %8s ms, 95 %% %8s ms\n' "$name" "$(median chain "$name" 1)" "$(median chain "$name" 2)"
    done
    printf '  %-38s        %8s ms\n' "five commits of one row" "$(awk -v one="$(median chain "one commit" 1)" 'BEGIN { printf "%.2f", 5 * one }')"
    awk -v ours="$(median chain ours 1)" -v best="$(best_peer chain -k 1,1n)" 'BEGIN {
        split(best, peer, "|")
        printf "  ours takes %.2f of the time of the fastest peer, %s (wanted: 0.33)\n", ours / peer[1], peer[2] }'
}

# --- (f) recovery ----------------------------------------------------------

SUPERVISOR=

# Run the worker of a peer, and run it again whenever it has ended.
supervise()
{
    while true; do
        become_peer "$@" work &
        echo $! > "$WORK/worker.pid"
        wait $! 2> /dev/null || true
        sleep 0.1
    done
}

worker_pid()
{
    cat "$WORK/worker.pid"
}

end_supervision()
{
    kill -KILL "$SUPERVISOR" 2> /dev/null || true
    wait "$SUPERVISOR" 2> /dev/null || true
    kill -KILL "$(worker_pid)" 2> /dev/null || true
    SUPERVISOR=
}

kill_server()
{
    kill -KILL "$SERVER_PID"
    wait "$SERVER_PID" 2> /dev/null || true
    start_server "$SERVER"
}

# The time at which the server was ready last, from its log.
ready_at()
{
    sed -n 's/^\([-0-9]* [:.0-9]* [A-Z]*\) .*database system is ready to accept connections.*/\1/p' "$SERVER/server.log" | tail -n 1
}

# What is not on the disk yet would be written during the server's recovery.
write_out()
{
    ask postgres "CHECKPOINT"
    sync -f "$SERVER/data"
}

# In the middle of 100 slow steps: kill, see what comes of it.  Arguments:
# name, database, "worker" or "server"; $KILLED, in the first case, is the
# process.  Sessions that were there before may still commit: they do not count.
# Not in a subshell: the server that is started is to be a child.
kill_in_the_middle()
{
    local name=$1 database=$2 killed=$3 since new ready

    await "$database" "SELECT count(*) >= 20 FROM effect"
    ask "$database" "CREATE TABLE old_session AS SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    ready=$(ready_at)
    since=$(date '+%Y-%m-%d %H:%M:%S.%N %z')
    if [ "$killed" = server ]; then
        kill_server
        since=$(ready_at)
    else
        kill -KILL "$KILLED"
    fi
    awaited "$database" "$(nothing_left "$database")" "$WAIT" || true
    printf '  %-16s %-7s ' "$name" "$killed:"
    new="began > '$since' AND session NOT IN (SELECT pid FROM old_session)"
    ask "$database" "SELECT format('%s ms to the next step, %s ms to the end of the last of %s; %s of 100 took effect, %s twice; %s not recorded as done',
                            round(extract(epoch FROM min(began) FILTER (WHERE $new) - '$since') * 1000),
                            round(extract(epoch FROM max(pg_xact_commit_timestamp(xmin)) FILTER (WHERE $new) - '$since') * 1000),
                            count(*) FILTER (WHERE $new), count(DISTINCT execution), count(*) - count(DISTINCT execution), ($(left "$database")))
                       FROM effect"
    if [ "$killed" = worker ] && [ "$(ready_at)" != "$ready" ]; then
        ask "$database" "SELECT format('  %27s (the server was ready again after %s ms)', '', round(extract(epoch FROM timestamptz '$(ready_at)' - '$since') * 1000))"
    fi
    ask "$database" "DROP TABLE old_session"
}

ours_crash()
{
    local killed=$1

    workers_off
    submit 100 false "$SLOW"
    write_out
    workers_on
    await ours "SELECT count(*) > 0 FROM effect"
    KILLED=$(ask ours "SELECT pid FROM ft.worker_status() WHERE worker = 'executor' LIMIT 1")
    kill_in_the_middle ours ours "$killed"
}

peer_crash()
{
    local name=$1 peer=$2 killed=$3 database=${2//-/_}
    local settings=("FT_BENCH_CONCURRENCY=$EXECUTORS" FT_BENCH_BATCHES=off)

    fresh_database "$database"
    peer "$peer" "${settings[@]}" enqueue-slow 100
    write_out
    supervise "$peer" "${settings[@]}" &
    SUPERVISOR=$!
    await "$database" "SELECT count(*) > 0 FROM effect"
    KILLED=$(worker_pid)
    kill_in_the_middle "$name" "$database" "$killed"
    end_supervision
}

bench_crash()
{
    local killed

    echo
    echo "(f) kill -9 in the middle of 100 steps of 0.3 s, $EXECUTORS at a time: of a worker, of the server (then from when it is ready);"
    echo "    what is not recorded as done within $WAIT s is held by what was killed until the peer takes it for lost"
    for killed in worker server; do
        ours_crash $killed
        peer_crash graphile-worker graphile-worker $killed
        peer_crash pg-boss pg-boss $killed
        peer_crash DBOS dbos $killed
    done
    workers_off
}

# --- all of it -------------------------------------------------------------

make_everything()
{
    make_server "$SERVER" 5432 << CONF
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.max_executors = $EXECUTORS
max_worker_processes = 24
max_connections = 100
shared_buffers = 512MB
max_wal_size = 4GB
synchronous_commit = on
track_commit_timestamp = on
jit = off
CONF
    start_server "$SERVER"
    mkdir "$WORK/peers"
    cp "$TOP"/test/bench/peers/*.mjs "$TOP/test/bench/peers/package.json" "$WORK/peers"
    ln -s "$NODE_MODULES" "$WORK/peers/node_modules"
    fresh_database floor
    echo 'INSERT INTO effect (execution, step) VALUES (1, 1);' | as_user tee "$WORK/home/floor.sql" > /dev/null
    fresh_database ours
    ask ours "CREATE EXTENSION fault_tolerance"
    workers_off
}

has_part()
{
    case " ${FT_BENCH_PARTS:-throughput chain crash} " in
        *" $1 "*) ;;
        *) return 1 ;;
    esac
}

need_server
make_work
need_peers
build_and_install plain || finish

"$PG_BINDIR/postgres" --version
printf 'node %s, %s\n' "$("$NODE" --version)" "$(peer_versions)"
cat << 'TEXT'
Ours runs the steps inside the server: there is no client and no round trip in
between, which the peers have, over a socket of this machine.  A step of ours,
its record and what it makes due are one commit: it takes effect exactly once.
So does a job of pg-boss that is transactional, and one of graphile-worker adds
the next in the transaction of its effect; else the peers commit the effect, and
then the record of it: what is killed in between takes effect twice.
TEXT

# In the background and waited for: what fails in it ends it, not this.  The
# server is a child of it, as start_server wants it.
bench()
{
    local round

    make_everything
    printf '%s, %s CPUs, data on %s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(stat -f -c %T "$SERVER/data")"
    for ((round = 1; round <= ROUNDS; round++)); do
        say "round $round of $ROUNDS; load $(cut -d ' ' -f 1-3 /proc/loadavg)"
        if has_part throughput; then round_throughput; fi
        if has_part chain; then round_chain; fi
    done
    if has_part throughput; then report_throughput; fi
    if has_part chain; then report_chain; fi
    if has_part crash; then bench_crash; fi
    stop_server "$SERVER"
}

SERVER=$WORK/server
PASSED=0
bench &
if wait $!; then
    passed "all ran to their end, each step once where nothing was killed"
else
    failed "bench-peers"
    tail -n 20 "$WORK/peers.log" "$SERVER/server.log" 2> /dev/null || true
fi
finish
