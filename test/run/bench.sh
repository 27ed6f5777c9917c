#!/bin/bash
#
# make bench: runs the benchmarks, test/bench/*.sh, on a private server.
#
# Each finds PGHOST, PGPORT, PGDATABASE and PGUSER set to a database with the
# extension, its library preloaded and its workers off, and prints what it
# measured, with what it compares to measured in the same run.  Figures never
# fail this command; a benchmark that does not run to its end does.
# make bench ONLY=blocking runs those whose name contains the word; settings
# named FT_BENCH_* are handed on to them.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/suite.sh
. "$(dirname "$0")/suite.sh"
# shellcheck source=test/run/cluster.sh
. "$(dirname "$0")/cluster.sh"

need_server
make_work
build_and_install plain || finish

# The server of benchmarks that need no special one, started for the first.
need_shared_server()
{
    [ -z "${SESSION[*]}" ] || return 0
    say "starting a server for 1,100 connections"
    make_server "$WORK/server" 5432 << 'CONF'
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
max_connections = 1100
max_prepared_transactions = 100
shared_buffers = 512MB
max_wal_size = 4GB
jit = off
CONF
    start_server "$WORK/server"
    SESSION=(PGHOST="$WORK/server/socket" PGPORT=5432 PGUSER=postgres PGDATABASE=bench PGAPPNAME=bench)
    for name in $(compgen -v FT_BENCH_); do
        SESSION+=("$name=${!name}")
    done
    as_user "${SESSION[@]}" psql -X -q -v ON_ERROR_STOP=1 -d postgres -c "CREATE DATABASE bench"
    as_user "${SESSION[@]}" psql -X -q -v ON_ERROR_STOP=1 -c "CREATE EXTENSION fault_tolerance"
}

# A benchmark with a line "# bench: own servers" makes them itself, by the
# functions of cluster.sh.
has_own_servers()
{
    grep -q '^# bench: own servers$' "$WORK/tree/$1"
}

run_benchmark()
{
    if has_own_servers "$1"; then
        # shellcheck source=/dev/null
        . "$WORK/tree/$1"
    else
        cd "$WORK/tree"
        as_user "${SESSION[@]}" bash "$1" 2>&1
    fi
}

"$PG_BINDIR/postgres" --version
printf '%s, %s CPUs\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"

SESSION=()
PASSED=0
for benchmark in $(selected_files test/bench '*.sh'); do
    has_own_servers "$benchmark" || need_shared_server
    say "$benchmark"
    # In the background and waited for: what fails in it ends it, not this.
    run_benchmark "$benchmark" &
    if wait $!; then
        passed "$benchmark ran to its end"
    else
        failed "$benchmark"
        tail -n 20 "$WORK/server/server.log" 2> /dev/null || true
    fi
done
finish
