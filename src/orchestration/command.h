/*-------------------------------------------------------------------------
 *
 * command.h
 *	  Running the SQL that users gave for a step or a compensation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_COMMAND_H
#define FT_COMMAND_H

#include "nodes/params.h"
#include "orchestration/step_data.h"

/* Is such a command running in this session? */
extern bool ft_command_is_running(void);

/*
 * An error unless this session may run such commands for their owner: it has
 * logged in as the current role, and is not at one already.
 */
extern void ft_command_require_own_session(const char *function);

/*
 * Run a command in the current transaction, with the rights and settings of
 * the session and the data of the step as its parameters.  What it sets ends
 * with it.  Its result is the first row of its last statement, as jsonb: the
 * value of a single column, or an object of all columns; (Datum) 0 where there
 * is no row.
 */
extern Datum ft_command_run(const char *command, FtStepData *data);

/*
 * Run a command of one statement at the top level, see ft_portal_command().
 * What it sets in the session stays.
 */
extern void ft_command_run_alone(const char *command, FtStepData *data,
								 ParamListInfo parameters);

/* The rows of a query, each in the same way, as an array of jsonb. */
extern Datum ft_command_rows(const char *query, FtStepData *data, int *count);

/* An error if a result is larger than is kept; else the same. */
extern Datum ft_command_result(Datum result);

/* Whether a query's first value is true. */
extern bool ft_command_is_true(const char *query, FtStepData *data);

#endif							/* FT_COMMAND_H */
