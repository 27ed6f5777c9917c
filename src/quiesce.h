/*-------------------------------------------------------------------------
 *
 * quiesce.h
 *	  Keeping the background workers out of a database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_QUIESCE_H
#define FT_QUIESCE_H

extern bool ft_quiesce_begin(Oid dboid);
extern void ft_quiesce_wait(Oid dboid);
extern void ft_quiesce_end(Oid dboid, bool forget);

/*
 * A worker of this database that is gone: was it perhaps sent away by a
 * command, together with all others?
 */
extern bool ft_worker_was_dismissed(uint64 worker_id);

#endif							/* FT_QUIESCE_H */
