# shellcheck shell=bash disable=SC2034
#
# sqlsmith.sh: a part of make soak: random queries by sqlsmith over what is in
# schema ft, as a plain pg_monitor role and as a superuser at the same time,
# on a server with everything on.
#
# sqlsmith reads what there is from pg_proc by that bare name, and leaves out
# functions that return sets.  So its sessions see, by their search_path, a
# pg_proc that has the functions of ft and little else, and each function of
# ft behind a view, which is a table to it, and behind a function that counts
# its rows, which takes whatever arguments sqlsmith makes up.  All is made from
# the catalog.
#
# Findings: the server or a session breaks, a query outlives its timeout of 1 s
# by far, an internal error (XX...).
#
steer_sqlsmith()
{
    psql_in "$1" soak postgres << 'SQL'
CREATE SCHEMA steer;
GRANT USAGE ON SCHEMA steer TO soak;
CREATE TABLE steer.value (i integer, b bigint, d double precision, n numeric, t text, f boolean, s interval,
                          at timestamptz, r regclass, o oid, l pg_lsn, u uuid, j jsonb, a text[], k bigint[]);
INSERT INTO steer.value VALUES
    (1, 1, 1, 1, '40001', true, '1 min', now(), 'pg_class', 1259, '0/1000028', gen_random_uuid(), '{}', '{a,b}', '{2,1}'),
    (-1, -1, -1, -1, '', false, '-1 day', '-infinity', 'steer.value', 0, '0/0', NULL, '[1]', '{}', '{}'),
    (2147483647, 9223372036854775807, 'Infinity', 'NaN', repeat('x', 3000), NULL, '1000 years', 'infinity', 4294967295::regclass,
     4294967295, 'FFFFFFFF/FFFFFFFF', NULL, 'null', '{NULL}', '{NULL}');
GRANT SELECT, INSERT, UPDATE, DELETE ON steer.value TO soak;

-- A view and a function for each function that returns rows.
SELECT format('CREATE VIEW steer.%I AS SELECT t.* FROM %s AS t', 'v' || row_number() OVER () || '_' || split_part(object, '(', 1), call)
  FROM calls WHERE variant IN ('default', 'typical') AND object LIKE '%(%'
   AND (SELECT prorettype FROM pg_proc WHERE oid = to_regprocedure(object)) <> 'void'::regtype \gexec
SELECT format('GRANT SELECT ON ALL TABLES IN SCHEMA steer TO soak') \gexec
SELECT format('CREATE FUNCTION steer.%I(%s) RETURNS bigint LANGUAGE sql AS %L',
              'f' || row_number() OVER () || '_' || p.proname,
              (SELECT string_agg(format_type(t, NULL), ', ') FROM unnest(p.proargtypes) AS t),
              format('SELECT count(t::text) FROM ft.%I(%s) AS t', p.proname,
                     (SELECT string_agg(CASE WHEN p.provariadic <> 0 AND n = p.pronargs THEN 'VARIADIC $' ELSE '$' END || n, ', ')
                        FROM generate_series(1, p.pronargs) AS n)))
  FROM pg_proc AS p
 WHERE pronamespace = 'ft'::regnamespace AND prokind = 'f' AND pronargs > 0
   AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) \gexec

-- What sqlsmith takes for the catalog.
CREATE VIEW steer.pg_proc AS
SELECT p.* FROM pg_catalog.pg_proc AS p
 WHERE pronamespace IN ('ft'::regnamespace, 'steer'::regnamespace)
    OR (pronamespace = 'pg_catalog'::regnamespace
        AND proname IN ('now', 'clock_timestamp', 'random', 'pg_backend_pid', 'repeat', 'concat', 'abs', 'current_database',
                        'md5', 'gen_random_uuid', 'array_append', 'jsonb_build_array', 'pg_current_wal_lsn',
                        'count', 'max', 'min', 'sum', 'string_agg', 'array_agg', 'row_number', 'lag'));
GRANT SELECT ON steer.pg_proc TO soak;
SQL
}

# sqlsmith as a role, until the time is over.  Arguments: server, role, seed.
run_sqlsmith()
{
    local status=0

    as_user PGOPTIONS='-c search_path=steer,pg_catalog' timeout -k 10 "${SOAK_SQLSMITH_SECONDS:-600}" \
        sqlsmith --exclude-catalog --verbose --seed="$3" \
        --target="host=$1/socket port=5432 dbname=soak user=$2" > "$WORK/sqlsmith.$2.log" 2>&1 || status=$?
    # 124: timeout ended it, as it should
    [ $status -eq 124 ] || echo "exit status $status" > "$WORK/sqlsmith.$2.status"
}

soak_sqlsmith()
{
    local server=$WORK/sqlsmith seed=${SOAK_SQLSMITH_SEED:-$(date +%s)} role pids=() called stuck

    if ! command -v sqlsmith > /dev/null && ! (need_packages sqlsmith); then
        NOTE="not run: no package sqlsmith"
        return
    fi
    start_full_server "$server"
    psql_in "$server" postgres postgres -c "CREATE DATABASE soak" \
        -c "CREATE ROLE soak LOGIN IN ROLE pg_monitor" -c "CREATE ROLE super LOGIN SUPERUSER" \
        -c "ALTER SYSTEM SET track_functions = 'all'" -c "SELECT pg_reload_conf()" > /dev/null
    psql_in "$server" soak postgres -c "CREATE EXTENSION fault_tolerance" \
        -c "CREATE TABLE public.calls (kind text, object text, variant text, call text)" \
        -c "ALTER TABLE public.calls SET (autovacuum_enabled = on)"
    psql_in "$server" soak postgres -F "$(printf '\t')" -f "$WORK/tree/test/sql/calls.sql" > "$WORK/sqlsmith.calls"
    sed 's/\\/\\\\/g' "$WORK/sqlsmith.calls" |
        psql_in "$server" soak postgres -c "COPY public.calls FROM STDIN"
    if ! steer_sqlsmith "$server"; then
        failed "sqlsmith cannot be steered"
        return
    fi

    say "sqlsmith for ${SOAK_SQLSMITH_SECONDS:-600} s, seed $seed"
    for role in soak super; do
        run_sqlsmith "$server" $role $((seed + ${#pids[@]})) &
        pids+=($!)
    done
    # A watch: queries that outlive their timeout.
    stuck=
    while kill -0 "${pids[@]}" 2> /dev/null; do
        sleep 5
        stuck+=$(psql_in "$server" postgres postgres -c "
            SELECT pid, query_start, coalesce(wait_event_type || '/' || wait_event, 'runs'), query FROM pg_stat_activity
             WHERE usename IN ('soak', 'super') AND state = 'active' AND query_start < clock_timestamp() - interval '30 s'" 2>&1) || true
        [ -z "$stuck" ] || break
    done
    [ -z "$stuck" ] || failed "does not end by its statement_timeout: $stuck"
    wait "${pids[@]}" || true

    for role in soak super; do
        say "$role: $(tr '\r' '\n' < "$WORK/sqlsmith.$role.log" | grep -a '^queries:' | tail -n 1)"
        if [ -e "$WORK/sqlsmith.$role.status" ]; then
            failed "sqlsmith as $role: $(cat "$WORK/sqlsmith.$role.status"): $(tail -n 3 "$WORK/sqlsmith.$role.log")"
        fi
    done
    judge_sqlsmith_log "$server"
    called=$(psql_in "$server" soak postgres -c "
        SELECT format('%s of %s functions of ft returned, %s times', count(s.funcid), count(*), sum(s.calls))
          FROM pg_catalog.pg_proc AS p LEFT JOIN pg_stat_user_functions AS s ON s.funcid = p.oid
         WHERE p.pronamespace = 'ft'::regnamespace")
    psql_in "$server" soak postgres -c "
        SELECT 'never returned: ' || string_agg(p.oid::regprocedure::text, ', ')
          FROM pg_catalog.pg_proc AS p
         WHERE p.pronamespace = 'ft'::regnamespace AND p.prorettype <> 'trigger'::regtype
           AND NOT EXISTS (SELECT FROM pg_stat_user_functions AS s WHERE s.funcid = p.oid)"
    case $called in
        "0 of"* | "") failed "nothing of ft returned" ;;
        *) passed "$called" ;;
    esac
    end_server "$server"
    NOTE="$called; seed $seed"
}

# Internal errors, by message, and a statement that gave each.
judge_sqlsmith_log()
{
    local log=$1/server.log message n

    if grep -nE 'PANIC:|TRAP:|terminated by signal' "$log" | head -n 3 > "$WORK/sqlsmith.crash" && [ -s "$WORK/sqlsmith.crash" ]; then
        failed "the server broke: $(cat "$WORK/sqlsmith.crash")"
    fi
    grep -oE '(ERROR|FATAL):  XX[0-9]+: .*' "$log" | sed -E 's/[0-9]+/N/g' | sort | uniq -c | sort -rn > "$WORK/sqlsmith.internal" || true
    while read -r n message; do
        failed "$n times $message"
        grep -nE -A 60 "(ERROR|FATAL):  XX[0-9]+: " "$log" |
            awk -v m="$message" '{ line = $0; gsub(/[0-9]+/, "N", line) }
                index(line, m) { on = 1 } on { print substr($0, 1, 400); if (++c > 25) exit }'
    done < "$WORK/sqlsmith.internal"
}
