# shellcheck shell=bash disable=SC2034
#
# scene.bash: what benchmarks share that run in a database of their own, beside
# sessions of their own.  Sourced, with the server of PGHOST, PGPORT and
# PGDATABASE; at the end the sessions are ended, the database is dropped, and
# $folder removed.
#
# own_database NAME            makes the database, and is in it from here on
# create_tables N STATEMENTS   with NAME in them for table_1 to table_N
# hold N NAME SCRIPT           N sessions of pgbench called NAME, which repeat it
# open_holder, tell STATEMENT  one session that does as it is told
# await QUERY                  waits until it answers t, a minute at most
# end_scene                    ends what hold and open_holder have begun
# median SCRIPT [OPTIONS]      latency in ms of $folder/SCRIPT.sql in $runs runs
# median_and_slowest STATEMENT the same of a statement, and the slowest
#
folder=$(mktemp -d)
maintenance=${PGDATABASE:-postgres}
database=
crowd=()
holder=

in_maintenance()
{
    psql -XqAt -d "$maintenance" "$@"
}

end_scene()
{
    local pid

    for pid in "${crowd[@]}"; do
        kill "$pid" 2> /dev/null || true
    done
    # pgbench leaves behind what waits for a lock
    for _ in $(seq 300); do
        [ "$(in_maintenance -c "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = '$database' AND application_name <> 'holder'" 2> /dev/null)" = 0 ] && break
        sleep 0.1
    done
    if [ -n "$holder" ]; then
        exec 9>&-
        crowd+=("$holder")
        holder=
    fi
    for pid in "${crowd[@]}"; do
        wait "$pid" 2> /dev/null || true
    done
    crowd=()
}

end_of_benchmark()
{
    end_scene
    rm -rf "$folder"
    in_maintenance -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" > /dev/null 2>&1 || true
}

own_database()
{
    database=$1
    trap end_of_benchmark EXIT
    export PGOPTIONS="-c client_min_messages=warning${PGOPTIONS:+ $PGOPTIONS}"
    in_maintenance -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" -c "CREATE DATABASE $database"
    export PGDATABASE=$database
    psql -XqAt -c "CREATE EXTENSION fault_tolerance"
}

# In transactions of a few hundred tables: each takes a place in the lock table.
create_tables()
{
    psql -XqAt -v ON_ERROR_STOP=1 -v n="$1" -v statements="$2" << 'SQL'
SET synchronous_commit = off;
SELECT format('DO $$BEGIN FOR i IN %s .. %s LOOP EXECUTE replace(%L, ''NAME'', ''table_'' || i); END LOOP; END$$',
              first, least(first + 199, :n), :'statements')
  FROM generate_series(1, :n, 200) AS first \gexec
SQL
}

hold()
{
    printf '%s\n' "$3" > "$folder/$2.sql"
    PGAPPNAME=$2 pgbench -n -c "$1" -j 1 -T 3600 -f "$folder/$2.sql" > /dev/null 2>&1 &
    crowd+=($!)
}

open_holder()
{
    mkfifo "$folder/holder"
    PGAPPNAME=holder psql -XqAt < "$folder/holder" > /dev/null 2>&1 &
    holder=$!
    exec 9> "$folder/holder"
    rm "$folder/holder"
}

tell()
{
    printf '%s\n' "$1" >&9
}

await()
{
    for ((i = 0; i < 600; i++)); do
        [ "$(psql -XqAt -c "$1")" = t ] && return
        sleep 0.1
    done
    echo "the scene does not come about: $1" >&2
    exit 1
}

# All latencies in ms of a script, sorted.
latencies()
{
    local script=$1

    shift
    rm -f "$folder"/log*
    pgbench -n -t "${runs:?}" -f "$folder/$script.sql" -l --log-prefix="$folder/log" "$@" > /dev/null 2>&1
    cat "$folder"/log* | awk '{ print $3 / 1000 }' | sort -n
}

median()
{
    latencies "$@" | awk '{ v[NR] = $1 } END { printf "%.2f", v[int((NR + 1) / 2)] }'
}

median_and_slowest()
{
    printf '%s;\n' "$1" > "$folder/statement.sql"
    latencies statement | awk '{ v[NR] = $1 } END { printf "%.2f %.2f", v[int((NR + 1) / 2)], v[NR] }'
}
