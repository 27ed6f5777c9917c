/*-------------------------------------------------------------------------
 *
 * scheduler.h
 *	  The scheduler: the background worker of one database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SCHEDULER_H
#define FT_SCHEDULER_H

#include "compat.h"

pg_noreturn extern PGDLLEXPORT void ft_scheduler_main(Datum main_arg);

#endif							/* FT_SCHEDULER_H */
