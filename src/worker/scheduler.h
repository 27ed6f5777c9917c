/*-------------------------------------------------------------------------
 *
 * scheduler.h
 *	  The scheduler: the background worker of one database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SCHEDULER_H
#define FT_SCHEDULER_H

extern PGDLLEXPORT void ft_scheduler_main(Datum main_arg) pg_attribute_noreturn();

#endif							/* FT_SCHEDULER_H */
