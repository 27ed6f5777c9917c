/* How full the lock table is.  See lock_table.c. */

CREATE FUNCTION ft.lock_table_counts(
    OUT locks bigint,
    OUT lock_capacity bigint,
    OUT holders bigint,
    OUT holder_capacity bigint)
AS 'MODULE_PATHNAME', 'ft_lock_table_counts'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.lock_table_counts() IS
'entries of the lock table, and what it is sized for';

CREATE FUNCTION ft.lock_table()
RETURNS TABLE (
    locks bigint,
    lock_capacity bigint,
    used_percent double precision,
    holders bigint,
    holder_capacity bigint,
    severity text,
    hint text)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
    SELECT c.locks, c.lock_capacity, p.percent, c.holders, c.holder_capacity, s.severity,
           CASE WHEN s.severity <> 'OK' THEN
               'Raise max_locks_per_transaction (restart), or let transactions touch fewer tables and partitions; SELECT pid, count(*) FROM pg_locks GROUP BY pid ORDER BY 2 DESC tells whose they are.'
           END
      FROM ft.lock_table_counts() AS c,
           LATERAL (SELECT 100.0::double precision * greatest(c.locks::double precision / c.lock_capacity,
                                                              c.holders::double precision / c.holder_capacity)
                           AS percent) AS p,
           LATERAL (SELECT ft.severity('lock_table', p.percent) AS severity) AS s;
END;

COMMENT ON FUNCTION ft.lock_table() IS
'how full the lock table is: locks and their holders against max_locks_per_transaction of all sessions';

REVOKE ALL ON FUNCTION ft.lock_table_counts(), ft.lock_table() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.lock_table_counts(), ft.lock_table() TO pg_monitor;

