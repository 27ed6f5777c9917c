-- The history, kept for longer than shared memory can.

CREATE TABLE ft.session_history_log (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    samples int NOT NULL,
    pid int,
    datname name,
    usename name,
    application_name text,
    backend_type text,
    state text,
    wait_event_type text,
    wait_event text,
    query_id bigint,
    query_start timestamptz,
    xact_start timestamptz,
    query text,
    traceparent text,
    blocker_pid int,
    prepared_gid text,
    block_kind text,
    locktype text,
    lock_object text,
    waited_mode text,
    held_mode text,
    wait_start timestamptz,
    in_cycle boolean,
    backend_start timestamptz,
    state_change timestamptz,
    leader_pid int,
    backend_xid xid,
    datid oid,
    usesysid oid);

CREATE INDEX idx_session_history_log_last_seen ON ft.session_history_log (last_seen);

-- What happened on this server is not to be restored into another.
COMMENT ON TABLE ft.session_history_log IS
'what ft.flush_history() has kept of ft.session_history_runs(); not dumped';
COMMENT ON INDEX ft.idx_session_history_log_last_seen IS
'for retention, and for asking about a time';

COMMENT ON SEQUENCE ft.session_history_log_entry_id_seq IS
'of the key of ft.session_history_log';

CREATE FUNCTION ft.flush_history(retention interval DEFAULT '7 days') RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ft_flush_history';

COMMENT ON FUNCTION ft.flush_history(interval) IS
'write samples that are not there yet into ft.session_history_log, and remove those older than the retention';

REVOKE ALL ON TABLE ft.session_history_log FROM PUBLIC;
REVOKE ALL ON FUNCTION ft.flush_history(interval) FROM PUBLIC;
GRANT SELECT ON TABLE ft.session_history_log TO pg_monitor;

