/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The launcher: starts a scheduler for each database that has work.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_LAUNCHER_H
#define FT_LAUNCHER_H

extern void ft_launcher_init(void);
extern PGDLLEXPORT void ft_launcher_main(Datum main_arg) pg_attribute_noreturn();

#endif							/* FT_LAUNCHER_H */
