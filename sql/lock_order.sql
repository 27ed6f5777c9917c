-- ft.lock_in_order(): one order for all, whatever is asked for.
-- ft.lock_order_conflicts(): orders that can deadlock, before they do.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE TABLE a (id integer PRIMARY KEY, t text);
CREATE TABLE b (id bigint PRIMARY KEY, "Odd ""name" text UNIQUE, a_id integer, loose integer);
CREATE TABLE parted (id integer, r integer, PRIMARY KEY (id, r)) PARTITION BY RANGE (r);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
CREATE TABLE keyless (id integer);
CREATE VIEW over_a AS SELECT * FROM a;
INSERT INTO a SELECT i, 'x' FROM generate_series(1, 10) AS i;
INSERT INTO b SELECT i, 'n' || i, i, i % 3 FROM generate_series(1, 10) AS i;
INSERT INTO parted SELECT i, i FROM generate_series(1, 19) AS i;
CREATE TEMPORARY VIEW held AS
SELECT locktype, relation::regclass, objid, mode FROM pg_locks
 WHERE pid = pg_backend_pid() AND (locktype = 'advisory' OR relation >= 16384)
   AND relation::regclass::text NOT LIKE '%held' AND relation::regclass::text NOT LIKE '%pkey%'
    OR pid = pg_backend_pid() AND locktype = 'advisory';

-- Advisory keys.
BEGIN;
SELECT ft.lock_in_order(ARRAY[3, 1, 2, 3, 1]);
SELECT ft.lock_in_order(ARRAY[7, -7]::bigint[], shared => true);
SELECT * FROM held ORDER BY mode, objid;
COMMIT;
SELECT count(*) FROM held;
SELECT ft.lock_in_order('{}'::bigint[]);

-- Tables, with their partitions.
BEGIN;
SELECT ft.lock_in_order(ARRAY['b', 'a', 'b'], 'share row exclusive');
SELECT ft.lock_in_order(ARRAY['parted', 'parted_1']::regclass[], 'AccessExclusiveLock');
SELECT * FROM held ORDER BY mode, relation::text;
COMMIT;
SELECT ft.lock_in_order('{}'::regclass[], 'SHARE');

-- Rows; those there are.
BEGIN;
SELECT ft.lock_in_order('a', 'id', ARRAY[5, 3, 5, 99]);
SELECT id FROM a WHERE xmax <> 0 ORDER BY id;
SELECT ft.lock_in_order('b', 'id', ARRAY[2, 1]);
SELECT ft.lock_in_order('b', 'Odd "name', ARRAY['n4', 'n3', 'n9'], strength => 'no key update');
SELECT ft.lock_in_order('b', 'loose', ARRAY[2]);
SELECT id FROM b WHERE xmax <> 0 ORDER BY id;
SELECT ft.lock_in_order('parted', 'id', ARRAY[12, 3], strength => 'SHARE');
SELECT ft.lock_in_order('a', 'id', '{}'::integer[]);
SELECT ft.lock_in_order('a', 'id', ARRAY['7', '8'], timeout => '0 s');
ROLLBACK;

-- lock_timeout is as before, after success and after failure.
SET lock_timeout = '12345ms';
BEGIN;
SELECT ft.lock_in_order(ARRAY[1], timeout => '1 s');
SELECT ft.lock_in_order(ARRAY['a'], 'SHARE', '1 s');
SELECT ft.lock_in_order('a', 'id', ARRAY[5], '1 s');
SHOW lock_timeout;
SAVEPOINT s;
SELECT ft.lock_in_order('a', 't', ARRAY[5], '1 s');
ROLLBACK TO s;
SHOW lock_timeout;
COMMIT;
RESET lock_timeout;

-- What is refused, with nothing locked.
\set SHOW_CONTEXT never
BEGIN;
\set ON_ERROR_ROLLBACK on
SELECT ft.lock_in_order(NULL::bigint[]);
SELECT ft.lock_in_order(ARRAY[1, NULL]);
SELECT ft.lock_in_order(ARRAY[1], timeout => '-1 s');
SELECT ft.lock_in_order(ARRAY[1], timeout => '1 year');
SELECT ft.lock_in_order(ARRAY['a', NULL], 'SHARE');
SELECT ft.lock_in_order(ARRAY['a'], 'SHARED');
SELECT ft.lock_in_order(ARRAY['a'], NULL);
SELECT ft.lock_in_order(ARRAY['a', 'over_a'], 'SHARE');
SELECT ft.lock_in_order(ARRAY['a_pkey'], 'SHARE');
SELECT ft.lock_in_order(ARRAY[1::oid::regclass], 'SHARE');
SELECT ft.lock_in_order(NULL, 'id', ARRAY[1]);
SELECT ft.lock_in_order('a', NULL, ARRAY[1]);
SELECT ft.lock_in_order('a', 'id', NULL::integer[]);
SELECT ft.lock_in_order('a', 'id', ARRAY[1, NULL]);
SELECT ft.lock_in_order('a', 'nothing', ARRAY[1]);
SELECT ft.lock_in_order('a', 'ctid', ARRAY[1]);
SELECT ft.lock_in_order('a', 'id', ARRAY[1.5]);
SELECT ft.lock_in_order('a', 'id', ARRAY['1; DROP TABLE a']);
SELECT ft.lock_in_order('a', 'id', ARRAY[1], strength => 'UPDATE; DROP TABLE a');
SELECT ft.lock_in_order('keyless', 'id', ARRAY[1]);
SELECT ft.lock_in_order('over_a', 'id', ARRAY[1]);
\set ON_ERROR_ROLLBACK off
SELECT count(*) FROM held WHERE locktype = 'advisory' OR mode NOT LIKE '%Share%';
ROLLBACK;

-- With the privileges of the caller, which are looked at before anything is locked.
CREATE ROLE lock_order_user;
GRANT USAGE ON SCHEMA ft TO lock_order_user;
GRANT SELECT ON a TO lock_order_user;
GRANT UPDATE (loose), SELECT ON b TO lock_order_user;
GRANT UPDATE ON parted TO lock_order_user;
SET ROLE lock_order_user;
SELECT ft.lock_in_order(ARRAY[1]);
SELECT ft.lock_in_order(ARRAY['a'], 'ACCESS SHARE');
SELECT ft.lock_in_order(ARRAY['a'], 'SHARE');
SELECT ft.lock_in_order(ARRAY['parted'], 'SHARE');
SELECT ft.lock_in_order(ARRAY['parted_1'], 'SHARE');
SELECT ft.lock_in_order('b', 'id', ARRAY[1]);
SELECT ft.lock_in_order('a', 'id', ARRAY[1]);
SELECT * FROM ft.lock_order_conflicts();
RESET ROLE;

-- Orders that can deadlock.
CREATE TEMPORARY VIEW conflicts AS
SELECT kind, first_relation, second_relation, first_then_second AS ab, second_then_first AS ba,
       first_then_second_modes AS ab_modes, second_then_first_modes AS ba_modes
  FROM ft.lock_order_conflicts();
SELECT ft.reset_lock_order();
SELECT count(*) FROM conflicts;

-- Reading, in whatever order, does not.
BEGIN; SELECT count(*) FROM a; SELECT count(*) FROM b; COMMIT;
BEGIN; SELECT count(*) FROM b; SELECT count(*) FROM a; COMMIT;
-- Nor does writing in one order only, or to one table.
BEGIN; UPDATE a SET t = 'y' WHERE id = 1; UPDATE b SET loose = 1 WHERE id = 1; COMMIT;
BEGIN; DELETE FROM a WHERE id = 99; INSERT INTO b VALUES (11); COMMIT;
UPDATE b SET loose = 1 WHERE id = 2;
SELECT * FROM conflicts;
-- Writing in the other order does.
BEGIN; UPDATE b SET loose = 1 WHERE id = 1; UPDATE a SET t = 'z' WHERE id = 1; COMMIT;
SELECT * FROM conflicts;
SELECT first_then_second_statement, second_then_first_statement FROM ft.lock_order_conflicts();

-- Locks on tables, against readers and writers, also within one statement.
SELECT ft.reset_lock_order();
BEGIN; SELECT count(*) FROM b; SELECT count(*) FROM a; COMMIT;
BEGIN; ALTER TABLE a ADD n integer; ALTER TABLE b ADD n integer; COMMIT;
SELECT * FROM conflicts;
SELECT ft.reset_lock_order();
BEGIN; LOCK TABLE a, b IN SHARE ROW EXCLUSIVE MODE; COMMIT;
BEGIN; LOCK TABLE b, a IN SHARE ROW EXCLUSIVE MODE; COMMIT;
BEGIN; LOCK TABLE b, a IN SHARE ROW EXCLUSIVE MODE; COMMIT;
SELECT * FROM conflicts;
-- A mode that does not conflict with that of the other is none.
SELECT ft.reset_lock_order();
BEGIN; LOCK TABLE a, b IN SHARE MODE; COMMIT;
BEGIN; LOCK TABLE b, a IN SHARE MODE; COMMIT;
SELECT * FROM conflicts;

-- A stronger lock on what one has already.
BEGIN; LOCK TABLE a IN SHARE MODE; UPDATE a SET t = 'x' WHERE id = 1; COMMIT;
SELECT * FROM conflicts;

-- Rows that are only locked count as written; a foreign key's do not.
SELECT ft.reset_lock_order();
BEGIN; SELECT id FROM a WHERE id = 1 FOR UPDATE; UPDATE b SET loose = 1 WHERE id = 1; COMMIT;
BEGIN; UPDATE b SET loose = 1 WHERE id = 1; SELECT id FROM a WHERE id = 1 FOR KEY SHARE; COMMIT;
SELECT * FROM conflicts;
BEGIN; UPDATE b SET loose = 1 WHERE id = 1; SELECT id FROM a WHERE id = 1 FOR NO KEY UPDATE; COMMIT;
SELECT * FROM conflicts;

-- In functions, in savepoints, whether or not it was rolled back.
SELECT ft.reset_lock_order();
DO 'BEGIN UPDATE a SET t = t WHERE id = 1; UPDATE b SET loose = 1 WHERE id = 1; END';
BEGIN;
UPDATE b SET loose = 1 WHERE id = 1;
SAVEPOINT s;
UPDATE a SET t = t WHERE id = 1;
ROLLBACK TO s;
ROLLBACK;
SELECT * FROM conflicts;

-- A loop of errors that are caught is one transaction, and what it held before
-- was asked for once; what comes after it counts as well.
SELECT ft.reset_lock_order();
BEGIN;
UPDATE b SET loose = 1 WHERE id = 1;
UPDATE parted SET id = id WHERE id = 3;
DO $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        BEGIN
            UPDATE a SET t = t WHERE id = 1;
            RAISE EXCEPTION 'caught';
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$;
UPDATE a SET t = t WHERE id = 1;
UPDATE keyless SET id = id;
COMMIT;
BEGIN; UPDATE keyless SET id = id; UPDATE a SET t = t WHERE id = 1; UPDATE parted SET id = id WHERE id = 3; UPDATE b SET loose = 1 WHERE id = 1; COMMIT;
SELECT first_relation, second_relation, first_then_second, second_then_first FROM ft.lock_order_conflicts() ORDER BY 1, 2;
SELECT truncated_transactions FROM ft.lock_order_state();

-- In which order a command has locked two tables is not known, and not counted; two commands have one, also after that.
SELECT ft.reset_lock_order();
BEGIN;
SAVEPOINT s;
ALTER TABLE b ADD FOREIGN KEY (a_id) REFERENCES a NOT VALID;
ROLLBACK TO s;
LOCK TABLE a IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE b IN SHARE ROW EXCLUSIVE MODE;
ROLLBACK TO s;
LOCK TABLE b IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE a IN SHARE ROW EXCLUSIVE MODE;
COMMIT;
SELECT first_relation, second_relation, first_then_second, second_then_first FROM ft.lock_order_conflicts() ORDER BY 1, 2;

-- Who keeps all writers out first has made an order of it.
SELECT ft.reset_lock_order();
BEGIN; UPDATE a SET t = t WHERE id = 1; UPDATE b SET loose = 1 WHERE id = 1; COMMIT;
BEGIN;
SELECT ft.lock_in_order(ARRAY['b', 'a'], 'EXCLUSIVE');
UPDATE b SET loose = 1 WHERE id = 1;
UPDATE a SET t = t WHERE id = 1;
COMMIT;
SELECT * FROM conflicts;

-- Partitions count as their table; what is temporary or new does not count.
SELECT ft.reset_lock_order();
CREATE TEMPORARY TABLE mine (id integer);
BEGIN; UPDATE parted SET r = r WHERE id = 1; UPDATE a SET t = t WHERE id = 1; COMMIT;
BEGIN; UPDATE a SET t = t WHERE id = 1; UPDATE parted SET r = r; INSERT INTO mine VALUES (1); COMMIT;
BEGIN; INSERT INTO mine VALUES (1); UPDATE a SET t = t WHERE id = 1; COMMIT;
BEGIN; CREATE TABLE new (id integer); INSERT INTO new VALUES (1); UPDATE a SET t = t WHERE id = 1; COMMIT;
SELECT * FROM conflicts;

-- COPY, TRUNCATE, and a prepared transaction; a lock on one table and rows of
-- the other.
SELECT ft.reset_lock_order();
BEGIN;
COPY a (id) FROM STDIN;
101
\.
TRUNCATE b;
PREPARE TRANSACTION 'lock_order';
ROLLBACK PREPARED 'lock_order';
BEGIN; DELETE FROM b WHERE id = 1; DELETE FROM a WHERE id = 1; ROLLBACK;
SELECT * FROM conflicts;
SELECT tracking, pairs > 0 AS some, max_pairs, unrecorded, truncated_transactions FROM ft.lock_order_state();

-- Counts of the same transaction again and again.
SELECT ft.reset_lock_order();
BEGIN; UPDATE b SET loose = 1; UPDATE a SET t = t; COMMIT;
\set ECHO none
SELECT 'BEGIN', 'UPDATE a SET t = t WHERE id = 1', 'UPDATE b SET loose = 1 WHERE id = 1', 'COMMIT'
  FROM generate_series(1, 100) \gexec
\set ECHO all
SELECT * FROM conflicts;

-- What this session has counted and not yet added is forgotten, too.
BEGIN; UPDATE b SET loose = 1; UPDATE a SET t = t; COMMIT;
BEGIN; UPDATE a SET t = t; UPDATE b SET loose = 1; COMMIT;
BEGIN; UPDATE b SET loose = 1; UPDATE a SET t = t; COMMIT;
BEGIN; UPDATE a SET t = t; UPDATE b SET loose = 1; COMMIT;
SELECT ft.reset_lock_order();
SELECT * FROM conflicts;

-- A statement that begins with a relation of no interest.
CREATE TEMPORARY TABLE of_mine (id int);
BEGIN;
WITH x AS (UPDATE a SET t = t WHERE id = 1 RETURNING id), y AS (UPDATE b SET loose = 1 WHERE id = 1 RETURNING id)
INSERT INTO of_mine SELECT id FROM x UNION SELECT id FROM y;
COMMIT;
BEGIN; UPDATE b SET loose = 1 WHERE id = 1; UPDATE a SET t = t WHERE id = 1; COMMIT;
SELECT * FROM conflicts;
SELECT first_then_second_statement, second_then_first_statement FROM ft.lock_order_conflicts();
DROP TABLE of_mine;

-- Off.
SELECT ft.reset_lock_order();
SET fault_tolerance.track_lock_order = off;
BEGIN; UPDATE a SET t = t WHERE id = 1; UPDATE b SET loose = 1 WHERE id = 1; COMMIT;
SELECT tracking, pairs FROM ft.lock_order_state();
RESET fault_tolerance.track_lock_order;

-- Who may: figures, but not the statements of others.
BEGIN; UPDATE a SET t = t WHERE id = 1; UPDATE b SET loose = 1 WHERE id = 1; COMMIT;
BEGIN; UPDATE b SET loose = 1 WHERE id = 1; UPDATE a SET t = t WHERE id = 1; COMMIT;
CREATE ROLE lock_order_watcher;
GRANT pg_monitor TO lock_order_watcher;
GRANT EXECUTE ON FUNCTION ft.lock_order_conflicts() TO lock_order_user;
SET ROLE lock_order_watcher;
SELECT kind, first, second, "1 then 2", "1 then 2 by" FROM ft.lock_order_summary;
SELECT ft.reset_lock_order();
SET ROLE lock_order_user;
SELECT kind, first_relation, first_then_second_statement FROM ft.lock_order_conflicts();
RESET ROLE;
REVOKE ALL ON FUNCTION ft.lock_order_conflicts() FROM lock_order_user;
-- A table that is gone has no name any more.
DROP VIEW over_a;
DROP TABLE a;
SELECT kind, first_relation, second_relation FROM conflicts;

SELECT ft.reset_lock_order();
REVOKE ALL ON SCHEMA ft FROM lock_order_user;
DROP TABLE b, parted, keyless, new;
DROP ROLE lock_order_user, lock_order_watcher;
