/*-------------------------------------------------------------------------
 *
 * execution.h
 *	  Executions: one run of an orchestration.
 *
 * All functions here run between ft_engine_enter and ft_engine_leave.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_EXECUTION_H
#define FT_EXECUTION_H

#include "engine.h"
#include "orchestration/status.h"
#include "utils/jsonb.h"

#define FT_NAME_LIMIT	200		/* bytes */

typedef struct FtExecution
{
	pg_uuid_t	execution_id;
	FtExecutionStatus status;
	char	   *owner;
	Oid			owner_oid;
	bool		managed;		/* the server runs its steps */
	bool		paused;
} FtExecution;

/*
 * Read an execution, or lock and read it.  caller must own it (be a member of
 * its owner), or be a superuser; InvalidOid stands for the engine itself.
 */
extern void ft_execution_read(FtExecution *execution, const pg_uuid_t *execution_id,
							  Oid caller);
extern void ft_execution_lock(FtExecution *execution, const pg_uuid_t *execution_id,
							  Oid caller);

/* The same without waiting: false if it is locked by others, or gone. */
extern bool ft_execution_try_lock(FtExecution *execution,
								  const pg_uuid_t *execution_id);

extern bool ft_execution_is_owned_by(const FtExecution *execution, Oid role);

/* Mark a locked execution as changed below its own row. */
extern void ft_execution_touch(const FtExecution *execution);

/* Write a status that a transition has allowed. */
extern void ft_execution_set_status(FtExecution *execution, FtExecutionStatus status);

/* Complete an execution whose last task has completed. */
extern void ft_execution_complete_if_done(FtExecution *execution);

/* An error for a name that is empty, or too long for an index. */
extern void ft_require_name(const char *name, const char *argument);
extern void ft_require_argument(bool isnull, const char *name);
extern void ft_require_json_object(Jsonb *value, const char *name);

#endif							/* FT_EXECUTION_H */
