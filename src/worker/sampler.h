/*-------------------------------------------------------------------------
 *
 * sampler.h
 *	  The background worker that looks at the server at regular intervals.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SAMPLER_H
#define FT_SAMPLER_H

#include "datatype/timestamp.h"
#include "slot.h"

/*
 * What the sampler does at an interval of its own.
 *
 * Runs with no transaction, no snapshot and no resource owner, in a memory
 * context that is reset afterwards; in a process that is connected to no
 * database, on standbys too.  One task runs at a time in the whole server, so
 * what only tasks write needs no lock against other writers.
 */
typedef struct FtSamplerTask
{
	const char *name;
	const int  *interval;		/* setting, in ms; 0 switches the task off */
	void		(*run) (TimestampTz now);
} FtSamplerTask;

typedef struct FtSamplerTaskState
{
	TimestampTz last_run;		/* 0 if it never ran */
	int64		last_duration;	/* microseconds */
	int64		longest_duration;
	int64		runs;
	FtLastError error;
} FtSamplerTaskState;

/* Copy what others may know of the process; false if not preloaded. */
extern bool ft_sampler_process(FtProcess *process, TimestampTz *next_due);

/* When a task ran last, 0 if never. */
extern TimestampTz ft_sampler_last_run(const char *task);

extern void ft_sampler_init(void);
extern PGDLLEXPORT void ft_sampler_main(Datum main_arg);

#endif							/* FT_SAMPLER_H */
