/*-------------------------------------------------------------------------
 *
 * diagnosis_sessions.c
 *	  What ft.diagnose() asks about sessions, locks, errors and memory.
 *
 * The columns that each query answers are in diagnosis.h.  They run with the
 * search_path of pg_catalog, as the user who asks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "diagnosis.h"
#include "diagnosis_sql.h"

const char	ft_ask_unexpected_role[] =
"SELECT 'node', NULL::text[], 'CRITICAL',"
"       format('this node is expected to be a %s, but is a %s', n.node_type,"
"              CASE WHEN n.in_recovery THEN 'standby' ELSE 'primary' END),"
"       CASE WHEN n.in_recovery THEN 'the cluster failed over, or the promotion of this node is missing'"
"            ELSE 'it was promoted, or started without its standby.signal' END,"
"       jsonb_build_object('expected_role', n.node_type, 'in_recovery', n.in_recovery, 'timeline', n.timeline),"
"       ARRAY[coalesce(nullif(current_setting('cluster_name'), ''), 'this node')],"
"       CASE WHEN n.in_recovery THEN 'it takes no writes' ELSE 'two nodes may be taking writes' END,"
"       CASE WHEN n.in_recovery"
"            THEN 'SELECT pg_catalog.pg_promote() WHERE pg_catalog.pg_is_in_recovery()"
" /* only if no other node is the primary; else set fault_tolerance.expected_role to standby here */' END,"
"       NULL::bigint"
"  FROM ft.node_state() AS n"
" WHERE n.node_type <> 'any' AND (n.node_type = 'standby') <> n.in_recovery";

/*
 * Explained by blocking where a fifth of the sessions waits for locks.  Else
 * whoever has most of them is at fault.
 */
const char	ft_ask_connection_saturation[] =
"WITH s AS MATERIALIZED ("
"    SELECT coalesce(application_name, '') AS application_name, usename,"
"           coalesce(state, 'unknown') AS state, wait_event_type = 'Lock' AS blocked, state_change"
"      FROM pg_stat_activity WHERE backend_type = 'client backend')"
", total AS ("
"    SELECT count(*) AS used, count(*) FILTER (WHERE blocked) AS blocked,"
"           greatest(current_setting('max_connections')::int"
"                    - current_setting('superuser_reserved_connections')::int"
"                    - coalesce(current_setting('reserved_connections', true)::int, 0), 1) AS places FROM s)"
", judged AS ("
"    SELECT *, ft.severity('connections', 100.0 * used / places) AS severity FROM total)"
", top AS ("
"    SELECT application_name, state, count(*) AS sessions FROM s"
"     GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 5)"
", worst AS (SELECT * FROM top LIMIT 1)"
"SELECT 'connections', CASE WHEN j.blocked * 5 >= j.used THEN '{blocked,blocked:briefly}'::text[] END, j.severity,"
"       format('%s of the %s sessions that clients can have are taken', j.used, j.places),"
"       format('the most, %s, are %s sessions of application \"%s\"', w.sessions, w.state, w.application_name),"
"       jsonb_build_object('sessions', j.used, 'places', j.places, 'waiting_for_locks', j.blocked,"
"                          'most', (SELECT jsonb_agg(to_jsonb(t)) FROM top AS t)),"
"       ARRAY[format('application %s', w.application_name)],"
"       'soon nobody can connect any more, clients get 53300',"
"       CASE WHEN w.state = 'idle' THEN"
"           format('SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
" WHERE state = ''idle'' AND application_name = %L AND state_change < pg_catalog.now() - interval ''5 min''"
" /* in any database, as a superuser, or as one of both pg_signal_backend and pg_read_all_stats if none of them is a superuser''s;"
" then give it a pool */', w.application_name) END,"
"       NULL::bigint"
"  FROM judged AS j, worst AS w WHERE j.severity IN ('WARNING', 'CRITICAL')";

/*
 * A row for each root.  Who queues behind a request on a relation is not kept
 * by the root but by that request.  Those that have waited for less than a
 * second are not counted.  On a busy server there are such at any time: where
 * nobody has waited longer, timeouts of statements have another cause.
 */
const char	ft_ask_blocked_sessions[] =
"WITH chain AS MATERIALIZED ("
"    SELECT c.*, count(*) FILTER (WHERE c.level = 0) OVER (ORDER BY c.place) AS tree"
"      FROM (SELECT *, row_number() OVER () AS place FROM ft.blocking_chains()) AS c)"
", queue AS MATERIALIZED ("
"    SELECT DISTINCT e.blocker_pid AS pid FROM ft.blocking_edges() AS e"
"     WHERE e.block_kind = 'soft' AND e.locktype = 'relation' AND EXISTS (SELECT FROM chain))"
", tree AS ("
"    SELECT c.tree, max(c.wait_duration) AS longest,"
"           count(DISTINCT c.pid) FILTER (WHERE c.wait_duration >= '1 s') AS victims,"
"           (array_agg('session ' || c.pid ORDER BY c.place) FILTER (WHERE c.level > 0))[1:50] AS sessions,"
"           array_agg(DISTINCT 'queue:' || q.pid) FILTER (WHERE q.pid IS NOT NULL) AS queues,"
"           count(*) FILTER (WHERE c.level > 0 AND q.pid IS NULL AND c.block_kind = 'hard') AS hard,"
"           (array_agg(c.lock_object ORDER BY c.wait_duration DESC) FILTER (WHERE c.level > 0))[1] AS object,"
"           (array_agg(" ONE_LINE("c.query", "200") " ORDER BY c.wait_duration DESC) FILTER (WHERE c.level > 0))[1] AS query"
"      FROM chain AS c LEFT JOIN queue AS q ON q.pid = c.pid AND c.level > 0 GROUP BY c.tree)"
"SELECT CASE WHEN t.victims > 0 OR t.longest IS NULL THEN 'blocked' ELSE 'blocked:briefly' END,"
"       coalesce(t.queues, '{}')"
"           || CASE WHEN t.queues IS NULL OR t.hard > 0"
"                   THEN ARRAY[CASE WHEN r.prepared_gid IS NULL THEN 'session:' || r.pid"
"                                   ELSE 'prepared:' || r.prepared_gid END] END,"
"       ft.worst_severity(ft.severity('blocked_sessions', t.victims),"
"                         ft.severity('lock_wait', " EPOCH("t.longest") ")),"
"       format('%s wait for a lock, the longest for %s',"
"              CASE t.victims WHEN 1 THEN '1 session' ELSE t.victims || ' sessions' END, " SECONDS("t.longest") "),"
"       format('%s holds %s%s',"
"              CASE WHEN r.prepared_gid IS NULL THEN 'session ' || " SESSION("r")
"                   ELSE 'prepared transaction ' || quote_literal(r.prepared_gid) END,"
"              t.object, coalesce('; it is ' || r.state, '')),"
"       jsonb_build_object('root_pid', r.pid, 'prepared_gid', r.prepared_gid, 'root_state', r.state,"
"                          'root_query', " ONE_LINE("r.query", "200") ", 'lock_object', t.object,"
"                          'longest_wait_seconds', " EPOCH("t.longest") ", 'sessions', t.victims,"
"                          'waiting_query', t.query, 'advice', r.recommended_reason, 'source', r.source),"
"       t.sessions, 'their clients wait', r.recommended_sql,"
"       CASE WHEN r.state = 'active' THEN r.query_id END"
"  FROM tree AS t JOIN chain AS r ON r.tree = t.tree AND r.level = 0"
" ORDER BY t.victims DESC LIMIT 20";

/* A request that waits for a lock on a relation, and whom it lets wait. */
const char	ft_ask_queued_ddl[] =
"WITH edge AS MATERIALIZED ("
"    SELECT * FROM ft.blocking_edges() WHERE locktype = 'relation')"
", victim AS ("
"    SELECT s.blocker_pid AS pid, count(DISTINCT s.pid) FILTER (WHERE s.wait_start < clock_timestamp() - interval '1 s') AS victims,"
"           clock_timestamp() - min(s.wait_start) AS longest,"
"           (array_agg(DISTINCT 'session ' || s.pid))[1:50] AS sessions"
"      FROM edge AS s WHERE s.block_kind = 'soft'"
"       AND s.blocker_pid NOT IN (SELECT pid FROM edge WHERE block_kind = 'soft')"
"     GROUP BY s.blocker_pid)"
", holder AS ("
"    SELECT h.pid, min(h.waited_mode) AS mode, min(h.lock_object) AS object,"
"           array_agg(CASE WHEN h.blocker_pid <> 0 THEN 'session:' || h.blocker_pid"
"                          ELSE 'prepared:' || h.prepared_gid END) AS keys,"
"           string_agg(CASE WHEN h.blocker_pid <> 0"
"                           THEN concat('session ', h.blocker_pid, ', ' || a.state)"
"                           ELSE 'prepared ' || quote_literal(h.prepared_gid) END, '; ') AS who"
"      FROM edge AS h LEFT JOIN pg_stat_activity AS a ON a.pid = h.blocker_pid"
"     WHERE h.block_kind = 'hard' GROUP BY h.pid)"
"SELECT 'queue:' || v.pid, h.keys,"
"       ft.worst_severity(ft.severity('blocked_sessions', v.victims),"
"                         ft.severity('lock_wait', " EPOCH("v.longest") ")),"
"       format('%s queue behind a request for %s on %s',"
"              CASE v.victims WHEN 1 THEN '1 session' ELSE v.victims || ' sessions' END, h.mode, h.object),"
"       format('session %s waits for %s, and all who come after it wait for both', " SESSION("a") ", h.who),"
"       jsonb_build_object('pid', a.pid, 'query', " ONE_LINE("a.query", "200") ", 'mode', h.mode, 'relation', h.object,"
"                          'sessions', v.victims, 'longest_wait_seconds', " EPOCH("v.longest") ","
"                          'waits_for', h.who, 'traceparent', ft.traceparent(a.query, a.application_name)),"
"       v.sessions,"
"       'the table cannot be used until the request is granted and done',"
"       " CANCEL_SQL("a") ", NULL::bigint"
"  FROM victim AS v JOIN holder AS h USING (pid) JOIN pg_stat_activity AS a USING (pid)";

const char	ft_ask_idle_in_transaction[] =
"SELECT 'session:' || i.pid, NULL::text[], i.severity,"
"       format('session %s has been idle in a transaction for %s', " SESSION("i") ", " SECONDS("i.idle_duration") "),"
"       'the application began a transaction and neither ended it nor went on',"
"       jsonb_build_object('pid', i.pid, 'usename', i.usename, 'application_name', i.application_name,"
"                          'client_addr', i.client_addr, 'datname', i.datname, 'state', i.state,"
"                          'idle_seconds', " EPOCH("i.idle_duration") ","
"                          'transaction_seconds', " EPOCH("i.transaction_duration") ","
"                          'locks', i.locks, 'strongest_mode', i.strongest_mode, 'has_written', i.has_written,"
"                          'xmin_age', i.xmin_age, 'last_query', " ONE_LINE("i.query", "200") ","
"                          'traceparent', i.traceparent),"
"       ARRAY['session ' || i.pid],"
"       concat_ws('; ', CASE WHEN i.locks > 0 THEN 'it holds ' || i.locks || ' locks' END,"
"                 CASE WHEN i.xmin_age IS NOT NULL OR i.xid_age IS NOT NULL"
"                      THEN 'vacuum cannot remove rows that died since it began' END,"
"                 'it takes a connection'),"
"       i.sql, NULL::bigint"
"  FROM ft.idle_in_transaction() AS i";

const char	ft_ask_prepared_transaction[] =
"WITH p AS MATERIALIZED (SELECT *, clock_timestamp() - prepared AS age FROM pg_prepared_xacts)"
", h AS (SELECT DISTINCT ON (gid) gid, sql FROM ft.xmin_horizon()"
"         WHERE kind = 'prepared transaction' AND EXISTS (SELECT FROM p) ORDER BY gid)"
"SELECT 'prepared:' || p.gid, NULL::text[], ft.severity('prepared_transaction', " EPOCH("p.age") "),"
"       format('transaction %L of %s was prepared %s ago, and neither committed nor rolled back', p.gid, p.owner, " SECONDS("p.age") "),"
"       'its coordinator is gone or has lost it: no session holds it, no timeout ends it',"
"       jsonb_build_object('gid', p.gid, 'owner', p.owner, 'datname', p.database, 'prepared', p.prepared,"
"                          'age_seconds', " EPOCH("p.age") ", 'xid_age', age(p.transaction)),"
"       ARRAY[format('prepared transaction %L', p.gid)],"
"       'its locks stay, through restarts too; vacuum cannot remove rows that died since it began',"
"       h.sql, NULL::bigint"
"  FROM p LEFT JOIN h USING (gid)";

/*
 * One that waits for a lock is a victim, not a cause.  To cancel a statement
 * does not end a transaction that goes on with the next one.
 */
const char	ft_ask_long_statement[] =
"WITH t AS MATERIALIZED ("
"    SELECT a.*, clock_timestamp() - a.xact_start AS in_transaction,"
"           clock_timestamp() - a.query_start AS in_query"
"      FROM pg_stat_activity AS a"
"     WHERE a.state = 'active' AND a.backend_type = 'client backend' AND a.xact_start IS NOT NULL"
"       AND a.wait_event_type IS DISTINCT FROM 'Lock' AND a.pid <> pg_backend_pid())"
", judged AS ("
"    SELECT t.*, ft.severity('active_query', " EPOCH("t.in_query") ") IN ('WARNING', 'CRITICAL') AS by_query,"
"           ft.worst_severity(ft.severity('transaction', " EPOCH("t.in_transaction") "),"
"                             ft.severity('active_query', " EPOCH("t.in_query") ")) AS severity FROM t)"
"SELECT 'session:' || j.pid, NULL::text[], j.severity,"
"       format('session %s has been running a statement for %s, in a transaction of %s',"
"              " SESSION("j") ", " SECONDS("j.in_query") ", " SECONDS("j.in_transaction") "),"
"       CASE WHEN j.by_query THEN 'a statement runs longer than statements of applications do'"
"            ELSE 'its statements are short, but it runs many of them in one transaction' END,"
"       jsonb_build_object('pid', j.pid, 'usename', j.usename, 'application_name', j.application_name, 'datname', j.datname,"
"                          'query', " ONE_LINE("j.query", "200") ", 'query_seconds', " EPOCH("j.in_query") ","
"                          'transaction_seconds', " EPOCH("j.in_transaction") ", 'wait_event_type', j.wait_event_type,"
"                          'wait_event', j.wait_event, 'xmin_age', age(j.backend_xmin),"
"                          'traceparent', ft.traceparent(j.query, j.application_name)),"
"       ARRAY['session ' || j.pid], 'it holds its locks and its snapshot until it ends',"
"       CASE WHEN j.by_query THEN " CANCEL_SQL("j")
"            ELSE ft.terminate_sql(j.pid, j.backend_start, j.xact_start) END,"
"       CASE WHEN j.by_query THEN j.query_id END"
"  FROM judged AS j WHERE j.severity IN ('WARNING', 'CRITICAL')";

/* Of the last minute; who took part stands in the evidence. */
const char	ft_ask_deadlocks[] =
"WITH d AS MATERIALIZED ("
"    SELECT * FROM ft.deadlocks() WHERE deadlock_time > clock_timestamp() - interval '1 min')"
", total AS (SELECT count(DISTINCT deadlock_id) AS number, max(deadlock_id) AS last FROM d)"
"SELECT 'deadlocks', NULL::text[], ft.severity('deadlocks', t.number),"
"       format('%s in the last minute', CASE t.number WHEN 1 THEN '1 deadlock' ELSE t.number || ' deadlocks' END),"
"       'transactions take the same locks in different orders',"
"       jsonb_build_object('deadlocks', t.number, 'last', ("
"           SELECT jsonb_agg(jsonb_build_object('pid', d.pid, 'victim', d.victim, 'application_name', d.application_name,"
"                                               'waited_mode', d.waited_mode, 'lock_object', d.lock_object,"
"                                               'blocked_by', d.blocked_by, 'query', " ONE_LINE("d.query", "200") ","
"                                               'traceparent', d.traceparent) ORDER BY d.participant)"
"             FROM d WHERE d.deadlock_id = t.last)),"
"       ARRAY(SELECT DISTINCT format('application %s', d.application_name) FROM d WHERE d.application_name <> '' LIMIT 10),"
"       'one transaction of each was rolled back', NULL, NULL::bigint"
"  FROM total AS t WHERE t.number > 0";

#define ERROR_CTES \
	"WITH rate AS MATERIALIZED (SELECT * FROM ft.error_rate())" \
	", kind AS MATERIALIZED (" \
	"    SELECT coalesce(e.sqlstate, e.condition_name) AS sqlstate, e.condition_name, e.datname, e.usename," \
	"           e.application_name, e.window_count, e.retryable, e.last_message" \
	"      FROM rate AS r, LATERAL ft.errors('1 min') AS e" \
	"     WHERE r.severity IN ('WARNING', 'CRITICAL') AND e.window_count > 0 AND e.error_severity <> 'WARNING')" \
	", total AS (SELECT sum(window_count) AS errors FROM kind)" \
	", retried AS (" \
	"    SELECT k.application_name, k.sqlstate, min(k.condition_name) AS condition_name, sum(k.window_count) AS errors" \
	"      FROM kind AS k WHERE k.retryable GROUP BY 1, 2" \
	"    HAVING sum(k.window_count) * 2 >= (SELECT errors FROM total) ORDER BY 4 DESC LIMIT 1)" \
	", recent AS MATERIALIZED (" \
	"    SELECT e.* FROM rate AS r, LATERAL ft.recent_errors() AS e" \
	"     WHERE r.severity IN ('WARNING', 'CRITICAL') AND e.error_severity <> 'WARNING'" \
	"       AND e.error_time > clock_timestamp() - interval '1 min')"

#define RECENT_EXAMPLE(e) \
	"jsonb_build_object('time', " e ".error_time, 'pid', " e ".pid, 'sqlstate', " e ".sqlstate," \
	"                   'application_name', " e ".application_name, 'message', " ONE_LINE(e ".message", "200") "," \
	"                   'query', " ONE_LINE(e ".query", "200") ", 'traceparent', " e ".traceparent)"

/* One application, the same error again and again, one that is worth retrying. */
const char	ft_ask_retry_storm[] =
ERROR_CTES
"SELECT 'retries', CASE WHEN t.sqlstate = '55P03' THEN '{blocked,blocked:briefly}'::text[]"
"                       WHEN t.sqlstate = '40P01' THEN '{deadlocks}'"
"                       WHEN t.sqlstate = '53300' THEN '{connections}'"
"                       WHEN t.sqlstate = '53100' THEN '{disk}'"
"                       WHEN t.sqlstate = '53200' THEN '{memory}' END,"
"       r.severity,"
"       format('application \"%s\" failed %s times in the last minute with %s (%s)',"
"              t.application_name, t.errors, t.sqlstate, t.condition_name),"
"       'it retries at once what fails at once: an error that would pass is kept alive by its retries',"
"       jsonb_build_object('errors', t.errors, 'sqlstate', t.sqlstate, 'condition_name', t.condition_name,"
"                          'errors_per_second', r.errors_per_second,"
"                          'statement', (SELECT jsonb_build_object('query', s.query, 'times', s.times)"
"                                          FROM (SELECT " ONE_LINE("e.query", "200") " AS query, count(*) AS times FROM recent AS e"
"                                                 WHERE e.sqlstate = t.sqlstate GROUP BY 1 ORDER BY 2 DESC LIMIT 1) AS s),"
"                          'last', (SELECT " RECENT_EXAMPLE("e") " FROM recent AS e WHERE e.sqlstate = t.sqlstate"
"                                    ORDER BY e.error_time DESC LIMIT 1)),"
"       ARRAY[format('application %s', t.application_name)],"
"       'its transactions do not succeed, and cost as much as if they did',"
"       NULL,"
"       (SELECT e.query_id FROM recent AS e WHERE e.sqlstate = t.sqlstate ORDER BY e.error_time DESC LIMIT 1)"
"  FROM rate AS r, retried AS t";

const char	ft_ask_error_burst[] =
ERROR_CTES
"SELECT 'errors', CASE WHEN EXISTS (SELECT FROM retried) THEN '{retries}'::text[]"
"                      WHEN r.top_sqlstate = '55P03' THEN '{blocked,blocked:briefly}'"
"                      WHEN r.top_sqlstate = '57014' THEN '{blocked}'"
"                      WHEN r.top_sqlstate = '40P01' THEN '{deadlocks}'"
"                      WHEN r.top_sqlstate = '53300' THEN '{connections}'"
"                      WHEN r.top_sqlstate = '53100' THEN '{disk}'"
"                      WHEN r.top_sqlstate = '53200' THEN '{memory}' END,"
"       r.severity,"
"       format('%s errors in the last minute, %s a second', r.error_count, round(r.errors_per_second::numeric, 1)),"
"       format('most are %s (%s), from application \"%s\" in database %s',"
"              r.top_sqlstate, r.top_condition_name, r.top_application_name, coalesce(quote_ident(r.top_datname), 'none')),"
"       jsonb_build_object('errors', r.error_count, 'errors_per_second', r.errors_per_second, 'covered_seconds', " EPOCH("r.covered") ","
"                          'most', (SELECT jsonb_agg(to_jsonb(k)) FROM (SELECT sqlstate, condition_name, application_name, datname,"
"                                                                             window_count AS errors, " ONE_LINE("last_message", "200") " AS last_message"
"                                                                        FROM kind ORDER BY window_count DESC LIMIT 5) AS k),"
"                          'last', (SELECT jsonb_agg(" RECENT_EXAMPLE("e") ")"
"                                     FROM (SELECT * FROM recent ORDER BY error_time DESC LIMIT 3) AS e)),"
"       ARRAY(SELECT format('application %s', k.application_name) FROM kind AS k GROUP BY k.application_name"
"             HAVING sum(k.window_count) * 10 >= (SELECT errors FROM total) ORDER BY sum(k.window_count) DESC),"
"       'what the application asked for was not done', NULL,"
"       (SELECT e.query_id FROM recent AS e WHERE e.sqlstate = r.top_sqlstate ORDER BY e.error_time DESC LIMIT 1)"
"  FROM rate AS r WHERE r.severity IN ('WARNING', 'CRITICAL')";

/* What it has grown by since the sampler first saw it. */
const char	ft_ask_memory_leak[] =
"SELECT 'session:' || m.pid, NULL::text[], ft.severity('backend_growth', m.growth_bytes),"
"       format('session %s has grown by %s to %s', " SESSION("m") ","
"              pg_size_pretty(m.growth_bytes), pg_size_pretty(m.private_bytes)),"
"       format('%s', CASE WHEN m.growth_per_minute > 0 THEN 'it goes on growing: it leaks, or a statement of it gathers more than work_mem bounds'"
"                         ELSE 'it keeps what it once needed: caches of many tables, prepared statements, or a large result' END),"
"       jsonb_build_object('pid', m.pid, 'usename', m.usename, 'application_name', m.application_name, 'datname', m.datname,"
"                          'state', m.state, 'backend_type', m.backend_type, 'private_bytes', m.private_bytes,"
"                          'first_private_bytes', m.first_private_bytes, 'growth_bytes', m.growth_bytes,"
"                          'growth_bytes_per_minute', m.growth_per_minute, 'first_sampled_at', m.first_sampled_at,"
"                          'query', " ONE_LINE("m.query", "200") ","
"                          'look_closer', format('SELECT ft.log_memory_contexts(%s)', m.pid)),"
"       ARRAY['session ' || m.pid], 'the kernel kills a process of the server when memory runs out, and then all sessions end',"
"       CASE WHEN m.backend_type = 'client backend'"
"            THEN ft.terminate_sql(m.pid, m.backend_start, a.xact_start, a.state_change) END,"
"       NULL::bigint"
"  FROM ft.backend_memory() AS m LEFT JOIN pg_stat_activity AS a USING (pid, backend_start)"
" WHERE ft.severity('backend_growth', m.growth_bytes) IN ('WARNING', 'CRITICAL')"
" ORDER BY m.growth_bytes DESC LIMIT 20";

const char	ft_ask_memory_short[] =
"WITH m AS MATERIALIZED (SELECT * FROM ft.host_memory())"
"SELECT 'memory',"
"       ARRAY(SELECT 'session:' || b.pid FROM ft.backend_memory() AS b"
"              WHERE ft.severity('backend_growth', b.growth_bytes) IN ('WARNING', 'CRITICAL')),"
"       m.severity,"
"       format('%s %% of the memory of the %s is used', round(greatest(m.used_percent, m.cgroup_used_percent)),"
"              CASE WHEN m.cgroup_used_percent > m.used_percent THEN 'control group' ELSE 'host' END),"
"       coalesce(m.reason, 'processes of the server or of others need more than there is'),"
"       to_jsonb(m), ARRAY['host'], 'the kernel reclaims its page cache, then kills', NULL, NULL::bigint"
"  FROM m WHERE m.severity IN ('WARNING', 'CRITICAL')";

const char	ft_ask_failed_executions[] =
"WITH f AS MATERIALIZED ("
"    SELECT * FROM ft.unrecovered_failures ORDER BY given_up_at IS NULL, failure_timestamp LIMIT 1000)"
", total AS (SELECT count(*) AS failures, count(given_up_at) AS given_up FROM f)"
", oldest AS (SELECT * FROM f LIMIT 1)"
"SELECT 'failures', NULL::text[], CASE WHEN t.given_up > 0 THEN 'CRITICAL' ELSE 'OK' END,"
"       format('%s of orchestrations are not recovered, %s given up',"
"              CASE t.failures WHEN 1 THEN '1 failure' ELSE t.failures || ' failures' END, t.given_up),"
"       " ONE_LINE("o.failure_message", "200") ","
"       jsonb_build_object('failures', t.failures, 'given_up', t.given_up, 'oldest', o.failure_timestamp,"
"                          'execution_id', o.execution_id, 'failure_type', o.failure_type),"
"       ARRAY(SELECT DISTINCT 'execution ' || execution_id FROM f LIMIT 10),"
"       'they do not go on by themselves',"
"       format('SELECT ft.recover_from_failure(%L, %L) /* in database %s, as its owner or a superuser, once the cause is gone */',"
"              o.execution_id, o.failure_type, CASE WHEN current_database() ~ '[*]/|/[*]' THEN 'this' ELSE quote_ident(current_database()) END),"
"       NULL::bigint"
"  FROM total AS t, oldest AS o";
