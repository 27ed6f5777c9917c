-- ft.long_transactions(): columns, order, prepared transactions, privileges.
-- Sessions of others are in test/tap/020_replication.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

BEGIN;
CREATE TABLE session_prepared (id integer);
PREPARE TRANSACTION 'it''s mine';
BEGIN;
SELECT pg_sleep(0.01);

-- This session's own transaction is one, a prepared one has no pid.
SELECT pid = pg_backend_pid() AS mine, usename = current_user AS own,
       application_name, state, query, severity, datname = current_database() AS here,
       backend_type, transaction_duration >= '10 ms' AS long,
       query_duration < transaction_duration AS younger,
       xact_start = now() AS since_begin, prepared_gid
  FROM ft.long_transactions('0 s') WHERE pid = pg_backend_pid() OR prepared_gid IS NOT NULL
 ORDER BY pid NULLS LAST;
SELECT state, prepared_gid, transaction_duration >= '10 ms' AS long, query_duration,
       xid_age >= 0 AS aged
  FROM ft.long_transactions('0 s') WHERE prepared_gid IS NOT NULL;

-- Oldest first.
SELECT count(*) FILTER (WHERE transaction_duration > earlier) AS out_of_order
  FROM (SELECT transaction_duration,
               lag(transaction_duration) OVER (ORDER BY n) AS earlier
          FROM ft.long_transactions('0 s') WITH ORDINALITY
               AS t(pid, usename, application_name, state, transaction_duration,
                    query_duration, query, severity, state_duration, datname,
                    client_addr, backend_type, backend_start, xact_start,
                    query_start, state_change, wait_event_type, wait_event,
                    backend_xid, backend_xmin, xid_age, xmin_age, prepared_gid, n)) AS o;

-- The default is a minute, and neither has been open so long.
SELECT count(*) FROM ft.long_transactions()
 WHERE pid = pg_backend_pid() OR prepared_gid IS NOT NULL;
SELECT count(*) FROM ft.long_transactions(NULL);
COMMIT;

-- With track_activities off nothing tells the age, but the transaction shows.
SET track_activities = off;
BEGIN;
CREATE TABLE session_dark (id integer);
SELECT pid = pg_backend_pid() AS mine, state, transaction_duration,
       backend_xid IS NOT NULL AS has_xid
  FROM ft.long_transactions() WHERE pid = pg_backend_pid();
ROLLBACK;
RESET track_activities;

ROLLBACK PREPARED 'it''s mine';

CREATE ROLE session_nobody;
CREATE ROLE session_monitor;
GRANT pg_monitor TO session_monitor;
GRANT USAGE ON SCHEMA ft TO session_nobody;
SET ROLE session_nobody;
SELECT count(*) FROM ft.long_transactions();
SET ROLE session_monitor;
SELECT count(*) > 0 AS readable FROM ft.long_transactions('0 s');
SELECT count(*) >= 0 AS readable FROM ft.long_transactions_summary;
RESET ROLE;

-- Who may call it but may not read statistics sees what the server shows him.
GRANT EXECUTE ON FUNCTION ft.long_transactions(interval), ft.severity(text, double precision),
    ft.worst_severity(text[]), ft.traceparent(text, text) TO session_nobody;
BEGIN;
SET LOCAL ROLE session_nobody;
SELECT count(*) AS of_others FROM ft.long_transactions('0 s') WHERE query IS NOT NULL;
ROLLBACK;
REVOKE EXECUTE ON FUNCTION ft.long_transactions(interval), ft.severity(text, double precision),
    ft.worst_severity(text[]), ft.traceparent(text, text) FROM session_nobody;
REVOKE ALL ON SCHEMA ft FROM session_nobody;
DROP ROLE session_nobody, session_monitor;
