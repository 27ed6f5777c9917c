/*-------------------------------------------------------------------------
 *
 * slot.h
 *	  Slots in shared memory: what is known of each database that may have
 *	  work, and of each background worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SLOT_H
#define FT_SLOT_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "utils/uuid.h"

#define FT_SLOT_TEXT	256		/* longest text kept in a slot, with its end */

/* How long a worker that was registered may take to appear. */
#define FT_WORKER_START_TIMEOUT_MS	(60 * 1000)

/*
 * An owner whose executors are all busy gets further ones, one after each of
 * these while work is due.
 */
#define FT_LOOK_INTERVAL_MS		50

/* Steps that an executor has claimed wait for as long for the one it is at. */
#define FT_STEP_OVERDUE_MS		50

typedef enum FtExtensionState
{
	FT_EXTENSION_UNKNOWN,		/* a scheduler is to look */
	FT_EXTENSION_PRESENT,
	FT_EXTENSION_ABSENT			/* the launcher is to free the slot */
} FtExtensionState;

typedef enum FtWorkerState
{
	FT_WORKER_NONE,				/* no process */
	FT_WORKER_STARTING,			/* registered, not seen yet */
	FT_WORKER_CONNECTING,		/* process there, not in its database yet */
	FT_WORKER_RUNNING,
	FT_WORKER_SLEEPING
} FtWorkerState;

/* The process of a worker, as far as others need to know it. */
typedef struct FtProcess
{
	FtWorkerState state;
	uint64		worker_id;		/* never used twice while the server is up */
	int			pid;			/* 0 until the process is there */
	Latch	   *latch;			/* NULL until the process is there */
	TimestampTz started_at;		/* when it was asked for */
} FtProcess;

typedef struct FtLastError
{
	TimestampTz at;				/* 0 if there was none */
	int			sqlstate;
	int			encoding;		/* of the message */
	char		message[FT_SLOT_TEXT];
} FtLastError;

typedef struct FtLauncher
{
	FtProcess	process;
	TimestampTz last_tick;
	TimestampTz next_due;
	bool		rescan;			/* the list of databases is to be read again */
	bool		look_again;		/* one known to lack the extension has it now,
								 * and found no slot */
	int			databases_without_slot;
	int			schedulers_wanted;	/* databases that wait for a worker place */
	FtLastError error;
} FtLauncher;

/* The newest recovery pass of a database. */
typedef struct FtPassRecord
{
	TimestampTz started_at;		/* 0 if there was none */
	int64		duration;		/* microseconds */
	int64		recovered;
} FtPassRecord;

/* An owner whose executor found nothing that it could do. */
typedef struct FtRestingOwner
{
	Oid			owner;			/* InvalidOid where the entry is free */
	int			times;			/* in a row */
	TimestampTz until;			/* no executor is started before */
} FtRestingOwner;

#define FT_RESTING_OWNERS	8

typedef struct FtDatabaseSlot
{
	Oid			dboid;			/* InvalidOid where the slot is free */
	FtExtensionState extension;
	FtProcess	scheduler;
	pg_atomic_uint32 pending;	/* work was made due since the last look; may
								 * be set under a shared lock */
	pg_atomic_uint32 place_awaited; /* somebody found a queue full; may be set
									 * under a shared lock */
	int			quiesced;		/* commands that want no worker here now */
	bool		only_quiesced;	/* made by such a command, for nothing else */
	bool		verified;		/* the launcher has seen that the database may
								 * have workers */
	bool		unwanted;		/* it may not: the slot is to be freed */
	bool		leave;			/* the scheduler is to leave and come back */
	bool		waits_for_executor; /* due work found no executor */
	bool		look;			/* something may be due that nobody is at: the
								 * next look is not to be long in coming */
	bool		suspects_first; /* only what runs suspects may run, see pool.c */
	bool		settled;		/* all that was due at the start is claimed,
								 * or was: see ft_suspect_settled() */
	bool		prepared_unknown;	/* see two_phase.c */
	TimestampTz last_tick;
	TimestampTz next_due;		/* DT_NOEND: when woken */
	int			look_interval;	/* ms after a tick in which steps that become
								 * due need no further one: longer where
								 * looking takes long */
	TimestampTz last_retention;
	uint64		dismissed_below;	/* workers up to this id were sent away by
									 * a command */
	uint64		roles_checked;	/* generation of roles that owners were held
								 * against; 0: none */
	TimestampTz retry_at;		/* no scheduler is started before */
	int			failures;		/* of the scheduler, in a row */
	TimestampTz executor_retry_at;	/* no executor is started before */
	int			executor_failures;	/* of executors, in a row */
	TimestampTz executor_lost_at;	/* when one ended that was not to; 0:
									 * never */
	FtRestingOwner resting[FT_RESTING_OWNERS];	/* see pool.c */
	FtPassRecord pass;
	FtLastError error;
	char		paused_reason[FT_SLOT_TEXT];	/* empty if not paused */
	char		sql_version[32];	/* empty if unknown */
} FtDatabaseSlot;

/* The command that an executor is running; see running.c. */
typedef struct FtRunning
{
	bool		is_set;
	bool		cancelled;		/* the process was signalled for it */
	pg_uuid_t	task_id;
	int			attempt;
} FtRunning;

typedef struct FtExecutorSlot
{
	FtProcess	process;
	Oid			dboid;			/* InvalidOid where the slot is free */
	Oid			owner;
	TimestampTz last_tick;		/* start of the newest execution */
	int64		executed;		/* executions of this process */
	TimestampTz idle_since;		/* while it sleeps */
	bool		leave;			/* somebody needs its place, or settings that
								 * it has read at its start have changed */
	pg_uuid_t	task_id;		/* the step it is at, while one of these two
								 * is so */
	int			waiting_steps;	/* claimed by it and not begun */
	bool		unbegun;		/* its execution does not say that it has
								 * begun */
	TimestampTz claimed_at;
	bool		revoked;		/* these were given back meanwhile */
	FtRunning	running;
	bool		alone;			/* it runs suspects, see pool.c */
} FtExecutorSlot;

/* shared memory; called by shmem.c */
struct FtShared;
extern Size ft_slots_size(void);
extern void ft_slots_create(struct FtShared *shared, char *memory);

/* the callers of these hold the lock */
extern FtDatabaseSlot *ft_slot_find(Oid dboid);
extern FtDatabaseSlot *ft_slot_find_or_create(Oid dboid);
extern void ft_slot_free(FtDatabaseSlot *slot);
extern int	ft_slot_executors(Oid dboid);
extern int	ft_dynamic_workers(int *schedulers);
extern bool ft_process_lost(const FtProcess *process, TimestampTz now);
extern void ft_process_clear(FtProcess *process);
extern void ft_owner_rest(FtDatabaseSlot *slot, Oid owner, TimestampTz now);
extern void ft_owner_wake(FtDatabaseSlot *slot, Oid owner);
extern TimestampTz ft_owner_rests_until(FtDatabaseSlot *slot, Oid owner, TimestampTz now);
extern void ft_last_error_set(FtLastError *error, int sqlstate,
							  const char *message);

/*
 * Is the worker with this id, as in FtProcess, still there?  A worker that is
 * not will never come back under the same id.
 */
extern bool ft_executor_alive(uint64 worker_id);

/* This process's, if it is a worker; else 0. */
extern PGDLLIMPORT uint64 ft_my_worker_id;

extern int64 ft_backoff_ms(int failures, int64 first, int64 limit);

#endif							/* FT_SLOT_H */
