# shellcheck shell=bash
#
# What the extension costs those who do not ask it anything: CPU time per
# transaction of pgbench -S and of its TPC-B-like script, 8 clients, with the
# library preloaded and everything on, against the library not loaded.
#
# bench: own servers
#
# Three servers with copies of one data folder take turns, one at work at a
# time: "full" with the library and its workers, "plain" without, and "again"
# without too: what plain and again differ by is what the machine does by
# itself.  CPU time is user and system time of all the server's processes,
# those that have ended included, from /proc.  Each round gives one ratio; the
# medians count.
#
# Settings: FT_BENCH_RUNS rounds (default 20) of FT_BENCH_SECONDS (default 5)
# for each server and script, FT_BENCH_SCALE (default 10), FT_BENCH_CLIENTS
# (default 8), FT_BENCH_CONF (more configuration of the full server, lines
# divided by semicolons).
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

# One run; prints microseconds of CPU time per transaction, and transactions
# per second.
measure()
{
    local server=$1 before after out

    shift
    psql_of "$server" -d pgbench -c "CHECKPOINT" -c "VACUUM pgbench_branches" -c "VACUUM pgbench_tellers"
    before=$(cpu_ticks "$server")
    out=$(as_user PGHOST="$WORK/overhead.$server/socket" PGPORT=5432 PGAPPNAME=pgbench \
        pgbench -n -U postgres -c "$CLIENTS" -j 2 -T "${FT_BENCH_SECONDS:-5}" "$@" pgbench 2>&1) || true
    await_quiet "$server"
    after=$(cpu_ticks "$server")
    [[ $out == *"actually processed"* ]] || echo "$out" >&2
    echo "$out" | awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" '
        /transactions actually processed/ { n = $6 }
        /^tps/ { tps = $3 }
        END { if (!n) exit 1; printf "%.3f %.0f\n", ticks * 1000000 / hz / n, tps }'
}

# Median, least and greatest of the numbers of standard input.
spread()
{
    sort -n | awk '{ v[NR] = $1 }
        END { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
              printf "%.4f %.4f %.4f", m, v[1], v[NR] }'
}

# All rounds of one script; the servers' order changes with each.
rounds_of()
{
    local name=$1 round server order
    local results=$WORK/overhead.$name

    shift
    : > "$results"
    for server in plain again full; do
        measure $server "$@" > /dev/null
    done
    for round in $(seq "$RUNS"); do
        case $((round % 3)) in
            0) order="plain full again" ;;
            1) order="full again plain" ;;
            2) order="again plain full" ;;
        esac
        for server in $order; do
            echo "$round $server $(measure "$server" "$@")" >> "$results"
        done
    done
    awk '{ cpu[$1, $2] = $3; n = $1 > n ? $1 : n }
         END { for (i = 1; i <= n; i++) print cpu[i, "full"] / cpu[i, "plain"], cpu[i, "again"] / cpu[i, "plain"] }' \
        "$results" > "$results.ratios"
    # shellcheck disable=SC2046,SC2183
    printf '%-10s | %8.2f %8.2f | %7.4f %7.4f %7.4f | %7.4f %7.4f %7.4f | %6.0f\n' "$name" \
        $(for server in plain full; do awk -v s=$server '$2 == s { print $3 }' "$results" | spread | cut -d ' ' -f 1; done) \
        $(cut -d ' ' -f 1 "$results.ratios" | spread) $(cut -d ' ' -f 2 "$results.ratios" | spread) \
        "$(awk '$2 == "plain" { print $4 }' "$results" | spread | cut -d ' ' -f 1)"
}

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

printf '%s rounds of %s s, %s clients, %s CPUs\n' "$RUNS" "${FT_BENCH_SECONDS:-5}" "$CLIENTS" "$(nproc)"
printf '%-10s | %17s | %23s | %23s | %6s\n' '' 'us of CPU per xact' 'with : without' 'without : without' 'tps'
printf '%-10s | %8s %8s | %7s %7s %7s | %7s %7s %7s |\n' script without with median least most median least most
rounds_of select -S
rounds_of tpc-b
for server in plain again full; do
    stop_server "$WORK/overhead.$server"
done
