/*-------------------------------------------------------------------------
 *
 * statement_hooks.h
 *	  Where the diagnostics of statements are called from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STATEMENT_HOOKS_H
#define FT_STATEMENT_HOOKS_H

extern void ft_statement_hooks_init(void);

#endif							/* FT_STATEMENT_HOOKS_H */
