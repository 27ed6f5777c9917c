#!/usr/bin/env bash
# What counting an error costs: the same failing statements with
# fault_tolerance.track_errors on and off, alternating, in one run.
#
# Runs against the server of PGHOST, PGPORT and PGDATABASE.  The statements
# fail inside of a session that goes on, and are logged: that is most of what
# an error costs.  Beside it a statement that does not fail, and the server's
# own work on an error that is not logged.  FT_BENCH_ERRORS is the number of
# errors in a run, FT_BENCH_ROUNDS the number of runs of each kind.
set -euo pipefail

errors=${FT_BENCH_ERRORS:-5000}
rounds=${FT_BENCH_ROUNDS:-15}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

psql -XqAt -v ON_ERROR_STOP=1 -c "SELECT 1 FROM pg_settings WHERE name = 'fault_tolerance.track_errors'" | grep -q 1

for kind in off error unlogged; do
    {
        case $kind in
            unlogged) echo "SET log_min_messages = fatal;" ;;
            *) echo "SET fault_tolerance.track_errors = $kind;" ;;
        esac
        # by the server's own clock, so that what psql does with each is in all
        echo "SELECT clock_timestamp() AS began \\gset"
        for ((i = 0; i < errors; i++)); do
            echo "SELECT 1 / 0;"
        done
        echo "SELECT extract(epoch FROM clock_timestamp() - :'began') * 1000000 / $errors;"
    } > "$folder/$kind.sql"
done

# One process of psql for each run: microseconds per error.
run()
{
    psql -XqAt -f "$folder/$1.sql" 2> /dev/null
}

sessions()
{
    local i

    for ((i = 0; i < $2; i++)); do
        run "$1" &
    done
    wait
}

median()
{
    sort -n "$1" | awk '{ v[NR] = $1 } END { printf "%.2f", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

for clients in 1 8; do
    rm -f "$folder"/*.times
    for ((round = 0; round < rounds; round++)); do
        for kind in off error unlogged; do
            sessions "$kind" "$clients" >> "$folder/$kind.times"
        done
    done
    off=$(median "$folder/off.times")
    on=$(median "$folder/error.times")
    unlogged=$(median "$folder/unlogged.times")
    awk -v clients="$clients" -v rounds="$rounds" -v errors="$errors" -v off="$off" -v on="$on" -v unlogged="$unlogged" 'BEGIN {
        printf "errors: %d session(s), medians of %d runs of %d errors, us per error at the client\n", clients, rounds, errors
        printf "  not logged %8.2f   not counted %8.2f   counted %8.2f   counted / not counted %.3f\n", unlogged, off, on, on / off }'
done

# Reading, with the ring full and some hundred kinds.
{
    for ((i = 0; i < 600; i++)); do
        echo "SET application_name = 'bench $i'; SELECT 1 / 0;"
    done
} | psql -XqAt 2> /dev/null
for call in "ft.errors()" "ft.recent_errors()" "ft.error_rate()"; do
    echo "SELECT count(*) FROM $call;" > "$folder/read.sql"
    printf '  %-20s %s rows, ' "$call" "$(psql -XqAt -c "SELECT count(*) FROM $call")"
    pgbench -n -t 200 -f "$folder/read.sql" 2> /dev/null | sed -n 's/^latency average = /latency /p'
done
