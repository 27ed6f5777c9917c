/*-------------------------------------------------------------------------
 *
 * wake.h
 *	  Waking background workers for work that has become due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_WAKE_H
#define FT_WAKE_H

#include "slot.h"

extern void ft_wake_database(Oid dboid);
extern void ft_wake_owner(Oid dboid, Oid owner);
extern void ft_wake_executor(Oid dboid, Oid owner, int64 steps);
extern bool ft_wake_waiting_executor(Oid dboid, Oid owner);
extern void ft_place_await(Oid dboid);
extern void ft_place_left(Oid dboid, Oid owner);
extern bool ft_scheduler_looks_by(Oid dboid, TimestampTz look_at, TimestampTz now);
extern void ft_wake_launcher(bool rescan);
extern void ft_restart_schedulers(Oid dboid);
extern void ft_wake_schedulers_waiting_for_executor(void);
extern void ft_roles_changed(void);
extern uint64 ft_roles_generation(bool *checked);
extern bool ft_owners_settled(void);

/* the caller of this holds the lock */
extern TimestampTz ft_look_at(const FtDatabaseSlot *slot, TimestampTz now);

#endif							/* FT_WAKE_H */
