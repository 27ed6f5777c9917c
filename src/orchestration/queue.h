/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  Queues whose steps are limited, or paused.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_QUEUE_H
#define FT_QUEUE_H

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* What a user has said of one queue. */
typedef struct FtQueue
{
	char	   *name;
	int			max_running;	/* 0: no limit */
	int			max_running_per_owner;	/* 0: no limit */
	int			rate_limit;		/* 0: no limit */
	int64		rate_period;	/* microseconds */
	bool		paused;
	bool		closed;			/* for who looks through several lanes of it */
} FtQueue;

/*
 * All queues that are limited or paused, as they are committed by now; NIL
 * where there is none, which costs a look at an empty table.
 */
extern List *ft_queues_read(void);

/* The one of this name, or NULL: then it has no limits. */
extern FtQueue *ft_queue_find(List *queues, const char *name);

/* The same for one queue by itself. */
extern FtQueue *ft_queue_read(const char *name);

/*
 * Only one session at a time starts steps of a queue with limits, until its
 * transaction ends, or it has not started any.  False if another session has
 * been at it for longer than a claim takes.
 */
extern bool ft_queue_try_lock(const FtQueue *queue);
extern void ft_queue_unlock(const FtQueue *queue);

/*
 * In the engine: enter a queue to start steps for an owner, with the limits
 * that it has by now.  Returns how many may be started, and what time it is; if
 * none, *look_at is when to look again, DT_NOEND: when somebody wakes, or
 * DT_NOBEGIN: another session is at it for longer than a claim takes.
 * Otherwise the caller says then how many it has started.
 *
 * The server's own executors share a queue between owners by turns, and are
 * woken when there is room.
 */
extern int	ft_queue_enter(FtQueue *queue, Oid owner, bool in_server,
						   TimestampTz *now, TimestampTz *look_at);
extern void ft_queue_leave(const FtQueue *queue, int started, int room, TimestampTz now);

/* Is the queue so wide that several steps may be claimed at a time? */
extern bool ft_queue_is_wide(const FtQueue *queue, int room, int several);

/*
 * In the engine: when an executor of this owner might start a step of the
 * queue: now, later, or DT_NOEND: not before somebody wakes.
 */
extern TimestampTz ft_queue_opens_at(const FtQueue *queue, Oid owner, TimestampTz now);

/* The period of a queue is about to change to this; in the engine. */
extern void ft_queue_rebase_starts(const FtQueue *queue, int64 period);

/*
 * This process has ended what it had claimed, and goes on with a step of this
 * queue (NULL: one without limits, or something else): if what it has ended
 * held a place in another one, who waits for that is woken at commit.
 */
extern void ft_queue_moved_on(const FtQueue *queue);

/* It goes on with a step that has no limits, for now. */
extern void ft_queue_moves_on(void);

/* Have the scheduler look at this time, when the transaction commits. */
extern void ft_queue_look_at(TimestampTz look_at, TimestampTz now);

#endif							/* FT_QUEUE_H */
