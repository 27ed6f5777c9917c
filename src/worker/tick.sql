/* The scheduler's tick, and what its recovery passes did. */

-- Not dumped: it is a record of this server, and says nothing of another that
-- the database is restored to.
CREATE TABLE ft.recovery_passes (
    pass_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL,
    duration interval NOT NULL,
    reason text NOT NULL,
    boot_epoch bigint NOT NULL,
    candidates bigint NOT NULL,
    recovered bigint NOT NULL,
    failed bigint NOT NULL,
    given_up bigint NOT NULL,
    CHECK (reason IN ('start', 'wake', 'due', 'poll'))
);

COMMENT ON TABLE ft.recovery_passes IS
'recovery passes of the background worker in this database: the first after each of its starts, and those that found something; the newest 1000';
COMMENT ON SEQUENCE ft.recovery_passes_pass_id_seq IS
'numbers the recovery passes';
COMMENT ON COLUMN ft.recovery_passes.duration IS
'from the begin of the pass until it was committed';
COMMENT ON COLUMN ft.recovery_passes.reason IS
'start: the worker had just started; wake: work was made due by a commit; due: the time of work had come; poll: the interval was over';
COMMENT ON COLUMN ft.recovery_passes.boot_epoch IS
'changes with each start of the server, and with each restart after a crash';

REVOKE ALL ON TABLE ft.recovery_passes FROM PUBLIC;
GRANT SELECT ON TABLE ft.recovery_passes TO pg_monitor;

CREATE FUNCTION ft.scheduler_tick(
    now timestamptz DEFAULT clock_timestamp(),
    OUT paused_reason text,
    OUT candidates bigint,
    OUT recovered bigint,
    OUT failed bigint,
    OUT given_up bigint,
    OUT owners_due regrole[],
    OUT next_due timestamptz)
AS 'MODULE_PATHNAME', 'ft_scheduler_tick'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.scheduler_tick(timestamptz) IS
'do what the background worker does in one tick, as of the given time, and tell whose compensations it would have run next';

REVOKE ALL ON FUNCTION ft.scheduler_tick(timestamptz) FROM PUBLIC;

