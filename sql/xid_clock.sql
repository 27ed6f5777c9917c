-- The clock of transaction ids: what it knows after a tick, and what it
-- refuses.  Here it ticks by SQL; nothing else notes anything.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT ft.sampler_tick('xid clock');
SELECT next_xid AS before FROM ft.xid_rate() \gset
DO $$BEGIN
    FOR i IN 1 .. 20 LOOP
        PERFORM pg_current_xact_id();
        COMMIT;
    END LOOP;
END$$;
-- Exactly what was used since the last note, which a window shorter than the
-- time since then starts at.
SELECT xids >= 20 AS all_counted,
       xids = next_xid::text::bigint - :before AS exact,
       multixacts, multixacts_per_second,
       covered BETWEEN '0' AND '10 min' AS since_the_note,
       xids_per_second BETWEEN xids / extract(epoch FROM covered) * 0.99
                           AND xids / extract(epoch FROM covered) * 1.01 AS rate
  FROM ft.xid_rate('1 us');

SELECT xids >= 20 AS all_counted FROM ft.xid_rate('10000 years');

-- Multixacts: two lockers of one row, of which one is a subtransaction.
CREATE TABLE xid_clock_row (id integer);
INSERT INTO xid_clock_row VALUES (1);
BEGIN;
SELECT * FROM xid_clock_row FOR KEY SHARE;
SAVEPOINT s;
UPDATE xid_clock_row SET id = 1;
COMMIT;
SELECT multixacts, multixacts_per_second > 0 AS rate FROM ft.xid_rate('1 us');
DROP TABLE xid_clock_row;

SELECT * FROM ft.xid_rate('0');
SELECT * FROM ft.xid_rate('-1 h');
SELECT * FROM ft.xid_rate(NULL);

-- Not for everybody.
CREATE ROLE xid_clock_nobody;
GRANT USAGE ON SCHEMA ft TO xid_clock_nobody;
SET ROLE xid_clock_nobody;
SELECT * FROM ft.xid_rate();
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM xid_clock_nobody;
DROP ROLE xid_clock_nobody;
