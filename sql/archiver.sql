-- ft.archiver() where nothing is archived.  One that archives, fails and
-- catches up is in test/tap/110_replication_health.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT archive_mode, state, archived_count, failing, failures_since_success, files_waiting,
       files_waiting_complete, oldest_waiting, waiting_since, severity, hint
  FROM ft.archiver();
SELECT archive_mode, archiving, archives_by, files_waiting FROM ft.archive_queue();
SELECT severity, state, archived, failed, waiting FROM ft.archiver_summary;

CREATE ROLE archiver_nobody;
CREATE ROLE archiver_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO archiver_nobody;
SET ROLE archiver_nobody;
SELECT * FROM ft.archiver();
SELECT * FROM ft.archive_queue();
SET ROLE archiver_monitor;
SELECT count(*) FROM ft.archiver_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM archiver_nobody;
DROP ROLE archiver_nobody, archiver_monitor;
