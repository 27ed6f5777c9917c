/*-------------------------------------------------------------------------
 *
 * checkpoint.h
 *	  Checkpoints: states that an execution can be brought back to.
 *
 * All functions here run between ft_engine_enter and ft_engine_leave, with
 * the execution locked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_CHECKPOINT_H
#define FT_CHECKPOINT_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

typedef struct FtCheckpoint
{
	pg_uuid_t	checkpoint_id;
	pg_uuid_t	execution_id;
	Datum		state;			/* jsonb */
	List	   *completed_tasks;	/* of pg_uuid_t *, in order */
} FtCheckpoint;

/* task_id may be NULL. */
extern pg_uuid_t ft_checkpoint_create(const pg_uuid_t *execution_id,
									  const pg_uuid_t *task_id);

/* The execution that a checkpoint belongs to; does not need the lock. */
extern pg_uuid_t ft_checkpoint_execution(const pg_uuid_t *checkpoint_id);

/* The newest checkpoint of an execution; an error if there is none. */
extern pg_uuid_t ft_checkpoint_newest(const pg_uuid_t *execution_id);

/*
 * Read a checkpoint.  state_data (NULL for what is stored) must speak of the
 * checkpoint's own execution.
 */
extern void ft_checkpoint_load(FtCheckpoint *checkpoint, const pg_uuid_t *checkpoint_id,
							   Jsonb *state_data);

#endif							/* FT_CHECKPOINT_H */
