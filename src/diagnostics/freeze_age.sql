/*
 * How far databases and tables are on their way to wraparound.  See
 * freeze_age.c and table_freeze_age.c.
 */

CREATE FUNCTION ft.freeze_age(
    OUT datname name,
    OUT severity text,
    OUT xid_age bigint,
    OUT multixact_age bigint,
    OUT freeze_percent double precision,
    OUT multixact_freeze_percent double precision,
    OUT stop_percent double precision,
    OUT multixact_stop_percent double precision,
    OUT xids_left bigint,
    OUT multixacts_left bigint,
    OUT time_left interval,
    OUT multixact_time_left interval,
    OUT is_oldest boolean,
    OUT oldest_relation text,
    OUT oldest_multixact_relation text,
    OUT frozen_since timestamptz,
    OUT freeze_max_age integer,
    OUT multixact_freeze_max_age integer,
    OUT stop_age bigint,
    OUT multixact_stop_age bigint,
    OUT datallowconn boolean,
    OUT datid oid)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_freeze_age'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10;

COMMENT ON FUNCTION ft.freeze_age() IS
'age of the oldest transaction id and multixact of each database, how far that is to a forced vacuum and to the limit where the server stops to take writes, and when that would be';

CREATE FUNCTION ft.table_freeze_age(
    min_age bigint DEFAULT 0,
    max_rows integer DEFAULT 100,
    OUT schemaname name,
    OUT relname name,
    OUT severity text,
    OUT xid_age bigint,
    OUT multixact_age bigint,
    OUT why text,
    OUT freeze_percent double precision,
    OUT multixact_freeze_percent double precision,
    OUT horizon_keeps boolean,
    OUT vacuum_pid integer,
    OUT total_size bigint,
    OUT size_note text,
    OUT freeze_max_age integer,
    OUT multixact_freeze_max_age integer,
    OUT autovacuum_enabled boolean,
    OUT relid oid,
    OUT relkind "char",
    OUT relpersistence "char",
    OUT toast_of oid,
    OUT is_shared boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_table_freeze_age'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100;

COMMENT ON FUNCTION ft.table_freeze_age(bigint, integer) IS
'tables, materialized views and TOAST tables of this database by the age of their oldest transaction id or multixact, nearest to a forced vacuum first';

CREATE VIEW ft.freeze_age_summary AS
SELECT f.severity,
       f.datname,
       f.xid_age AS transactions,
       f.freeze_percent AS "% of max age",
       f.stop_percent AS "% to stop",
       f.time_left AS "stop in",
       f.multixact_age AS multixacts,
       f.multixact_stop_percent AS "% to their stop",
       f.oldest_relation AS "oldest here"
  FROM ft.freeze_age() AS f;

COMMENT ON VIEW ft.freeze_age_summary IS
'ft.freeze_age() for reading in psql';

REVOKE ALL ON FUNCTION ft.freeze_age(), ft.table_freeze_age(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.freeze_age(), ft.table_freeze_age(bigint, integer) TO pg_monitor;
GRANT SELECT ON ft.freeze_age_summary TO pg_monitor;

