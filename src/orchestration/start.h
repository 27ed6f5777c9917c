/*-------------------------------------------------------------------------
 *
 * start.h
 *	  Starting executions whose steps the server runs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_START_H
#define FT_START_H

#include "engine.h"

/*
 * In the engine: start an execution of the newest version of a definition, for
 * a task that waits for it.  Returns its key.
 */
extern pg_uuid_t ft_start_child(const char *name, Datum input, Oid owner, int priority,
								const pg_uuid_t *parent_task_id);

#endif							/* FT_START_H */
