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
as_user "${SESSION[@]}" psql -X -A -t -c "SELECT version()"
printf '%s, %s CPUs\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"

PASSED=0
for benchmark in $(selected_files test/bench '*.sh'); do
    say "$benchmark"
    if (cd "$WORK/tree" && as_user "${SESSION[@]}" bash "$benchmark" 2>&1); then
        passed "$benchmark ran to its end"
    else
        failed "$benchmark"
        tail -n 20 "$WORK/server/server.log"
    fi
done
finish
