/*-------------------------------------------------------------------------
 *
 * lock_snapshot.h
 *	  A copy of every lock that somebody waits for: who holds it, who queues.
 *
 * Everything that says who blocks whom is worked out from this copy, after
 * the locks under which it was taken have been given back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_LOCK_SNAPSHOT_H
#define FT_LOCK_SNAPSHOT_H

#include "datatype/timestamp.h"
#include "storage/lock.h"

typedef enum FtLockSource
{
	FT_SOURCE_LOCK_MANAGER,		/* exact, of one moment */
	FT_SOURCE_WAIT_EVENTS		/* partition locks were not to be had */
} FtLockSource;

/* One holder or waiter of one contended lock. */
typedef struct FtLockMember
{
	int			procno;			/* index into FtLockSnapshot.processes */
	int			group;			/* procno of the leader of its lock group */
	LOCKMASK	held;
	LOCKMODE	waited;			/* NoLock unless it queues for this lock */
	int			place;			/* in the queue, from 0; -1 if it is not in it */
} FtLockMember;

typedef struct FtContendedLock
{
	LOCKTAG		tag;
	int			first_member;	/* into members: in order of arrival */
	int			member_count;
	int			first_in_queue; /* into queue: indexes of members, in order */
	int			queue_length;
} FtContendedLock;

/* A process, or a prepared transaction, that is a member of some lock. */
typedef struct FtLockProcess
{
	bool		known;			/* the rest is filled in */
	bool		has_row;		/* row is filled in */
	bool		parallel;		/* its lock group can have several processes */
	int			pid;			/* 0 for a prepared transaction */
	int			group;			/* procno of its leader, itself without one */
	int			lock;			/* the lock it waits for, -1 if none */
	int			member;			/* its place in that lock's members */
	TransactionId xid;
	TimestampTz wait_start;		/* 0 if the server has not noted it */
	uint8		status_flags;
	LOCKTAG		row;			/* tuple lock held while it waits for a
								 * transaction: the row that it is about */
} FtLockProcess;

typedef struct FtLockSnapshot
{
	FtLockSource source;
	TimestampTz taken_at;

	FtLockProcess *processes;	/* by procno */
	int			process_count;
	FtContendedLock *locks;
	int			lock_count;
	FtLockMember *members;
	int			member_count;
	int		   *queue;
	int			queue_count;
} FtLockSnapshot;

#define ft_lock_conflicts(lock, mode) \
	(GetLockTagsMethodTable(&(lock)->tag)->conflictTab[mode])

extern FtLockSnapshot *ft_lock_snapshot_take(void);

/* The same with a bound of the caller's, in ms. */
extern FtLockSnapshot *ft_lock_snapshot_take_within(int timeout);

/* lock_inference.c: the same from what can be read without any lock */
extern void ft_lock_snapshot_infer(FtLockSnapshot *snapshot);

extern const char *ft_lock_source_name(FtLockSource source);

#endif							/* FT_LOCK_SNAPSHOT_H */
