/*-------------------------------------------------------------------------
 *
 * session_outcomes.h
 *	  How transactions and sessions end, by application.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SESSION_OUTCOMES_H
#define FT_SESSION_OUTCOMES_H

#include "datatype/timestamp.h"

/* The sampler's task "outcomes". */
extern void ft_session_outcomes_sample(TimestampTz now);

extern void ft_session_outcomes_init(void);

#endif							/* FT_SESSION_OUTCOMES_H */
