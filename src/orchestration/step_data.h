/*-------------------------------------------------------------------------
 *
 * step_data.h
 *	  What the SQL of a step can read of its execution, and write to it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STEP_DATA_H
#define FT_STEP_DATA_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* $1 input, $2 state, $3 results, $4 item */
#define FT_STEP_PARAMETERS	4

/*
 * One run of one step, or of its compensation.  All that is pointed to lives
 * in the context, which has to outlive the run.
 */
typedef struct FtStepData
{
	pg_uuid_t	execution_id;
	pg_uuid_t	task_id;
	int			attempt;
	bool		alone;			/* the command makes transactions of its own */
	MemoryContext context;

	Datum		input;			/* (Datum) 0 until it is asked for */
	Datum		state;			/* the same; with what the step has set */
	Datum		results;		/* the same */
	Datum		item;			/* the same, once loaded: (Datum) 0 is none */
	int			iteration;		/* loaded with it; from 0 */
	bool		item_loaded;
	Datum		patch;			/* what the step has set; (Datum) 0: nothing */
	List	   *saved;			/* what to put back if a subtransaction rolls
								 * back */
	struct FtStepData *outer;	/* while it runs */
} FtStepData;

extern void ft_step_data_init(FtStepData *data, const pg_uuid_t *execution_id,
							  const pg_uuid_t *task_id, int attempt);

/* Make it the step that the functions speak of, until it is left. */
extern void ft_step_enter(FtStepData *data);
extern void ft_step_leave(FtStepData *data);

/* The step that is running, for a function that is nothing outside of one. */
extern FtStepData *ft_step_require(const char *function);

/* Does this transaction belong to a step of the execution, or to a compensation? */
extern bool ft_step_is_of(const pg_uuid_t *execution_id);

/* The value of $1 to $4; (Datum) 0 stands for null. */
extern Datum ft_step_parameter(FtStepData *data, int number);

/* What the step is about: see ft.item(). */
extern Datum ft_step_item(FtStepData *data);

#endif							/* FT_STEP_DATA_H */
