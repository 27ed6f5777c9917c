/*-------------------------------------------------------------------------
 *
 * deadlock.h
 *	  Deadlocks that the server reported, with who took part.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DEADLOCK_H
#define FT_DEADLOCK_H

#include "datatype/timestamp.h"

/* Keep the report, if the error is one of a deadlock.  For the log hook. */
extern void ft_deadlock_note(const ErrorData *edata, TimestampTz now);

/* Sampler task: note where the server's own counts stand. */
extern void ft_deadlock_sample(TimestampTz now);

extern void ft_deadlock_init(void);

#endif							/* FT_DEADLOCK_H */
