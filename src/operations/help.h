/*-------------------------------------------------------------------------
 *
 * help.h
 *	  The index by question.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_HELP_H
#define FT_HELP_H

typedef struct FtHelpEntry
{
	const char *question;
	const char *words;			/* by which it is found, besides its own */
	const char *type;			/* what to type */
	const char *explanation;	/* what that tells, and what to type further */
	const char *page;			/* under doc/ */
} FtHelpEntry;

/* Ends with a NULL. */
extern PGDLLIMPORT const FtHelpEntry ft_help_entries[];

#endif							/* FT_HELP_H */
