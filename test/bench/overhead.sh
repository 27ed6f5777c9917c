# shellcheck shell=bash
#
# What the extension costs those who do not ask it anything: CPU time per
# transaction of pgbench -S and of its TPC-B-like script, 8 clients, with the
# library preloaded and everything on, against the library not loaded.
#
# bench: own servers
#
# Three servers with copies of one data folder: "full" with the library and its
# workers, "plain" without, and "again" without too: what plain and again
# differ by is what the machine does by itself.  Two servers are measured at
# the same time, each with its clients on a CPU of its own, and once more with
# the CPUs exchanged: what slows the machine down meanwhile slows both, and
# what one CPU is better than the other cancels out.  CPU time is user and
# system time of all the server's processes, those that have ended included,
# from /proc.  Each round gives one ratio; the medians count.
#
# Settings: FT_BENCH_RUNS rounds (default 20) of FT_BENCH_SECONDS (default 3)
# for each script, FT_BENCH_SCALE (default 10), FT_BENCH_CLIENTS (default 8),
# FT_BENCH_CONF (more configuration of the full server, lines divided by
# semicolons).
#
RUNS=${FT_BENCH_RUNS:-20}
CLIENTS=${FT_BENCH_CLIENTS:-8}

# Memory that does not grow, WAL that is not written back meanwhile.
OVERHEAD_CONF="max_connections = 50
shared_buffers = 512MB
max_wal_size = 16GB
checkpoint_timeout = 1h
autovacuum = off
synchronous_commit = off"

# What is off unless it is asked for, and meant to be on always.
OVERHEAD_FULL="shared_preload_libraries = 'fault_tolerance'
fault_tolerance.track_lock_order = on"

psql_of()
{
    local server=$WORK/overhead.$1

    shift
    as_user PGHOST="$server/socket" PGPORT=5432 psql -XAtq -v ON_ERROR_STOP=1 -U postgres "$@"
}

# User and system time of a server's processes until now, in clock ticks: of
# the postmaster, of its children that have ended (they count as soon as it has
# waited for them), and of those alive.
cpu_ticks()
{
    local postmaster pid

    postmaster=$(head -n 1 "$WORK/overhead.$1/data/postmaster.pid")
    # After the name, which may have blanks: state ppid ... utime (12th)
    # stime cutime cstime.
    {
        sed 's/.*) //' "/proc/$postmaster/stat" | awk '{ print $12 + $13 + $14 + $15 }'
        # One may end meanwhile.
        tr ' ' '\n' < "/proc/$postmaster/task/$postmaster/children" | while read -r pid; do
            { sed 's/.*) //' "/proc/$pid/stat" 2> /dev/null || true; } | awk '{ print $12 + $13 }'
        done
    } | awk '{ sum += $1 } END { print sum }'
}

# Until all client sessions are gone, and their time counted.
await_quiet()
{
    local tries=100

    while [ "$(psql_of "$1" -d postgres -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'")" != 0 ] &&
        [ $tries -gt 0 ]; do
        sleep 0.05
        tries=$((tries - 1))
    done
}

# Have a server, and what it starts from now on, run on one CPU.
pin()
{
    local postmaster

    postmaster=$(head -n 1 "$WORK/overhead.$1/data/postmaster.pid")
    # A child may end meanwhile.
    for pid in $postmaster $(cat "/proc/$postmaster/task/$postmaster/children"); do
        taskset -pc "$2" "$pid" > /dev/null 2>&1 || true
    done
}

# One run on one CPU; prints microseconds of CPU time per transaction, and
# transactions per second.
measure()
{
    local server=$1 cpu=$2 before after out

    shift 2
    pin "$server" "$cpu"
    before=$(cpu_ticks "$server")
    out=$(as_user PGHOST="$WORK/overhead.$server/socket" PGPORT=5432 PGAPPNAME=pgbench \
        taskset -c "$cpu" pgbench -n -U postgres -c "$CLIENTS" -j 1 -T "${FT_BENCH_SECONDS:-3}" "$@" pgbench 2>&1) || true
    await_quiet "$server"
    after=$(cpu_ticks "$server")
    [[ $out == *"actually processed"* ]] || echo "$out" >&2
    echo "$out" | awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" '
        /transactions actually processed/ { n = $6 }
        /^tps/ { tps = $3 }
        END { if (!n) exit 1; printf "%.3f %.0f\n", ticks * 1000000 / hz / n, tps }'
}

# Two servers at the same time, and again with the CPUs exchanged; prints the
# ratio of the first's CPU time to the second's, both CPU times, and the
# transactions per second of the second.
measure_pair()
{
    local left=$1 right=$2 server

    shift 2
    for server in $left $right; do
        psql_of "$server" -d pgbench -c "CHECKPOINT" -c "VACUUM pgbench_branches" -c "VACUUM pgbench_tellers"
    done
    for cpus in "$CPU_A $CPU_B" "$CPU_B $CPU_A"; do
        measure "$left" "${cpus% *}" "$@" > "$WORK/overhead.left" &
        server=$!
        measure "$right" "${cpus#* }" "$@" > "$WORK/overhead.right"
        wait $server
        paste -d ' ' "$WORK/overhead.left" "$WORK/overhead.right"
    done | awk '{ ratio += log($1 / $3) / 2; left += $1 / 2; right += $3 / 2; tps += $4 / 2 }
        END { printf "%.4f %.3f %.3f %.0f\n", exp(ratio), left, right, tps }'
}

# Median, least and greatest of the numbers of standard input.
spread()
{
    sort -n | awk '{ v[NR] = $1 }
        END { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
              printf "%.4f %.4f %.4f", m, v[1], v[NR] }'
}

# All rounds of one script.
rounds_of()
{
    local name=$1 round
    local results=$WORK/overhead.$name

    shift
    : > "$results.full"
    : > "$results.again"
    measure_pair full plain "$@" > /dev/null
    measure_pair again plain "$@" > /dev/null
    for ((round = 0; round < RUNS; round++)); do
        measure_pair full plain "$@" >> "$results.full"
        measure_pair again plain "$@" >> "$results.again"
    done
    # shellcheck disable=SC2046,SC2183
    printf '%-10s | %8.2f %8.2f | %7.4f %7.4f %7.4f | %7.4f %7.4f %7.4f | %6.0f\n' "$name" \
        $(for column in 3 2; do cut -d ' ' -f $column "$results.full" | spread | cut -d ' ' -f 1; done) \
        $(cut -d ' ' -f 1 "$results.full" | spread) $(cut -d ' ' -f 1 "$results.again" | spread) \
        "$(cut -d ' ' -f 4 "$results.full" | spread | cut -d ' ' -f 1)"
}

read -r CPU_A CPU_B <<< "$(taskset -pc $$ | sed 's/.*: //' | tr ',' '\n' |
    awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) printf "%s ", i }')"
CPU_B=${CPU_B%% *}
if [ -z "$CPU_B" ]; then
    echo "this benchmark needs two CPUs" >&2
    false
fi

make_server "$WORK/overhead.plain" 5432 <<< "$OVERHEAD_CONF"
start_server "$WORK/overhead.plain"
psql_of plain -d postgres -c "CREATE DATABASE pgbench"
as_user PGHOST="$WORK/overhead.plain/socket" PGPORT=5432 pgbench -U postgres -q -i -s "${FT_BENCH_SCALE:-10}" pgbench > /dev/null 2>&1
psql_of plain -d pgbench -c "VACUUM FREEZE ANALYZE"
stop_server "$WORK/overhead.plain"
for server in again full; do
    mkdir -p "$WORK/overhead.$server/socket"
    cp -a "$WORK/overhead.plain/data" "$WORK/overhead.$server/data"
    chmod 700 "$WORK/overhead.$server" "$WORK/overhead.$server/socket"
    own "$WORK/overhead.$server"
    configure_server "$WORK/overhead.$server" 5432
done
as_user tee -a "$WORK/overhead.full/data/postgresql.conf" > /dev/null <<< "$OVERHEAD_FULL
${FT_BENCH_CONF:+${FT_BENCH_CONF//;/$'\n'}}"
for server in plain again full; do
    start_server "$WORK/overhead.$server"
done
psql_of full -d pgbench -c "CREATE EXTENSION fault_tolerance"
psql_of full -d pgbench -c "SELECT name || ' = ' || setting || coalesce(' ' || unit, '') FROM pg_settings
    WHERE name LIKE 'fault\_tolerance.%' AND (vartype = 'bool' OR name ~ 'interval|threshold')" | paste -sd ';' | sed 's/;/; /g' | fold -s -w 120

printf '%s rounds of %s s, %s clients and one CPU for each server\n' "$RUNS" "${FT_BENCH_SECONDS:-3}" "$CLIENTS"
printf '%-10s | %17s | %23s | %23s | %6s\n' '' 'us of CPU per xact' 'with : without' 'without : without' 'tps'
printf '%-10s | %8s %8s | %7s %7s %7s | %7s %7s %7s |\n' script without with median least most median least most
rounds_of select -S
rounds_of tpc-b
for server in plain again full; do
    stop_server "$WORK/overhead.$server"
done
