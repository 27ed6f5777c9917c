/* How fast transaction ids are used up.  See xid_clock.c. */

CREATE FUNCTION ft.xid_rate(
    "window" interval DEFAULT '1 hour',
    OUT xids_per_second double precision,
    OUT multixacts_per_second double precision,
    OUT xids bigint,
    OUT multixacts bigint,
    OUT covered interval,
    OUT next_xid xid8,
    OUT next_multixact xid)
AS 'MODULE_PATHNAME', 'ft_xid_rate'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.xid_rate(interval) IS
'transaction ids and multixacts used over a stretch of time up to now, from the sampled clock; covered tells how much of it is known';

REVOKE ALL ON FUNCTION ft.xid_rate(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.xid_rate(interval) TO pg_monitor;

