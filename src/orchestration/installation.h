/*-------------------------------------------------------------------------
 *
 * installation.h
 *	  Where the rows of this database were made.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_INSTALLATION_H
#define FT_INSTALLATION_H

/*
 * Why the executions of this database must not be worked here, palloc'd in
 * the current context; NULL if they may.  In a transaction, with a snapshot.
 */
extern char *ft_installation_paused_reason(void);

/*
 * The same as an error, after something has been done: rows that a restore has
 * committed meanwhile may have been taken for our own.
 */
extern void ft_installation_still_own(void);

/* Inside the engine, before an execution or a definition is made: note where, if need be. */
extern void ft_installation_settle_in(void);

/* Inside the engine: an error where there is such a reason. */
extern void ft_installation_require_own(void);

#endif							/* FT_INSTALLATION_H */
