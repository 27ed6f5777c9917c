-- Definitions of orchestrations: definition.c, definition_check.c

CREATE TABLE ft.orchestrations (
    orchestration_id uuid NOT NULL,
    orchestration_name text NOT NULL,
    version integer NOT NULL,
    tasks jsonb NOT NULL,
    description text,
    owner name NOT NULL,
    owner_oid oid NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT orchestrations_pkey PRIMARY KEY (orchestration_id),
    CONSTRAINT orchestrations_version UNIQUE (orchestration_name, version)
);

ALTER TABLE ft.orchestrations ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_orchestrations ON ft.orchestrations FOR SELECT
    USING (pg_has_role(owner_oid, 'USAGE') AND pg_get_userbyid(owner_oid) = owner);
CREATE POLICY monitor_orchestrations ON ft.orchestrations FOR SELECT
    TO pg_monitor USING (true);

CREATE FUNCTION ft.define_orchestration(
    name text, tasks jsonb, description text DEFAULT NULL)
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_define_orchestration'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.drop_orchestration(name text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ft_drop_orchestration'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON TABLE ft.orchestrations IS
'definitions of orchestrations, one row for each version; what has begun under one goes on under it';
COMMENT ON COLUMN ft.orchestrations.orchestration_id IS
'key of this version of the definition';
COMMENT ON COLUMN ft.orchestrations.tasks IS
'the steps, as they were given';
COMMENT ON FUNCTION ft.define_orchestration(text, jsonb, text) IS
'define an orchestration, or a new version of it; returns the key of the version, which is the newest one''s where nothing has changed';
COMMENT ON FUNCTION ft.drop_orchestration(text) IS
'remove all versions of a definition; executions that have been started go on; returns how many versions there were';

GRANT SELECT ON ft.orchestrations TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('ft.orchestrations', '');

