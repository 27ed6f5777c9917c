-- Tasks of executions: task.c

CREATE TABLE ft.orchestration_tasks (
    -- what stays: an update that leaves the beginning of a row writes it to no WAL
    task_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    task_name text NOT NULL,
    owner_oid oid NOT NULL,
    queue text NOT NULL DEFAULT 'default',
    priority smallint NOT NULL DEFAULT 0,
    execution_mode ft.execution_mode NOT NULL DEFAULT 'transactional',
    critical boolean NOT NULL DEFAULT false,
    short boolean NOT NULL DEFAULT false,
    has_successors boolean NOT NULL DEFAULT false,
    successors text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    command text,
    compensation text,
    depends_on text[] NOT NULL DEFAULT '{}',
    condition text,
    timeout interval,
    max_attempts integer,
    backoff interval,
    sleep interval,
    signal text,
    for_each text,
    item_compensation text,
    parent_task_id uuid,
    item jsonb,
    item_number integer,
    repeat_while text,
    max_iterations integer,
    orchestration text,
    orchestration_input text,
    -- what changes at times
    failures integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    error_sqlstate text,
    error_message text,
    compensation_attempt integer NOT NULL DEFAULT 0,
    compensation_failures integer NOT NULL DEFAULT 0,
    compensation_losses integer NOT NULL DEFAULT 0,
    compensation_next_attempt_at timestamptz,
    compensation_pid integer,
    compensation_epoch bigint,
    compensation_worker bigint,
    compensation_error_sqlstate text,
    compensation_error_message text,
    losses integer NOT NULL DEFAULT 0,
    leased_by text,
    leased_until timestamptz,
    not_before timestamptz,
    wait_until timestamptz,
    children integer,
    iteration integer NOT NULL DEFAULT 0,
    child_execution_id uuid,
    suspicion ft.suspicion,
    compensated_at timestamptz,
    -- what changes with each step
    status ft.task_status NOT NULL DEFAULT 'PENDING',
    attempt integer NOT NULL DEFAULT 0,
    unmet integer NOT NULL DEFAULT 0,
    due_at timestamptz,
    worker_pid integer,
    worker_epoch bigint,
    worker_id bigint,
    started_at timestamptz,
    completed_at timestamptz,
    completion_order bigint,
    result jsonb,
    CONSTRAINT orchestration_tasks_pkey PRIMARY KEY (task_id),
    CONSTRAINT orchestration_tasks_name UNIQUE (execution_id, task_name),
    CONSTRAINT orchestration_tasks_execution FOREIGN KEY (execution_id)
        REFERENCES ft.orchestration_executions ON DELETE CASCADE
)
-- every step is updated at least twice
WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- What can be started, in the order in which it is: a lane for each queue and
-- priority of an owner.
CREATE INDEX idx_tasks_due ON ft.orchestration_tasks
    (owner_oid, queue, (- priority::integer), due_at, task_id)
    WHERE due_at IS NOT NULL AND execution_mode <> 'external' AND suspicion IS NULL;
-- what was being run when an executor or the server was lost, and is due again
CREATE INDEX idx_tasks_suspect ON ft.orchestration_tasks (due_at, task_id)
    WHERE due_at IS NOT NULL AND execution_mode <> 'external' AND suspicion IS NOT NULL;
-- the same for workers outside, who look into one queue
CREATE INDEX idx_tasks_due_external ON ft.orchestration_tasks
    (queue, owner_oid, (- priority::integer), due_at, task_id)
    WHERE due_at IS NOT NULL AND execution_mode = 'external';
-- what they were given, by when they must have been heard of
CREATE INDEX idx_tasks_leased ON ft.orchestration_tasks (leased_until)
    WHERE status = 'RUNNING' AND leased_until IS NOT NULL;
-- the same by queue, of which so many may run
CREATE INDEX idx_tasks_leased_queue ON ft.orchestration_tasks (queue, owner_oid)
    WHERE status = 'RUNNING' AND leased_until IS NOT NULL;
-- what was started: small, counted for queues with limits, and looked at when a
-- worker is lost
CREATE INDEX idx_tasks_running ON ft.orchestration_tasks (queue, owner_oid, worker_epoch, worker_id)
    WHERE status = 'RUNNING' AND worker_id IS NOT NULL;

-- the next compensation of an execution
CREATE INDEX idx_tasks_compensating ON ft.orchestration_tasks (execution_id, completion_order)
    WHERE status = 'COMPENSATING';

-- Rows are removed with their execution, but not looked up in it when they are
-- written: whoever writes them has the execution locked, and pg_restore -j loads
-- the tables of an extension in any order.
ALTER TABLE ft.orchestration_tasks DISABLE TRIGGER ALL;

ALTER TABLE ft.orchestration_tasks ENABLE ROW LEVEL SECURITY;
CREATE POLICY tasks_of_visible_executions ON ft.orchestration_tasks FOR SELECT
    USING (EXISTS (SELECT FROM ft.orchestration_executions AS execution
                    WHERE execution.execution_id = orchestration_tasks.execution_id));

CREATE FUNCTION ft.add_task(
    execution_id uuid, task_name text, command text DEFAULT NULL,
    compensation text DEFAULT NULL, critical boolean DEFAULT false,
    depends_on text[] DEFAULT '{}')
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_add_task'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.start_task(task_id uuid)
RETURNS integer
AS 'MODULE_PATHNAME', 'ft_start_task'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.complete_task(
    task_id uuid, result jsonb DEFAULT NULL, attempt integer DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_complete_task'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON TABLE ft.orchestration_tasks IS
'one row for each step of an execution';
COMMENT ON COLUMN ft.orchestration_tasks.attempt IS
'how often it was started; tells a late worker''s report from the current one''s';
COMMENT ON COLUMN ft.orchestration_tasks.failures IS
'failed attempts since it was last begun afresh';
COMMENT ON COLUMN ft.orchestration_tasks.next_attempt_at IS
'not to be started before this time';
COMMENT ON COLUMN ft.orchestration_tasks.owner_oid IS
'OID of the execution''s owner, for who looks for something to do';
COMMENT ON COLUMN ft.orchestration_tasks.execution_mode IS
'transactional: its command and the record of it commit together; non_transactional: its command runs by itself, at least once; external: a worker outside claims it';
COMMENT ON COLUMN ft.orchestration_tasks.short IS
'may share a commit with other short steps';
COMMENT ON COLUMN ft.orchestration_tasks.condition IS
'query that is run first: the step is skipped unless it returns true';
COMMENT ON COLUMN ft.orchestration_tasks.timeout IS
'longest time that an attempt may take';
COMMENT ON COLUMN ft.orchestration_tasks.unmet IS
'how much of what it waits for is not there yet: tasks that have neither completed nor been skipped, its signal, its children, the execution it has started';
COMMENT ON COLUMN ft.orchestration_tasks.successors IS
'names of the tasks that depend on it';
COMMENT ON COLUMN ft.orchestration_tasks.due_at IS
'an executor may start it from then on; null while it must not be started';
COMMENT ON COLUMN ft.orchestration_tasks.sleep IS
'how long after all that it waits for it becomes due';
COMMENT ON COLUMN ft.orchestration_tasks.not_before IS
'when its sleep is over';
COMMENT ON COLUMN ft.orchestration_tasks.signal IS
'name of the signal that it waits for';
COMMENT ON COLUMN ft.orchestration_tasks.wait_until IS
'while it waits for its signal and for nothing else: when it will have waited too long';
COMMENT ON COLUMN ft.orchestration_tasks.for_each IS
'query for each row of which a child of this task runs its command';
COMMENT ON COLUMN ft.orchestration_tasks.item_compensation IS
'compensation of each of these children';
COMMENT ON COLUMN ft.orchestration_tasks.children IS
'how many children it has; null as long as they have not been made';
COMMENT ON COLUMN ft.orchestration_tasks.parent_task_id IS
'task that this one is a child of';
COMMENT ON COLUMN ft.orchestration_tasks.item IS
'row that this child is for';
COMMENT ON COLUMN ft.orchestration_tasks.item_number IS
'place of that row among the rows, from 0';
COMMENT ON COLUMN ft.orchestration_tasks.repeat_while IS
'query that is run after its command: while it returns true, the command runs once more';
COMMENT ON COLUMN ft.orchestration_tasks.max_iterations IS
'how often its command runs at most';
COMMENT ON COLUMN ft.orchestration_tasks.iteration IS
'how often its command has run and was to run once more';
COMMENT ON COLUMN ft.orchestration_tasks.orchestration IS
'name of the orchestration that it starts and waits for';
COMMENT ON COLUMN ft.orchestration_tasks.orchestration_input IS
'query that gives the input of that';
COMMENT ON COLUMN ft.orchestration_tasks.child_execution_id IS
'execution that it has started';
COMMENT ON COLUMN ft.orchestration_tasks.worker_id IS
'executor that runs it, by a number that is used once in a start of the server';
COMMENT ON COLUMN ft.orchestration_tasks.worker_epoch IS
'start of the server in which that executor runs';
COMMENT ON COLUMN ft.orchestration_tasks.losses IS
'how often the executor that ran it was lost';
COMMENT ON COLUMN ft.orchestration_tasks.leased_by IS
'worker outside that has claimed it, by the name that it gave';
COMMENT ON COLUMN ft.orchestration_tasks.leased_until IS
'while it runs: that worker has to be heard of before this time';
COMMENT ON COLUMN ft.orchestration_tasks.completion_order IS
'its place in the order of completion, of a loop that goes on that of its last run; compensations run in reverse';
COMMENT ON COLUMN ft.orchestration_tasks.compensation_losses IS
'how often the worker that ran its compensation was lost';
COMMENT ON COLUMN ft.orchestration_tasks.compensation_epoch IS
'start of the server in which its compensation was claimed';
COMMENT ON COLUMN ft.orchestration_tasks.compensation_worker IS
'background worker that claimed its compensation, by a number that is used once in a start of the server';
COMMENT ON FUNCTION ft.add_task(uuid, text, text, text, boolean, text[]) IS
'add a task to an execution that has not finished';
COMMENT ON FUNCTION ft.start_task(uuid) IS
'start a pending task whose dependencies have completed; returns the number of the attempt';
COMMENT ON FUNCTION ft.complete_task(uuid, jsonb, integer) IS
'report the result of a running task; refused where another attempt has taken over';

GRANT SELECT ON ft.orchestration_tasks TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('ft.orchestration_tasks', '');

