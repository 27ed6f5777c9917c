-- Queues whose steps are limited, or paused: queue.c, queue_room.c

CREATE TABLE ft.queue_limits (
    queue text COLLATE "C" PRIMARY KEY,
    max_running integer,
    max_running_per_owner integer,
    rate_limit integer,
    rate_period interval NOT NULL DEFAULT '1 second',
    paused boolean NOT NULL DEFAULT false,
    changed_by name NOT NULL DEFAULT session_user,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT queue_limits_running CHECK (max_running > 0 AND max_running_per_owner > 0),
    CONSTRAINT queue_limits_rate CHECK (rate_limit > 0 AND rate_period > '0')
);

-- What was started within the period, a row for each part of it.  Not dumped:
-- it says nothing of another server.
CREATE TABLE ft.queue_starts (
    queue text COLLATE "C" NOT NULL,
    place smallint NOT NULL,
    started_at timestamptz NOT NULL,
    starts bigint NOT NULL,
    CONSTRAINT queue_starts_pkey PRIMARY KEY (queue, place)
)
-- a row is updated each time
WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE FUNCTION ft.set_queue(
    queue text, max_running integer DEFAULT NULL,
    max_running_per_owner integer DEFAULT NULL,
    rate_limit integer DEFAULT NULL, rate_period interval DEFAULT '1 second')
RETURNS void
AS 'MODULE_PATHNAME', 'ft_set_queue'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.pause_queue(queue text)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_pause_queue'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.resume_queue(queue text)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_resume_queue'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.reset_queue(queue text)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_reset_queue'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.limited_queues(
    OUT queue text, OUT paused boolean, OUT max_running integer,
    OUT max_running_per_owner integer, OUT rate_limit integer,
    OUT rate_period interval, OUT running bigint, OUT started bigint,
    OUT next_start timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_limited_queues'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;

COMMENT ON TABLE ft.queue_limits IS
'queues that are limited or paused; see ft.set_queue() and ft.queues';
COMMENT ON COLUMN ft.queue_limits.max_running IS
'how many steps of it run at a time; null: without limit';
COMMENT ON COLUMN ft.queue_limits.max_running_per_owner IS
'how many steps of it run at a time for one owner; null: without limit';
COMMENT ON COLUMN ft.queue_limits.rate_limit IS
'how many steps of it are started within any rate_period; null: without limit';
COMMENT ON COLUMN ft.queue_limits.paused IS
'no step of it is started';
COMMENT ON TABLE ft.queue_starts IS
'how many steps of queues with a rate limit were started, by parts of the period';
COMMENT ON COLUMN ft.queue_starts.place IS
'part of the period: a place is used again when its starts are out of the period; -1: starts before the period was changed';
COMMENT ON COLUMN ft.queue_starts.started_at IS
'time of the last of these starts';
COMMENT ON FUNCTION ft.set_queue(text, integer, integer, integer, interval) IS
'limit how many steps of a queue run at a time, in all and for each owner, and how many are started within a period; what is null is without limit';
COMMENT ON FUNCTION ft.pause_queue(text) IS
'start no further step of a queue; those that run are completed';
COMMENT ON FUNCTION ft.resume_queue(text) IS
'start steps of a queue again, within its limits';
COMMENT ON FUNCTION ft.reset_queue(text) IS
'take all limits from a queue, and resume it';
COMMENT ON FUNCTION ft.limited_queues() IS
'queues that are limited or paused: their limits, how many steps run and were started within the period, of all owners, and when the rate lets the next one start';

REVOKE ALL ON TABLE ft.queue_limits, ft.queue_starts FROM PUBLIC;
GRANT SELECT ON TABLE ft.queue_limits, ft.queue_starts TO pg_monitor;
REVOKE ALL ON FUNCTION ft.set_queue(text, integer, integer, integer, interval),
    ft.pause_queue(text), ft.resume_queue(text), ft.reset_queue(text) FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('ft.queue_limits', '');

