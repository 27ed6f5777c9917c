-- What quickstart works on: a shop with orders of several steps each.
--
-- An order is placed in one transaction, with the execution that works it off.
-- Every step and every compensation leaves a line in the ledger, so that
-- afterwards it can be counted what happened and how often.
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
INSERT INTO shop.account SELECT format('customer %s', n), 100000 FROM generate_series(1, 50) AS n;

CREATE TABLE shop.stock (item text PRIMARY KEY, pieces int NOT NULL CHECK (pieces >= 0));
INSERT INTO shop.stock VALUES ('lamp', 100), ('desk', 0);
INSERT INTO shop.stock SELECT format('book %s', n), 100000 FROM generate_series(1, 50) AS n;

CREATE TABLE shop.carrier (name text PRIMARY KEY);
INSERT INTO shop.carrier VALUES ('post');
CREATE TABLE shop.booking (
    order_no text PRIMARY KEY,
    carrier text NOT NULL REFERENCES shop.carrier);

CREATE TABLE shop.ledger (
    order_no text NOT NULL,
    action text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp());

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

-- These two are under way for as long as somebody holds the order back.
CREATE FUNCTION shop.pack(order_no text) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock_shared(hashtext(order_no));
    INSERT INTO shop.ledger (order_no, action) VALUES (order_no, 'pack');
END;

CREATE FUNCTION shop.refund(order_no text, customer text, amount numeric) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock_shared(hashtext(order_no));
    SELECT shop.charge(order_no, customer, -amount);
END;

-- What an order is: $1 is the input that it was started with.
SELECT ft.define_orchestration('order', $$[
    {"name": "reserve",
     "command": "SELECT shop.reserve($1 ->> 'order', $1 ->> 'item', 1)",
     "compensation": "SELECT shop.reserve($1 ->> 'order', $1 ->> 'item', -1)"},
    {"name": "charge", "depends_on": ["reserve"], "critical": true,
     "command": "SELECT shop.charge($1 ->> 'order', $1 ->> 'customer', ($1 ->> 'amount')::numeric)",
     "compensation": "SELECT shop.refund($1 ->> 'order', $1 ->> 'customer', ($1 ->> 'amount')::numeric)"},
    {"name": "book", "depends_on": ["charge"],
     "command": "SELECT shop.book($1 ->> 'order', $1 ->> 'carrier')"},
    {"name": "pack", "depends_on": ["book"],
     "command": "SELECT shop.pack($1 ->> 'order')"}]$$) AS definition \gset

-- Committed, the order is placed and will be worked off; rolled back, neither.
CREATE FUNCTION shop.place(order_no text, customer text, item text, amount numeric, carrier text)
RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO shop.orders VALUES (order_no, ft.start('order', jsonb_build_object(
        'order', order_no, 'customer', customer, 'item', item, 'amount', amount, 'carrier', carrier)));
END;
CREATE SEQUENCE shop.order_number;

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
       date_trunc('milliseconds', f.recovered_at - f.failure_timestamp) AS took
  FROM shop.orders AS o
  JOIN ft.orchestration_failures AS f USING (execution_id)
 ORDER BY f.failure_timestamp;

RESET ROLE;

-- A table full of dead tuples: autovacuum cannot keep up, or was switched off.
CREATE TABLE carts (id int, filler text) WITH (autovacuum_enabled = off);
INSERT INTO carts SELECT n, repeat('x', 100) FROM generate_series(1, 60000) AS n;
