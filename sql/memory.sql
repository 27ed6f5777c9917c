-- Memory of the server's processes.  Figures are the machine's, so what is
-- shown is how they relate.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome

-- Every process has its row; nothing is known of growth before the first sample.
SELECT count(*) = count(DISTINCT pid) AS one_row_each,
       bool_and(resident_bytes > 0 AND private_bytes > 0 AND swapped_bytes >= 0) AS sizes,
       bool_and(private_bytes - swapped_bytes <= resident_bytes) AS private_is_part_of_resident,
       bool_or(backend_type = 'checkpointer') AS auxiliary_ones_too,
       count(*) FILTER (WHERE pid = pg_backend_pid()) AS own
  FROM ft.backend_memory();
SELECT first_private_bytes, growth_bytes, growth_per_minute, sample_age,
       usename = session_user AS usename, state, datname = current_database() AS datname, backend_type
  FROM ft.backend_memory() WHERE pid = pg_backend_pid();

-- A session that takes 64 MB and keeps it is told by its growth.
SELECT ft.sampler_tick('memory');
CREATE FUNCTION pg_temp.keep(bytes int) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN PERFORM set_config('regress.kept', repeat('x', bytes), false); END $$;
SELECT pg_temp.keep(64 * 1024 * 1024);
SELECT growth_bytes >= 64 * 1024 * 1024 AS has_grown,
       growth_bytes = private_bytes - first_private_bytes AS since_first,
       growth_per_minute > 0 AS is_growing, max_private_bytes >= private_bytes AS most,
       first_sampled_at < sampled_at AS sampled, sample_age > '0 s' AS age
  FROM ft.backend_memory() WHERE pid = pg_backend_pid();
SELECT pid = pg_backend_pid() AS the_leak_comes_first
  FROM ft.backend_memory() ORDER BY growth_bytes DESC NULLS LAST LIMIT 1;
-- What was given back is no growth any more, but is remembered as the most.
SELECT ft.sampler_tick('memory');
SELECT pg_temp.keep(1);
SELECT growth_bytes < 64 * 1024 * 1024 AS given_back, max_private_bytes - private_bytes > 48 * 1024 * 1024 AS most
  FROM ft.backend_memory() WHERE pid = pg_backend_pid();
\d ft.backend_memory_summary
SELECT count(*) > 5 AS rows FROM ft.backend_memory_summary;

-- With its share of what it shares.
SELECT pid = pg_backend_pid() AS own, proportional_bytes <= resident_bytes AS at_most_resident,
       private_bytes + shared_bytes <= resident_bytes AS parts, proportional_anonymous_bytes > 0 AS anonymous
  FROM ft.proportional_memory(pg_backend_pid());
SELECT * FROM ft.proportional_memory(NULL);
SELECT * FROM ft.proportional_memory(1);
SELECT * FROM ft.proportional_memory(0);
SELECT * FROM ft.proportional_memory(-2147483648);

-- Contexts of this session.
SELECT level, path, name, tree_bytes >= (SELECT sum(total_bytes) FROM ft.memory_contexts()) * 0.9 AS all_of_it
  FROM ft.memory_contexts() LIMIT 1;
SELECT bool_and(used_bytes + free_bytes = total_bytes) AS used_and_free, bool_and(tree_bytes >= total_bytes) AS tree,
       bool_and(cardinality(path) = level + 1) AS path, bool_and(path[level + 1] = name) AS name,
       bool_or(path = '{TopMemoryContext,CacheMemoryContext}') AS cache,
       sum(children) = count(*) - 1 AS children
  FROM ft.memory_contexts();

-- The log of another's: for those who may by the server's own rule.
SELECT ft.log_memory_contexts(pg_backend_pid());
SELECT ft.log_memory_contexts(NULL);
SELECT ft.log_memory_contexts(1);

-- A member of pg_monitor sees all, somebody who was granted the function alone
-- no more than pg_stat_activity shows.
CREATE ROLE regress_ft_watch IN ROLE pg_monitor;
CREATE ROLE regress_ft_guest;
GRANT USAGE ON SCHEMA ft TO regress_ft_guest;
SET ROLE regress_ft_watch;
SELECT state, query ~ 'backend_memory' AS query FROM ft.backend_memory() WHERE pid = pg_backend_pid();
SELECT pg_temp.outcome('SELECT ft.log_memory_contexts(pg_backend_pid())');
SET ROLE regress_ft_guest;
SELECT pg_temp.outcome('SELECT * FROM ft.backend_memory()');
SELECT pg_temp.outcome('SELECT * FROM ft.proportional_memory(1)');
SELECT pg_temp.outcome('SELECT * FROM ft.memory_contexts()');
RESET ROLE;
GRANT EXECUTE ON FUNCTION ft.backend_memory() TO regress_ft_guest;
GRANT EXECUTE ON FUNCTION ft.log_memory_contexts(int) TO regress_ft_guest;
GRANT EXECUTE ON FUNCTION pg_log_backend_memory_contexts(int) TO regress_ft_guest;
SET ROLE regress_ft_guest;
SELECT state, query, backend_start, private_bytes > 0 AS private, first_private_bytes > 0 AS first
  FROM ft.backend_memory() WHERE pid = pg_backend_pid();
SELECT ft.log_memory_contexts(pg_backend_pid());
RESET ROLE;
REVOKE EXECUTE ON FUNCTION pg_log_backend_memory_contexts(int) FROM regress_ft_guest;
REVOKE EXECUTE ON FUNCTION ft.backend_memory(), ft.log_memory_contexts(int) FROM regress_ft_guest;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_guest;
DROP ROLE regress_ft_watch, regress_ft_guest;
