/*-------------------------------------------------------------------------
 *
 * utility_hook.h
 *	  Utility commands that concern the background workers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_UTILITY_HOOK_H
#define FT_UTILITY_HOOK_H

extern void ft_utility_hook_init(void);

#endif							/* FT_UTILITY_HOOK_H */
