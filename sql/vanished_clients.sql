-- ft.vanished_clients() where nobody is gone, and prepared transactions that
-- nobody finishes.  Clients that are killed are in test/tap/111_vanished_clients.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT count(*) FROM ft.vanished_clients();
-- This session came by a Unix-domain socket, of which nothing can be told.
SELECT count(*) FROM ft.client_connections() WHERE pid = pg_backend_pid();

-- Prepared by a role that has a session here, and by one that has none.
CREATE ROLE vanished_owner;
GRANT CREATE ON SCHEMA public TO vanished_owner;
BEGIN;
CREATE TABLE vanished_mine (id integer);
PREPARE TRANSACTION 'vanished mine';
SET SESSION AUTHORIZATION vanished_owner;
BEGIN;
CREATE TABLE vanished_theirs (id integer);
PREPARE TRANSACTION 'vanished''s';
RESET SESSION AUTHORIZATION;
SELECT count(*) AS young FROM ft.vanished_clients();
SELECT ft.set_threshold('prepared_transaction', 0, 1000), ft.set_threshold('vanished_clients', 1, 2);
SELECT kind, pid, prepared_gid, certain, evidence, usename, state, severity, sql FROM ft.vanished_clients();
SELECT severity, kind, who, usename, evidence FROM ft.vanished_clients_summary;
SELECT status, object, value, message FROM ft.health_check('{vanished_clients}');
SELECT sql FROM ft.vanished_clients() \gexec
SELECT count(*) AS left_behind FROM ft.vanished_clients();
SELECT status, value, message FROM ft.health_check('{vanished_clients}');
SELECT ft.reset_threshold('prepared_transaction'), ft.reset_threshold('vanished_clients');
ROLLBACK PREPARED 'vanished mine';

CREATE ROLE vanished_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO vanished_owner;
SET ROLE vanished_owner;
SELECT * FROM ft.vanished_clients();
SELECT * FROM ft.client_connections();
SET ROLE vanished_monitor;
SELECT count(*) FROM ft.vanished_clients_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft, public FROM vanished_owner;
DROP ROLE vanished_owner, vanished_monitor;
