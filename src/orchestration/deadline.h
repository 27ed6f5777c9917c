/*-------------------------------------------------------------------------
 *
 * deadline.h
 *	  Executions that have not ended by their deadline.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DEADLINE_H
#define FT_DEADLINE_H

#include "datatype/timestamp.h"

/*
 * In the engine: record the failure of each execution whose deadline has
 * passed, of those a role is a member of the owner of, or of all for
 * InvalidOid.
 */
extern void ft_deadline_pass(Oid role, TimestampTz now);

/* In the engine: the next deadline; DT_NOEND if there is none. */
extern TimestampTz ft_deadline_next(void);

#endif							/* FT_DEADLINE_H */
