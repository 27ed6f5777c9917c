/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  Failures of executions, and of which type each is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_FAILURE_H
#define FT_FAILURE_H

#include "orchestration/task.h"

typedef enum FtFailureType
{
	FT_FAILURE_TRANSIENT,
	FT_FAILURE_PERMANENT,
	FT_FAILURE_PARTIAL
} FtFailureType;

extern const char *ft_failure_type_name(FtFailureType type);

/* An error for a name that is none of the three. */
extern FtFailureType ft_failure_type_of(const char *name);

/*
 * Record that a locked running task has failed.  A time limit that ran out may
 * be long enough the next time, whatever its SQLSTATE says of others.
 */
extern pg_uuid_t ft_failure_of_task(FtExecution *execution, FtTask *task, const char *message,
									const char *sqlstate, bool is_timeout);

/* Record a failure of a locked execution as a whole, that is not transient. */
extern pg_uuid_t ft_failure_of_execution(FtExecution *execution, const char *message);

/* Whether it is a time limit that ended a statement, and no user's cancel. */
extern bool ft_failure_is_timeout(const ErrorData *error);

#endif							/* FT_FAILURE_H */
