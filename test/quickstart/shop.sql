-- What quickstart works on: a shop with orders of several steps each.
--
-- Each order is an execution; its steps are SQL that the outside worker runs
-- in one transaction with the report that the step is complete.  Every step
-- and every compensation leaves a line in the ledger, so that afterwards it
-- can be counted what happened and how often.
CREATE EXTENSION fault_tolerance;
CREATE EXTENSION pg_cron;

CREATE ROLE shop LOGIN;
GRANT USAGE ON SCHEMA ft TO shop;
CREATE SCHEMA shop AUTHORIZATION shop;
SET ROLE shop;

CREATE TABLE shop.account (
    customer text PRIMARY KEY,
    balance numeric NOT NULL CHECK (balance >= 0));
INSERT INTO shop.account
VALUES ('ada', 100), ('bob', 100), ('eve', 100);

CREATE TABLE shop.stock (item text PRIMARY KEY, pieces int NOT NULL CHECK (pieces >= 0));
INSERT INTO shop.stock VALUES ('lamp', 100), ('desk', 0);

CREATE TABLE shop.carrier (name text PRIMARY KEY);
INSERT INTO shop.carrier VALUES ('post');
CREATE TABLE shop.booking (
    order_no text PRIMARY KEY,
    carrier text NOT NULL REFERENCES shop.carrier);

CREATE TABLE shop.ledger (
    order_no text NOT NULL,
    action text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp());

-- The orders: which execution each is.  All have the same steps; what fails in
-- which is in the data.
CREATE TABLE shop.orders (order_no text PRIMARY KEY, execution_id uuid NOT NULL);

CREATE FUNCTION shop.reserve(order_no text, item text, pieces int) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    UPDATE shop.stock AS s SET pieces = s.pieces - reserve.pieces WHERE s.item = reserve.item;
    INSERT INTO shop.ledger (order_no, action)
    VALUES (order_no, CASE WHEN pieces > 0 THEN 'reserve' ELSE 'unreserve' END);
END;

-- Waits for a customer's row no longer than an application should.
CREATE FUNCTION shop.charge(order_no text, customer text, amount numeric) RETURNS void
LANGUAGE sql SET lock_timeout = '200ms'
BEGIN ATOMIC
    UPDATE shop.account AS a SET balance = a.balance - amount WHERE a.customer = charge.customer;
    INSERT INTO shop.ledger (order_no, action)
    VALUES (order_no, CASE WHEN amount > 0 THEN 'charge' ELSE 'refund' END);
END;

CREATE FUNCTION shop.book(order_no text, carrier text) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO shop.booking VALUES (order_no, carrier);
    INSERT INTO shop.ledger (order_no, action) VALUES (order_no, 'book');
END;

-- These two are under way for as long as another session keeps the gate shut.
CREATE FUNCTION shop.pack(order_no text) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock_shared(1);
    INSERT INTO shop.ledger (order_no, action) VALUES (order_no, 'pack');
END;

CREATE FUNCTION shop.refund(order_no text, customer text, amount numeric) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock_shared(1);
    SELECT shop.charge(order_no, customer, -amount);
END;

CREATE FUNCTION shop.place(order_no text, customer text, item text, amount numeric, carrier text)
RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    execution uuid := ft.create_execution(state => jsonb_build_object('order', order_no));
BEGIN
    INSERT INTO shop.orders VALUES (order_no, execution);
    PERFORM ft.add_task(execution, 'reserve',
        command => format('SELECT shop.reserve(%L, %L, 1)', order_no, item),
        compensation => format('SELECT shop.reserve(%L, %L, -1)', order_no, item));
    PERFORM ft.add_task(execution, 'charge',
        command => format('SELECT shop.charge(%L, %L, %s)', order_no, customer, amount),
        compensation => format('SELECT shop.refund(%L, %L, %s)', order_no, customer, amount),
        critical => true, depends_on => '{reserve}');
    PERFORM ft.add_task(execution, 'book',
        command => format('SELECT shop.book(%L, %L)', order_no, carrier),
        depends_on => '{charge}');
    PERFORM ft.add_task(execution, 'pack',
        command => format('SELECT shop.pack(%L)', order_no),
        depends_on => '{book}');
    RETURN execution;
END $$;

-- The orders as the tables of the extension have them.
CREATE VIEW shop.progress AS
SELECT o.order_no, e.status,
       string_agg(t.task_name || ' ' || lower(t.status), ', ' ORDER BY t.created_at, t.task_id) AS tasks
  FROM shop.orders AS o
  JOIN ft.orchestration_executions AS e USING (execution_id)
  JOIN ft.orchestration_tasks AS t USING (execution_id)
 GROUP BY o.order_no, e.status
 ORDER BY o.order_no;

CREATE VIEW shop.failures AS
SELECT o.order_no, f.failure_type, f.sqlstate, left(f.failure_message, 34) AS failure_message,
       f.recovery_action AS action, f.recovery_strategy AS by,
       date_trunc('milliseconds', f.recovered_at - f.failure_timestamp) AS took,
       CASE WHEN f.recovered_at > pg_postmaster_start_time()
            THEN date_trunc('milliseconds', f.recovered_at - pg_postmaster_start_time())
       END AS after_restart
  FROM shop.orders AS o
  JOIN ft.orchestration_failures AS f USING (execution_id)
 ORDER BY f.failure_timestamp;

RESET ROLE;

-- A table full of dead tuples: autovacuum cannot keep up, or was switched off.
CREATE TABLE carts (id int, filler text) WITH (autovacuum_enabled = off);
INSERT INTO carts SELECT n, repeat('x', 100) FROM generate_series(1, 60000) AS n;
