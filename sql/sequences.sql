-- ft.sequences(): how far sequences have come, against their own end or that of
-- the column they fill, whoever may read them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE SCHEMA sequences;
SET search_path = sequences, pg_catalog;
CREATE TABLE "Orders" (id serial, small smallserial, big bigserial,
                       made integer GENERATED ALWAYS AS IDENTITY (MAXVALUE 100));
-- A bigint sequence that fills an integer column, and one that nobody owns.
CREATE SEQUENCE wide;
CREATE TABLE narrow (id integer DEFAULT nextval('wide'));
ALTER SEQUENCE wide OWNED BY narrow.id;
CREATE SEQUENCE unowned MINVALUE 1 MAXVALUE 10;
CREATE SEQUENCE down INCREMENT -1 MINVALUE -1000 MAXVALUE -1;
CREATE SEQUENCE steps INCREMENT 10 MINVALUE 0 MAXVALUE 100;
CREATE SEQUENCE round MAXVALUE 10 CYCLE;
CREATE SEQUENCE "never used";

SELECT setval('"Orders_id_seq"', 2000000000), setval('"Orders_small_seq"', 16384),
       setval('"Orders_big_seq"', 2000000000), setval('"Orders_made_seq"', 76),
       setval('wide', 1800000000), setval('unowned', 10), setval('down', -500),
       setval('steps', 50), setval('round', 10) \g /dev/null
SELECT sequencename, used_percent, last_value, end_value, values_left, severity, cycle, column_name, column_type, increment_by
  FROM ft.sequences() WHERE schemaname = 'sequences';
SELECT sequencename FROM ft.sequences(90) WHERE schemaname = 'sequences' ORDER BY 1;
SELECT count(*) FROM ft.sequences(NULL);
-- is_called as setval() leaves it: nothing was given out.
SELECT setval('unowned', 7, false);
SELECT count(*) FROM ft.sequences() WHERE sequencename = 'unowned';
SELECT last_value FROM ft.sequence_values() WHERE relid = 'unowned'::regclass;
-- A step as large as can be.
CREATE SEQUENCE leap INCREMENT -9223372036854775808;
SELECT nextval('leap');
SELECT used_percent, last_value, end_value, values_left FROM ft.sequences() WHERE sequencename = 'leap';
DROP SEQUENCE leap;

-- Who may not read a sequence is told how far it is all the same.
CREATE ROLE sequences_monitor IN ROLE pg_monitor;
CREATE ROLE sequences_nobody;
GRANT USAGE ON SCHEMA ft TO sequences_nobody;
SET ROLE sequences_monitor;
SELECT count(*) FROM ft.sequences() WHERE schemaname = 'sequences';
SET ROLE sequences_nobody;
SELECT * FROM ft.sequences();
SELECT * FROM ft.sequence_values();
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM sequences_nobody;
DROP ROLE sequences_monitor, sequences_nobody;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA sequences CASCADE;
