#!/bin/bash
#
# make quickstart: the main job, shown on real load.
#
# Installs what is missing, builds and installs the extension, makes a private
# primary and a streaming standby, then: load by pgbench, sessions that block
# one another, a table full of dead tuples, a standby that lags; and a shop
# whose orders come in all the time, each of them four steps that the server
# runs by itself, of which one order fails transiently, one permanently and one
# partially, while the server is killed.  Shows what the extension says about
# all that, and that each order ended as it should, with each step done once.
# Ends with an error if any of it is not so.
#
# The servers stay up, to look around; make quickstart-stop removes them.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/suite.sh
. "$(dirname "$0")/suite.sh"
# shellcheck source=test/run/cluster.sh
. "$(dirname "$0")/cluster.sh"
# shellcheck source=test/quickstart/folder.sh
. "$TOP/test/quickstart/folder.sh"

# --- talking to the servers ------------------------------------------------

step()
{
    printf '\n[%3d s] %s\n' $SECONDS "$*"
}

# On the primary as superuser; on the standby; on the primary as the shop.
primary()
{
    as_user PGHOST="$QUICKSTART/primary/socket" PGPORT=5432 PGUSER=postgres PGDATABASE=shop "$@"
}

standby()
{
    as_user PGHOST="$QUICKSTART/standby/socket" PGPORT=5433 PGUSER=postgres PGDATABASE=shop "$@"
}

shop()
{
    as_user PGHOST="$QUICKSTART/primary/socket" PGPORT=5432 PGUSER=shop PGDATABASE=shop "$@"
}

value()
{
    primary psql -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"
}

# A query as a user would type it, and its answer.
show()
{
    local node=primary prompt='shop=#' options=(-P pager=off -P null=- -P footer=off)

    if [ "$1" = expanded ]; then
        options+=(-x -P format=wrapped -P columns=120)
        shift
    fi
    if [ "$1" = standby ]; then
        node=standby
        prompt='standby=#'
        shift
    fi
    printf '\n%s %s\n' "$prompt" "$1"
    $node psql -X -q -v ON_ERROR_STOP=1 "${options[@]}" -c "$1"
}

# Arguments: what is waited for, a query that answers t; 30 s at most.
wait_for()
{
    local deadline=$((SECONDS + 30))

    until [ "$(value "$2" 2> /dev/null)" = t ]; do
        [ $SECONDS -lt $deadline ] || {
            primary psql -X -P pager=off -c "SELECT * FROM ft.worker_status()" \
                -c "SELECT pid, application_name, state, wait_event, query FROM pg_stat_activity WHERE datname = 'shop'" || true
            tail -n 20 "$QUICKSTART/primary/server.log"
            die "waited 30 s in vain until $1"
        }
        sleep 0.05
    done
}

# Argument: what must hold, a query that answers t.
verify()
{
    if [ "$(value "$2")" = t ]; then
        passed "$1"
    else
        failed "$1"
    fi
}

# A session that stays open: its statements are written to a descriptor.
declare -A SESSION

open_session()
{
    local fd

    mkfifo "$WORK/tmp/$1"
    own "$WORK/tmp/$1"
    primary PGAPPNAME="$1" psql -X -q -f "$WORK/tmp/$1" > /dev/null 2>&1 &
    exec {fd}> "$WORK/tmp/$1"
    SESSION[$1]=$fd
}

send()
{
    echo "$2" >&"${SESSION[$1]}"
}

# Said, not only closed: later children hold the descriptor as well.
close_session()
{
    send "$1" '\q'
}

# --- build and make the servers --------------------------------------------

need_server
make_work
quickstart_folder
[ ! -e "$QUICKSTART" ] || {
    say "removing the servers of the last run"
    remove_quickstart
}
build_and_install plain || finish
PASSED=0
SECONDS=0

step "making a primary and a standby in $QUICKSTART"
mkdir -m 700 "$QUICKSTART"
touch "$QUICKSTART/.made_by_quickstart"
own "$QUICKSTART"
make_server "$QUICKSTART/primary" 5432 << 'CONF'
cluster_name = 'primary'
shared_preload_libraries = 'fault_tolerance, pg_cron'
cron.use_background_workers = on
cron.database_name = 'shop'
max_worker_processes = 16
max_prepared_transactions = 10
fault_tolerance.max_executors = 6
CONF
start_server "$QUICKSTART/primary"
PRIMARY_PID=$SERVER_PID
primary psql -X -q -d postgres -c "CREATE DATABASE shop"
mkdir -p "$QUICKSTART/standby/socket"
own "$QUICKSTART/standby"
chmod 700 "$QUICKSTART/standby" "$QUICKSTART/standby/socket"
primary pg_basebackup -D "$QUICKSTART/standby/data" -c fast -R -C -S standby --no-sync
configure_server "$QUICKSTART/standby" 5433
as_user tee -a "$QUICKSTART/standby/data/postgresql.conf" > /dev/null <<< "cluster_name = 'standby'"
start_server "$QUICKSTART/standby"

step "a shop, and pgbench beside it"
primary psql -X -q -v ON_ERROR_STOP=1 -f "$WORK/tree/test/quickstart/shop.sql"
primary pgbench -i -q -s 5 > /dev/null 2>&1
start_pgbench()
{
    primary PGAPPNAME=pgbench pgbench -n -N -c 4 -R 400 -T 600 > "$WORK/tmp/pgbench.log" 2>&1 &
}
start_pgbench
value "SELECT ft.schedule_auto_recovery()" > /dev/null

# --- what goes wrong in a database -----------------------------------------

step "a table full of dead tuples"
value "UPDATE carts SET filler = repeat('y', 100) WHERE id <= 45000"

step "a standby that does not replay"
standby psql -X -q -A -t -c "SELECT pg_wal_replay_pause()"

step "sessions that block one another: behind a prepared transaction, and behind a session that sits idle in its own"
value "CREATE TABLE seat (id int PRIMARY KEY, taken_by text); INSERT INTO seat SELECT generate_series(1, 9)"
value "BEGIN; UPDATE seat SET taken_by = 'x' WHERE id = 1; PREPARE TRANSACTION 'payment-4711'"
open_session forgotten
send forgotten "BEGIN; UPDATE seat SET taken_by = 'y' WHERE id = 3;"
wait_for "a session is idle in its transaction" \
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'forgotten' AND state = 'idle in transaction'"

# Each statement waits before the next session comes, so the picture is always
# the same.  Arguments: name, statements.
blocked=0
block()
{
    primary PGAPPNAME="$1" psql -X -q -v ON_ERROR_STOP=1 -c "$2" > /dev/null 2>> "$WORK/tmp/blocked.log" &
    BLOCKED+=($!)
    blocked=$((blocked + 1))
    wait_for "$1 is blocked" \
        "SELECT count(*) = $blocked FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
}
block checkout-1 "BEGIN; UPDATE seat SET taken_by = 'a' WHERE id = 2; UPDATE seat SET taken_by = 'a' WHERE id = 1; COMMIT"
block checkout-2 "UPDATE seat SET taken_by = 'b' WHERE id = 2"
block checkout-3 "BEGIN; UPDATE seat SET taken_by = 'c' WHERE id = 4; UPDATE seat SET taken_by = 'c' WHERE id = 3; COMMIT"
block checkout-4 "UPDATE seat SET taken_by = 'd' WHERE id = 4"
block migration "ALTER TABLE seat ADD COLUMN price numeric"
block reader "SELECT count(*) FROM seat"

wait_for "the load has gone on for 5 s" \
    "SELECT coalesce(max(wait_duration) > interval '5 s', false) FROM ft.blocking_chains()"

step "what the extension says about it"
show "TABLE ft.overview"
show "TABLE ft.lock_tree"
show "TABLE ft.dead_tuples_summary"
wait_for "the standby lags" "SELECT coalesce(bool_or(lag_bytes > 0 AND lag > interval '0'), false) FROM ft.replication_lag()"
show "SELECT node_name, node_type, status, state, replication_lag, pg_size_pretty(replication_lag_bytes) AS behind FROM ft.fault_tolerance_monitoring"
show standby "SELECT name, state, lag, pg_size_pretty(lag_bytes) AS lag_bytes, note FROM ft.replication_lag()"
echo
verify "the lock tree holds exactly the sessions that pg_blocking_pids() calls blocked" \
    "SELECT coalesce(array_agg(DISTINCT pid ORDER BY pid) = (
            SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity
             WHERE cardinality(pg_blocking_pids(pid)) > 0 AND application_name <> 'pgbench'), false)
       FROM ft.blocking_chains() WHERE waiting_pid IS NOT NULL AND application_name <> 'pgbench'"
verify "its roots are the prepared transaction and the idle session" \
    "SELECT count(*) = 2 AND bool_or(prepared_gid = 'payment-4711') AND bool_or(application_name = 'forgotten')
       FROM ft.blocking_chains() WHERE level = 0 AND application_name IS DISTINCT FROM 'pgbench'"
verify "the table is seen to be full of dead tuples" \
    "SELECT count(*) = 1 FROM ft.dead_tuples() WHERE relname = 'carts' AND n_dead_tup = 45000 AND severity <> 'OK'"
verify "the standby is seen to lag" \
    "SELECT count(*) = 1 FROM ft.replication_lag() WHERE lag > interval '0' AND lag_bytes > 0"

step "doing as it recommends"
advice="FROM ft.blocking_chains() WHERE level = 0 AND application_name IS DISTINCT FROM 'pgbench'"
show expanded "SELECT recommended_action, recommended_reason, recommended_sql $advice"
primary psql -X -q -A -t -v ON_ERROR_STOP=1 > /dev/null << SQL
SELECT recommended_sql $advice \gexec
SQL
released=t
for pid in "${BLOCKED[@]}"; do
    wait "$pid" || released=f
done
verify "all ${#BLOCKED[@]} blocked sessions went on and finished, nobody is blocked" \
    "SELECT '$released' AND count(*) = 0 FROM ft.blocked_statements WHERE blocked_statement LIKE '%seat%'"
close_session forgotten

# --- what goes wrong in an orchestration -----------------------------------

step "orders of four steps each: 50 a second, and three with which something is wrong"
start_orders()
{
    shop PGAPPNAME=orders pgbench -n -c 2 -R 50 -T 600 -f "$WORK/tree/test/quickstart/place_order.sql" \
        > "$WORK/tmp/orders.log" 2>&1 &
}
start_orders
open_session lock-holder
send lock-holder "BEGIN; UPDATE shop.account SET balance = balance WHERE customer = 'ada';"
open_session held-back
send held-back "SELECT pg_advisory_lock(hashtext('ada')), pg_advisory_lock(hashtext('eve'));"
wait_for "the account and the orders are locked" \
    "SELECT count(*) = 2 FROM pg_stat_activity WHERE application_name IN ('lock-holder', 'held-back') AND state IN ('idle', 'idle in transaction') AND query <> ''"
echo "  ada's order finds the account locked by another session"
echo "  bob's order is for a desk, and there are none"
echo "  eve's order goes to a carrier that does not exist, found after the money was taken"
for order in "'ada', 'ada', 'lamp', 30, 'post'" "'bob', 'bob', 'desk', 80, 'post'" "'eve', 'eve', 'lamp', 30, 'owl'"; do
    shop psql -X -q -A -t -v ON_ERROR_STOP=1 -c "SELECT shop.place($order)" > /dev/null
done

wait_for "ada's order met the locked row" \
    "SELECT count(*) > 0 FROM shop.failures WHERE order_no = 'ada' AND sqlstate = '55P03'"
close_session lock-holder
wait_for "bob's order is rolled back" "SELECT status = 'ROLLED_BACK' FROM shop.progress WHERE order_no = 'bob'"
wait_for "a step of ada's order and a compensation of eve's are under way" \
    "SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
wait_for "100 other orders are placed" "SELECT count(*) > 100 FROM shop.orders"
NAMED="order_no IN ('ada', 'bob', 'eve')"
show "SELECT * FROM shop.progress WHERE $NAMED"
show "SELECT * FROM ft.orchestration_summary"

step "kill -9 of the server, in the middle of a step of ada's order and of a compensation of eve's"
{
    kill -KILL "$PRIMARY_PID"
    wait "$PRIMARY_PID" || true
} 2> /dev/null
tries=0
while left=$(processes_in "$QUICKSTART/primary/data") && [ -n "$left" ]; do
    [ $((tries += 1)) -lt 200 ] || {
        for pid in $left; do
            tr '\0' ' ' < "/proc/$pid/cmdline"
            echo
        done
        die "these processes of the killed server do not end"
    }
    sleep 0.05
done
start_server "$QUICKSTART/primary"
start_pgbench
start_orders
wait_for "more orders come in" \
    "SELECT count(*) > 50 FROM shop.orders JOIN ft.orchestration_executions USING (execution_id) WHERE created_at > pg_postmaster_start_time()"
wait_for "no more come in" \
    "SELECT count(pg_terminate_backend(pid)) = 0 FROM pg_stat_activity WHERE application_name = 'orders'"
wait_for "every order has come to its end" \
    "SELECT bool_and(status IN ('COMPLETED', 'ROLLED_BACK', 'COMPENSATED')) FROM shop.progress"

step "what became of them, unasked"
show "SELECT * FROM shop.progress WHERE $NAMED"
show "SELECT * FROM shop.failures WHERE $NAMED"
show "SELECT order_no, string_agg(action, ', ' ORDER BY at) AS ledger FROM shop.ledger WHERE $NAMED GROUP BY 1 ORDER BY 1"
show "SELECT event_time::time(3), event, task_name, attempt, detail FROM ft.orchestration_timeline((SELECT execution_id FROM shop.orders WHERE order_no = 'ada'))"
show "SELECT status, count(*), count(*) FILTER (WHERE created_at < pg_postmaster_start_time()) AS placed_before_the_kill
  FROM ft.orchestration_executions GROUP BY status"
show "SELECT min(started_at) - pg_postmaster_start_time() AS first_step_after_restart
  FROM ft.orchestration_tasks WHERE started_at > pg_postmaster_start_time()"
echo
ORDERS="SELECT count(*) = 1 FROM shop.progress WHERE order_no ="
LEDGER="SELECT coalesce(string_agg(action, ' ' ORDER BY at), '') FROM shop.ledger WHERE order_no ="
verify "ada's order, which failed transiently, was retried and is complete" "$ORDERS 'ada' AND status = 'COMPLETED'"
verify "each of its steps happened exactly once, also the one that the crash interrupted" \
    "SELECT ($LEDGER 'ada') = 'reserve charge book pack'"
verify "bob's order, which failed permanently, was rolled back" "$ORDERS 'bob' AND status = 'ROLLED_BACK'"
verify "nothing of it happened" "SELECT ($LEDGER 'bob') = ''"
verify "eve's order, which failed partially, was compensated" "$ORDERS 'eve' AND status = 'COMPENSATED'"
verify "each of its steps was undone exactly once, in reverse, across the crash" \
    "SELECT ($LEDGER 'eve') = 'reserve charge refund unreserve'"
verify "every other order is complete, each of its steps happened exactly once" \
    "SELECT count(*) > 150 AND bool_and(status = 'COMPLETED') AND bool_and(($LEDGER o.order_no) = 'reserve charge book pack')
       FROM shop.progress AS o WHERE NOT $NAMED"
verify "the accounts and the stock agree" \
    "SELECT (SELECT string_agg(customer || ' ' || balance, ', ' ORDER BY customer) FROM shop.account WHERE customer !~ '^customer') = 'ada 70, bob 100, eve 100'
        AND (SELECT pieces FROM shop.stock WHERE item = 'lamp') = 99
        AND (SELECT sum(100000 - balance) FROM shop.account WHERE customer ~ '^customer') =
            (SELECT count(*) FROM shop.orders WHERE NOT $NAMED)"
verify "all of it by the background workers" \
    "SELECT count(*) >= 3 AND bool_and(recovery_strategy = 'AUTO') FROM ft.orchestration_failures"
verify "at once, without waiting for its interval: retries and rollbacks within a second" \
    "SELECT bool_and(took < interval '1 s') FROM shop.failures WHERE order_no IN ('ada', 'bob')"
verify "what is stored of the executions has no contradiction" \
    "SELECT count(*) = 0 FROM shop.orders, ft.validate_execution(execution_id)"
verify "pg_cron would do the same where the library is not preloaded" \
    "SELECT count(*) = 1 FROM cron.job WHERE jobname = 'auto-recover-failures' AND active"

step "the standby goes on"
standby psql -X -q -A -t -c "SELECT pg_wal_replay_resume()"
wait_for "the standby has caught up" \
    "SELECT count(*) = 1 FROM ft.replication_lag() WHERE state = 'streaming' AND lag < interval '1 s'"
if [ "$(standby psql -X -q -A -t -c "SELECT count(*) FROM shop.ledger")" = "$(value "SELECT count(*) FROM shop.ledger")" ]; then
    passed "it has caught up, and shows the same ledger"
else
    failed "the standby shows another ledger"
fi
show "TABLE ft.overview"

# --- the end ---------------------------------------------------------------

step "done.  The servers are up, the load has ended.  Look around:"
cat << END
    $PG_BINDIR/psql -h $QUICKSTART/primary/socket -p 5432 -U postgres shop
    $PG_BINDIR/psql -h $QUICKSTART/standby/socket -p 5433 -U postgres shop
    make quickstart-stop      ends and removes them

END
finish
