/*-------------------------------------------------------------------------
 *
 * executor.h
 *	  The executor: runs the commands of one owner, as that owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_EXECUTOR_H
#define FT_EXECUTOR_H

extern PGDLLEXPORT void ft_executor_main(Datum main_arg) pg_attribute_noreturn();

#endif							/* FT_EXECUTOR_H */
