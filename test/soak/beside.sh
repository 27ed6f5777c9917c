# shellcheck shell=bash disable=SC2034
#
# beside.sh: a server with everything of the extension on, sessions that call
# all its diagnostics in a loop, and a suite of the server's own beside them.
# Sourced by soak.sh.
#
# The suite runs twice: first without the extension, beside as many sessions
# that read what people read today, then with it.  Only what fails the second
# time alone is a finding: a spec may fail because sessions hold snapshots, or
# because the machine is slow.
#

# Start a server in a folder with "everything on": the library preloaded, its
# workers at work, each of its settings that can be switched on, and each of
# its intervals at most a second.  Arguments: folder, further configuration.
start_full_server()
{
    make_server "$1" 5432 <<< "$SOAK_CONF
shared_preload_libraries = 'fault_tolerance'"
    start_server "$1"
    psql_in "$1" postgres postgres > /dev/null << 'SQL'
        SELECT format('ALTER SYSTEM SET %s = %L', name,
                      CASE WHEN vartype = 'bool' THEN 'on'
                           WHEN name LIKE '%slow_statement_threshold' THEN '1'
                           ELSE least(setting::numeric, greatest(min_val::numeric, 1000 / CASE unit WHEN 's' THEN 1000 ELSE 1 END))::text
                      END)
          FROM pg_settings
         WHERE name LIKE 'fault\_tolerance.%'
           AND (vartype = 'bool'
                OR (vartype = 'integer' AND unit IN ('ms', 's') AND name ~ '_interval$|slow_statement_threshold$')) \gexec
SQL
    end_server "$1"
    start_server "$1"
    psql_in "$1" postgres postgres -c "SELECT name || ' = ' || current_setting(name) FROM pg_settings WHERE name LIKE 'fault\_tolerance.%'" \
        > "$1/settings"
}

# What a busy site would have, and what the server's tests ask for.
SOAK_CONF="max_connections = 100
max_prepared_transactions = 10
max_worker_processes = 24
wal_level = logical
max_wal_size = 2GB
log_error_verbosity = verbose
log_lock_waits = on"

# Arguments: folder, database, user, then those of psql.
psql_in()
{
    local folder=$1 database=$2 user=$3

    shift 3
    as_user PGHOST="$folder/socket" PGPORT=5432 PGAPPNAME="${SOAK_NAME:-soak setup}" \
        psql -XAtq -v ON_ERROR_STOP="${SOAK_STOP:-1}" -d "$database" -U "$user" "$@"
}

# Shut it down; if it does not, who is left says why.
end_server()
{
    local left

    left=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null) || return 0
    if ! stop_server "$1"; then
        failed "the server does not shut down, there were: $(pgrep -a -P "$left" | cut -d ' ' -f 2- | tr '\n' ';')"
        kill -QUIT "$left" 2> /dev/null || true
    fi
}

# As pg_regress makes it.
make_test_database()
{
    psql_in "$1" postgres postgres << SQL
CREATE DATABASE "$2" TEMPLATE template0;
ALTER DATABASE "$2" SET lc_messages TO 'C';
ALTER DATABASE "$2" SET lc_monetary TO 'C';
ALTER DATABASE "$2" SET lc_numeric TO 'C';
ALTER DATABASE "$2" SET lc_time TO 'C';
ALTER DATABASE "$2" SET bytea_output TO 'hex';
ALTER DATABASE "$2" SET timezone_abbreviations TO 'Default';
SQL
}

# The statements that a caller makes, one a line.
list_calls()
{
    psql_in "$1" "$2" postgres -F "$(printf '\t')" -f "$WORK/tree/test/sql/calls.sql" |
        awk -F '\t' '$1 == "diagnostic" { print "SELECT count(t::text) FROM " $4 " AS t" }'
}

USUAL_CALLS='SELECT count(t::text) FROM pg_stat_activity AS t
SELECT count(t::text) FROM pg_locks AS t
SELECT count(t::text) FROM pg_stat_database AS t
SELECT count(t::text) FROM pg_stat_all_tables AS t
SELECT count(t::text) FROM pg_stat_replication AS t
SELECT count(t::text) FROM pg_replication_slots AS t
SELECT pg_blocking_pids(pid) FROM pg_stat_activity
SELECT pg_database_size(current_database())'

# One session that calls everything, in random order, again and again, with a
# new connection for each round, until the file given last is gone.
call_loop()
{
    local folder=$1 database=$2 user=$3 calls=$4 log=$5 go=$6 limit=${SOAK_CALL_LIMIT:-20} status

    while [ -e "$go" ]; do
        awk '{ print NR "\t" $0 }' "$calls" | shuf |
            awk -F '\t' -v limit="$limit" '
                BEGIN { print "SET statement_timeout = '\''" limit "s'\'';\nSET client_min_messages = error;\n\\set VERBOSITY verbose" }
                { print $2 ";\n\\echo called :SQLSTATE " $1 "\n" }' > "$log.sql"
        status=0
        SOAK_NAME=soak SOAK_STOP=0 psql_in "$folder" "$database" "$user" < "$log.sql" >> "$log" 2> "$log.err" || status=$?
        [ $status -eq 0 ] || { echo "ended $status: $(tail -n 1 "$log.err")" >> "$log"; sleep 0.2; }
    done
}

# Start callers.  Arguments: folder, database, user, file of calls, kind (names
# the logs).  Sets CALLERS.
start_callers()
{
    local n

    CALLERS=()
    touch "$WORK/go"
    rm -f "$WORK/callers.$5".*
    for n in $(seq "${SOAK_CALLERS:-3}"); do
        call_loop "$1" "$2" "$3" "$4" "$WORK/callers.$5.$n" "$WORK/go" &
        CALLERS+=($!)
    done
}

# End the loops; a call that does not end by itself, or by its timeout, is a
# hang.
stop_callers()
{
    local pid tries=$(((${SOAK_CALL_LIMIT:-20} + 60) * 10)) hung=0

    rm -f "$WORK/go"
    for pid in "${CALLERS[@]}"; do
        while kill -0 "$pid" 2> /dev/null && [ $tries -gt 0 ]; do
            sleep 0.1
            tries=$((tries - 1))
        done
        if kill -0 "$pid" 2> /dev/null; then
            hung=$((hung + 1))
            pkill -TERM -P "$pid" || true
            kill "$pid" 2> /dev/null || true
        fi
    done
    [ $hung -eq 0 ] || failed "$hung sessions hang in a call"
}

# What the callers met.  Arguments: kind, file of calls.
judge_callers()
{
    local bad sqlstate number count

    awk '$1 == "called" { n[$2]++ } $1 == "ended" { ended++ }
        END { for (s in n) printf "%s %s, ", s, n[s]; printf "sessions that broke off %d\n", ended }' \
        "$WORK/callers.$1".[0-9] > "$WORK/callers.$1.sum"
    say "calls of the callers by SQLSTATE: $(cat "$WORK/callers.$1.sum")"
    CALLS=$(cat "$WORK/callers.$1".[0-9] | grep -c '^called' || true)
    # Too slow, internal errors, system errors, unknown ones.
    bad=$(awk '$1 == "called" && $2 ~ /^(57014|XX|58|P0001|HACKD|53200)/ { print $2, $3 }' "$WORK/callers.$1".[0-9] | sort | uniq -c)
    if [ -n "$bad" ]; then
        while read -r count sqlstate number; do
            failed "$sqlstate, $count times, by: $(sed -n "${number}p" "$2")"
        done <<< "$bad"
    fi
    if grep -h '^ended' "$WORK/callers.$1".[0-9] > "$WORK/callers.$1.ended"; then
        failed "$(wc -l < "$WORK/callers.$1.ended") sessions broke off, such as: $(head -n 1 "$WORK/callers.$1.ended")"
    fi
    [ "$CALLS" -gt 0 ] || failed "nothing was called"
}

# What the server's log says of itself and of ours.  Arguments: folder.
judge_log()
{
    local lines

    lines=$(grep -nE -A 3 'PANIC:|TRAP:|terminated by signal|corrupt' "$1/server.log" | head -n 12) || true
    [ -z "$lines" ] || failed "the server's log has: $lines"
    lines=$(grep -nE '(ERROR|FATAL):  XX' "$1/server.log" | grep -E '\] soak|fault_tolerance' | head -n 5) || true
    [ -z "$lines" ] || failed "internal errors of ours in the server's log: $lines"
}

# Names of the tests that failed in the output of pg_regress: "test x ...
# FAILED" in 15, TAP since 16.
failed_tests()
{
    sed -nE 's/^(test)? *([^ ]+) +\.\.\. FAILED.*/\2/p; s/^not ok [0-9]+ +[-+] ([^ ]+).*/\1/p' "$1" | sort -u
}

count_tests()
{
    grep -cE '^ok [0-9]+ |\.\.\. ok |^not ok [0-9]+ |\.\.\. FAILED' "$1" || true
}

# Run a suite twice as said above.  Arguments: name of the part, database, and
# the command that runs the suite: it is given a folder of a server, the
# database, and a folder for results.
suite_beside()
{
    local name=$1 database=$2 run=$3 kind server calls status test new known

    for kind in plain full; do
        server=$WORK/$name.$kind
        calls=$server.calls
        if [ $kind = plain ]; then
            make_server "$server" 5432 <<< "$SOAK_CONF"
            start_server "$server"
            make_test_database "$server" "$database"
            echo "$USUAL_CALLS" > "$calls"
        else
            start_full_server "$server"
            make_test_database "$server" "$database"
            psql_in "$server" "$database" postgres -c "CREATE EXTENSION fault_tolerance" -c "CREATE ROLE soak LOGIN IN ROLE pg_monitor"
            list_calls "$server" "$database" > "$calls"
            say "$(wc -l < "$calls") calls of diagnostics, $(grep -c = "$server/settings") settings"
        fi
        mkdir "$server.results"
        own "$server.results"
        start_callers "$server" "$database" "$([ $kind = plain ] && echo postgres || echo soak)" "$calls" "$name.$kind"
        status=0
        "$run" "$server" "$database" "$server.results" > "$server.log" 2>&1 || status=$?
        stop_callers
        failed_tests "$server.log" > "$server.failed"
        say "$kind: $(count_tests "$server.log") tests, $(wc -l < "$server.failed") failed, exit status $status"
        if [ "$(count_tests "$server.log")" -eq 0 ]; then
            tail -n 20 "$server.log"
            failed "the suite did not run"
        fi
        end_server "$server"
    done

    new=$(comm -13 "$WORK/$name.plain.failed" "$WORK/$name.full.failed")
    known=$(comm -12 "$WORK/$name.plain.failed" "$WORK/$name.full.failed" | tr '\n' ' ')
    [ -z "$known" ] || say "fail without the extension too: $known"
    [ "$(count_tests "$WORK/$name.full.log")" -ge "$(count_tests "$WORK/$name.plain.log")" ] ||
        failed "with the extension fewer tests ran: $(tail -n 3 "$WORK/$name.full.log")"
    for test in $new; do
        failed "$name: $test"
        diff -U3 "$SUITE_EXPECTED/$test.out" "$(find "$WORK/$name.full.results" -name "$test.out" | head -n 1)" | head -n 60 || true
    done
    judge_callers "$name.full" "$WORK/$name.full.calls"
    judge_log "$WORK/$name.full"
    PASSED=$((PASSED + $(count_tests "$WORK/$name.full.log") - $(echo "$new" | grep -c . || true)))
    NOTE="$(count_tests "$WORK/$name.full.log") tests beside $CALLS calls"
}
