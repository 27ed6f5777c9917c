# shellcheck shell=bash disable=SC2034
#
# retention.sh: a part of make soak: what a server keeps while very many steps
# go through it and retention removes what has ended.
#
# FT_SOAK_STEPS executions of one step each, made in portions, half of them
# declared short; every 20th of the time it prints what the tables and their
# indexes take.  Nothing of it may grow: the most that a relation takes in the
# second half of the run is at most half as much again as the most in the first
# half, or 8 MB.
#
# Then FT_SOAK_SNAPSHOT_STEPS more while an idle transaction keeps a snapshot,
# so that nothing that has died can be removed.  That is bound to take room; but
# to claim a step must not mean to read all that has died: the index of what
# is due may be read no more than 250 entries a step.
#
RETENTION_PORTION=5000

psql_retention()
{
    as_user PGHOST="$RETENTION/socket" PGPORT=5432 PGOPTIONS="-c client_min_messages=warning" \
        psql -XAtq -v ON_ERROR_STOP=1 -U postgres -d postgres "$@"
}

# Submit so many steps; half of each portion is short.
submit_portion()
{
    psql_retention -c "SELECT count(ft.submit('SELECT 1', short => i % 2 = 0)) FROM generate_series(1, $1) AS i" > /dev/null
}

# Wait until at most so many steps are waiting or running.
await_backlog()
{
    local tries=12000

    until [ "$(psql_retention -c "SELECT count(*) <= $1 FROM ft.orchestration_tasks WHERE status IN ('PENDING', 'RUNNING')")" = t ]; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ] || [ "$(psql_retention -c "SELECT count(*) FROM ft.orchestration_failures")" -gt 0 ]; then
            psql_retention -c "SELECT failure_message, count(*) FROM ft.orchestration_failures GROUP BY 1" >&2
            psql_retention -c "TABLE ft.orchestration_metrics" -c "SELECT worker, state, last_error FROM ft.worker_status()" >&2
            return 1
        fi
        sleep 0.1
    done
}

# What each table of the engine and each of its indexes takes, in kB.
room_query="SELECT c.relname, pg_relation_size(c.oid) / 1024
  FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
 WHERE c.relnamespace = 'ft'::regnamespace AND c.relkind IN ('r', 'i')
   AND coalesce(i.indrelid, c.oid)::regclass::text ~ 'orchestration_(executions|tasks|checkpoints)'"

# One line of it, and all of it into the file that is judged in the end.
note_room()
{
    psql_retention -F ' ' -c "$room_query" | sed "s/^/$1 /" >> "$WORK/retention.room"
    psql_retention -c "SELECT format('  %8s steps  %6s/s  kept %7s  dead: executions %6s tasks %6s checkpoints %6s  kB: executions %6s + %6s  tasks %6s + %6s (due %s, running %s)  checkpoints %6s + %6s',
        $1, $2, (SELECT n_live_tup FROM pg_stat_all_tables WHERE relid = 'ft.orchestration_executions'::regclass),
        pg_stat_get_dead_tuples('ft.orchestration_executions'::regclass),
        pg_stat_get_dead_tuples('ft.orchestration_tasks'::regclass),
        pg_stat_get_dead_tuples('ft.orchestration_checkpoints'::regclass),
        pg_relation_size('ft.orchestration_executions') / 1024, pg_indexes_size('ft.orchestration_executions') / 1024,
        pg_relation_size('ft.orchestration_tasks') / 1024, pg_indexes_size('ft.orchestration_tasks') / 1024,
        pg_relation_size('ft.idx_tasks_due') / 1024, pg_relation_size('ft.idx_tasks_running') / 1024,
        pg_relation_size('ft.orchestration_checkpoints') / 1024, pg_indexes_size('ft.orchestration_checkpoints') / 1024)"
}

# Have so many steps go through, with a line every so many of them.
run_retention_steps()
{
    local steps=$1 every=$2 done=0 began=$SECONDS noted=$SECONDS

    while [ $done -lt "$steps" ]; do
        submit_portion $RETENTION_PORTION
        await_backlog $RETENTION_PORTION || return 1
        done=$((done + RETENTION_PORTION))
        if [ $((done % every)) -eq 0 ]; then
            note_room $done $((every / (SECONDS > noted ? SECONDS - noted : 1)))
            noted=$SECONDS
        fi
    done
    await_backlog 0
}

# Relations that took more in the second half than they should have.
judge_room()
{
    local name first second

    while read -r name first second; do
        failed "$name has grown from $first kB in the first half to $second kB in the second"
    done < <(awk -v half="$(($1 / 2))" '{
            if ($1 <= half) { if ($3 > first[$2]) first[$2] = $3 }
            else if ($3 > second[$2]) second[$2] = $3
        }
        END { for (name in second)
                if (second[name] > first[name] * 1.5 && second[name] > 8192)
                    print name, first[name], second[name] }' "$WORK/retention.room")
}

due_entries_read()
{
    psql_retention -c "SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_all_indexes WHERE indexrelname = 'idx_tasks_due'"
}

# Steps beside a transaction that does nothing but keep its snapshot.
run_beside_snapshot()
{
    local steps=$1 keeper read_before part=$(($1 / 10)) done=0 began entries worst=0

    { echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;"; exec sleep 100000; } |
        as_user PGHOST="$RETENTION/socket" PGPORT=5432 PGAPPNAME=keeper psql -XAtq -U postgres -d postgres > /dev/null &
    keeper=$!
    until [ "$(psql_retention -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keeper' AND state = 'idle in transaction'")" = 1 ]; do
        sleep 0.1
    done
    while [ $done -lt "$steps" ]; do
        # figures of executors that are at work arrive within a second
        sleep 1.5
        read_before=$(due_entries_read)
        began=$SECONDS
        submit_portion "$part"
        await_backlog 0 || return 1
        sleep 1.5
        done=$((done + part))
        entries=$((($(due_entries_read) - read_before) / part))
        [ $entries -le $worst ] || worst=$entries
        note_room $done $((part / (SECONDS - began > 1 ? SECONDS - began - 1 : 1)))
        echo "           entries of the due index read a step: $entries"
    done
    psql_retention -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keeper'" > /dev/null
    kill "$keeper" 2> /dev/null || true
    [ $worst -le 250 ] || failed "$worst entries of the due index read a step beside an old snapshot"
    NOTE="$NOTE, $worst entries read a step beside an old snapshot"
}

soak_retention()
{
    local steps=${FT_SOAK_STEPS:-1000000} every before=$FAILED

    RETENTION=$WORK/retention
    every=$((steps / 20 / RETENTION_PORTION * RETENTION_PORTION))
    [ $every -gt 0 ] || every=$RETENTION_PORTION
    make_server "$RETENTION" 5432 << CONF
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.max_executors = 4
fault_tolerance.execution_retention = 0
max_worker_processes = 16
max_connections = 30
shared_buffers = 256MB
max_wal_size = 2GB
fsync = off
synchronous_commit = off
autovacuum_naptime = 10s
jit = off
CONF
    start_server "$RETENTION"
    psql_retention -c "CREATE EXTENSION fault_tolerance"
    : > "$WORK/retention.room"
    run_retention_steps "$steps" "$every" || failed "steps do not go through"
    judge_room "$steps"
    NOTE="$steps steps"
    run_beside_snapshot "${FT_SOAK_SNAPSHOT_STEPS:-100000}" || failed "steps do not go through beside an old snapshot"
    stop_server "$RETENTION"
    [ "$FAILED" -gt "$before" ] || passed "nothing grows, and claims do not slow down"
}
