-- In which order transactions lock relations.  See lock_order.c.

CREATE FUNCTION ft.lock_order_conflicts(
    OUT kind text,
    OUT first_relation text,
    OUT second_relation text,
    OUT first_then_second bigint,
    OUT second_then_first bigint,
    OUT first_then_second_modes text,
    OUT second_then_first_modes text,
    OUT first_then_second_statement text,
    OUT second_then_first_statement text,
    OUT first_then_second_last timestamptz,
    OUT second_then_first_last timestamptz,
    OUT first_relid oid,
    OUT second_relid oid)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_lock_order_conflicts'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 20;

COMMENT ON FUNCTION ft.lock_order_conflicts() IS
'relations of this database that transactions lock or write in opposite orders, so that they can deadlock';

CREATE FUNCTION ft.lock_order_state(
    OUT tracking boolean,
    OUT since timestamptz,
    OUT pairs int,
    OUT max_pairs int,
    OUT unrecorded bigint,
    OUT truncated_transactions bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'ft_lock_order_state'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.lock_order_state() IS
'how many orders of locks are kept, in all databases, and what found no place';

CREATE FUNCTION ft.reset_lock_order() RETURNS void
AS 'MODULE_PATHNAME', 'ft_reset_lock_order'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.reset_lock_order() IS
'forget the orders of locks of all databases';

CREATE VIEW ft.lock_order_summary AS
SELECT c.kind,
       left(c.first_relation, 24) AS first,
       left(c.second_relation, 24) AS second,
       c.first_then_second AS "1 then 2",
       c.second_then_first AS "2 then 1",
       left(regexp_replace(c.first_then_second_statement, '[[:space:]]+', ' ', 'g'), 30) AS "1 then 2 by",
       left(regexp_replace(c.second_then_first_statement, '[[:space:]]+', ' ', 'g'), 30) AS "2 then 1 by"
  FROM ft.lock_order_conflicts() AS c;

COMMENT ON VIEW ft.lock_order_summary IS
'ft.lock_order_conflicts() for reading in psql';

-- Locks in one order for all: with the caller's own privileges.

CREATE FUNCTION ft.lock_in_order(
    keys bigint[],
    shared boolean DEFAULT false,
    timeout interval DEFAULT NULL)
RETURNS int
AS 'MODULE_PATHNAME', 'ft_lock_keys_in_order'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.lock_in_order(bigint[], boolean, interval) IS
'take transaction-level advisory locks on these keys, in one order for all sessions; returns how many';

CREATE FUNCTION ft.lock_in_order(
    relations regclass[],
    mode text,
    timeout interval DEFAULT NULL)
RETURNS int
AS 'MODULE_PATHNAME', 'ft_lock_relations_in_order'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.lock_in_order(regclass[], text, interval) IS
'lock these tables, with their partitions and children, in one order for all sessions; returns how many were locked';

CREATE FUNCTION ft.lock_in_order(
    relation regclass,
    key_column name,
    keys anyarray,
    timeout interval DEFAULT NULL,
    strength text DEFAULT 'UPDATE')
RETURNS bigint
AS 'MODULE_PATHNAME', 'ft_lock_rows_in_order'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.lock_in_order(regclass, name, anyarray, interval, text) IS
'lock the rows with these keys, as SELECT FOR UPDATE does, in one order for all sessions; returns how many there were';

REVOKE ALL ON FUNCTION ft.lock_order_conflicts() FROM PUBLIC;
REVOKE ALL ON FUNCTION ft.lock_order_state() FROM PUBLIC;
REVOKE ALL ON FUNCTION ft.reset_lock_order() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.lock_order_conflicts() TO pg_monitor;
GRANT EXECUTE ON FUNCTION ft.lock_order_state() TO pg_monitor;
GRANT SELECT ON ft.lock_order_summary TO pg_monitor;
