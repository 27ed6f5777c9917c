# shellcheck shell=bash
#
# The same question as overhead.sh, answered without noise: how many
# instructions a backend runs for one transaction of pgbench, with the library
# preloaded and everything on, against the library not loaded.
#
# bench: own servers
#
# The server runs under callgrind, which counts instructions and is as exact on
# a busy machine as on an idle one.  Two runs of different length are
# subtracted, so that connecting, and filling caches, falls out.  What the
# kernel does for a transaction is not counted, and is not changed by the
# extension: of the whole CPU time its share is less than what is shown here.
#
# Settings: FT_BENCH_CONF (more configuration of the server with the library,
# lines divided by semicolons).
#
SHORT_RUN=300
LONG_RUN=1300

# Start the server in $WORK/instructions.$1 under callgrind.
start_counted()
{
    local server=$WORK/instructions.$1 tries=1200

    become_user setsid valgrind --tool=callgrind --trace-children=yes \
        --callgrind-out-file="$server/counts/%p" --log-file="$server/counts/log.%p" \
        "$PG_BINDIR/postgres" -D "$server/data" >> "$server/server.log" 2>&1 &
    until as_user pg_isready -q -U postgres -d postgres -h "$server/socket" -p 5432; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ]; then
            tail -n 20 "$server/server.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# Instructions of each run of pgbench, in their order.  It opens a session
# before, to look at the tables: that one is left out.
counts_of()
{
    local server=$WORK/instructions.$1 pid

    sed -n 's/^.*\[\([0-9]*\)\] counted LOG:  disconnection.*/\1/p' "$server/server.log" |
        while read -r pid; do
            sed -n 's/^\(summary\|totals\): *\([0-9]*\).*/\2/p' "$server/counts/$pid" | tail -n 1
        done | awk 'NR % 2 == 0'
}

# Run the scripts on one server; prints instructions per transaction of each.
measure_instructions()
{
    local server=$WORK/instructions.$1 script n

    start_counted "$1"
    for script in "-S" "-N" "-b tpcb-like" "-S -M prepared"; do
        for n in $SHORT_RUN $LONG_RUN; do
            # shellcheck disable=SC2086
            as_user PGHOST="$server/socket" PGPORT=5432 PGAPPNAME=counted \
                pgbench -n -U postgres -c 1 -t $n --random-seed=1 $script pgbench > "$server/pgbench.log" 2>&1 || {
                cat "$server/pgbench.log" >&2
                return 1
            }
        done
    done
    stop_server "$server"
    counts_of "$1" | awk -v n=$((LONG_RUN - SHORT_RUN)) 'NR % 2 { short = $1; next } { printf "%.0f\n", ($1 - short) / n }'
}

need_packages valgrind
make_server "$WORK/instructions.without" 5432 << CONF
max_connections = 20
shared_buffers = 64MB
autovacuum = off
fsync = off
log_disconnections = on
log_min_messages = log
CONF
start_server "$WORK/instructions.without"
as_user PGHOST="$WORK/instructions.without/socket" PGPORT=5432 psql -XAtq -U postgres -d postgres -c "CREATE DATABASE pgbench"
as_user PGHOST="$WORK/instructions.without/socket" PGPORT=5432 pgbench -U postgres -q -i -s 1 pgbench > /dev/null 2>&1
as_user PGHOST="$WORK/instructions.without/socket" PGPORT=5432 psql -XAtq -U postgres -d pgbench -c "VACUUM FREEZE ANALYZE"
stop_server "$WORK/instructions.without"
mkdir -p "$WORK/instructions.with/socket"
cp -a "$WORK/instructions.without/data" "$WORK/instructions.with/data"
chmod 700 "$WORK/instructions.with" "$WORK/instructions.with/socket"
own "$WORK/instructions.with"
configure_server "$WORK/instructions.with" 5432
as_user tee -a "$WORK/instructions.with/data/postgresql.conf" > /dev/null <<< "shared_preload_libraries = 'fault_tolerance'
fault_tolerance.track_lock_order = on
${FT_BENCH_CONF:+${FT_BENCH_CONF//;/$'\n'}}"
for server in without with; do
    mkdir -p "$WORK/instructions.$server/counts"
    own "$WORK/instructions.$server/counts"
    measure_instructions $server > "$WORK/instructions.$server.list"
done
printf '%-22s | %10s %10s | %s\n' 'instructions per xact' without with 'with : without'
paste "$WORK/instructions.without.list" "$WORK/instructions.with.list" |
    paste <(printf '%s\n' 'select' 'simple update' 'tpc-b' 'select, prepared') - |
    awk -F '\t' '{ printf "%-22s | %10d %10d | %.4f\n", $1, $2, $3, $3 / $2 }'
