/*-------------------------------------------------------------------------
 *
 * ready.h
 *	  Which tasks of an execution may be started: kept up to date whenever
 *	  something changes that decides it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_READY_H
#define FT_READY_H

#include "orchestration/task.h"

/*
 * In SQL: whether the signal of a task is awaited and not there; and how much
 * there is of all that a task waits for and that is not there yet, as unmet
 * says it.  What it depends on is looked up one by one, by name: the planner,
 * which takes executions for small, would read all of this one for each task.
 */
#define FT_SIGNAL_AWAITED(task_) \
	"(" task_ ".signal IS NOT NULL AND NOT EXISTS" \
	" (SELECT FROM ft.orchestration_signals AS sent" \
	"   WHERE sent.execution_id = " task_ ".execution_id AND sent.signal_name = " task_ ".signal))"

/*
 * Each task that is needed is looked up by its name: where the table has no
 * statistics yet, all of an execution would be read for each of its tasks.
 */
#define FT_UNMET(task_) \
	"((SELECT count(DISTINCT name) FROM unnest(" task_ ".depends_on) AS name, LATERAL" \
	"   (SELECT FROM ft.orchestration_tasks AS needed" \
	"     WHERE needed.execution_id = " task_ ".execution_id AND needed.task_name = name" \
	"       AND needed.status NOT IN ('COMPLETED', 'SKIPPED') LIMIT 1) AS missing)" \
	" + " FT_SIGNAL_AWAITED(task_) "::integer" \
	" + (SELECT count(*) FROM ft.orchestration_tasks AS child" \
	"     WHERE " task_ ".children IS NOT NULL AND child.execution_id = " task_ ".execution_id" \
	"       AND child.parent_task_id = " task_ ".task_id" \
	"       AND child.status NOT IN ('COMPLETED', 'SKIPPED'))" \
	" + (SELECT count(*) FROM ft.orchestration_executions AS started" \
	"     WHERE started.execution_id = " task_ ".child_execution_id AND NOT started.parent_told))"

/*
 * The tasks that depend on some that have ended, on how many of these, and
 * whether their execution goes on: $1 are those that have ended, in the order
 * of their keys, and $2 whether the execution of each goes on.
 */
#define FT_WHAT_DEPENDED(limit_) \
	"(SELECT (SELECT task_id FROM ft.orchestration_tasks AS next" \
	"          WHERE next.execution_id = needed.execution_id AND next.task_name = successor)," \
	"        count(DISTINCT needed.task_id)::integer," \
	"        bool_and(($2)[width_bucket(needed.task_id, $1)])" \
	"   FROM ft.orchestration_tasks AS needed, unnest(needed.successors) AS successor" \
	"  WHERE needed.task_id = ANY ($1)" \
	"  GROUP BY 1" limit_ ") AS ended (successor_id, met, goes_on)"

/*
 * A task has ended: tell those that depend on it, or the task that it is a
 * child of.  Returns how many may be started now, and the first of them.
 */
extern int	ft_ready_successors(const pg_uuid_t *execution_id, const char *task_name,
								bool goes_on, TimestampTz now, pg_uuid_t *first);

/* Nothing but its parent depends on a child, and only these have such names. */
extern bool ft_ready_may_be_child(const char *task_name);

/*
 * The same for several tasks, none of them a child: arrays of their ids, in
 * order, and of whether the execution of each goes on.  Returns a row for each
 * task that this concerns: its id, whether it may be started now, or is due
 * later, its execution, and whether it is short.
 */
extern uint64 ft_ready_successors_of(FtArg task_ids, FtArg go_on, TimestampTz now);

/*
 * What a task of a locked execution has started is over.  Nothing happens if
 * it does not wait for that.
 */
extern void ft_ready_child_over(const pg_uuid_t *execution_id, const pg_uuid_t *task_id,
								const pg_uuid_t *child_execution_id, TimestampTz now);

/*
 * A signal is there that was not: tell the tasks of a locked execution that
 * wait for it.
 */
extern void ft_ready_signalled(const pg_uuid_t *execution_id, const char *signal,
							   TimestampTz now);

/*
 * Work out anew what is left of a locked execution and which of its tasks may
 * be started, after a change that is more than the end of one task.
 */
extern void ft_ready_recount(const pg_uuid_t *execution_id, TimestampTz now);

/* A running task whose executor was lost may be started again; see suspect.c. */
extern void ft_ready_lost(const FtExecution *execution, const FtTask *task,
						  const char *suspicion, TimestampTz now);

/*
 * Wake whoever is to do with the tasks that the last statement has returned,
 * when this commits: from a column on, whether each is due, and whether it
 * will be later.
 */
extern void ft_ready_wake(uint64 n, int due_column, Oid owner);

#endif							/* FT_READY_H */
