#!/bin/bash
#
# worker.sh EXECUTION: an outside worker of one execution, in a few lines.
#
# Takes the next task that may start, runs its command in one transaction with
# the report that it is complete, and reports a failure with the server's own
# SQLSTATE.  What to do about a failure is not its business: it waits until
# there is something to start again, or until the execution has ended.  Where
# to connect to is in the environment (PGHOST, PGPORT, PGUSER, PGDATABASE).
#
set -uo pipefail

execution=$1
export PGAPPNAME=worker

# Arguments of psql; prints rows without decoration.
sql()
{
    psql -X -q -A -t -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -v execution="$execution" "$@"
}

# A query and its variables; again while there is no server that answers.
ask()
{
    local query=$1

    shift
    while :; do
        sql "$@" -f - <<< "$query" 2> /dev/null
        [ $? -eq 2 ] || return
        sleep 0.1
    done
}

while :; do
    status=$(ask "SELECT status FROM ft.orchestration_executions WHERE execution_id = :'execution'")
    case $status in
        COMPLETED | ROLLED_BACK | COMPENSATED | COMPENSATION_FAILED) break ;;
    esac

    # A task and its attempt; none if nothing may start now.
    task=$(ask "SELECT task_id, ft.start_task(task_id) FROM (
        SELECT t.task_id
          FROM ft.orchestration_tasks AS t
          JOIN ft.orchestration_executions AS e USING (execution_id)
         WHERE t.execution_id = :'execution'
           AND e.status IN ('PENDING', 'RUNNING') AND t.status = 'PENDING'
           AND (t.next_attempt_at IS NULL OR t.next_attempt_at <= clock_timestamp())
           AND NOT EXISTS (
               SELECT FROM ft.orchestration_tasks AS d
                WHERE d.execution_id = t.execution_id
                  AND d.task_name = ANY (t.depends_on) AND d.status <> 'COMPLETED')
         ORDER BY t.created_at, t.task_id LIMIT 1) AS next")
    if [ -z "$task" ]; then
        sleep 0.02
        continue
    fi
    attempt=${task#*|}
    task=${task%|*}
    command=$(ask "SELECT command FROM ft.orchestration_tasks WHERE task_id = :'task'" -v task="$task")

    if error=$(sql --single-transaction -c "$command" \
        -c "SELECT ft.complete_task('$task', attempt => $attempt)" 2>&1 > /dev/null); then
        continue
    fi

    # "ERROR:  55P03: canceling statement due to lock timeout", or no SQLSTATE
    # where the connection broke.  If the step was committed all the same, its
    # failure is refused.
    sqlstate=$(sed -n 's/^[A-Z]*:  \([0-9A-Z]\{5\}\): .*/\1/p' <<< "$error" | tail -n 1)
    message=$(sed -n 's/^[A-Z]*:  [0-9A-Z]\{5\}: //p' <<< "$error" | tail -n 1)
    ask "SELECT ft.fail_task(:'task', :'message', :'sqlstate', :attempt)" > /dev/null \
        -v task="$task" -v attempt="$attempt" -v sqlstate="${sqlstate:-08006}" \
        -v message="${message:-the connection to the server was lost}"
done
