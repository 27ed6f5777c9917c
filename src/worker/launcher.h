/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The launcher: starts a scheduler for each database that has work.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_LAUNCHER_H
#define FT_LAUNCHER_H

#include "compat.h"

extern void ft_launcher_init(void);
pg_noreturn extern PGDLLEXPORT void ft_launcher_main(Datum main_arg);

#endif							/* FT_LAUNCHER_H */
