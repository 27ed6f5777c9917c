/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  What the background workers have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_WORKER_H
#define FT_WORKER_H

#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/elog.h"

#include "slot.h"

/* What a dynamic worker is told at its start, in bgw_extra. */
typedef struct FtWorkerOrder
{
	int			slot;			/* index in its array of slots */
	Oid			dboid;
	Oid			owner;			/* executors only */
	bool		alone;			/* executors only: run suspects */
	uint64		worker_id;
} FtWorkerOrder;

extern bool ft_worker_place_free(bool scheduler);
extern void ft_worker_assign(FtProcess *process);
extern bool ft_worker_register(const char *kind, const char *function,
							   const FtWorkerOrder *order,
							   BackgroundWorkerHandle **handle);
extern void ft_worker_attach(FtProcess *process, FtWorkerState state);
extern void ft_worker_at_exit(void (*callback) (int code, Datum arg), Datum arg);
extern void ft_worker_signals(void);
extern void ft_worker_pin(const char *name, const char *value);
extern void ft_worker_pin_settings(void);
extern void ft_worker_next_round(bool *reloaded);
extern ErrorData *ft_worker_recover_from_error(MemoryContext context);
extern void ft_worker_begin(const char *activity);
extern void ft_worker_commit(void);
extern void ft_worker_sleep(TimestampTz until, const char *wait_event);

#endif							/* FT_WORKER_H */
