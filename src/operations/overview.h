/*-------------------------------------------------------------------------
 *
 * overview.h
 *	  The subjects of ft.overview.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_OVERVIEW_H
#define FT_OVERVIEW_H

typedef struct FtOverviewSubject
{
	const char *what;
	const char *query;			/* answers severity, summary, next */
	const char *next;			/* to type where the query fails */
	const char *not_preloaded;	/* what is missing then, NULL if nothing */
	bool		primary_only;
	bool		own_time;		/* limits the time of its parts itself */
} FtOverviewSubject;

/* Of equal severity, the earlier is shown first; ends with a NULL. */
extern PGDLLIMPORT const FtOverviewSubject ft_overview_subjects[];

#endif							/* FT_OVERVIEW_H */
