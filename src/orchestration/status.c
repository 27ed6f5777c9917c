/*-------------------------------------------------------------------------
 *
 * status.c
 *	  Statuses of executions and tasks, the events that change them, and which
 *	  of them go together: one table, used by the code, shown by
 *	  ft.transitions(), checked by ft.validate_execution().
 *
 * An event that is not in the table for a status cannot happen in it.  There
 * is no other place that decides this.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "errors.h"
#include "orchestration/status.h"

PG_FUNCTION_INFO_V1(ft_transitions);
PG_FUNCTION_INFO_V1(ft_is_status);

static const char *const execution_status_names[FT_EXECUTION_STATUSES] = {
	[FT_EXECUTION_PENDING] = "PENDING",
	[FT_EXECUTION_RUNNING] = "RUNNING",
	[FT_EXECUTION_COMPLETED] = "COMPLETED",
	[FT_EXECUTION_FAILED] = "FAILED",
	[FT_EXECUTION_ROLLING_BACK] = "ROLLING_BACK",
	[FT_EXECUTION_ROLLED_BACK] = "ROLLED_BACK",
	[FT_EXECUTION_COMPENSATING] = "COMPENSATING",
	[FT_EXECUTION_COMPENSATED] = "COMPENSATED",
	[FT_EXECUTION_COMPENSATION_FAILED] = "COMPENSATION_FAILED",
	[FT_EXECUTION_CANCELLED] = "CANCELLED",
};

static const char *const execution_event_names[] = {
	[FT_EXECUTION_ADD_TASK] = "add_task",
	[FT_EXECUTION_START_TASK] = "start_task",
	[FT_EXECUTION_COMPLETE] = "complete",
	[FT_EXECUTION_FAIL] = "fail",
	[FT_EXECUTION_RETRY] = "retry",
	[FT_EXECUTION_ROLL_BACK] = "roll_back",
	[FT_EXECUTION_FINISH_ROLLBACK] = "finish_rollback",
	[FT_EXECUTION_COMPENSATE] = "compensate",
	[FT_EXECUTION_FINISH_COMPENSATION] = "finish_compensation",
	[FT_EXECUTION_FAIL_COMPENSATION] = "fail_compensation",
	[FT_EXECUTION_REOPEN] = "reopen",
	[FT_EXECUTION_CANCEL] = "cancel",
};

static const char *const task_status_names[FT_TASK_STATUSES] = {
	[FT_TASK_PENDING] = "PENDING",
	[FT_TASK_RUNNING] = "RUNNING",
	[FT_TASK_COMPLETED] = "COMPLETED",
	[FT_TASK_SKIPPED] = "SKIPPED",
	[FT_TASK_FAILED] = "FAILED",
	[FT_TASK_CANCELLED] = "CANCELLED",
	[FT_TASK_COMPENSATING] = "COMPENSATING",
	[FT_TASK_COMPENSATED] = "COMPENSATED",
	[FT_TASK_COMPENSATION_FAILED] = "COMPENSATION_FAILED",
};

static const char *const task_event_names[] = {
	[FT_TASK_START] = "start",
	[FT_TASK_COMPLETE] = "complete",
	[FT_TASK_SKIP] = "skip",
	[FT_TASK_RELEASE] = "release",
	[FT_TASK_WAIT] = "wait",
	[FT_TASK_FAIL] = "fail",
	[FT_TASK_RETRY] = "retry",
	[FT_TASK_RESET] = "reset",
	[FT_TASK_CANCEL] = "cancel",
	[FT_TASK_COMPENSATE] = "compensate",
	[FT_TASK_FINISH_COMPENSATION] = "finish_compensation",
	[FT_TASK_UNDO] = "undo",
	[FT_TASK_FAIL_COMPENSATION] = "fail_compensation",
};

typedef struct ExecutionTransition
{
	FtExecutionStatus from;
	FtExecutionEvent event;
	FtExecutionStatus to;
	const char *meaning;
} ExecutionTransition;

typedef struct TaskTransition
{
	FtTaskStatus from;
	FtTaskEvent event;
	FtTaskStatus to;
	const char *meaning;
} TaskTransition;

#define E(from_, event_, to_, meaning_) \
	{FT_EXECUTION_##from_, FT_EXECUTION_##event_, FT_EXECUTION_##to_, meaning_}
#define T(from_, event_, to_, meaning_) \
	{FT_TASK_##from_, FT_TASK_##event_, FT_TASK_##to_, meaning_}

static const ExecutionTransition execution_transitions[] = {
	E(PENDING, ADD_TASK, PENDING, "tasks are added before the first one starts"),
	E(PENDING, START_TASK, RUNNING, "the first task starts"),
	E(PENDING, FAIL, FAILED, "a failure is recorded before any task has started"),
	E(PENDING, RETRY, PENDING, "nothing has failed, so nothing changes"),
	E(PENDING, ROLL_BACK, ROLLING_BACK, "an operator takes it back to a checkpoint"),
	E(PENDING, COMPENSATE, COMPENSATING, "an operator abandons it"),
	E(PENDING, CANCEL, CANCELLED, "an operator gives it up before it has begun"),
	E(RUNNING, ADD_TASK, RUNNING, "tasks are added while others run"),
	E(RUNNING, START_TASK, RUNNING, "a further task starts"),
	E(RUNNING, COMPLETE, COMPLETED, "the last task has completed"),
	E(RUNNING, FAIL, FAILED, "a task has failed, or a failure was recorded"),
	E(RUNNING, RETRY, RUNNING, "an operator has lost tasks run again"),
	E(RUNNING, ROLL_BACK, ROLLING_BACK, "an operator takes it back to a checkpoint"),
	E(RUNNING, COMPENSATE, COMPENSATING, "an operator abandons it"),
	E(RUNNING, CANCEL, CANCELLED, "an operator gives it up as it is"),
	E(COMPLETED, ADD_TASK, RUNNING, "a further task is added, so it goes on"),
	E(COMPLETED, REOPEN, RUNNING, "what started it is undone, and so is it"),
	E(FAILED, FAIL, FAILED, "another failure before the first was recovered"),
	E(FAILED, RETRY, RUNNING, "transient: failed and lost tasks become due again"),
	E(FAILED, ROLL_BACK, ROLLING_BACK, "permanent: back to a checkpoint"),
	E(FAILED, COMPENSATE, COMPENSATING, "partial: completed tasks are compensated"),
	E(FAILED, CANCEL, CANCELLED, "an operator gives it up as it is"),
	E(ROLLING_BACK, FINISH_ROLLBACK, ROLLED_BACK, "what was done since the checkpoint is undone"),
	E(ROLLING_BACK, FAIL_COMPENSATION, COMPENSATION_FAILED, "a compensation failed too often"),
	E(ROLLING_BACK, CANCEL, CANCELLED, "an operator gives it up as it is"),
	E(ROLLED_BACK, ADD_TASK, ROLLED_BACK, "tasks are added before it is resumed"),
	E(ROLLED_BACK, START_TASK, RUNNING, "it is resumed"),
	E(ROLLED_BACK, RETRY, RUNNING, "it goes on where no task is left to start"),
	E(ROLLED_BACK, FAIL, FAILED, "a failure is recorded while it is stopped"),
	E(ROLLED_BACK, ROLL_BACK, ROLLING_BACK, "an operator takes it back further"),
	E(ROLLED_BACK, COMPENSATE, COMPENSATING, "an operator abandons it"),
	E(ROLLED_BACK, CANCEL, CANCELLED, "an operator gives it up as it is"),
	E(COMPENSATING, FINISH_COMPENSATION, COMPENSATED, "every completed task is compensated"),
	E(COMPENSATING, FAIL_COMPENSATION, COMPENSATION_FAILED, "a compensation failed too often"),
	E(COMPENSATING, CANCEL, CANCELLED, "an operator has the rest left as it is"),
	E(COMPENSATION_FAILED, COMPENSATE, COMPENSATING, "the remaining compensations are tried again"),
	E(COMPENSATION_FAILED, ROLL_BACK, ROLLING_BACK, "the remaining compensations are tried again"),
	E(COMPENSATION_FAILED, CANCEL, CANCELLED, "an operator has settled it otherwise"),
};

static const TaskTransition task_transitions[] = {
	T(PENDING, START, RUNNING, "a worker starts it: a new attempt"),
	T(PENDING, RESET, PENDING, "a rollback leaves it as it is"),
	T(PENDING, CANCEL, CANCELLED, "its execution is compensated"),
	T(PENDING, COMPENSATE, COMPENSATING, "what it did in its runs so far is to be undone"),
	T(RUNNING, COMPLETE, COMPLETED, "its worker reports the result"),
	T(RUNNING, SKIP, SKIPPED, "its condition is not true"),
	T(RUNNING, FAIL, FAILED, "its worker reports the failure"),
	T(RUNNING, RELEASE, PENDING, "its executor was lost or left: due again at once"),
	T(RUNNING, WAIT, PENDING, "its children run first, or it runs once more"),
	T(RUNNING, RETRY, PENDING, "its worker was lost: due again after a delay"),
	T(RUNNING, RESET, PENDING, "a rollback ends the attempt"),
	T(RUNNING, CANCEL, CANCELLED, "its execution is compensated; the attempt is over"),
	T(RUNNING, COMPENSATE, COMPENSATING, "the attempt is over, and its runs so far are to be undone"),
	T(COMPLETED, RESET, PENDING, "a rollback; it has no compensation to run"),
	T(COMPLETED, COMPENSATE, COMPENSATING, "its compensation is due"),
	T(SKIPPED, RESET, PENDING, "a rollback: its condition is looked at again"),
	T(FAILED, RETRY, PENDING, "due again after a delay"),
	T(FAILED, RESET, PENDING, "a rollback"),
	T(FAILED, COMPENSATE, COMPENSATING, "what it did in its runs so far is to be undone"),
	T(CANCELLED, RESET, PENDING, "a rollback"),
	T(COMPENSATING, COMPENSATE, COMPENSATING, "its compensation is still due"),
	T(COMPENSATING, FINISH_COMPENSATION, COMPENSATED, "its compensation has run"),
	T(COMPENSATING, UNDO, PENDING, "its compensation has run, as a part of a rollback"),
	T(COMPENSATING, FAIL_COMPENSATION, COMPENSATION_FAILED, "its compensation failed too often"),
	T(COMPENSATING, CANCEL, COMPLETED, "its execution is given up, and it is not undone"),
	T(COMPENSATED, RESET, PENDING, "a rollback: it is undone already"),
	T(COMPENSATION_FAILED, COMPENSATE, COMPENSATING, "its compensation is tried again"),
	T(COMPENSATION_FAILED, CANCEL, COMPENSATION_FAILED, "its execution is given up, and it stays so"),
};

#undef E
#undef T

#define ALLOW(status_)	(1 << FT_TASK_##status_)
#define ALLOW_ENDED		(ALLOW(COMPLETED) | ALLOW(SKIPPED))

/* Which statuses the tasks of an execution may have. */
static const int allowed_task_statuses[FT_EXECUTION_STATUSES] = {
	[FT_EXECUTION_PENDING] = ALLOW(PENDING) |
	ALLOW(RUNNING),				/* claimed, and not begun yet */
	[FT_EXECUTION_RUNNING] = ALLOW(PENDING) | ALLOW(RUNNING) | ALLOW_ENDED,
	[FT_EXECUTION_COMPLETED] = ALLOW_ENDED,
	[FT_EXECUTION_FAILED] = ALLOW(PENDING) | ALLOW(RUNNING) | ALLOW_ENDED |
	ALLOW(FAILED),
	[FT_EXECUTION_ROLLING_BACK] = ALLOW(PENDING) | ALLOW_ENDED |
	ALLOW(COMPENSATING),
	[FT_EXECUTION_ROLLED_BACK] = ALLOW(PENDING) | ALLOW_ENDED,
	[FT_EXECUTION_COMPENSATING] = ALLOW_ENDED | ALLOW(FAILED) |
	ALLOW(CANCELLED) | ALLOW(COMPENSATING) | ALLOW(COMPENSATED),
	[FT_EXECUTION_COMPENSATED] = ALLOW_ENDED | ALLOW(FAILED) |
	ALLOW(CANCELLED) | ALLOW(COMPENSATED),
	[FT_EXECUTION_COMPENSATION_FAILED] = ALLOW(PENDING) | ALLOW_ENDED |
	ALLOW(FAILED) | ALLOW(CANCELLED) | ALLOW(COMPENSATING) |
	ALLOW(COMPENSATED) | ALLOW(COMPENSATION_FAILED),
	[FT_EXECUTION_CANCELLED] = ALLOW_ENDED | ALLOW(FAILED) |
	ALLOW(CANCELLED) | ALLOW(COMPENSATED) | ALLOW(COMPENSATION_FAILED),
};

#undef ALLOW
#undef ALLOW_ENDED

const char *
ft_execution_status_name(FtExecutionStatus status)
{
	return execution_status_names[status];
}

const char *
ft_task_status_name(FtTaskStatus status)
{
	return task_status_names[status];
}

FtExecutionStatus
ft_execution_status_of(const char *name)
{
	for (int i = 0; i < FT_EXECUTION_STATUSES; i++)
		if (strcmp(name, execution_status_names[i]) == 0)
			return (FtExecutionStatus) i;
	elog(ERROR, "unrecognized execution status \"%s\"", name);
}

FtTaskStatus
ft_task_status_of(const char *name)
{
	for (int i = 0; i < FT_TASK_STATUSES; i++)
		if (strcmp(name, task_status_names[i]) == 0)
			return (FtTaskStatus) i;
	elog(ERROR, "unrecognized task status \"%s\"", name);
}

bool
ft_execution_transition(FtExecutionStatus from, FtExecutionEvent event,
						FtExecutionStatus *to)
{
	for (int i = 0; i < lengthof(execution_transitions); i++)
	{
		const ExecutionTransition *transition = &execution_transitions[i];

		if (transition->from == from && transition->event == event)
		{
			*to = transition->to;
			return true;
		}
	}
	return false;
}

bool
ft_task_transition(FtTaskStatus from, FtTaskEvent event, FtTaskStatus *to)
{
	for (int i = 0; i < lengthof(task_transitions); i++)
	{
		const TaskTransition *transition = &task_transitions[i];

		if (transition->from == from && transition->event == event)
		{
			*to = transition->to;
			return true;
		}
	}
	return false;
}

bool
ft_execution_is_finished(FtExecutionStatus status)
{
	return status == FT_EXECUTION_COMPLETED || status == FT_EXECUTION_COMPENSATED ||
		status == FT_EXECUTION_CANCELLED;
}

bool
ft_execution_has_stopped(FtExecutionStatus status)
{
	return ft_execution_is_finished(status) ||
		status == FT_EXECUTION_ROLLED_BACK || status == FT_EXECUTION_COMPENSATION_FAILED;
}

bool
ft_statuses_agree(FtExecutionStatus execution, FtTaskStatus task)
{
	return (allowed_task_statuses[execution] & (1 << task)) != 0;
}

/*
 * Whoever waits for an execution in one of these need not wait any longer.
 * The list stands in the index of executions whose parent is to be told, too.
 */
bool
ft_execution_is_over(FtExecutionStatus status)
{
	return ft_execution_is_finished(status) || status == FT_EXECUTION_ROLLED_BACK ||
		status == FT_EXECUTION_COMPENSATION_FAILED;
}

FtExecutionStatus
ft_execution_require_transition(FtExecutionStatus from, FtExecutionEvent event,
								const char *execution)
{
	FtExecutionStatus to;

	if (!ft_execution_transition(from, event, &to))
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("event %s is not possible for execution %s in status %s",
						execution_event_names[event], execution,
						execution_status_names[from]),
				 ft_execution_is_finished(from) ?
				 errdetail("An execution in this status is finished.") :
				 errdetail("The event is not among those that an execution in this status can take."),
				 errhint("What is possible: SELECT event, to_status, meaning FROM ft.transitions() WHERE object = 'execution' AND from_status = '%s';",
						 execution_status_names[from])));
	return to;
}

FtTaskStatus
ft_task_require_transition(FtTaskStatus from, FtTaskEvent event, const char *task)
{
	FtTaskStatus to;

	if (!ft_task_transition(from, event, &to))
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("event %s is not possible for task \"%s\" in status %s",
						task_event_names[event], task, task_status_names[from]),
				 errdetail("The event is not among those that a task in this status can take."),
				 errhint("What is possible: SELECT event, to_status, meaning FROM ft.transitions() WHERE object = 'task' AND from_status = '%s';",
						 task_status_names[from])));
	return to;
}

static void
put_transition(ReturnSetInfo *rsinfo, const char *object, const char *from,
			   const char *event, const char *to, const char *meaning)
{
	Datum		values[5];
	bool		nulls[5] = {false};

	values[0] = CStringGetTextDatum(object);
	values[1] = CStringGetTextDatum(from);
	values[2] = CStringGetTextDatum(event);
	values[3] = CStringGetTextDatum(to);
	values[4] = CStringGetTextDatum(meaning);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static bool
is_among(const text *status, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strlen(names[i]) == VARSIZE_ANY_EXHDR(status) &&
			memcmp(names[i], VARDATA_ANY(status), VARSIZE_ANY_EXHDR(status)) == 0)
			return true;
	}
	return false;
}

/*
 * ft.is_status(object text, status text) returns boolean
 *
 * The tables' constraints ask this: a list of all names in each of them would
 * be read anew with every statement that writes a row, which costs more than
 * the rest of the statement.
 */
Datum
ft_is_status(PG_FUNCTION_ARGS)
{
	const text *object = PG_GETARG_TEXT_PP(0);
	const text *status = PG_GETARG_TEXT_PP(1);
	static const char *const objects[] = {"execution", "task"};

	if (is_among(object, &objects[0], 1))
		PG_RETURN_BOOL(is_among(status, execution_status_names, FT_EXECUTION_STATUSES));
	if (is_among(object, &objects[1], 1))
		PG_RETURN_BOOL(is_among(status, task_status_names, FT_TASK_STATUSES));
	PG_RETURN_BOOL(false);
}

/*
 * ft.transitions() returns table (object text, from_status text, event text,
 * to_status text, meaning text)
 */
Datum
ft_transitions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(execution_transitions); i++)
	{
		const ExecutionTransition *t = &execution_transitions[i];

		put_transition(rsinfo, "execution", execution_status_names[t->from],
					   execution_event_names[t->event],
					   execution_status_names[t->to], t->meaning);
	}
	for (int i = 0; i < lengthof(task_transitions); i++)
	{
		const TaskTransition *t = &task_transitions[i];

		put_transition(rsinfo, "task", task_status_names[t->from],
					   task_event_names[t->event],
					   task_status_names[t->to], t->meaning);
	}
	return (Datum) 0;
}
