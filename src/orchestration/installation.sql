-- Where the rows of this database were made: installation.c

CREATE TABLE ft.installations (
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    adopted_at timestamptz NOT NULL,
    -- a restore into the database it came from must not collide with the row made there
    CONSTRAINT installations_pkey PRIMARY KEY (system_identifier, database_oid, adopted_at)
);

CREATE FUNCTION ft.adopt()
RETURNS bigint
AS 'MODULE_PATHNAME', 'ft_adopt'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.paused_reason()
RETURNS text
AS 'MODULE_PATHNAME', 'ft_paused_reason'
LANGUAGE C STABLE PARALLEL SAFE;

COMMENT ON TABLE ft.installations IS
'the clusters and databases in which the rows of the orchestration tables were made';
COMMENT ON FUNCTION ft.adopt() IS
'take over the executions of a restored or cloned database: from now on they are worked here; returns how many executions got an owner of this cluster';
COMMENT ON FUNCTION ft.paused_reason() IS
'why the worker leaves this database alone, or null';

REVOKE ALL ON FUNCTION ft.adopt() FROM PUBLIC;
REVOKE ALL ON FUNCTION ft.paused_reason() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.paused_reason() TO pg_monitor;
GRANT SELECT ON ft.installations TO pg_monitor;

-- It is dumped, so that a restored database knows that its executions come
-- from elsewhere.  The row of this database is written with its first execution
-- or definition, see installation.c.
SELECT pg_catalog.pg_extension_config_dump('ft.installations', '');

