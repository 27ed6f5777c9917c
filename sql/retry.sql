-- ft.retry(): one statement by itself, tried again while it is worth it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE TABLE retry_ledger (what text, attempt bigint);
CREATE SEQUENCE retry_attempts;
-- fails so often, and then no more; the number of attempts is not rolled back
CREATE FUNCTION retry_step(failures int, code text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    n bigint := nextval('public.retry_attempts');
BEGIN
    INSERT INTO public.retry_ledger VALUES ('step', n);
    IF n <= failures THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'failure ' || n, DETAIL = 'its own detail';
    END IF;
END $$;
CREATE FUNCTION retry_fresh() RETURNS void LANGUAGE sql AS
    'SELECT setval(''retry_attempts'', 1, false); TRUNCATE retry_ledger';

-- At once, and after some failures; only what committed is left.
CALL ft.retry($$SELECT retry_step(0, '40001')$$);
SELECT * FROM retry_ledger;
SELECT retry_fresh();
CALL ft.retry($$SELECT retry_step(3, '40001')$$, first_delay => '1 ms');
SELECT * FROM retry_ledger;
SELECT retry_fresh();
CALL ft.retry($$INSERT INTO retry_ledger VALUES ('insert', 1)$$);
SELECT * FROM retry_ledger;

-- Never: the last error, with the number of attempts, and nothing is left.
SELECT retry_fresh();
CALL ft.retry($$SELECT retry_step(99, '55P03')$$, max_attempts => 3, first_delay => '0', jitter => 0);
SELECT * FROM retry_ledger;
SELECT last_value FROM retry_attempts;

-- What would end the same is not tried again; rules that were changed hold.
SELECT retry_fresh();
CALL ft.retry($$SELECT retry_step(99, '23505')$$);
CALL ft.retry($$SELECT retry_step(99, '53100')$$, max_attempts => 1);
CALL ft.retry('SELECT * FROM nowhere');
CALL ft.retry('SELEKT');
SELECT retry_fresh();
SELECT ft.set_failure_rule('PY', 'TRANSIENT');
CALL ft.retry($$SELECT retry_step(1, 'PY001')$$, first_delay => '0');
SELECT ft.reset_failure_rule('PY');

-- Errors of the commit.
CREATE FUNCTION retry_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.retry_attempts') <= 2 THEN
        RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'failure at commit';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER retry_at_commit AFTER INSERT ON retry_ledger
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.what = 'deferred') EXECUTE FUNCTION retry_at_commit();
SELECT retry_fresh();
CALL ft.retry($$INSERT INTO retry_ledger VALUES ('deferred', 0)$$, first_delay => '1 ms');
SELECT * FROM retry_ledger;
SELECT retry_fresh();
CALL ft.retry($$INSERT INTO retry_ledger VALUES ('deferred', 0)$$, max_attempts => 2, first_delay => '1 ms');
SELECT * FROM retry_ledger;

-- Within a procedure: what was done before is committed, and stays.
SELECT retry_fresh();
DO $$
DECLARE
    n int;
BEGIN
    INSERT INTO retry_ledger VALUES ('before', 0);
    CALL ft.retry('SELECT retry_step(2, ''40P01'')', first_delay => '1 ms', attempts => n);
    INSERT INTO retry_ledger VALUES ('after', n);
END $$;
SELECT * FROM retry_ledger;

-- Where it cannot end a transaction.
SELECT retry_fresh();
BEGIN;
CALL ft.retry('SELECT 1');
ROLLBACK;
\set VERBOSITY terse
CREATE FUNCTION retry_in_function() RETURNS void LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
    CALL ft.retry('SELECT 1', attempts => n);
END $$;
SELECT retry_in_function();
DO $$
DECLARE n int;
BEGIN
    CALL ft.retry('SELECT 1', attempts => n);
EXCEPTION WHEN division_by_zero THEN
    NULL;
END $$;

-- What is refused.
CALL ft.retry(NULL);
CALL ft.retry('');
CALL ft.retry('SELECT 1; SELECT 2');
CALL ft.retry('COMMIT');
CALL ft.retry('VACUUM');
CALL ft.retry('COPY retry_ledger TO STDOUT');
CALL ft.retry('SELECT 1', NULL);
CALL ft.retry('SELECT 1', 0);
CALL ft.retry('SELECT 1', first_delay => NULL);
CALL ft.retry('SELECT 1', first_delay => '-1 s');
CALL ft.retry('SELECT 1', first_delay => '1 month');
CALL ft.retry('SELECT 1', max_delay => NULL);
CALL ft.retry('SELECT 1', max_delay => '2 days');
CALL ft.retry('SELECT 1', jitter => NULL);
CALL ft.retry('SELECT 1', jitter => 1.5);
CALL ft.retry('SELECT 1', jitter => 'NaN');

-- A time limit is about the whole call, and ends it.
SET statement_timeout = '50 ms';
CALL ft.retry($$SELECT retry_step(99, '40001')$$, first_delay => '1 h', max_delay => '1 h');
RESET statement_timeout;
\set VERBOSITY default

DROP TABLE retry_ledger;
DROP SEQUENCE retry_attempts;
DROP FUNCTION retry_step(int, text), retry_fresh(), retry_at_commit(), retry_in_function();
