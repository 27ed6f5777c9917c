-- What status.c says, as an include of orchestration.pml: psql -AtqX -f this.
--
-- Statuses become numbers, each event a macro that gives the status it leads
-- to, or NO.  Which statuses of tasks go with which of executions is in no
-- table that could be read, so ft.validate_execution() is asked about each
-- pair; that takes a superuser, who may write the tables of the engine.
--
-- The variable "mutation" is a statement that changes table "transition"
-- first: a table that is wrong on purpose.
\if :{?mutation}
\else
\set mutation 'SELECT WHERE false'
\endif
SET client_min_messages = warning;
BEGIN;
CREATE TEMP TABLE transition ON COMMIT DROP AS
    SELECT upper(object) AS object, from_status, upper(event) AS event, to_status, ordinality AS line
      FROM ft.transitions() WITH ORDINALITY;
CREATE TEMP TABLE event ON COMMIT DROP AS
    SELECT object, event, min(line) AS line FROM transition GROUP BY 1, 2;
CREATE TEMP TABLE status ON COMMIT DROP AS
    SELECT object, status, (row_number() OVER (PARTITION BY object ORDER BY min(line)) - 1)::int AS number
      FROM (SELECT object, from_status AS status, line FROM transition
            UNION ALL SELECT object, to_status, line + 1000 FROM transition) AS s
     GROUP BY 1, 2;
CREATE TEMP TABLE pair (execution text, task text) ON COMMIT DROP;
DO $$
DECLARE
    one record;
    e uuid := ft.create_execution();
    t uuid := ft.add_task(e, 'probe', compensation => 'SELECT 1');
BEGIN
    FOR one IN SELECT x.status AS execution, y.status AS task FROM status AS x, status AS y
                WHERE x.object = 'EXECUTION' AND y.object = 'TASK' LOOP
        UPDATE ft.orchestration_executions SET status = one.execution WHERE execution_id = e;
        UPDATE ft.orchestration_tasks SET status = one.task WHERE task_id = t;
        IF NOT EXISTS (SELECT FROM ft.validate_execution(e)
                        WHERE problem LIKE 'its status is %, which is not possible in an execution that is %') THEN
            INSERT INTO pair VALUES (one.execution, one.task);
        END IF;
    END LOOP;
END $$;
:mutation ;

SELECT '/* Made by transitions.sql from ft.transitions() and ft.validate_execution(). */';
SELECT '#define NO 255';
SELECT format('#define %s_%s %s', object, status, number) FROM status ORDER BY object, number;
SELECT format('#define %s_ON_%s(s) %s NO%s', e.object, e.event,
              string_agg(format('((s) == %1$s_%2$s -> %1$s_%3$s :', e.object, t.from_status, t.to_status), ' ' ORDER BY t.line)
                  FILTER (WHERE t.line IS NOT NULL),
              repeat(')', count(t.line)::int))
  FROM event AS e LEFT JOIN transition AS t USING (object, event)
 GROUP BY e.object, e.event, e.line ORDER BY e.line;
SELECT format('#define TASKS_OF(s) %s 0%s',
              string_agg(format('((s) == EXECUTION_%s -> %s :', x.status, mask), ' ' ORDER BY x.number),
              repeat(')', count(*)::int))
  FROM (SELECT x.status, x.number, coalesce(sum(1 << y.number) FILTER (WHERE p.task IS NOT NULL), 0) AS mask
          FROM status AS x CROSS JOIN status AS y
          LEFT JOIN pair AS p ON p.execution = x.status AND p.task = y.status
         WHERE x.object = 'EXECUTION' AND y.object = 'TASK' GROUP BY 1, 2) AS x;
ROLLBACK;
