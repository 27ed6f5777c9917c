/*-------------------------------------------------------------------------
 *
 * executor.h
 *	  The executor: runs the commands of one owner, as that owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_EXECUTOR_H
#define FT_EXECUTOR_H

#include "compat.h"

pg_noreturn extern PGDLLEXPORT void ft_executor_main(Datum main_arg);

#endif							/* FT_EXECUTOR_H */
