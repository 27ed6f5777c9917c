-- Schema "hostile": what an attacker would make who may create objects in a
-- schema that somebody's search_path has before pg_catalog: a function,
-- operator and view of the name and types of each one in pg_catalog.  Who
-- calls one has the SQLSTATE HACKD, and leaves a line in the server's log.
-- Schema "soak": relations whose names are SQL.
CREATE SCHEMA hostile;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
CREATE FUNCTION hostile.alarm() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE LOG 'a hostile object was used';
    RAISE EXCEPTION 'a hostile object was used' USING ERRCODE = 'HACKD';
END $$;

DO $do$
DECLARE
    f record;
    -- all but those that exist only inside the server
    unusable regtype[] := '{internal,cstring,"\"any\"",language_handler,fdw_handler,index_am_handler,table_am_handler,tsm_handler,trigger,event_trigger}';
BEGIN
    -- An aggregate's place is taken by a function of its name.
    FOR f IN
        SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments,
               p.proargtypes, p.prorettype, p.proretset, p.provariadic
          FROM pg_proc AS p
         WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a')
           AND NOT p.prorettype = ANY (unusable)
           AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) AS t WHERE t = ANY (unusable))
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION hostile.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS $$BEGIN PERFORM hostile.alarm(); END$$',
                           f.proname,
                           (SELECT string_agg(format_type(t, NULL), ', ') FROM unnest(f.proargtypes) AS t),
                           CASE WHEN f.proretset THEN 'SETOF' END,
                           format_type(f.prorettype, NULL));
        EXCEPTION WHEN invalid_function_definition OR feature_not_supported THEN
            NULL;   -- polymorphic without an argument that decides
        END;
    END LOOP;
    FOR f IN
        SELECT o.oprname, o.oprleft, o.oprright, o.oprresult, row_number() OVER () AS n
          FROM pg_operator AS o
         WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprright <> 0
           AND NOT o.oprleft = ANY (unusable) AND NOT o.oprright = ANY (unusable)
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION hostile.operator_%s(%s%s) RETURNS %s LANGUAGE plpgsql AS $$BEGIN PERFORM hostile.alarm(); END$$',
                           f.n, format_type(nullif(f.oprleft, 0), NULL) || ', ', format_type(f.oprright, NULL),
                           format_type(f.oprresult, NULL));
            EXECUTE format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.operator_%s, %s RIGHTARG = %s)',
                           f.oprname, f.n, 'LEFTARG = ' || format_type(nullif(f.oprleft, 0), NULL) || ',',
                           format_type(f.oprright, NULL));
        EXCEPTION WHEN invalid_function_definition OR feature_not_supported THEN
            NULL;
        END;
    END LOOP;

    FOR f IN
        SELECT c.relname FROM pg_class AS c
         WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
           AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.atttypid IN ('anyarray'::regtype, '_pg_statistic'::regtype))
    LOOP
        EXECUTE format('CREATE VIEW hostile.%I AS SELECT r.*, hostile.alarm() AS alarm FROM pg_catalog.%I AS r', f.relname, f.relname);
        EXECUTE format('GRANT SELECT ON hostile.%I TO PUBLIC', f.relname);
    END LOOP;
END $do$;

CREATE SCHEMA soak;
CREATE TABLE soak.victim (i integer);
CREATE SCHEMA "; DROP TABLE soak.victim; --";
CREATE TABLE "; DROP TABLE soak.victim; --"."quo""te's $$ \ ; DROP TABLE soak.victim; --"
    ("'; DROP TABLE soak.victim; --" integer PRIMARY KEY, "%n%s" text) WITH (autovacuum_enabled = off);
INSERT INTO "; DROP TABLE soak.victim; --"."quo""te's $$ \ ; DROP TABLE soak.victim; --"
SELECT n, repeat('x', 100) FROM generate_series(1, 20000) AS n;
DELETE FROM "; DROP TABLE soak.victim; --"."quo""te's $$ \ ; DROP TABLE soak.victim; --" WHERE "'; DROP TABLE soak.victim; --" % 2 = 0;
CREATE INDEX "'; DROP TABLE soak.victim; --" ON "; DROP TABLE soak.victim; --"."quo""te's $$ \ ; DROP TABLE soak.victim; --" ("%n%s");
CREATE SEQUENCE soak."'; DROP TABLE soak.victim; --";
